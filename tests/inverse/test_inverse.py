"""Light, pose, texture and depth from images, against held-out ground truth."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from unrender.data.builtin.families import make_shape
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import so3_distance
from unrender.inverse.light_from_shading import (
    environment_basis,
    environment_from_shading,
    environment_light,
    light_from_shading,
)
from unrender.inverse.mesh_from_normals import mesh_showing_normals
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.inverse.pose_from_silhouette import pose_from_silhouette, silhouette_renderer
from unrender.inverse.shape_from_normals import depth_from_normals, mesh_from_depth
from unrender.inverse.texture_from_photographs import texture_from_photographs
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.rendering.light.lights import AmbientLight, DirectionalLight
from unrender.rendering.mesh.shading import Material, MeshRenderOptions, light_on, mesh_renderer
from unrender.rendering.renderer import supersampled
from unrender.shapes.mesh import Mesh, face_normals
from unrender.shapes.primitives import icosphere, parametric_surface
from unrender.shapes.textures import UVTexture

MATTE = Material(specular=0.0)


def surface(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random normals and albedos."""
    generator = torch.Generator().manual_seed(seed)
    normals = normalize(torch.randn(count, 3, generator=generator), dim=1)
    return normals, 0.2 + 0.6 * torch.rand(count, 3, generator=generator)


