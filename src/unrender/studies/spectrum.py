"""One scene rendered from flat shading to path tracing; each stage adds one effect.

Flat, Gouraud and Phong shading use a surface's normal and the center of the lamp. Shadow rays
add the visibility of that center, and ambient occlusion that of the surroundings. Direct
lighting samples the area of the lamp, and path tracing adds indirect light.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import look_at
from unrender.imaging.color import display_from_linear
from unrender.rendering.light.bsdf import (
    Glass,
    Lambert,
    Material,
    Metal,
    Mirror,
    Vectors,
    frame,
    sample_lambert,
    unit,
)
from unrender.rendering.light.lights import AmbientLight, PointLight
from unrender.rendering.light.path_tracer import PathOptions, path_renderer
from unrender.rendering.light.scene import BuiltScene, Scene, SceneObject, Surface, build
from unrender.rendering.mesh.shading import Material as Shine
from unrender.rendering.mesh.shading import MeshRenderOptions, Shading, light_on, mesh_renderer
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere, torus
from unrender.shapes.textures import VertexColors

LAMP = (0.0, 0.0, 1.98)
"""Center of the lamp; the room spans [−1, 1] in x and y, and [0, 2] in z."""
AMBIENT, KEY = 0.3, 0.75
"""Intensities of the ambient light and of the lamp in the stages without light transport."""
NEARBY = 0.8
"""Surfaces farther away than this do not occlude, in scene units."""
SHADOW_RAYS = 3
"""Primary rays per side of each pixel in the stages with shadows and occlusion."""
AO_RAYS = 16
"""Occlusion rays per hit."""


@dataclass(frozen=True)
class Stage:
    """One image of the scene."""

    name: str
    adds: str
    """What it adds to the stage before."""
    image: Float[Tensor, "height width 3"]
    """Display-referred, in [0, 1]."""
    seconds: float


def spectrum_scene(mesh: Mesh | None = None) -> tuple[Scene, Callable[[int], Cameras]]:
    """A room with a lamp, the mesh or else a torus, a metal ball and a glass ball.

    Also returns a function that gives the camera for a number of pixels per side. A mesh
    without texture gets a clay color.
    """
    middle = _place(torus(0.28, 0.12, 16, 32) if mesh is None else mesh)
    clay, grey, white = torch.tensor([0.75, 0.42, 0.28]), torch.full((3,), 0.7), torch.ones(3)
    red, green = torch.tensor([0.6, 0.06, 0.05]), torch.tensor([0.1, 0.4, 0.12])
    gold = torch.tensor([0.9, 0.75, 0.45])
    right, back, up = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    ball = icosphere(3)
    objects = [
        SceneObject(_wall((0.0, 0.0, 0.0), right, back), Lambert(grey)),
        SceneObject(_wall((0.0, 0.0, 2.0), back, right), Lambert(grey)),
        SceneObject(_wall((0.0, 1.0, 1.0), right, up), Lambert(grey)),
        SceneObject(_wall((-1.0, 0.0, 1.0), back, up), Lambert(red)),
        SceneObject(_wall((1.0, 0.0, 1.0), up, back), Lambert(green)),
        SceneObject(middle, Lambert(clay if middle.texture is None else None), smooth=True),
        SceneObject(_moved(ball, 0.3, (0.55, 0.5, 0.3)), Metal(gold, 0.1), smooth=True),
        SceneObject(_moved(ball, 0.24, (0.5, -0.4, 0.24)), Glass(white), smooth=True),
        SceneObject(
            _wall(LAMP, (0.0, 0.35, 0.0), (0.35, 0.0, 0.0)),
            Lambert(0 * white),
            emission=torch.tensor([14.0, 12.5, 10.5]),
        ),
    ]

    def camera(size: int) -> Cameras:
        eye = torch.tensor([[0.0, -4.2, 1.05]])
        pose = look_at(eye, torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0.0, 0.0, 1.0]))
        return Cameras.from_focal(pose, 1.72 * size, size, size)

    return Scene(objects), camera


def spectrum(scene: Scene, cameras: Cameras, samples: int, seed: int = 0) -> list[Stage]:
    """Render all stages of a scene of meshes, with `samples` paths per pixel in the last two.

    Each stage is rendered once at a small size first, so that times do not include compilation.
    """
    built = build(scene)
    direct = PathOptions(samples=samples, seed=seed, max_depth=2)
    paths = replace(direct, max_depth=12)
    draw: list[tuple[str, str, Callable[[Cameras], Tensor]]] = [
        ("flat", "a normal per face", lambda c: _rasterized(scene, c, "flat")),
        ("Gouraud", "shading per vertex", lambda c: _rasterized(scene, c, "gouraud")),
        ("Phong", "a normal per pixel", lambda c: _rasterized(scene, c, "phong")),
        ("shadows", "hard shadows", lambda c: _shadowed(built, c, 0, seed)),
        ("occlusion", "ambient occlusion", lambda c: _shadowed(built, c, AO_RAYS, seed)),
        ("direct light", "soft shadows of the area light",
         lambda c: path_renderer(scene, direct)(c).color[0]),
        ("path traced", "indirect light",
         lambda c: path_renderer(scene, paths)(c).color[0]),
    ]  # fmt: skip
    stages: list[Stage] = []
    for name, adds, picture in draw:
        picture(cameras.resized(4, 4))
        began = time.perf_counter()
        image = picture(cameras).clamp(0, 1)
        stages.append(Stage(name, adds, image, time.perf_counter() - began))
    return stages


def _lights() -> tuple[AmbientLight, PointLight]:
    white = torch.ones(3)
    lamp = PointLight(torch.tensor(LAMP), KEY * white, falloff=False)
    return AmbientLight(AMBIENT * white), lamp


def _shine(material: Material) -> Shine:
    """Blinn–Phong coefficients (1977) for a material."""
    polished = isinstance(material, Metal | Mirror | Glass)
    return Shine(specular=0.5, shininess=60.0) if polished else Shine(specular=0.0)


def _rasterized(
    scene: Scene, cameras: Cameras, shading: Shading
) -> Float[Tensor, "height width 3"]:
    """Rasterize the objects one by one, with a z-buffer."""
    size = cameras.height, cameras.width
    color, nearest = torch.zeros(*size, 3), torch.full(size, math.inf)
    for obj in scene.objects:
        assert isinstance(obj.shape, Mesh)
        mesh, shown = obj.shape, obj.material.color
        light = shading
        if obj.emission is not None:
            shown, light = torch.ones(3), "none"
        if shown is not None:
            colors = display_from_linear(shown).expand_as(mesh.vertices)
            mesh = replace(mesh, texture=VertexColors(colors))
        options = MeshRenderOptions(
            light, _lights(), _shine(obj.material), cull=True, antialias=False
        )
        if not obj.smooth:
            mesh = _split(mesh)
        found = mesh_renderer(mesh, options)(cameras)
        front = (found.opacity[0] > 0) & (found.depth[0] < nearest)
        nearest = torch.where(front, found.depth[0], nearest)
        color = torch.where(front[..., None], found.color[0], color)
    return color


def _split(mesh: Mesh) -> Mesh:
    """Split vertices so that no two faces share one, which makes edges sharp."""
    texture = mesh.texture
    if isinstance(texture, VertexColors):
        texture = VertexColors(texture.colors[mesh.faces].flatten(0, 1))
    faces = torch.arange(3 * len(mesh.faces)).view(-1, 3)
    return Mesh(mesh.vertices[mesh.faces].flatten(0, 1), faces, texture)


@torch.no_grad()
def _shadowed(
    scene: BuiltScene, cameras: Cameras, occlusion_rays: int, seed: int
) -> Float[Tensor, "height width 3"]:
    """Phong shading with ray-traced shadows and ambient occlusion."""
    generator = torch.Generator().manual_seed(seed)
    fine = cameras.resized(SHADOW_RAYS * cameras.width, SHADOW_RAYS * cameras.height)
    pixels = pixel_grid(fine.width, fine.height).flatten(0, 1)
    parts: list[Tensor] = []
    for part in pixels.split(1 << 16):
        rays = fine.rays(torch.zeros(len(part), dtype=torch.long), part)
        origins, directions = rays.origins.T.contiguous(), rays.directions.T.contiguous()
        hits = scene.intersect(origins, directions)
        color = torch.zeros_like(rays.origins)
        keep = (hits.object_index >= 0).nonzero()[:, 0]
        surface = scene.surface(
            origins.index_select(1, keep), directions.index_select(1, keep), hits.select(keep)
        )
        color[keep] = _shade(scene, surface, rays.origins[keep], occlusion_rays, generator)
        parts.append(color)
    image = torch.cat(parts).view(cameras.height, SHADOW_RAYS, cameras.width, SHADOW_RAYS, 3)
    return image.mean((1, 3))


def _shade(
    scene: BuiltScene,
    surface: Surface,
    eyes: Float[Tensor, "points 3"],
    occlusion_rays: int,
    generator: torch.Generator,
) -> Float[Tensor, "points 3"]:
    points, normals = surface.points.T, surface.shading.T
    way = torch.tensor(LAMP)[:, None] - surface.points
    distance = way.square().sum(0).sqrt()
    start = surface.leave(way, scene.grain)
    # Shadow rays stop short of the lamp's own surface.
    seen = (~scene.occluded(start, way / distance, 0.98 * distance)).float()[:, None]
    polished = (surface.materials.kind > 0)[:, None]
    ambient, key = _lights()
    openness = _openness(scene, surface, occlusion_rays, generator)[:, None]
    base, _ = light_on(points, normals, eyes, [ambient], Shine())
    lit, glossy = light_on(points, normals, eyes, [key], Shine(specular=0.5, shininess=60.0))
    albedo = display_from_linear(surface.materials.colors.T)
    color = albedo * (openness * base + seen * lit) + polished * seen * glossy
    shines = (scene.emission.amax(0) > 0)[surface.object_index][:, None]
    return torch.where(shines, 1.0, color)


def _openness(
    scene: BuiltScene, surface: Surface, rays: int, generator: torch.Generator
) -> Float[Tensor, "points"]:
    """Fraction of the hemisphere without near occluders, cosine-weighted (Zhukov et al.,
    1998).
    """
    open_ = torch.ones_like(surface.points[0])
    if rays == 0:
        return open_
    x, y, z = frame(surface.shading)
    far = torch.full_like(open_, NEARBY)
    occluded = torch.zeros_like(open_)
    for _ in range(rays):
        uniform = torch.rand(2, len(open_), generator=generator)
        local = sample_lambert(surface.points, uniform).direction
        direction: Vectors = unit(local[0] * x + local[1] * y + local[2] * z)
        occluded += scene.occluded(surface.leave(direction, scene.grain), direction, far)
    return 1 - occluded / rays


def _wall(
    middle: tuple[float, float, float],
    first: tuple[float, float, float],
    second: tuple[float, float, float],
) -> Mesh:
    """A parallelogram around its center, with normal `first` × `second`."""
    m, a, b = (torch.tensor(each) for each in (middle, first, second))
    corners = torch.stack([m - a - b, m + a - b, m + a + b, m - a + b])
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))


def _moved(mesh: Mesh, size: float, offset: tuple[float, float, float]) -> Mesh:
    return replace(mesh, vertices=size * mesh.vertices + torch.tensor(offset))


def _place(mesh: Mesh) -> Mesh:
    """The mesh scaled to a longest side of 1.1 and placed on the floor, left of the center."""
    unit_mesh = mesh.unit_cube()
    turn = math.radians(-150)
    c, s = math.cos(turn), math.sin(turn)
    rotation = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    low = float(unit_mesh.vertices[:, 2].min())
    offset = torch.tensor([-0.3, 0.0, -1.1 * low + 1e-3])
    vertices = 1.1 * unit_mesh.vertices @ rotation.T + offset
    normals = None if mesh.normals is None else mesh.normals @ rotation.T
    return replace(unit_mesh, vertices=vertices, normals=normals)
