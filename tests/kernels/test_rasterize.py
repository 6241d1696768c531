"""Rasterization against ray casting, its fill rule, and backends against the reference."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.kernels.rasterize import RasterizedFaces, rasterize
from unrender.kernels.runtime.backend import Backend

WIDTH, HEIGHT = 37, 21
K = torch.tensor([[30.0, 2.0, 18.0], [0.0, 34.0, 11.0], [0.0, 0.0, 1.0]])


def triangles(count: int, seed: int = 0, size: float = 0.6) -> Tensor:
    """In front of the camera, behind it, and across its plane."""
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(count, 1, 3, generator=generator) + torch.tensor([0, 0, 1.5])
    return center + size * torch.randn(count, 3, 3, generator=generator)


def draw(
    corners: Tensor,
    backend: Backend,
    faces_per_pixel: int = 1,
    near: float = 0.1,
    blur_radius: float = 0.0,
    cull_backfaces: bool = False,
    width: int = WIDTH,
    height: int = HEIGHT,
    intrinsics: Tensor = K,
) -> RasterizedFaces:
    """One image; on the CPU whatever computed it."""
    on_gpu = backend == "cuda" and torch.cuda.is_available()
    device_name = "cuda" if on_gpu else "cpu"
    found = rasterize(
        corners.to(device_name), torch.tensor([0, len(corners)], device=device_name),
        intrinsics[None].to(device_name), width, height, faces_per_pixel, near,
        blur_radius, cull_backfaces, backend,
    )  # fmt: skip
    return RasterizedFaces(found.pix_to_face.cpu(), found.zbuf.cpu())


def cast(corners: Tensor, x: int, y: int, near: float = 0.1) -> list[tuple[float, int]]:
    """(depth, face) of all that a pixel's ray meets, sorted: by solving for the point."""
    ray = torch.linalg.solve(
        K.double(), torch.tensor([x + 0.5, y + 0.5, 1], dtype=K.double().dtype)
    )
    found: list[tuple[float, int]] = []
    for k, (a, b, c) in enumerate(corners.double()):
        # a + s (b − a) + t (c − a) = z ray
        s, t, z = torch.linalg.solve(torch.stack([b - a, c - a, -ray], dim=1), -a).tolist()
        if s > 0 and t > 0 and s + t < 1 and z > near:
            found.append((z, k))
    return sorted(found)


@pytest.fixture(params=["reference", "cpu", "cuda"])
def any_backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "cuda":
        return request.getfixturevalue("backend_cuda")
    return request.param


@pytest.fixture
def backend_cuda() -> Backend:
    from unrender.kernels.runtime.backend import interpreting  # noqa: PLC0415

    if not (torch.cuda.is_available() or interpreting()):
        pytest.skip("the cuda backend needs a GPU, or Triton")
    return "cuda"


def test_finds_what_rays_meet(any_backend: Backend) -> None:
    corners = triangles(30)
    found = draw(corners, any_backend, faces_per_pixel=4)
    for y in range(0, HEIGHT, 5):
        for x in range(0, WIDTH, 7):
            expected = cast(corners, x, y)[:4]
            faces = [k for _, k in expected] + [-1] * (4 - len(expected))
            assert found.pix_to_face[0, y, x].tolist() == faces
            for layer, (z, _) in enumerate(expected):
                assert float(found.zbuf[0, y, x, layer]) == pytest.approx(z, rel=1e-6)


@pytest.mark.parametrize("faces_per_pixel", [1, 3])
@pytest.mark.parametrize("blur_radius", [0.0, 1.7])
@pytest.mark.parametrize("cull_backfaces", [False, True])
@pytest.mark.interpreted("True-1.7-3", "False-0.0-1")
def test_agrees_with_the_reference(
    backend: Backend, faces_per_pixel: int, blur_radius: float, cull_backfaces: bool
) -> None:
    """To the last bit; with faces that cover nothing among them."""
    corners = triangles(40, seed=faces_per_pixel)
    corners[3, 0, 0] = math.nan
    corners[4, 2, 1] = math.inf
    corners[5, 1] = corners[5, 0]
    corners[6] = corners[7]
    expected = draw(
        corners,
        "reference",
        faces_per_pixel,
        blur_radius=blur_radius,
        cull_backfaces=cull_backfaces,
    )
    found = draw(
        corners,
        backend,
        faces_per_pixel,
        blur_radius=blur_radius,
        cull_backfaces=cull_backfaces,
    )
    assert torch.equal(found.pix_to_face, expected.pix_to_face)
    assert torch.equal(found.zbuf, expected.zbuf)
    assert not torch.isin(found.pix_to_face, torch.tensor([3, 4, 5], dtype=torch.int32)).any()


