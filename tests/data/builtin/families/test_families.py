"""Procedural shapes: their solids, surfaces, voxels and images are consistent."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import max_pool2d

from unrender.data.builtin.families import FAMILIES, make_shape
from unrender.data.builtin.families.rays import render_shape
from unrender.data.builtin.families.solids import CLEAR, Union, lathe, loft, slab, stick
from unrender.data.image_shape.framing import framed, framed_cameras, squares_of_points
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.shapes.mesh import face_normals, is_watertight
from unrender.shapes.shape import surface_points

WOOD = (0.5, 0.3, 0.1)
any_family, any_seed = st.sampled_from(sorted(FAMILIES)), st.integers(0, 10**6)


def heights(shape: Union, points: np.ndarray) -> np.ndarray:
    """Height of points over solids: negative inside, a lower bound of the distance outside."""
    above = points @ shape.planes[:, :3].T + shape.planes[:, 3]
    return np.maximum.reduceat(above, shape.first_plane[:-1], axis=1)


@settings(max_examples=25, deadline=None)
@given(any_family, any_seed)
def test_parts_are_convex_closed_and_outward(family: str, seed: int) -> None:
    shape = make_shape(family, seed)
    mesh = shape.mesh()
    for k in range(len(shape.boxes)):
        first, stop = shape.first_vertex[k : k + 2]
        corners = shape.vertices[first:stop]
        planes = shape.planes[shape.first_plane[k] : shape.first_plane[k + 1]]
        above = corners @ planes[:, :3].T + planes[:, 3]
        assert above.max() < 1e-7, f"solid {k} is not convex"
        own = mesh.faces[((mesh.faces >= first) & (mesh.faces < stop)).all(1)]
        assert is_watertight(own - first)
        # The divergence theorem: positive where faces are outward.
        a, b, c = mesh.vertices[own].double().unbind(1)
        assert float((a * torch.linalg.cross(b, c)).sum()) > 0
    assert len(mesh.faces) == len(shape.faces)


@settings(max_examples=25, deadline=None)
@given(any_family, any_seed)
def test_fills_the_unit_cube(family: str, seed: int) -> None:
    shape = make_shape(family, seed)
    low, high = shape.vertices.min(0), shape.vertices.max(0)
    np.testing.assert_allclose(low + high, 0, atol=1e-12)
    assert (high - low).max() == pytest.approx(1)


def test_convexity_is_needed() -> None:
    """The check above detects a ring with the wrong orientation."""
    ring = [(0, 0), (0, 1), (1, 1), (1, 0)]
    wrong = Union.of([loft([[(*at, z) for at in ring] for z in (0.0, 1.0)], WOOD)])
    assert heights(wrong, wrong.vertices).max() > 0.5


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_seed_decides(family: str) -> None:
    one, again, other = (make_shape(family, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.vertices, again.vertices)
    assert np.array_equal(one.colors, again.colors)
    assert one.vertices.shape != other.vertices.shape or (one.vertices != other.vertices).any()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_shapes_of_a_family_differ(family: str) -> None:
    """Among many shapes, few pairs have nearly the same voxels."""
    grids = np.stack([make_shape(family, seed).voxels(32).ravel() for seed in range(60)])
    both = (grids[:, None] & grids).sum(2)
    either = (grids[:, None] | grids).sum(2)
    iou = (both / either)[np.triu_indices(len(grids), 1)]
    assert np.median(iou) < (0.75 if family == "car" else 0.6)
    assert (iou > 0.95).mean() < 0.01


def test_other_families_are_refused() -> None:
    with pytest.raises(InputError, match="sofa: no such family"):
        make_shape("sofa", 0)


@settings(max_examples=20, deadline=None)
@given(any_family, any_seed)
def test_occupancy_is_that_of_the_planes(family: str, seed: int) -> None:
    shape = make_shape(family, seed)
    points = np.random.default_rng(seed).uniform(-0.55, 0.55, (500, 3))
    assert (shape.occupied(points) == (heights(shape, points) <= 0).any(1)).all()


@settings(max_examples=20, deadline=None)
@given(any_family, any_seed)
def test_surface_points_lie_between_inside_and_outside(family: str, seed: int) -> None:
    shape = make_shape(family, seed)
    points, normals = shape.surface(500, np.random.default_rng(seed))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-9)
    assert not shape.occupied(points + CLEAR * normals).any()
    assert shape.occupied(points - 1e-6 * normals).all()
    # On a plane of a solid, to the last digits.
    assert np.abs(heights(shape, points)).min(1).max() < 1e-9


def test_surfaces_are_sampled_by_area_and_without_what_is_hidden() -> None:
    """Two overlapping boxes: sides are sampled in proportion to their outer area."""
    shape = Union.of(
        [slab((0, 0, 0), (1, 1, 1), WOOD), slab((0.5, 0.2, 0.2), (2, 0.8, 0.8), WOOD)]
    )
    points, normals = shape.surface(40_000, np.random.default_rng(0))
    # In units of the longest side, 2: the small box sticks out by 1 of its 1.5.
    right = normals[:, 0] > 0.9
    assert right.mean() == pytest.approx(1 / (6 + 4 * 0.6), abs=0.01)
    assert (right & (points[:, 0] > 0.4)).mean() == pytest.approx(0.36 / 8.4, abs=0.005)
    inner = (np.abs(points[:, 1:]) < 0.29 / 2).all(1) & (np.abs(points[:, 0]) < 1e-3)
    assert not inner.any()
    # The mesh of the parts has the hidden surface, so its samples do.
    drawn = surface_points(shape.mesh(), 4000, torch.Generator().manual_seed(0)).points.numpy()
    assert ((np.abs(drawn[:, 1:]) < 0.29 / 2).all(1) & (np.abs(drawn[:, 0]) < 1e-3)).any()


@settings(max_examples=10, deadline=None)
@given(any_family, any_seed)
def test_voxels_are_the_cells_that_are_touched(family: str, seed: int) -> None:
    shape = make_shape(family, seed)
    fine = (np.arange(48) + 0.5) / 48 - 0.5
    points = np.stack(np.meshgrid(fine, fine, fine, indexing="ij"), -1).reshape(-1, 3)
    expected = shape.occupied(points).reshape(12, 4, 12, 4, 12, 4).any((1, 3, 5))
    assert (shape.voxels(12) == expected).all()


def test_a_cube_fills_its_voxels() -> None:
    shape = Union.of([slab((0, 0, 0), (1, 1, 1), WOOD)])
    assert shape.voxels(8).all()
    half = Union.of([slab((0, 0, 0), (1, 0.5, 1), WOOD)]).voxels(8)
    assert (half == ((np.arange(8) >= 2) & (np.arange(8) < 6))[:, None]).all()


def test_lofts_have_their_closed_volumes() -> None:
    def volume(shape: Union) -> float:
        mesh = shape.mesh()
        normals = face_normals(mesh.vertices.double(), mesh.faces)
        return float((mesh.vertices.double()[mesh.faces].mean(1) * normals).sum() / 6)

    bar = Union.of([stick((0, 0, 0), (0, 0, 2), 0.25, WOOD, sides=4)])
    assert volume(bar) == pytest.approx(0.25**2, rel=1e-5)
    sides = 200
    cone = Union.of(lathe([(0.5, 0.0), (0.25, 1.0)], (0.0, 0.0), WOOD, sides))
    assert volume(cone) == pytest.approx(np.pi * (0.25 + 0.125 + 0.0625) / 3, rel=1e-3)


def views(shape: Union, count: int, size: int) -> Cameras:
    generator = torch.Generator().manual_seed(0)
    poses = spherical_shell(count, (2.2, 2.2), generator, (0.0, 0.7))
    cameras = Cameras.from_focal(poses, 1.1 * size, size, size)
    vertices = torch.from_numpy(shape.vertices).float()
    return framed_cameras(cameras, squares_of_points(cameras, vertices), size)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_images_show_the_points(family: str) -> None:
    """Every surface point projects into the silhouette, which extends to the margin."""
    shape = make_shape(family, 5)
    cameras = views(shape, 3, 64)
    images = render_shape(shape, cameras, torch.tensor([[0.0, 0, 1]]).expand(3, -1), 3)
    points = torch.from_numpy(shape.surface(2000, np.random.default_rng(0))[0]).float()
    for k in range(3):
        pixel, _ = cameras.project(torch.full((len(points),), k), points)
        x, y = pixel.floor().long().unbind(1)
        # A point at the rim may lie between the rays of its pixel.
        near = max_pool2d(images[k, None, :, :, 3], 3, 1, 1)[0]
        assert bool((near[y, x] > 0).all())
        assert float((images[k, y, x, 3] > 0).float().mean()) > 0.97
        rows = (images[k, ..., 3] > 0).nonzero()
        low, high = int(rows.min()), int(rows.max())
        assert (low, high) == (4, 59) or high - low in (55, 54)
    assert float(images.min()) >= 0
    assert bool((images[..., :3] <= images[..., 3:] + 1e-6).all())


def test_a_cube_is_lit_as_lambert_says() -> None:
    """Viewed and lit from above: brightness and image area of the top are exact."""
    shape = Union.of([slab((0, 0, 0), (1, 1, 1), (0.5, 0.4, 0.2))])
    pose = torch.tensor([[[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2.5]]])
    cameras = Cameras.from_focal(pose, 40.0, 40, 40)
    image = render_shape(shape, cameras, torch.tensor([[0.0, 0, 1]]), 2)[0]
    # The top is 2 away: 40 / 2 = 20 pixels wide.
    assert float(image[..., 3].sum()) == pytest.approx(400)
    expected = torch.tensor([0.5, 0.4, 0.2]) * (0.4 + 0.5 + 0.15)
    torch.testing.assert_close(image[20, 20, :3], expected)


def test_framing_undoes_distance() -> None:
    """The same shape from twice the distance, off-centre, is cropped to the same image."""
    image = torch.zeros(1, 40, 40, 4)
    image[0, 5:33, 10:24] = torch.rand(28, 14, 4, generator=torch.Generator().manual_seed(0))
    image[..., 3] = (image[..., 3] > 0).float()
    far = torch.zeros(1, 200, 120, 4)
    far[0, 100:140, 60:100] = image[0]
    assert torch.equal(framed(image, 16), framed(far, 16))
    assert framed(image, 16)[0, :, :, 3].sum() > 0
    with pytest.raises(InputError, match="empty"):
        framed(torch.zeros(1, 9, 9, 4), 16)
