"""Depth fusion of the renderings of a ball and of a box."""

import dataclasses

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import upright_axes
from unrender.geometry.paths import spherical_shell
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import so3_exp
from unrender.geometry.sizes import ImageSizes
from unrender.inverse.depth_fusion import Region, Scan, colored, fuse, mesh_from_scan
from unrender.rendering.mesh.shading import mesh_renderer
from unrender.rendering.renderer import Rendering
from unrender.shapes.components import face_components
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.primitives import cube
from unrender.shapes.textures import VertexColors

CENTER, RADIUS = torch.tensor([0.2, -0.1, 0.1]), 0.7


def ball(cameras: Cameras, radius: float = RADIUS, center: Tensor = CENTER) -> Rendering:
    """A ball, red in its upper half and blue in its lower half."""
    num, height, width = len(cameras), cameras.height, cameras.width
    index = torch.arange(num)[:, None, None].expand(num, height, width)
    pixels = pixel_grid(width, height).expand(num, height, width, 2)
    rays = cameras.rays(index, pixels)
    to = center - rays.origins
    along = (to * rays.directions).sum(-1)
    across = to.square().sum(-1) - along.square()
    hit = across < radius**2
    depth = torch.where(hit, along - (radius**2 - across).clamp_min(0).sqrt(), 0.0)
    above = (rays.origins + depth[..., None] * rays.directions)[..., 2] > center[2]
    color = torch.stack([above, torch.zeros_like(above), ~above], dim=-1) & hit[..., None]
    return Rendering(color.float(), hit.float(), depth)


def two_balls(cameras: Cameras) -> Rendering:
    """The ball, and a small one beside it."""
    large, small = ball(cameras), ball(cameras, 0.15, CENTER + torch.tensor([0.0, 1.0, 0.0]))
    near = (small.opacity > 0) & ((large.opacity == 0) | (small.depth < large.depth))
    return Rendering(
        torch.where(near[..., None], small.color, large.color),
        torch.maximum(small.opacity, large.opacity),
        torch.where(near, small.depth, large.depth),
    )


def cameras(count: int) -> Cameras:
    poses = spherical_shell(count, (3.0, 3.0), torch.Generator().manual_seed(0))
    return Cameras.from_focal(poses, 120.0, 96, 96)


@pytest.fixture(scope="module")
def scan() -> Scan:
    return Scan.render(two_balls, cameras(40))


WHOLE = Region.cube(torch.zeros(3), 1.4)


def test_a_ball_is_reconstructed() -> None:
    scan = Scan.render(ball, cameras(40))
    mesh = colored(mesh_from_scan(scan, WHOLE, 40, 0.2)[0], scan, 0.2)
    distance = (mesh.vertices - CENTER).norm(dim=1)
    voxel = 2 * RADIUS / 35
    assert float((distance - RADIUS).abs().mean()) < 0.5 * voxel
    assert float((distance - RADIUS).abs().max()) < 2 * voxel
    # Watertight: V − E + F = 2; oriented outward: the signed volume is that of the ball.
    assert is_watertight(mesh.faces)
    corners = mesh.vertices[mesh.faces] - CENTER
    volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert float(volume) == pytest.approx(4 / 3 * torch.pi * RADIUS**3, rel=0.05)
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].view(-1, 2).sort(dim=1).values
    assert len(mesh.vertices) - len(edges.unique(dim=0)) + len(mesh.faces) == 2
    above = mesh.vertices[:, 2] > CENTER[2] + 3 * voxel
    below = mesh.vertices[:, 2] < CENTER[2] - 3 * voxel
    assert isinstance(mesh.texture, VertexColors)
    assert float(mesh.texture.colors[above, 0].min()) > 0.9
    assert float(mesh.texture.colors[below, 2].min()) > 0.9
    assert mesh.unlit


def test_a_box_is_reconstructed() -> None:
    """Within a voxel, but at its edges."""
    scan = Scan.render(mesh_renderer(cube()), cameras(40))
    mesh = mesh_from_scan(scan, Region.cube(torch.zeros(3), 1.0), 48, 0.1)[0]
    voxel = 1.2 / 47
    off = (mesh.vertices.abs().amax(1) - 0.5).abs()
    assert float(off.mean()) < 0.3 * voxel
    assert float(off.quantile(0.99)) < voxel


def test_the_largest_part_is_kept_and_others_if_asked(scan: Scan) -> None:
    alone, left_out = mesh_from_scan(scan, WHOLE, 48, 0.1)
    assert int(face_components(alone).max()) == 0
    assert float((alone.vertices - CENTER).norm(dim=1).max()) < 1.1 * RADIUS
    assert 0.01 < left_out < 0.2
    both, left_out = mesh_from_scan(scan, WHOLE, 48, 0.1, all_parts=True)
    assert left_out == 0
    second = both.vertices[both.faces[face_components(both) == 1]].flatten(0, 1)
    off = (second - CENTER - torch.tensor([0.0, 1.0, 0.0])).norm(dim=1)
    assert float((off - 0.15).abs().max()) < 0.06