def test_several_images_are_each_alone(backend: Backend) -> None:
    corners, other = triangles(12, 1), torch.tensor([0, 0, 5, 12])
    on_gpu = backend == "cuda" and torch.cuda.is_available()
    device_name = "cuda" if on_gpu else "cpu"
    cameras = torch.stack([K, K, K * torch.tensor([[1.5], [1.2], [1.0]])])
    found = rasterize(
        corners.to(device_name), other.to(device_name), cameras.to(device_name), WIDTH, HEIGHT,
        faces_per_pixel=2, backend=backend,
    )  # fmt: skip
    for k, (first, last) in enumerate([(0, 0), (0, 5), (5, 12)]):
        alone = draw(corners[first:last], backend, 2, near=1e-3, intrinsics=cameras[k])
        face = torch.where(alone.pix_to_face[0] >= 0, alone.pix_to_face[0] + first, -1)
        assert torch.equal(found.pix_to_face[k].cpu(), face)
        assert torch.equal(found.zbuf[k].cpu(), alone.zbuf[0])


def fan(points: Tensor, center: Tensor, depth: float) -> Tensor:
    """Triangles around a centre, through all points in order, at one depth of pixels."""
    ring = torch.cat([points, points[:1]])
    pixels = torch.stack([center.expand_as(points), ring[:-1], ring[1:]], dim=1)
    rays = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=2)
    return (rays.double() @ torch.linalg.inv(K.double()).T * depth).float()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 12))
def test_a_fan_covers_each_pixel_once(seed: int, corners: int) -> None:
    """All around the image; the centre and the spokes lie anywhere, or just on pixels."""
    generator = torch.Generator().manual_seed(seed)
    angles = torch.arange(corners) / corners * 2 * math.pi
    points = 200 * torch.stack([angles.cos(), angles.sin()], dim=1) + torch.tensor([18.0, 11.0])
    center = torch.rand(2, generator=generator) * torch.tensor([WIDTH, HEIGHT])
    if seed % 2:
        center = center.floor() + 0.5
    found = draw(fan(points, center, 2.0), "cpu", faces_per_pixel=3)
    assert bool((found.pix_to_face[..., 0] >= 0).all())
    covered = (found.pix_to_face >= 0).sum(3)
    # The spokes meet within rounding of one pixel's centre: there alone none may be right.
    at_center = torch.zeros_like(covered, dtype=torch.bool)
    at_center[0, int(center[1]), int(center[0])] = True
    assert bool(((covered == 1) | at_center).all())


