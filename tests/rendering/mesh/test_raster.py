"""Rasterized meshes against spheres, planes, brute force, and finite differences."""

import math

import pytest
import torch
import trimesh
from inputs import sample
from raster_brute_force import brute_force, brute_force_mask
from raster_gradients import gradient_errors
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, look_at, se3_exp
from unrender.rendering.mesh.antialias import EdgeTopology, antialiased
from unrender.rendering.mesh.raster import rasterize_mesh
from unrender.rendering.mesh.soft_raster import soft_color, soft_mask
from unrender.shapes.mesh import Mesh, Meshes
from unrender.shapes.textures import VertexColors

SIZE = 48


def sphere(subdivisions: int = 3, radius: float = 1.0) -> Mesh:
    found = trimesh.creation.icosphere(subdivisions, radius)
    vertices = torch.tensor(found.vertices, dtype=torch.float32)
    return Mesh(vertices, torch.tensor(found.faces), VertexColors(vertices / 2 + 0.5))


def around(count: int, distance: float = 4.0, size: int = SIZE) -> Cameras:
    angle = torch.arange(count) / max(count, 1) * 5
    eye = distance * torch.stack([angle.cos(), angle.sin(), 0.3 * (angle + 1).sin()], dim=1)
    poses = look_at(eye, torch.zeros(count, 3), torch.tensor([0.0, 0, 1]))
    return Cameras.from_focal(poses, 1.5 * size, size, size)


def plane(height: float, width: float = 1e4) -> Mesh:
    """A square in a plane parallel to the xy plane."""
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    vertices = width * corners + torch.tensor([0, 0, height])
    return Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]))


def mask(mesh: Mesh, cameras: Cameras) -> Tensor:
    fragments = rasterize_mesh(mesh, cameras)
    covered = (fragments.pix_to_face >= 0).to(mesh.vertices.dtype)
    return antialiased(covered, fragments, EdgeTopology.of(mesh))[..., 0]


