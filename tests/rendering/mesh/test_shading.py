"""Lights against their formulas, and the renderer of meshes against its parts."""

import math

import pytest
import torch
import trimesh
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.rendering.light.lights import (
    AmbientLight,
    DirectionalLight,
    PhongLight,
    PointLight,
    headlight,
)
from unrender.rendering.mesh.shading import (
    GREY,
    Material,
    MeshRenderOptions,
    Shading,
    light_on,
    mesh_renderer,
)
from unrender.rendering.renderer import supersampled
from unrender.rendering.shapes import shape_renderer
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.textures import FaceAtlas, Texture, UVTexture, VertexColors

WHITE = torch.ones(3)
SIZE = 32


def sphere(subdivisions: int = 3) -> Mesh:
    found = trimesh.creation.icosphere(subdivisions)
    return Mesh(torch.tensor(found.vertices).float(), torch.tensor(found.faces))


def cameras(*eyes: tuple[float, float, float], size: int = SIZE) -> Cameras:
    eye = torch.tensor(eyes, dtype=torch.float32)
    poses = look_at(eye, torch.zeros_like(eye), torch.tensor([0.0, 0, 1]))
    return Cameras.from_focal(poses, 1.5 * size, size, size)


def square(texture: Texture | None = None) -> Mesh:
    """A square with normal +x; seen from there, y is right and z is up."""
    corners = torch.tensor([[0.0, -1, -1], [0, 1, -1], [0, 1, 1], [0, -1, 1]])
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]), texture)


def one(
    light: PhongLight, normal: tuple[float, float, float], **material: float
) -> tuple[Tensor, Tensor]:
    """Factor and highlight of a point at the origin, seen from (0, 0, 2)."""
    found = light_on(
        torch.zeros(1, 3), normalize(torch.tensor([normal]).float(), dim=1),
        torch.tensor([[0.0, 0, 2]]), [light], Material(**material),
    )  # fmt: skip
    return found[0][0], found[1][0]


def test_ambient_light_is_independent_of_normals() -> None:
    factor, highlight = one(AmbientLight(0.3 * WHITE), (0, 0, -1), ambient=0.5)
    torch.testing.assert_close(factor, 0.15 * WHITE)
    assert float(highlight.sum()) == 0


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2, 1.8])
def test_lambert_is_the_cosine(angle: float) -> None:
    """For a directional light, and for a point light without and with falloff."""
    way = torch.tensor([math.sin(angle), 0, math.cos(angle)])
    expected = 0.8 * max(math.cos(angle), 0) * WHITE
    for light, share in (
        (DirectionalLight(-3 * way, WHITE), 1.0),
        (PointLight(7 * way, WHITE, falloff=False), 1.0),
        (PointLight(7 * way, WHITE), 1 / 49),
    ):
        factor, _ = one(light, (0, 0, 1), diffuse=0.8)
        torch.testing.assert_close(factor, share * expected)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.0, 2.0])
def test_highlights_use_the_half_vector(angle: float) -> None:
    """Blinn–Phong: half of the angle between eye and light; no highlight from behind."""
    way = torch.tensor([math.sin(angle), 0, math.cos(angle)])
    _, highlight = one(DirectionalLight(-way, WHITE), (0, 0, 1), specular=0.6, shininess=9.0)
    expected = 0.6 * math.cos(angle / 2) ** 9 if math.cos(angle) > 0 else 0.0
    torch.testing.assert_close(highlight, expected * WHITE)


def test_a_lit_sphere_is_its_closed_form() -> None:
    """Shading by one light, depth and normals, all in closed form."""
    light = DirectionalLight(torch.tensor([-1.0, 0.4, -0.3]), WHITE)
    options = MeshRenderOptions(
        lights=(light,), material=Material(specular=0.0), antialias=False
    )
    camera = cameras((4, 0, 0))
    found = mesh_renderer(sphere(4), options)(camera)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    pixel = torch.stack([x, y], dim=-1) + 0.5
    rays = camera.rays(torch.zeros_like(x), pixel)
    along = -(rays.origins * rays.directions).sum(2)
    inside = 1 - (rays.origins.square().sum(2) - along.square())
    well = inside > 0.15
    depth = along - inside.clamp_min(0).sqrt()
    normals = rays.origins + depth[..., None] * rays.directions
    assert bool((found.opacity[0][well] == 1).all())
    torch.testing.assert_close(found.depth[0][well], depth[well], atol=5e-3, rtol=0)
    assert found.normals is not None
    torch.testing.assert_close(found.normals[0][well], normals[well], atol=2e-2, rtol=0)
    lambert = (normals * -normalize(light.direction, dim=0)).sum(2).clamp_min(0)
    expected = (GREY * lambert)[..., None].expand(-1, -1, 3)
    torch.testing.assert_close(found.color[0][well], expected[well], atol=2e-2, rtol=0)