@pytest.mark.parametrize("slope", [0.0, 1.0, -1.0, 2.0])
def test_pixels_on_an_edge_are_of_one_face(any_backend: Backend, slope: float) -> None:
    """An edge that passes exactly through pixels' centres."""
    plain = torch.tensor([[1.0, 0, 8], [0, 1, 8], [0, 0, 1]])
    # From a pixel's centre through others, in both directions; far points on either side.
    start, end = torch.tensor([-20.0, -20 * slope]), torch.tensor([20.0, 20 * slope])
    away = torch.tensor([-slope, 1.0]) * 40
    both = (
        torch.stack([torch.stack([start, end, away]), torch.stack([end, start, -away])]) + 0.5
    )
    corners = torch.cat([both, torch.ones_like(both[..., :1])], dim=2)
    size = dict(width=16, height=16, intrinsics=plain)
    together = draw(corners, any_backend, 2, **size)
    counts = (together.pix_to_face >= 0).sum(3)
    alone = [
        (draw(corners[k : k + 1], any_backend, 1, **size).pix_to_face >= 0)[..., 0]
        for k in (0, 1)
    ]
    on_edge = 8 if slope == 2 else 16
    assert bool((counts <= 1).all())
    assert not bool((alone[0] & alone[1]).any())
    for k in range(on_edge // 2):
        column, row = 8 + (k if abs(slope) < 2 else 0), 8 + int(slope * k) * (abs(slope) < 2)
        if 0 <= row < 16 and column < 16:
            assert int(counts[0, row, column]) == 1


def test_without_the_fill_rule_pixels_on_an_edge_are_lost() -> None:
    """The canary of the test above: such pixels lie exactly on the edge."""
    corners = torch.tensor([[-20.0, 0.5, 1], [20, 0.5, 1], [0, 40, 1]])
    ray = torch.tensor([0.5, 0.5, 1.0])
    assert float(ray @ torch.linalg.cross(corners[0], corners[1])) == 0


def test_equal_depths_show_the_lower_row(any_backend: Backend) -> None:
    corners = triangles(1, 2).repeat(5, 1, 1) + torch.tensor([0, 0, 3.0])
    found = draw(corners, any_backend, faces_per_pixel=3)
    seen = found.pix_to_face[..., 0] >= 0
    assert bool(seen.any())
    assert torch.equal(found.pix_to_face[seen].unique(dim=0), torch.tensor([[0, 1, 2]]).int())


def test_culling_drops_faces_seen_from_behind(any_backend: Backend) -> None:
    """Counterclockwise from outside: seen from the front, y down, that is clockwise in x, y."""
    corners = torch.tensor([[[-9.0, -9, 3], [0, 9, 3], [9, -9, 3]]])
    assert int((draw(corners, any_backend, cull_backfaces=True).pix_to_face >= 0).sum()) > 0
    turned = corners.flip(1)
    assert int((draw(turned, any_backend, cull_backfaces=True).pix_to_face >= 0).sum()) == 0
    assert int((draw(turned, any_backend).pix_to_face >= 0).sum()) > 0


def test_a_ground_plane_below_and_behind(any_backend: Backend) -> None:
    """One huge triangle that the camera stands on: all below the horizon, at exact depths."""
    corners = torch.tensor([[[-1e5, 1.0, -1e5], [1e5, 1, -1e5], [0, 1, 2e5]]])
    plain = torch.tensor([[20.0, 0, 8], [0, 20, 8], [0, 0, 1]])
    found = draw(corners, any_backend, width=16, height=16, intrinsics=plain)
    assert torch.equal(
        found.pix_to_face[0, :, :, 0] >= 0, (torch.arange(16) >= 8)[:, None].expand(16, 16)
    )
    depth = 20 / (torch.arange(8, 16) + 0.5 - 8)
    torch.testing.assert_close(found.zbuf[0, 8:, 3, 0], depth, rtol=1e-6, atol=0)


def test_nothing_before_the_near_plane(any_backend: Backend) -> None:
    corners = triangles(30, 4)
    for near in (0.5, 2.0):
        found = draw(corners, any_backend, near=near)
        assert float(found.zbuf.min()) > near


def test_blur_reaches_as_far_as_it_says(any_backend: Backend) -> None:
    """Around an upright square of pixels' outlines, by distances in pixels."""
    plain = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    square = torch.tensor([[8.0, 8, 1], [16, 8, 1], [16, 16, 1], [8, 16, 1]])
    corners = square[torch.tensor([[0, 1, 2], [0, 2, 3]])] * 2.0
    found = draw(corners, any_backend, blur_radius=2.2, width=24, height=24, intrinsics=plain)
    center = torch.arange(24) + 0.5
    beyond = (8 - center).clamp_min(0) + (center - 16).clamp_min(0)
    distance = (beyond[:, None].square() + beyond.square()).sqrt()
    assert torch.equal(found.pix_to_face[0, :, :, 0] >= 0, distance < 2.2)
    seen = found.zbuf[torch.isfinite(found.zbuf)]
    torch.testing.assert_close(seen, torch.full_like(seen, 2.0))


def test_no_faces_and_no_pixels(any_backend: Backend) -> None:
    found = draw(torch.zeros(0, 3, 3), any_backend, faces_per_pixel=2)
    assert bool((found.pix_to_face == -1).all())
    assert bool((found.zbuf == torch.inf).all())


def test_many_small_faces_are_the_same_every_time() -> None:
    corners = triangles(20_000, 7, size=0.02)
    one = draw(corners, "cpu", 4, width=200, height=130, intrinsics=6 * K)
    two = draw(corners, "cpu", 4, width=200, height=130, intrinsics=6 * K)
    assert torch.equal(one.pix_to_face, two.pix_to_face)
    assert bool((one.zbuf.diff(dim=3).nan_to_num(0) >= 0).all())
