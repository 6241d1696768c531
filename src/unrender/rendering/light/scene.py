"""The path tracer's scene: objects with materials, lights, and ray intersection.

An object is a mesh or a signed distance function. Meshes are intersected exactly, through one
bounding volume hierarchy of all triangles; distance functions by sphere tracing. Arrays are
[3, paths], as in bsdf.py.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.imaging.color import linear_from_display
from unrender.kernels.ray_mesh import TriangleBVH, any_hit, closest_hit
from unrender.rendering.implicit.sphere_tracing import Hits, along, sdf_normals, sphere_trace
from unrender.rendering.light.bsdf import (
    KINDS,
    Material,
    Materials,
    Numbers,
    Vectors,
    check_material,
    dot,
    number_of,
    unit,
)
from unrender.rendering.light.grating import grating_numbers
from unrender.rendering.light.light_sampling import Lights, Panels
from unrender.rendering.light.lights import Light
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.mesh import Mesh, face_normals
from unrender.shapes.textures import Texture, UVTexture

GRAIN = 1e-5
"""Offset of ray origins from the surface, relative to the scene's size."""
SDF_GRAIN = 1e-4
"""Smallest offset if the scene has distance functions: the tolerance of their hits."""


@dataclass(frozen=True)
class SceneObject:
    """A shape with its material and emission."""

    shape: Mesh | SDF
    material: Material
    emission: Float[Tensor, "3"] | None = None
    """Emitted radiance, linear RGB, unbounded: to the side of a mesh's normals, or to the
    outside of a distance function. Emissive meshes are sampled at every bounce; emissive
    distance functions contribute only to paths that hit them."""
    smooth: bool = False
    """Whether a mesh is shaded with interpolated vertex normals."""


@dataclass(frozen=True)
class Scene:
    """Objects and lights. A light inside a closed object lights only its interior."""

    objects: Sequence[SceneObject]
    lights: Sequence[Light] = ()
    reach: float = 100.0
    """Maximum ray length for hits on distance functions, in scene units."""


@dataclass(frozen=True)
class Intersections:
    """The nearest intersection of each ray with the scene."""

    distance: Numbers
    """+inf where nothing is hit."""
    object_index: Int[Tensor, "paths"]
    """Index into the scene's objects; −1 where nothing is hit."""
    face: Int[Tensor, "paths"]
    """Index into the faces of all meshes together; −1 on a distance function."""
    barycentrics: Float[Tensor, "3 paths"]

    def select(self, keep: Int[Tensor, "kept"]) -> "Intersections":
        return Intersections(
            self.distance.index_select(0, keep),
            self.object_index.index_select(0, keep),
            self.face.index_select(0, keep),
            self.barycentrics.index_select(1, keep),
        )


@dataclass(frozen=True)
class Surface:
    """Surface properties at the points where paths hit objects."""

    points: Vectors
    normals: Vectors
    """Geometric normals of unit length, on the side of the incident ray."""
    shading: Vectors
    """Shading normals of unit length, on the same side."""
    outside: Bool[Tensor, "paths"]
    """Whether the incident ray comes from outside of the object."""
    object_index: Int[Tensor, "paths"]
    on_mesh: Bool[Tensor, "paths"]
    materials: Materials

    def select(self, keep: Int[Tensor, "kept"]) -> "Surface":
        points, normals, shading = (
            each.index_select(1, keep) for each in (self.points, self.normals, self.shading)
        )
        outside, object_index, on_mesh = (
            each.index_select(0, keep)
            for each in (self.outside, self.object_index, self.on_mesh)
        )
        materials = self.materials.select(keep)
        return Surface(points, normals, shading, outside, object_index, on_mesh, materials)

    def leave(self, directions: Vectors, grain: float) -> Vectors:
        """Origins of rays that leave in the given directions, offset from the surface."""
        side = torch.where(dot(self.normals, directions) < 0, -grain, grain)
        return self.points + side * self.normals