@pytest.mark.parametrize("shading", ["flat", "gouraud", "phong"])
def test_shadings_agree_on_fine_meshes(shading: Shading) -> None:
    camera = cameras((3, 2, 1), (-3, 0, 1))
    fine = mesh_renderer(sphere(5), MeshRenderOptions(shading=shading, antialias=False))(camera)
    true = mesh_renderer(sphere(5), MeshRenderOptions(antialias=False))(camera)
    assert float((fine.color - true.color).abs().max()) < 0.05
    coarse = mesh_renderer(sphere(0), MeshRenderOptions(shading=shading, antialias=False))(
        camera
    )
    if shading != "phong":
        assert float((coarse.color - true.color).abs().max()) > 0.05


def test_flat_faces_have_one_color() -> None:
    far = MeshRenderOptions(
        "flat", [DirectionalLight(-WHITE, WHITE)], Material(specular=0.0), antialias=False
    )
    found = mesh_renderer(sphere(0), far)(cameras((4, 1, 2)))
    assert len(found.color[found.opacity > 0].unique(dim=0)) <= 10


def test_textures_are_not_flipped() -> None:
    """Red to the right, green upward; as vertex colors, as an image, and as a face atlas."""
    mesh = square()
    unit = mesh.vertices[:, 1:] / 2 + 0.5
    colors = torch.cat([unit, torch.zeros(4, 1)], dim=1)
    ramp = (torch.arange(64) + 0.5) / 64
    image = torch.stack(
        [ramp.expand(64, 64), ramp.flip(0)[:, None].expand(64, 64), torch.zeros(64, 64)], 2
    )
    b0 = ramp.expand(64, 64)
    b1 = b0.T
    weights = torch.stack([b0, b1, 1 - b0 - b1], dim=2)
    textures: list[Texture] = [
        VertexColors(colors),
        UVTexture(image, unit, mesh.faces),
        FaceAtlas(torch.einsum("hwk,fkc->fhwc", weights, colors[mesh.faces])),
    ]
    camera = cameras((4, 0, 0))
    for texture in textures:
        found = mesh_renderer(square(texture), MeshRenderOptions("none"))(camera)
        seen = found.opacity[0] > 0.99
        y, x = seen.nonzero().T
        points = (
            4
            * (torch.stack([x, SIZE - y], dim=1) - SIZE / 2 + torch.tensor([0.5, -0.5]))
            / (1.5 * SIZE)
        )
        expected = torch.cat([points / 2 + 0.5, torch.zeros(len(x), 1)], dim=1)
        torch.testing.assert_close(found.color[0][seen], expected, atol=0.03, rtol=0)


def test_back_faces_are_lit_if_two_sided() -> None:
    light = [DirectionalLight(torch.tensor([1.0, 0, 0]), WHITE)]
    from_behind = cameras((-4, 0, 0))
    lit = mesh_renderer(square(), MeshRenderOptions(lights=light))(from_behind)
    dark = mesh_renderer(square(), MeshRenderOptions(lights=light, two_sided=False))(
        from_behind
    )
    gone = mesh_renderer(square(), MeshRenderOptions(lights=light, cull=True))(from_behind)
    middle = SIZE // 2
    assert float(lit.color[0, middle, middle, 0]) == pytest.approx(GREY, abs=0.11)
    assert float(dark.color[0, middle, middle, 0]) == 0
    assert lit.normals is not None
    assert dark.normals is not None
    assert float(lit.normals[0, middle, middle, 0]) == pytest.approx(-1)
    assert float(dark.normals[0, middle, middle, 0]) == pytest.approx(1)
    assert float(gone.opacity.sum()) == 0