def around(count: int, size: int, seed: int = 0, distance: float = 4.0) -> Cameras:
    generator = torch.Generator().manual_seed(seed)
    poses = spherical_shell(count, (distance, distance), generator)
    return Cameras.from_focal(poses, 1.5 * size, size, size)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_light_is_recovered_from_shading(seed: int) -> None:
    """`light_from_shading` inverts `light_on`."""
    normals, albedo = surface(200, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    even = AmbientLight(0.3 * torch.rand(3, generator=generator))
    one = DirectionalLight(
        torch.randn(3, generator=generator), 0.1 + torch.rand(3, generator=generator)
    )
    lit, _ = light_on(torch.zeros_like(normals), normals, normals, (even, one), MATTE)
    found_even, found = light_from_shading(albedo * lit, normals, albedo)
    torch.testing.assert_close(found_even.color, even.color, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.color, one.color, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        found.direction, normalize(one.direction, dim=0), atol=1e-4, rtol=0
    )


def test_gradient_descent_finds_no_better_light() -> None:
    """From noisy shading, for the directional light and for the environment."""
    normals, albedo = surface(400)
    noise = 0.05 * torch.randn(400, 3, generator=torch.Generator().manual_seed(2))
    way = normalize(torch.tensor([1.0, 2.0, -1.0]), dim=0)
    colors = albedo * (0.2 + 0.7 * (normals @ way).clamp_min(0)[:, None]) + noise
    even, one = light_from_shading(colors, normals, albedo)
    environment = environment_from_shading(colors, normals, albedo)

    def of_one(numbers: Tensor) -> Tensor:
        facing = (normals @ normalize(numbers[:3], dim=0)).clamp_min(0)[:, None]
        return (numbers[3:6] + facing * numbers[6:] - colors / albedo).square().mean()

    def of_many(numbers: Tensor) -> Tensor:
        found = environment_basis(normals) @ numbers.view(9, 3)
        return (found - colors / albedo).square().mean()

    starts = (torch.cat([-one.direction, even.color, one.color]), environment.flatten())
    for loss, start in zip((of_one, of_many), starts, strict=True):
        numbers = (start + 0.1).requires_grad_()
        optimizer = torch.optim.LBFGS([numbers], max_iter=200, line_search_fn="strong_wolfe")

        def closure(loss=loss, numbers=numbers, optimizer=optimizer) -> Tensor:
            optimizer.zero_grad()
            value = loss(numbers)
            value.backward()
            return value

        optimizer.step(closure)
        assert float(loss(start)) <= 1.001 * float(loss(numbers.detach()))


def test_an_environment_equals_the_sum_of_lights() -> None:
    """Irradiance / π by numerical integration over many directions."""
    generator = torch.Generator().manual_seed(0)
    environment = torch.randn(9, 3, generator=generator)
    normals, albedo = surface(50)
    found = environment_from_shading(
        albedo * (environment_light(environment, normals) + 9), normals, albedo
    )
    shift = torch.zeros(9, 3)
    # A constant 9 is harmonic 0 times 2 √π · 9.
    shift[0] = 9 * 2 * math.sqrt(math.pi)
    torch.testing.assert_close(found - shift, environment, atol=1e-3, rtol=0)
    k = torch.arange(20000) + 0.5
    height, angle = 1 - 2 * k / 20000, k * math.pi * (3 - 5**0.5)
    ring = (1 - height.square()).sqrt()
    ways = torch.stack([ring * angle.cos(), ring * angle.sin(), height], dim=1)
    radiance = spherical_harmonics(ways, 2) @ environment
    summed = (normals @ ways.T).clamp_min(0) @ radiance * (4 / 20000)
    torch.testing.assert_close(
        environment_light(environment, normals), summed, atol=0.01, rtol=0
    )


def test_bad_shading_is_refused() -> None:
    normals, albedo = surface(100)
    grey = torch.full_like(albedo, 0.5)
    flat = torch.tensor([[0.0, 0.0, 1.0]]).expand(100, 3)
    for find in (light_from_shading, environment_from_shading):
        with pytest.raises(InputError, match="colors are 0"):
            find(0 * grey, normals, albedo)
        with pytest.raises(InputError, match="too alike"):
            find(grey, flat, albedo)
        with pytest.raises(InputError, match="normals of length 0"):
            find(grey, 0 * normals, albedo)
        with pytest.raises(InputError, match="NaN or Inf"):
            find(grey * math.nan, normals, albedo)
        with pytest.raises(InputError, match="black"):
            find(grey, normals, 0 * albedo)
    with pytest.raises(InputError, match="same everywhere"):
        light_from_shading(grey * albedo, normals, albedo)


@pytest.mark.parametrize("aside", [0.0, 25.0])
def test_a_pose_is_recovered_from_its_silhouette(aside: float) -> None:
    """The pose of a chair from the mask of another renderer; other modes fit worse. The optical
    axis passes the image's center, or its edge: a crop of a larger image.
    """
    mesh = make_shape("chair", 3).mesh()
    camera = around(1, 40, seed=5, distance=2.6)
    matrix, pose = camera.intrinsics.clone(), camera.world_from_camera.clone()
    pose[0, :, 3] += 2.6 * aside / float(camera.focal) * pose[0, :, 0]
    matrix[0, 0, 2] += aside
    camera = dataclasses.replace(camera, world_from_camera=pose, intrinsics=matrix)
    with torch.no_grad():
        mask = supersampled(mesh_renderer(mesh, MeshRenderOptions(antialias=False)), 4)(camera)
    found = pose_from_silhouette(
        mesh, mask.opacity[0], camera, 6, RenderAndCompare(40, 50, pixels=1000)
    )
    assert found.misfit is not None
    turn = so3_distance(found.cameras.rotations[0], camera.rotations[0])
    assert math.degrees(float(turn)) < 2
    assert float((found.cameras.centers[0] - camera.centers[0]).norm()) < 0.1
    assert float(found.misfit[0]) < 0.2 * float(found.misfit[1])


def test_bad_silhouettes_are_refused() -> None:
    ball, camera = icosphere(1), around(1, 16)
    for value, reason in ((0.0, "empty"), (1.0, "fills"), (2.0, "outside")):
        with pytest.raises(InputError, match=reason):
            pose_from_silhouette(ball, torch.full((16, 16), value), camera)


def height_field(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Depth in pixels, normals toward the camera, and a mask with a hole and an island."""
    pixel = pixel_grid(size, size).double() - size / 2
    x, y = (pixel / size * 4).unbind(2)
    depth = size / 8 * (x.sin() * (1.3 * y).cos() + 0.2 * x * y)
    slope_x = (x.cos() * (1.3 * y).cos() + 0.2 * y) / 2
    slope_y = (-1.3 * x.sin() * (1.3 * y).sin() + 0.2 * x) / 2
    normals = torch.stack([slope_x, slope_y, -torch.ones_like(x)], dim=2)
    mask = pixel.norm(dim=2) < 0.35 * size
    mask &= pixel.norm(dim=2) > 0.1 * size
    mask[:3, :3] = True
    return depth, normalize(normals, dim=2), mask


def test_integrated_normals_equal_the_height_up_to_a_constant() -> None:
    errors = []
    for size in (24, 48):
        depth, normals, mask = height_field(size)
        found = depth_from_normals(normals, mask)
        island = torch.zeros_like(mask)
        island[:3, :3] = True
        worst = 0.0
        for part in (mask & ~island, island):
            difference = (found - depth)[part]
            worst = max(worst, float((difference - difference.mean()).abs().max()))
        assert float(found[~mask].abs().sum()) == 0
        errors.append(worst / size)
    assert errors[1] < 1e-3
    # The mean of two slopes is accurate to second order.
    assert errors[1] < 0.35 * errors[0]


def test_a_wrong_slope_is_detected() -> None:
    depth, normals, mask = height_field(24)
    mask[:3, :3] = False
    found = depth_from_normals(normals * normals.new_tensor([-1.0, 1.0, 1.0]), mask)
    difference = (found - depth)[mask]
    assert float((difference - difference.mean()).abs().max()) > 1


def test_a_sphere_is_recovered_from_perspective_normals() -> None:
    camera = around(1, 48, distance=3.0)
    pixel = pixel_grid(48, 48)
    rays = camera.rays(torch.zeros(48, 48, dtype=torch.long), pixel)
    along = -(rays.origins * rays.directions).sum(2)
    inside = 1 - (rays.origins.square().sum(2) - along.square())
    mask = inside > 0.1
    distance = along - inside.clamp_min(0).sqrt()
    normals = rays.origins + distance[..., None] * rays.directions
    depth = distance * (rays.directions @ camera.rotations[0][:, 2])
    found = depth_from_normals(normals, mask, camera)
    factor = (depth[mask].log() - found[mask].log()).mean().exp()
    assert float((factor * found - depth)[mask].abs().max()) < 0.01
    mesh = mesh_from_depth(factor * found, mask, camera)
    torch.testing.assert_close(
        mesh.vertices.norm(dim=1), torch.ones(len(mesh.vertices)), atol=0.01, rtol=0
    )
    # Faces face the camera.
    outward = face_normals(mesh.vertices, mesh.faces)
    middle = mesh.vertices[mesh.faces].mean(1)
    assert bool(((camera.centers[0] - middle) * outward).sum(1).gt(0).all())


def test_bad_normals_are_refused() -> None:
    _, normals, mask = height_field(24)
    with pytest.raises(InputError, match="mask is empty"):
        depth_from_normals(normals, torch.zeros_like(mask))
    with pytest.raises(InputError, match="NaN or Inf"):
        depth_from_normals(normals * math.nan, mask)
    with pytest.raises(InputError, match="are 0"):
        depth_from_normals(0 * normals, mask)
    with pytest.raises(InputError, match="do not face"):
        depth_from_normals(-normals, mask)
    ball, cameras = icosphere(1), around(1, 8)
    nothing = torch.zeros(1, 8, 8)
    with pytest.raises(InputError, match="opacity is 0 everywhere"):
        mesh_showing_normals(ball, cameras, torch.zeros(1, 8, 8, 3), nothing)
    with pytest.raises(InputError, match="NaN or Inf"):
        mesh_showing_normals(ball, cameras, torch.full((1, 8, 8, 3), math.nan), nothing + 1)


def test_a_mesh_is_fitted_to_normals() -> None:
    ball = icosphere(2)
    expected = Mesh(ball.vertices * torch.tensor([1.2, 0.8, 0.9]), ball.faces)
    cameras = around(6, 32)
    seen = mesh_renderer(expected)(cameras)
    assert seen.normals is not None
    found = mesh_showing_normals(ball, cameras, seen.normals, seen.opacity, steps=60)
    held = around(3, 32, seed=9)
    masks = [silhouette_renderer(mesh)(held).opacity for mesh in (expected, found, ball)]
    ours, start = ((mask - masks[0]).abs().mean() for mask in masks[1:])
    assert float(ours) < 0.2 * float(start)


def card(image: Tensor) -> Mesh:
    """A bent square with a texture."""

    def bent(u: Tensor, v: Tensor) -> Tensor:
        return torch.stack([2 * u - 1, 2 * v - 1, 0.3 * (3 * u).sin()], dim=-1)

    mesh = parametric_surface(bent, 8, 8)
    v, u = torch.meshgrid(torch.arange(9) / 8, torch.arange(9) / 8, indexing="ij")
    return Mesh(
        mesh.vertices,
        mesh.faces,
        UVTexture(image, torch.stack([u, v], dim=-1).flatten(0, 1), mesh.faces),
    )


def test_a_texture_is_recovered_from_photographs() -> None:
    """From one side, at visible texels; held-out views look the same."""
    generator = torch.Generator().manual_seed(0)
    image = 0.2 + 0.6 * torch.rand(12, 12, 3, generator=generator)
    lights = (
        AmbientLight(0.4 * torch.ones(3)),
        DirectionalLight(torch.tensor([0.3, 0.2, -1.0]), 0.5 * torch.ones(3)),
    )
    options = MeshRenderOptions(lights=lights, material=MATTE)
    poses = spherical_shell(7, (3.5, 3.5), generator, (0.8, 1.5))
    cameras = Cameras.from_focal(poses, 70.0, 48, 48)
    seen = mesh_renderer(card(image), options)(cameras)
    blank = card(torch.full_like(image, 0.5))
    given, held = slice(0, 5), slice(5, 7)
    background = torch.tensor([0.0, 1.0, 0.0])
    found = texture_from_photographs(
        blank, cameras.select(given), seen.over(background)[given], lights, MATTE, 200, 1e-4
    )
    error = (found.texture.image - image)[found.visible].square().mean().sqrt()
    assert float(found.visible.float().mean()) > 0.8
    assert float(error) < 0.03
    again = mesh_renderer(card(found.texture.image), options)(cameras.select(held))
    assert float((again.color - seen.color[held]).square().mean()) < 1e-4


def test_bad_photographs_are_refused() -> None:
    mesh, cameras = card(torch.full((4, 4, 3), 0.5)), around(2, 16)
    images, lights = torch.zeros(2, 16, 16, 3), (AmbientLight(torch.ones(3)),)
    with pytest.raises(InputError, match="no UV coordinates"):
        texture_from_photographs(Mesh(mesh.vertices, mesh.faces), cameras, images, lights)
    with pytest.raises(InputError, match="2 photographs of 8×16"):
        texture_from_photographs(mesh, cameras, images[:, :, :8], lights)
    with pytest.raises(InputError, match="NaN or Inf"):
        texture_from_photographs(mesh, cameras, images / 0, lights)
    with pytest.raises(InputError, match="lights do not reach"):
        texture_from_photographs(mesh, cameras, images, ())
    away = Mesh(mesh.vertices + 100, mesh.faces, mesh.texture)
    with pytest.raises(InputError, match="no photograph"):
        texture_from_photographs(away, cameras, images, lights)
