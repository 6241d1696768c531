"""Blinn–Phong shading, and a renderer of meshes.

Blinn–Phong (Blinn, "Models of Light Reflection for Computer Synthesized Pictures", 1977): with
unit vectors n (normal), l (to the light), v (to the viewer) and h halfway between l and v, a
light of color L adds kd L max(n·l, 0) to the factor of the surface's albedo, and
ks L max(n·h, 0)^shininess as a specular highlight. Everything is computed in display-referred
colors, as textures are stored; results above 1 are clipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras
from unrender.kernels.runtime.backend import Backend
from unrender.rendering.light.lights import (
    AmbientLight,
    LightRig,
    PhongLight,
    studio,
)
from unrender.rendering.mesh.antialias import EdgeTopology, antialiased
from unrender.rendering.mesh.raster import NEAR, Fragments, rasterize_mesh
from unrender.rendering.renderer import (
    Renderer,
    Rendering,
    camera_batches,
    concatenated,
    mean_depth,
)
from unrender.shapes.mesh import Mesh, face_normals

Shading = Literal["none", "flat", "gouraud", "phong"]
"""`none` shows the mesh's own colors; `flat` uses face normals, `phong` interpolated vertex
normals; `gouraud` interpolates the shading of the vertices."""

GREY = 0.7
"""Albedo of a mesh without a texture."""
PIXELS_AT_ONCE = 1 << 21
FACES_AT_ONCE = 1 << 18
"""Faces times cameras rasterized together: about a kilobyte of memory each."""


@dataclass(frozen=True)
class Material:
    """Blinn–Phong coefficients of a surface."""

    ambient: float = 1.0
    diffuse: float = 1.0
    specular: float = 0.1
    shininess: float = 32.0


def light_on(
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    eyes: Float[Tensor, "points 3"],
    lights: Sequence[PhongLight],
    material: Material,
    visible: Float[Tensor, "points lights"] | None = None,
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
    """The factor of a surface's albedo, and the specular highlight added to the product.

    `normals` have unit length; `eyes` are the camera centers of the points. All are in world
    coordinates. `visible` is the share of each light that reaches a point, without shadows 1;
    that of ambient light is not used.
    """
    factor, highlight = torch.zeros_like(points), torch.zeros_like(points)
    to_eye = normalize(eyes - points, dim=1)
    for k, light in enumerate(lights):
        if isinstance(light, AmbientLight):
            factor = factor + material.ambient * light.color.to(points)
            continue
        to_light, distance = light.toward(points)
        color = light.color_at(distance)
        if visible is not None:
            color = color * visible[:, k, None]
        facing = (normals * to_light).sum(1, keepdim=True)
        factor = factor + material.diffuse * facing.clamp_min(0) * color
        halfway = (normals * normalize(to_light + to_eye, dim=1)).sum(1, keepdim=True)
        shine = halfway.clamp_min(0) ** material.shininess
        # Surfaces that face away from the light have no highlight.
        highlight = highlight + material.specular * torch.where(facing > 0, shine, 0.0) * color
    return factor, highlight


@dataclass(frozen=True)
class MeshRenderOptions:
    """Options of rendering a mesh."""

    shading: Shading | None = None
    """By default `none` for a mesh that is `unlit`, and `phong` for others."""
    lights: Sequence[PhongLight] | LightRig = field(default_factory=studio)
    """Lights in the world, or a function that gives the lights of each camera (`headlight`)."""
    material: Material = Material()
    two_sided: bool = True
    """Whether back faces are shaded with flipped normals instead of their outward normals."""
    cull: bool = False
    """Whether back faces are dropped."""
    antialias: bool = True
    """Whether silhouette edges are blended into the pixels that they cross, which also gives
    opacity gradients. Textures are sampled once per pixel: use `rendering.supersampled` where
    they are minified."""
    near: float = NEAR
    backend: Backend = "auto"


def mesh_renderer(mesh: Mesh, options: MeshRenderOptions | None = None) -> Renderer:
    """Renderer of a mesh with its texture, or gray without one.

    Differentiable in vertices, texture, lights and cameras.
    """
    chosen = MeshRenderOptions() if options is None else options
    if chosen.shading is None:
        chosen = replace(chosen, shading="none" if mesh.unlit else "phong")
    topology = EdgeTopology.of(mesh) if chosen.antialias else None

    def render(cameras: Cameras) -> Rendering:
        shown = cameras.width * cameras.height * FACES_AT_ONCE // max(len(mesh.faces), 1)
        # Normals are the same for all cameras.
        outward = normalize(face_normals(mesh.vertices, mesh.faces), dim=1)
        smooth = chosen.shading != "flat"
        own = replace(mesh, normals=mesh.vertex_normals()) if smooth else mesh
        lights = chosen.lights
        if callable(lights):
            parts = [(part, lights(part)) for part in camera_batches(cameras, 1)]
        else:
            batches = camera_batches(cameras, min(PIXELS_AT_ONCE, shown))
            parts = [(part, lights) for part in batches]
        return concatenated([_draw(own, outward, *part, chosen, topology) for part in parts])

    return render


def render_hits(
    fragments: Fragments,
    color: Float[Tensor, "hits 3"],
    distance: Float[Tensor, "hits 1"],
    normals: Float[Tensor, "hits 3"] | None = None,
    topology: EdgeTopology | None = None,
) -> Rendering:
    """Images of values at the hits of fragments with one layer.

    `distance` is that along the ray. With a topology, silhouette edges are antialiased.
    """
    values = [color, torch.ones_like(distance), distance]
    values += [] if normals is None else [normals]
    image = fragments.spread(torch.cat(values, dim=1))[..., 0, :]
    if topology is not None:
        image = antialiased(image, fragments, topology)
    opacity = image[..., 3]
    depth = mean_depth(image[..., 4], opacity)
    toward = None if normals is None else normalize(image[..., 5:], dim=3)
    return Rendering(image[..., :3], opacity, depth, toward)


def _draw(
    mesh: Mesh,
    outward: Float[Tensor, "faces 3"],
    cameras: Cameras,
    lights: Sequence[PhongLight],
    options: MeshRenderOptions,
    topology: EdgeTopology | None,
) -> Rendering:
    fragments = rasterize_mesh(
        mesh, cameras, near=options.near, cull=options.cull, backend=options.backend
    )
    points = fragments.interpolate(mesh.vertices, mesh.faces)
    eyes = cameras.centers.index_select(0, fragments.image)
    distance = (points - eyes).norm(dim=1, keepdim=True)
    geometric = outward.index_select(0, fragments.hit_face)
    behind = ((geometric * (eyes - points)).sum(1, keepdim=True) < 0) & options.two_sided
    normals = geometric
    if options.shading != "flat":
        normals = normalize(fragments.interpolate(mesh.vertex_normals(), mesh.faces), dim=1)
    normals = torch.where(behind, -normals, normals)
    color = _albedo(mesh, fragments)
    if options.shading == "gouraud":
        color = _gouraud(mesh, cameras, fragments, lights, options, color)
    elif options.shading != "none":
        factor, highlight = light_on(points, normals, eyes, lights, options.material)
        color = color * factor + highlight
    return render_hits(fragments, color.clamp(0, 1), distance, normals, topology)


def _albedo(mesh: Mesh, fragments: Fragments) -> Float[Tensor, "hits 3"]:
    if mesh.texture is None or not len(fragments.hit):
        return torch.full_like(fragments.bary, GREY)
    return mesh.texture.sample(mesh.faces, fragments.hit_face, fragments.bary)


def _gouraud(
    mesh: Mesh,
    cameras: Cameras,
    fragments: Fragments,
    lights: Sequence[PhongLight],
    options: MeshRenderOptions,
    albedo: Float[Tensor, "hits 3"],
) -> Float[Tensor, "hits 3"]:
    """Shade the vertices for each camera, and interpolate the result."""
    rows: list[Tensor] = []
    for center in cameras.centers:
        eyes, normals = center.expand_as(mesh.vertices), mesh.vertex_normals()
        if options.two_sided:
            behind = (normals * (eyes - mesh.vertices)).sum(1, keepdim=True) < 0
            normals = torch.where(behind, -normals, normals)
        rows.append(
            torch.cat(light_on(mesh.vertices, normals, eyes, lights, options.material), 1)
        )
    light = fragments.interpolate(torch.cat(rows))
    return albedo * light[:, :3] + light[:, 3:]
