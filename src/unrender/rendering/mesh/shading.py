"""Light on meshes, and meshes as renderers.

Blinn–Phong (Blinn, "Models of Light Reflection for Computer Synthesized Pictures", 1977): with
unit vectors n (normal), l (to the light), v (to the viewer) and h halfway between l and v, a
light of colour L adds kd L max(n·l, 0) to what the surface's own colour is multiplied with, and
ks L max(n·h, 0)^shininess as a highlight. All of it is computed in display-referred colours, as
textures are kept; what exceeds 1 is cut off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras
from unrender.kernels.runtime.backend import Backend
from unrender.rendering.mesh.antialias import EdgeTopology, antialiased
from unrender.rendering.mesh.raster import NEAR, Fragments, rasterize_mesh
from unrender.rendering.renderer import Renderer, Rendering, camera_batches, concatenated
from unrender.shapes.mesh import Mesh, face_normals

Shading = Literal["none", "flat", "gouraud", "phong"]
"""`none` shows a mesh's own colours; `flat` has one normal for each face, `phong` normals
interpolated from the vertices; `gouraud` interpolates what the light does at vertices."""

GREY = 0.7
"""The colour of a mesh without a texture."""
PIXELS_AT_ONCE = 1 << 21
FACES_AT_ONCE = 1 << 18
"""Counted once for each camera that sees them: a kilobyte or so each."""


@dataclass(frozen=True)
class AmbientLight:
    """The same from everywhere."""

    color: Float[Tensor, "3"]


@dataclass(frozen=True)
class DirectionalLight:
    """From infinitely far away."""

    direction: Float[Tensor, "3"]
    """In which the light travels, in the world frame; of any length."""
    color: Float[Tensor, "3"]


@dataclass(frozen=True)
class PointLight:
    """From a point, and as bright at any distance."""

    position: Float[Tensor, "3"]
    """In the world frame."""
    color: Float[Tensor, "3"]


Light = AmbientLight | DirectionalLight | PointLight


@dataclass(frozen=True)
class Material:
    """What a surface makes of light."""

    ambient: float = 1.0
    diffuse: float = 1.0
    specular: float = 0.1
    shininess: float = 32.0


def studio() -> tuple[Light, ...]:
    """Even light, more from above and in front, a little from the other side."""
    white = torch.ones(3)
    return (
        AmbientLight(0.55 * white),
        DirectionalLight(torch.tensor([-0.5, -0.7, -0.6]), 0.45 * white),
        DirectionalLight(torch.tensor([0.6, 0.2, 0.7]), 0.25 * white),
    )


def light_on(
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    eyes: Float[Tensor, "points 3"],
    lights: Sequence[Light],
    material: Material,
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
    """What the colour of a surface is multiplied with, and the highlight added to it.

    `normals` have unit length; `eyes` are where each point is seen from. All are in the world.
    """
    factor, highlight = torch.zeros_like(points), torch.zeros_like(points)
    to_eye = normalize(eyes - points, dim=1)
    for light in lights:
        color = light.color.to(points)
        if isinstance(light, AmbientLight):
            factor = factor + material.ambient * color
            continue
        if isinstance(light, PointLight):
            to_light = normalize(light.position.to(points) - points, dim=1)
        else:
            to_light = -normalize(light.direction.to(points), dim=0).expand_as(points)
        facing = (normals * to_light).sum(1, keepdim=True)
        factor = factor + material.diffuse * facing.clamp_min(0) * color
        halfway = (normals * normalize(to_light + to_eye, dim=1)).sum(1, keepdim=True)
        shine = halfway.clamp_min(0) ** material.shininess
        # What a light does not reach has no highlight of it.
        highlight = highlight + material.specular * torch.where(facing > 0, shine, 0.0) * color
    return factor, highlight


@dataclass(frozen=True)
class MeshRenderOptions:
    """How a mesh is drawn."""

    shading: Shading = "phong"
    lights: Sequence[Light] = field(default_factory=studio)
    material: Material = Material()
    two_sided: bool = True
    """Whether a face seen from behind has light as if it were turned round; else its normal
    is the one outside."""
    cull: bool = False
    """Whether faces seen from behind are left out."""
    antialias: bool = True
    """Whether silhouettes are blended into the pixels that they cross, which also gives
    opacity gradients. Textures have one sample a pixel: from afar they need
    `rendering.supersampled`."""
    near: float = NEAR
    backend: Backend = "auto"


def mesh_renderer(mesh: Mesh, options: MeshRenderOptions | None = None) -> Renderer:
    """The mesh with its texture, or grey without; differentiable in all that it is made of.

    `MeshRenderOptions` has the options.
    """
    chosen = MeshRenderOptions() if options is None else options
    topology = EdgeTopology.of(mesh) if chosen.antialias else None

    def render(cameras: Cameras) -> Rendering:
        shown = cameras.width * cameras.height * FACES_AT_ONCE // max(len(mesh.faces), 1)
        parts = camera_batches(cameras, min(PIXELS_AT_ONCE, shown))
        return concatenated([_draw(mesh, part, chosen, topology) for part in parts])

    return render


def _draw(
    mesh: Mesh, cameras: Cameras, options: MeshRenderOptions, topology: EdgeTopology | None
) -> Rendering:
    fragments = rasterize_mesh(
        mesh, cameras, near=options.near, cull=options.cull, backend=options.backend
    )
    points = fragments.interpolate(mesh.vertices, mesh.faces)
    eyes = cameras.centers.index_select(0, fragments.image)
    distance = (points - eyes).norm(dim=1, keepdim=True)
    outward = normalize(face_normals(mesh.vertices, mesh.faces), dim=1)
    geometric = outward.index_select(0, fragments.hit_face)
    behind = ((geometric * (eyes - points)).sum(1, keepdim=True) < 0) & options.two_sided
    normals = geometric
    if options.shading != "flat":
        normals = normalize(fragments.interpolate(mesh.vertex_normals(), mesh.faces), dim=1)
    normals = torch.where(behind, -normals, normals)
    color = _albedo(mesh, fragments)
    if options.shading == "gouraud":
        color = _gouraud(mesh, cameras, fragments, options, color)
    elif options.shading != "none":
        factor, highlight = light_on(points, normals, eyes, options.lights, options.material)
        color = color * factor + highlight
    ones = torch.ones_like(distance)
    values = torch.cat([color.clamp(0, 1), ones, distance, normals], dim=1)
    image = fragments.spread(values)[..., 0, :]
    if topology is not None:
        image = antialiased(image, fragments, topology)
    color, opacity, distance, normals = image.split([3, 1, 1, 3], dim=3)
    seen = opacity > 0
    depth = torch.where(seen, distance / torch.where(seen, opacity, 1.0), 0.0)
    return Rendering(color, opacity[..., 0], depth[..., 0], normalize(normals, dim=3))


def _albedo(mesh: Mesh, fragments: Fragments) -> Float[Tensor, "hits 3"]:
    if mesh.texture is None or not len(fragments.hit):
        return torch.full_like(fragments.bary, GREY)
    return mesh.texture.sample(mesh.faces, fragments.hit_face, fragments.bary)


def _gouraud(
    mesh: Mesh,
    cameras: Cameras,
    fragments: Fragments,
    options: MeshRenderOptions,
    albedo: Float[Tensor, "hits 3"],
) -> Float[Tensor, "hits 3"]:
    """Colours under the light of the vertices, which is another one for each camera."""
    rows: list[Tensor] = []
    for center in cameras.centers:
        eyes, normals = center.expand_as(mesh.vertices), mesh.vertex_normals()
        if options.two_sided:
            behind = (normals * (eyes - mesh.vertices)).sum(1, keepdim=True) < 0
            normals = torch.where(behind, -normals, normals)
        rows.append(
            torch.cat(
                light_on(mesh.vertices, normals, eyes, options.lights, options.material), 1
            )
        )
    values = torch.cat(rows)
    corners = mesh.faces[fragments.hit_face] + len(mesh.vertices) * fragments.image[:, None]
    at_corners = values.index_select(0, corners.flatten()).view(-1, 3, 6)
    light = (at_corners * fragments.bary[..., None]).sum(1)
    return albedo * light[:, :3] + light[:, 3:]