@pytest.mark.parametrize("shading", ["flat", "gouraud", "phong"])
def test_a_headlight_lights_every_view_alike(shading: Shading) -> None:
    """A sphere has the same image from all sides if the light follows the camera."""
    views = cameras((3, 0, 1), (0, 3, 1), (-3, 0, 1), (0, -3, 1))
    options = MeshRenderOptions(shading, headlight)
    found = mesh_renderer(sphere(5), options)(views)
    first = found.color[:1].expand_as(found.color)
    torch.testing.assert_close(found.color, first, atol=0.05, rtol=0)
    solid = found.opacity == 1
    assert float((found.color[solid] < 0.3).float().mean()) < 0.05
    for k in range(4):
        alone = mesh_renderer(sphere(5), options)(views.select(slice(k, k + 1)))
        torch.testing.assert_close(found.color[k], alone.color[0])


def test_shapes_are_lit_from_the_camera() -> None:
    """A sphere of points is as bright as a mesh of it, from both sides."""
    ball, views = sphere(5), cameras((3, 0, 0), (-3, 0, 0))
    middle = slice(SIZE // 4, -SIZE // 4)
    means: list[Tensor] = []
    for shape in (ball, PointCloud(ball.vertices, None, ball.vertices)):
        found = shape_renderer(shape)(views)
        means.append(found.color[:, middle, middle].mean((1, 2, 3)))
    torch.testing.assert_close(means[0], means[0].flip(0), atol=0.01, rtol=0)
    torch.testing.assert_close(means[1], means[0], atol=0.05, rtol=0)


def test_antialiasing_approximates_supersampling() -> None:
    camera = cameras((3, 2, 1), (-2, 3, -1))
    true = supersampled(mesh_renderer(sphere(2), MeshRenderOptions(antialias=False)), 8)(camera)
    errors: list[float] = []
    for antialias in (True, False):
        found = mesh_renderer(sphere(2), MeshRenderOptions(antialias=antialias))(camera)
        errors.append(float((found.rgba - true.rgba).abs().sum()))
        assert bool((found.color <= found.opacity[..., None] + 1e-6).all())
        assert bool((found.depth[found.opacity == 0] == 0).all())
    assert errors[0] < 0.4 * errors[1]


def test_everything_has_gradients() -> None:
    light = PointLight(
        torch.tensor([3.0, 1, 2], requires_grad=True), (9 * WHITE).requires_grad_()
    )
    mesh = sphere(1)
    colors = torch.full((len(mesh.vertices), 3), 0.5, requires_grad=True)
    vertices = mesh.vertices.clone().requires_grad_()
    camera = cameras((4, 0, 1))
    pose = camera.world_from_camera.clone().requires_grad_()
    for shading in ("flat", "gouraud", "phong"):
        options = MeshRenderOptions(shading, [light])
        found = mesh_renderer(Mesh(vertices, mesh.faces, VertexColors(colors)), options)(
            camera.with_poses(pose)
        )
        total = found.color.square().sum() + found.depth.sum()
        inputs = vertices, colors, pose, light.position, light.color
        for gradient in torch.autograd.grad(total, inputs):
            assert bool(gradient.isfinite().all())
            assert float(gradient.abs().max()) > 0


def test_light_gradients_by_finite_differences() -> None:
    place = torch.tensor([2.0, -1, 1.5])
    camera, step = cameras((4, 0, 1)), 1e-2

    def total(position: Tensor) -> Tensor:
        options = MeshRenderOptions(lights=[PointLight(position, 0.6 * WHITE, falloff=False)])
        return mesh_renderer(sphere(2), options)(camera).color.sum()

    at = place.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(at), at)
    for k, way in enumerate(torch.eye(3)):
        found = (total(place + step * way) - total(place - step * way)) / (2 * step)
        assert float(gradient[k]) == pytest.approx(float(found), rel=0.02, abs=0.2)


def test_an_empty_mesh_is_an_empty_image() -> None:
    nothing = torch.zeros(0, 3)
    for texture in (None, UVTexture(torch.rand(4, 4, 3), torch.zeros(0, 2), nothing.long())):
        found = mesh_renderer(Mesh(nothing, nothing.long(), texture))(cameras((4, 0, 0)))
        assert float(found.opacity.sum()) == 0
        assert float(found.depth.sum()) == 0