@pytest.mark.parametrize("kind", ["box", "ball"])
def test_the_mesh_is_in_its_region(scan: Scan, kind: str) -> None:
    low, high = torch.tensor([-0.3, -0.6, 0.0]), torch.tensor([0.6, 0.2, 0.9])
    region = Region(low, high)
    if kind == "ball":
        region = Region.cube(CENTER + 0.3, 0.55, ball=True)
    mesh = mesh_from_scan(scan, region, 40, 0.1)[0]
    grown = dataclasses.replace(region, low=region.low - 1e-5, high=region.high + 1e-5)
    assert bool(grown.contains(mesh.vertices).all())
    # Up to its border, and on the ball alone.
    assert float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()) > 0.7
    assert float(((mesh.vertices - CENTER).norm(dim=1) - RADIUS).abs().max()) < 0.06


def test_tilted_cameras_make_the_same_mesh_in_an_upright_frame() -> None:
    """z is up: the scene and its cameras, turned together, are turned back."""
    turn = so3_exp(torch.tensor([[1.9, 0.4, -0.3]]))[0]
    ring = cameras(30)
    ring = ring.select(ring.centers[:, 2].abs() < 1.5)
    assert torch.equal(upright_axes(ring), torch.eye(3))
    tilted = ring.with_poses(turn @ ring.world_from_camera)

    def turned_ball(views: Cameras) -> Rendering:
        return ball(views.with_poses(turn.mT @ views.world_from_camera))

    axes = upright_axes(tilted)
    up = normalize(-tilted.rotations[:, :, 1].mean(0), dim=0)
    torch.testing.assert_close(axes.mT @ axes, torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(axes[:, 2], up, atol=1e-5, rtol=0)
    scan = Scan.render(turned_ball, tilted, axes=axes)
    mesh = colored(mesh_from_scan(scan, WHOLE, 32, 0.2)[0], scan, 0.2)
    middle = CENTER @ turn.mT @ axes
    assert float(((mesh.vertices - middle).norm(dim=1) - RADIUS).abs().max()) < 0.1
    assert isinstance(mesh.texture, VertexColors)
    # Red is above: the cameras' mean up direction is within 15° of the ball's.
    above = (mesh.vertices - middle)[:, 2] > 0.3 * RADIUS
    assert float(mesh.texture.colors[above, 0].min()) > 0.9


def test_views_of_noisy_depths_disagree_by_the_noise() -> None:
    views = cameras(12)
    exact = Scan.render(ball, views)
    pixel = exact.pixel_width(torch.zeros(3))
    assert exact.disagreement(WHOLE, 0.3) < pixel
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(exact.images.depth.shape, generator=generator)
    noisy = dataclasses.replace(exact.images, depth=exact.images.depth + noise)
    # The difference of two normal numbers has the median 0.95 σ; those beyond 0.5 are few.
    found = dataclasses.replace(exact, images=noisy).disagreement(WHOLE, 0.5)
    assert found == pytest.approx(0.095, rel=0.15)
    nowhere = Region.cube(torch.full((3,), 9.0), 1.0)
    assert exact.disagreement(nowhere, 0.3) == 0


def test_views_of_several_sizes_are_fused() -> None:
    """Pixels beyond the smaller images say nothing."""
    sizes = ImageSizes.of([(96, 96), (120, 72), (60, 100)] * 8)
    scan = Scan.render(ball, cameras(24).with_sizes(sizes))
    assert scan.images.depth.shape == (24, 100, 120)
    assert float(scan.images.depth[1, 72:].abs().max()) == 0
    mesh = mesh_from_scan(scan, WHOLE, 32, 0.2)[0]
    assert float(((mesh.vertices - CENTER).norm(dim=1) - RADIUS).abs().max()) < 0.1


def test_hidden_vertices_take_their_neighbors_color() -> None:
    scan = Scan.render(ball, cameras(40))
    inner = Mesh(CENTER + 0.3 * cube().vertices, cube().faces)
    outside = Mesh(torch.cat([inner.vertices, CENTER + torch.eye(3) * RADIUS]), inner.faces)
    mesh = colored(dataclasses.replace(outside, normals=normalized(outside)), scan, 0.1)
    assert isinstance(mesh.texture, VertexColors)
    assert set(mesh.texture.colors.round().unique(dim=0)[:, 1].tolist()) == {0.0}


def normalized(mesh: Mesh) -> Tensor:
    return normalize(mesh.vertices - CENTER, dim=1)


def test_empty_renderings_have_no_surface() -> None:
    def nothing(views: Cameras) -> Rendering:
        zeros = torch.zeros(len(views), views.height, views.width)
        return Rendering(zeros[..., None].expand(*zeros.shape, 3), zeros, zeros)

    scan = Scan.render(nothing, cameras(2))
    with pytest.raises(InputError, match="no surface"):
        fuse(scan, WHOLE, 16, 0.1).mesh()
    with pytest.raises(InputError, match="no surface"):
        mesh_from_scan(scan, WHOLE, None, 0.1)
    assert scan.opaque_share == 0