@dataclass(frozen=True)
class _Triangles:
    """The triangles of all meshes."""

    tree: TriangleBVH
    object_index: Int[Tensor, "faces"]
    normals: Float[Tensor, "3 faces"]
    corners: Float[Tensor, "3 3 faces"]
    """Corner, component, face."""
    shading: Float[Tensor, "3 3 faces"] | None
    """Shading normals at the corners; None if no mesh is smooth."""


@dataclass(frozen=True)
class _Textured:
    object_index: int
    texture: Texture
    faces: Int[Tensor, "faces 3"]
    first_face: int
    display: bool
    """Whether its colors are display-referred: those of two factors are multiplied there."""


@dataclass(frozen=True)
class BuiltScene:
    """A scene preprocessed for path tracing; immutable."""

    triangles: _Triangles | None
    functions: tuple[tuple[int, SDF], ...]
    """Distance functions, with their indices in the scene's objects."""
    kinds: tuple[int, ...]
    """Indices into bsdf.KINDS that occur."""
    kind: Int[Tensor, "objects"]
    colors: Float[Tensor, "3 objects"]
    numbers: Float[Tensor, "objects"]
    """Roughness or index of refraction."""
    gratings: Float[Tensor, "7 objects"] | None
    """`Grating.numbers`; None without gratings."""
    emission: Float[Tensor, "3 objects"]
    shines: bool
    textured: tuple[_Textured, ...]
    lights: Lights
    reach: float
    grain: float
    """Offset of ray origins from the surface, in scene units."""

    def intersect(self, origins: Vectors, directions: Vectors) -> Intersections:
        """The nearest intersection of each ray."""
        far = torch.full_like(origins[0], math.inf)
        nothing = torch.full_like(origins[0], -1, dtype=torch.long)
        found = Intersections(far, nothing, nothing, torch.zeros_like(origins))
        if self.triangles is not None:
            hits = closest_hit(origins.T, directions.T, far, self.triangles.tree)
            index = self.triangles.object_index[hits.face.clamp_min(0)]
            index = torch.where(hits.face >= 0, index, -1)
            found = Intersections(hits.distance, index, hits.face, hits.barycentrics.T)
        if not self.functions:
            return found
        hits = self._trace(origins, directions, found.distance.clamp_max(self.reach))
        own = hits.mask.nonzero()[:, 0]
        rows = torch.tensor([row for row, _ in self.functions], device=origins.device)
        points = along(origins.T[own], directions.T[own], hits.distance[own])
        which = torch.stack([function(points).abs() for _, function in self.functions]).argmin(
            0
        )
        return Intersections(
            torch.where(hits.mask, hits.distance, found.distance),
            found.object_index.index_copy(0, own, rows[which]),
            torch.where(hits.mask, -1, found.face),
            found.barycentrics,
        )

    def occluded(
        self, origins: Vectors, directions: Vectors, farthest: Numbers
    ) -> Bool[Tensor, "paths"]:
        """Whether anything lies within `farthest` along each ray."""
        occluded = torch.zeros_like(farthest, dtype=torch.bool)
        if self.triangles is not None:
            occluded = any_hit(origins.T, directions.T, farthest, self.triangles.tree)
        if self.functions:
            limit = torch.where(occluded, 0.0, farthest.clamp_max(self.reach))
            occluded = occluded | self._trace(origins, directions, limit).mask
        return occluded

    def _trace(self, origins: Vectors, directions: Vectors, farthest: Numbers) -> Hits:
        """The nearest surface of a distance function on each ray, from outside or inside."""

        def nearest(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
            away = [function(points).abs() for _, function in self.functions]
            return reduce(torch.minimum, away)

        return sphere_trace(nearest, origins.T, directions.T, 0.0, farthest)

    def surface(self, origins: Vectors, directions: Vectors, hits: Intersections) -> Surface:
        """Surface properties at the hits; every ray must have one."""
        points = origins + hits.distance * directions
        normals = shading = torch.zeros_like(points)
        if self.triangles is not None:
            face = hits.face.clamp_min(0)
            a, b, c = (corner.index_select(1, face) for corner in self.triangles.corners)
            u, v, w = hits.barycentrics
            # More accurate than origin + distance × direction if the origin is far away.
            exact = u * a + v * b + w * c
            points = torch.where(hits.face >= 0, exact, points) if self.functions else exact
            normals = shading = self.triangles.normals.index_select(1, face)
            if self.triangles.shading is not None:
                a, b, c = (corner.index_select(1, face) for corner in self.triangles.shading)
                shading = u * a + v * b + w * c
        for row, function in self.functions:
            own = (hits.object_index == row).nonzero()[:, 0]
            if len(own) > 0:
                found = sdf_normals(function, points.index_select(1, own).T).T
                normals, shading = (
                    each.index_copy(1, own, found) for each in (normals, shading)
                )
        outside = dot(normals, directions) <= 0
        side = torch.where(outside, 1.0, -1.0)
        normals, shading = side * normals, unit(side * shading)
        # An interpolated normal may face away from the ray: then use the face's own.
        shading = torch.where(dot(shading, directions) < -1e-4, shading, normals)
        materials = Materials(
            self.kind.index_select(0, hits.object_index),
            self.colors.index_select(1, hits.object_index),
            self.numbers.index_select(0, hits.object_index),
            None if self.gratings is None else self.gratings[:, hits.object_index],
        )
        for each in self.textured:
            own = (hits.object_index == each.object_index).nonzero()[:, 0]
            if len(own) > 0:
                barycentrics = hits.barycentrics.index_select(1, own).T
                colors = each.texture.sample(
                    each.faces, hits.face[own] - each.first_face, barycentrics
                )
                colors = linear_from_display(colors) if each.display else colors
                materials.colors.index_copy_(1, own, colors.T)
        return Surface(
            points, normals, shading, outside, hits.object_index, hits.face >= 0, materials
        )


def build(scene: Scene) -> BuiltScene:
    """Check a scene and preprocess it. Raises InputError if it cannot be rendered."""
    if not scene.objects:
        raise InputError("the scene has no objects: give it a mesh or a distance function")
    names = [f"object {row}" for row in range(len(scene.objects))]
    for obj, name in zip(scene.objects, names, strict=True):
        _check(obj, name)
    meshes = [
        (row, t.shape) for row, t in enumerate(scene.objects) if isinstance(t.shape, Mesh)
    ]
    functions = tuple(
        (row, obj.shape)
        for row, obj in enumerate(scene.objects)
        if not isinstance(obj.shape, Mesh)
    )
    device = meshes[0][1].vertices.device if meshes else torch.device("cpu")
    triangles = _triangles(scene, meshes) if meshes else None
    emission = torch.stack([_emission(obj) for obj in scene.objects], dim=1).to(device)
    panels = None if triangles is None else _panels(triangles, emission)
    lights = Lights.of(scene.lights, panels)
    if not scene.lights and not bool(emission.any()):
        raise InputError("the scene has no light: give it lights, or an object with emission")
    colors = [
        torch.ones(3) if obj.material.color is None else obj.material.color.cpu().float()
        for obj in scene.objects
    ]
    kinds = [KINDS.index(type(obj.material)) for obj in scene.objects]
    size = GRAIN * float(triangles.corners.abs().amax()) if triangles is not None else 0.0
    return BuiltScene(
        triangles,
        functions,
        tuple(sorted(set(kinds))),
        torch.tensor(kinds, device=device),
        torch.stack(colors, dim=1).to(device),
        torch.tensor([number_of(obj.material) for obj in scene.objects], device=device),
        grating_numbers([obj.material for obj in scene.objects], device),
        emission,
        bool(emission.any()),
        tuple(_textures(scene, meshes)),
        lights,
        scene.reach,
        max(size, SDF_GRAIN) if functions else size,
    )


def _check(obj: SceneObject, name: str) -> None:
    mesh = obj.shape if isinstance(obj.shape, Mesh) else None
    texture = None if mesh is None else mesh.texture
    check_material(obj.material, name, texture is not None)
    if obj.emission is not None:
        light = obj.emission
        if not bool((light.isfinite() & (light >= 0)).all()):
            raise InputError(f"{name}: emission {light.tolist()}: give finite numbers ≥ 0")
    if mesh is None:
        return
    if not bool(mesh.vertices.isfinite().all()):
        raise InputError(f"{name}: has vertices that are NaN or Inf: correct them")
    if not float(face_normals(mesh.vertices, mesh.faces).norm(dim=1).sum()) > 0:
        raise InputError(
            f"{name}: its faces have no area: give at least one face of nonzero area"
        )
    if texture is not None and obj.material.color is None:
        for values in _pixels(texture):
            if not bool(((values >= 0) & (values <= 1)).all()):
                raise InputError(f"{name}: its texture has values outside [0, 1]: correct them")


def _pixels(texture: Texture) -> list[Tensor]:
    found = [getattr(texture, name, None) for name in ("colors", "image", "images")]
    return [values for values in found if values is not None]


def _emission(obj: SceneObject) -> Float[Tensor, "3"]:
    return torch.zeros(3) if obj.emission is None else obj.emission.cpu().float()


def _triangles(scene: Scene, meshes: Sequence[tuple[int, Mesh]]) -> _Triangles:
    corners, normals, shading, index = [], [], [], []
    for row, mesh in meshes:
        corners.append(mesh.vertices.detach().float()[mesh.faces])
        flat = normalize(face_normals(mesh.vertices.detach(), mesh.faces).float(), dim=1)
        normals.append(flat)
        at_corners = flat[:, None].expand(-1, 3, 3)
        if scene.objects[row].smooth:
            at_corners = mesh.vertex_normals().detach().float()[mesh.faces]
        shading.append(at_corners)
        index.append(torch.full_like(mesh.faces[:, 0], row, dtype=torch.long))
    every = torch.cat(corners)
    rows = torch.arange(3 * len(every), device=every.device).view(-1, 3)
    smooth = any(scene.objects[row].smooth for row, _ in meshes)
    return _Triangles(
        TriangleBVH.build(every.flatten(0, 1), rows),
        torch.cat(index),
        torch.cat(normals).T.contiguous(),
        every.permute(1, 2, 0).contiguous(),
        torch.cat(shading).permute(1, 2, 0).contiguous() if smooth else None,
    )


def _panels(triangles: _Triangles, emission: Float[Tensor, "3 objects"]) -> Panels | None:
    shines = (emission.amax(0) > 0)[triangles.object_index]
    # Degenerate faces have no normal.
    shines = shines & (triangles.normals.square().sum(0) > 0.5)
    if not bool(shines.any()):
        return None
    corners = triangles.corners[:, :, shines].permute(2, 0, 1)
    return Panels.of(corners, emission.T[triangles.object_index[shines]])


def _textures(scene: Scene, meshes: Sequence[tuple[int, Mesh]]) -> list[_Textured]:
    found: list[_Textured] = []
    first = 0
    for row, mesh in meshes:
        if mesh.texture is not None and scene.objects[row].material.color is None:
            texture = mesh.texture
            product = isinstance(texture, UVTexture) and texture.colors is not None
            texture = texture if product else _linear(texture)
            found.append(_Textured(row, texture, mesh.faces, first, product))
        first += len(mesh.faces)
    return found


def _linear(texture: Texture) -> Texture:
    names = ("colors", "image", "images")
    fields = {
        name: linear_from_display(value.detach().float())
        for name, value in vars(texture).items()
        if name in names and value is not None
    }
    return dataclasses.replace(texture, **fields)