def test_depth_of_a_sphere() -> None:
    cameras = around(2)
    found = rasterize_mesh(sphere(5), cameras)
    pixel = torch.stack([found.pixel % SIZE, found.pixel // SIZE % SIZE], dim=1).float() + 0.5
    rays = cameras.rays(found.image, pixel)
    along = -(rays.origins * rays.directions).sum(1)
    inside = 1 - (rays.origins.square().sum(1) - along.square())
    distance = along - inside.clamp_min(0).sqrt()
    forward = cameras.rotations[found.image, :, 2]
    depth = distance * (rays.directions * forward).sum(1)
    well = inside > 0.1
    assert int(well.sum()) > 800
    torch.testing.assert_close(found.depth[well], depth[well], atol=2e-3, rtol=0)


def test_interpolation_is_perspective_correct() -> None:
    """World positions interpolated on a tilted plane are where rays hit it."""
    cameras = around(3, 2.0)
    mesh = plane(-0.3, 5.0)
    found = rasterize_mesh(mesh, cameras)
    points = found.interpolate(mesh.vertices, mesh.faces)
    pixel = torch.stack([found.pixel % SIZE, found.pixel // SIZE % SIZE], dim=1).float() + 0.5
    rays = cameras.rays(found.image, pixel)
    distance = (-0.3 - rays.origins[:, 2]) / rays.directions[:, 2]
    expected = rays.origins + distance[:, None] * rays.directions
    assert len(points) > 100
    torch.testing.assert_close(points, expected, atol=1e-3, rtol=1e-4)


def test_every_pixel_is_covered_inside_a_cube() -> None:
    box = trimesh.creation.box((2.0, 2.0, 2.0))
    mesh = Mesh(torch.tensor(box.vertices).float(), torch.tensor(box.faces))
    cameras = around(4, 0.2)
    found = rasterize_mesh(mesh, cameras)
    assert bool((found.pix_to_face >= 0).all())
    points = found.interpolate(mesh.vertices, mesh.faces)
    torch.testing.assert_close(points.abs().amax(1), torch.ones(len(points)), atol=1e-5, rtol=0)
    # The walls face outward: inside, all are back faces.
    assert len(rasterize_mesh(mesh, cameras, cull=True).hit) == 0


def test_a_batch_of_meshes_equals_single_meshes() -> None:
    meshes = [
        sphere(1),
        Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)),
        sphere(2, 0.6),
    ]
    cameras = around(3)
    batch = Meshes.pack(meshes)
    found = rasterize_mesh(batch, cameras, layers=2)
    covered = (found.pix_to_face[..., :1] >= 0).float()
    together = antialiased(covered, found, EdgeTopology.of(batch))
    for k, mesh in enumerate(meshes):
        one = cameras.select(slice(k, k + 1))
        alone = rasterize_mesh(mesh, one, layers=2)
        first = int(batch.first_face[k])
        moved = torch.where(alone.pix_to_face >= 0, alone.pix_to_face + first, -1)
        assert torch.equal(found.pix_to_face[k], moved[0])
        torch.testing.assert_close(found.depth[found.image == k], alone.depth)
        torch.testing.assert_close(together[k, ..., 0], mask(mesh, one)[0])


def test_many_cameras_equal_single_cameras() -> None:
    mesh, cameras = sphere(2), around(3)
    together, images = rasterize_mesh(mesh, cameras), mask(mesh, cameras)
    for k in range(3):
        one = cameras.select(slice(k, k + 1))
        assert torch.equal(together.pix_to_face[k], rasterize_mesh(mesh, one).pix_to_face[0])
        torch.testing.assert_close(images[k], mask(mesh, one)[0])


def test_rasterization_equals_brute_force() -> None:
    mesh, camera = sphere(2), around(1)
    found = rasterize_mesh(mesh, camera)
    parts = list(brute_force(mesh, camera))
    face = torch.cat([part.face for part in parts])
    assert torch.equal(found.pix_to_face.flatten().long(), face)
    hit = face >= 0
    expected = torch.cat([part.barycentrics for part in parts])[hit]
    torch.testing.assert_close(found.bary, expected, atol=1e-4, rtol=0)
    depth = torch.cat([part.depth for part in parts])[hit]
    torch.testing.assert_close(found.depth, depth, atol=2e-4, rtol=0)


def test_a_soft_mask_equals_brute_force() -> None:
    """With enough layers for all faces near a pixel; values and gradients."""
    vertices = sphere(1).vertices.requires_grad_()
    mesh, camera = Mesh(vertices, sphere(1).faces), around(1, size=24)
    found = soft_mask(rasterize_mesh(mesh, camera, layers=80, blur=6.0), 1.0)
    expected = torch.cat([part for _, part in brute_force_mask(mesh, camera, 1.0)])
    torch.testing.assert_close(found.flatten(), expected, atol=1e-5, rtol=0)
    weights = torch.randn(24 * 24, generator=torch.Generator().manual_seed(0))
    (own,) = torch.autograd.grad((found.flatten() * weights).sum(), vertices)
    (slow,) = torch.autograd.grad((expected * weights).sum(), vertices)
    torch.testing.assert_close(own, slow, atol=1e-3 * float(slow.abs().max()), rtol=0)


def test_hard_depth_gradients_by_finite_differences() -> None:
    """With respect to vertices, poses and intrinsics, in double precision, for fixed
    visibility.
    """
    mesh, cameras = sphere(1), around(2, size=10)
    inputs = (
        mesh.vertices.double().requires_grad_(),
        torch.zeros(2, 6, dtype=torch.float64, requires_grad=True),
        cameras.intrinsics.double().requires_grad_(),
    )
    poses = cameras.world_from_camera.double()

    def depth(vertices: Tensor, twist: Tensor, intrinsics: Tensor) -> Tensor:
        moved = Cameras(compose(poses, se3_exp(twist)), intrinsics, 10, 10)
        found = rasterize_mesh(Mesh(vertices, mesh.faces), moved)
        return torch.cat([found.depth, found.bary.flatten()])

    assert torch.autograd.gradcheck(depth, inputs, eps=1e-7, atol=1e-4)


def test_soft_gradients_by_finite_differences() -> None:
    mesh, cameras = sphere(1), around(1, size=12)
    colors = torch.rand(
        len(mesh.vertices), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    cameras = Cameras(cameras.world_from_camera.double(), cameras.intrinsics.double(), 12, 12)
    vertices = mesh.vertices.double().requires_grad_()

    def loss(vertices: Tensor) -> Tensor:
        found = rasterize_mesh(Mesh(vertices, mesh.faces), cameras, layers=30, blur=4.0)
        rgb = found.interpolate(colors, mesh.faces)
        image, _ = soft_color(found, rgb, 0.5, 0.1, 3.0)
        return image.square().sum() + soft_mask(found, 0.5).square().sum()

    (gradient,) = torch.autograd.grad(loss(vertices), vertices)
    for seed in range(4):
        way = torch.randn(
            vertices.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        step = 1e-4
        with torch.no_grad():
            found = (loss(vertices + step * way) - loss(vertices - step * way)) / (2 * step)
        assert float((gradient * way).sum()) == pytest.approx(float(found), rel=0.03)


@pytest.mark.parametrize("turned", [False, True])
def test_axis_aligned_edges_cover_pixels_by_area(turned: bool) -> None:
    """The coverage of a rectangle is exact except in corners, wherever its edges are."""
    cameras = Cameras(
        torch.eye(3, 4)[None], torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]]), 16, 16
    )
    left, right, top, bottom = 3.3, 9.85, 4.45, 12.7
    corners = torch.tensor(
        [[left, top, 1], [left, bottom, 1], [right, bottom, 1], [right, top, 1]]
    )
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    mesh = Mesh(corners, faces.flip(1) if turned else faces)
    center = torch.arange(16.0)

    def share(low: float, high: float) -> Tensor:
        return ((high - center).clamp(0, 1) - (low - center).clamp(0, 1)).clamp(0, 1)

    expected = share(top, bottom)[:, None] * share(left, right)
    found = mask(mesh, cameras)[0]
    corner = torch.zeros(16, 16, dtype=torch.bool)
    for x in (left, right):
        for y in (top, bottom):
            corner[int(y - 0.5) : int(y + 1.5), int(x - 0.5) : int(x + 1.5)] = True
    torch.testing.assert_close(found[~corner], expected[~corner], atol=1e-5, rtol=0)
    assert float((found - expected).abs().max()) < 0.3


def test_the_gradient_of_area_is_the_outline() -> None:
    """The derivative of a disc's area with respect to its radius is its circumference."""
    scale = torch.ones((), requires_grad=True)
    mesh = sphere(4)
    cameras = around(1, 6.0)
    area = mask(mesh.with_vertices(mesh.vertices * scale), cameras).sum()
    (found,) = torch.autograd.grad(area, scale)
    radius = 1.5 * SIZE / math.sqrt(float(cameras.centers.square().sum()) - 1)
    assert float(area.detach()) == pytest.approx(math.pi * radius**2, rel=0.005)
    assert float(found) == pytest.approx(2 * math.pi * radius**2, rel=0.05)


def test_texture_seams_are_not_silhouettes() -> None:
    """A mesh whose faces share no vertices still has no inner silhouettes."""
    whole = sphere(2)
    loose = Mesh(
        whole.vertices[whole.faces].flatten(0, 1),
        torch.arange(3 * len(whole.faces)).view(-1, 3),
    )
    assert not bool(EdgeTopology.of(loose).boundary.any())
    cameras = around(1)
    torch.testing.assert_close(mask(loose, cameras), mask(whole, cameras))


def test_occluded_edges_change_nothing() -> None:
    """Silhouettes behind a wall have no effect."""
    camera = Cameras.from_focal(torch.eye(3, 4)[None], 40.0, 32, 32)
    wall = torch.tensor([[-9.0, -9, 2], [9, -9, 2], [9, 9, 2], [-9, 9, 2]])
    ball = sphere(1).vertices * 0.5 + torch.tensor([0.0, 0, 4])
    faces = torch.cat([torch.tensor([[0, 1, 2], [0, 2, 3]]), sphere(1).faces + 4])
    vertices = torch.cat([wall, ball]).requires_grad_()
    mesh = Mesh(vertices, faces)
    found = rasterize_mesh(mesh, camera)
    colors = found.spread(found.interpolate(torch.rand(len(vertices), 3), faces))[..., 0, :]
    blended = antialiased(colors, found, EdgeTopology.of(mesh))
    assert torch.equal(blended, colors)


def test_faces_with_nan_or_inf_are_skipped() -> None:
    mesh, cameras = sphere(2), around(1)
    vertices = mesh.vertices.clone()
    vertices[5] = math.nan
    broken = (mesh.faces == 5).any(1)
    found = rasterize_mesh(mesh.with_vertices(vertices), cameras)
    assert not bool(broken[found.hit_face].any())
    assert bool(found.depth.isfinite().all())
    rest = Mesh(mesh.vertices, mesh.faces[~broken])
    assert torch.equal(found.pix_to_face >= 0, rasterize_mesh(rest, cameras).pix_to_face >= 0)
    image = mask(mesh.with_vertices(vertices), cameras)
    assert bool(image.isfinite().all())


def test_empty_meshes_give_empty_images() -> None:
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    assert float(mask(empty, around(2)).sum()) == 0
    behind = sphere(1).with_vertices(sphere(1).vertices * 0.1 + 8 * around(1).centers)
    assert float(mask(behind, around(1)).sum()) == 0


@pytest.mark.parametrize(
    ("name", "value"), [("layers", 0), ("near", 0.0), ("blur", -1.0), ("near", math.nan)]
)
def test_refuses_numbers_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        rasterize_mesh(sphere(0), around(1), **{name: value})


def test_refuses_meshes_and_cameras_that_do_not_match() -> None:
    with pytest.raises(InputError, match="3 cameras for 2 meshes"):
        rasterize_mesh(Meshes.pack([sphere(0), sphere(0)]), around(3))


def test_soft_rasterization_requires_blur() -> None:
    with pytest.raises(InputError, match="blur"):
        soft_mask(rasterize_mesh(sphere(0), around(1)), 1.0)


def test_gradients_of_a_real_mesh() -> None:
    """Two views at 64², vs. finite differences of the same rendering and of a supersampled
    one.
    """
    found = trimesh.load(sample("meshes/spot_textured/cow.obj"), force="mesh", process=False)
    vertices = torch.tensor(found.vertices, dtype=torch.float32)
    low, high = vertices.aminmax(dim=0)
    mesh = Mesh(
        vertices, torch.tensor(found.faces), VertexColors((vertices - low) / (high - low))
    )
    errors = gradient_errors(mesh, around(2, 2.7, 64), step=0.1, times=6, bumps=1)
    assert errors.of_same < 0.1
    assert errors.of_truth < 0.12
    # Without antialiasing the gradient lacks the motion of silhouettes.
    plain = gradient_errors(mesh, around(2, 2.7, 64), step=0.1, times=2, bumps=1, antialias=0)
    assert plain.of_same > 0.3
