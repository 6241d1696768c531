"""Shapes and warps by signed distance: the laws of distances, and which points are inside."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.convert import mesh_from_sdf
from unrender.shapes.implicit import sdf
from unrender.shapes.implicit import solids as sdf_shapes
from unrender.shapes.implicit import warps as sdf_warps
from unrender.shapes.implicit.colored import ColoredSDF, colored_union, with_color
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.mesh_distance import point_to_mesh_distance2
from unrender.shapes.voxels import VoxelGrid

Inside = Callable[[Tensor, Tensor, Tensor], Tensor]
STAR = [(0.8, 0.0), (0.2, 0.2), (0.0, 0.7), (-0.3, 0.1), (-0.6, -0.5), (0.1, -0.2)]


def around(count: int, seed: int = 0, reach: float = 1.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return reach * (2 * torch.rand(count, 3, generator=generator, dtype=torch.double) - 1)


def in_polygon(sides: int) -> Inside:
    """By the half-planes of its sides, and between its ends."""
    turns = [(2 * k + 1) * math.pi / sides for k in range(sides)]

    def inside(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        across = torch.stack([math.cos(a) * x + math.sin(a) * y for a in turns]).amax(0)
        return (across < 0.7 * math.cos(math.pi / sides)) & (z.abs() < 0.4)

    return inside


EXACT: dict[str, tuple[SDF, Inside | None]] = {
    "rounded box": (sdf_shapes.rounded_box((0.6, 0.5, 0.3), 0.1), None),
    "ellipsoid": (
        sdf_shapes.ellipsoid((0.9, 0.5, 0.3)),
        lambda x, y, z: (x / 0.9) ** 2 + (y / 0.5) ** 2 + (z / 0.3) ** 2 < 1,
    ),
    "octahedron": (
        sdf_shapes.octahedron(0.9),
        lambda x, y, z: x.abs() + y.abs() + z.abs() < 0.9,
    ),
    "hexagonal prism": (sdf_shapes.hexagonal_prism(0.7, 0.4), in_polygon(6)),
    "triangular prism": (sdf_shapes.triangular_prism(0.7, 0.4), in_polygon(3)),
    "cone": (
        sdf_shapes.cone(0.7, 0.9),
        lambda x, y, z: (z > 0) & ((x * x + y * y).sqrt() < 0.7 * (1 - z / 0.9)),
    ),
    "capped cone": (
        sdf_shapes.capped_cone(0.3, 0.7, 0.5),
        lambda x, y, z: (z.abs() < 0.5) & ((x * x + y * y).sqrt() < 0.5 + 0.4 * z),
    ),
    "cone by its ends": (
        sdf_shapes.capped_cone(0.6, 0.0, 0.5),
        lambda x, y, z: (z.abs() < 0.5) & ((x * x + y * y).sqrt() < 0.3 - 0.6 * z),
    ),
    "link": (sdf_shapes.link(0.3, 0.5, 0.15), None),
    "star": (sdf_shapes.extruded(sdf_shapes.polygon(STAR), 0.3), None),
    "ring of a square": (
        sdf_shapes.revolved(sdf_shapes.polygon([(0.4, 0.0), (0.7, -0.2), (0.9, 0.3)])),
        None,
    ),
    "tube": (sdf_warps.shell(sdf.torus(0.8, 0.3), 0.1), None),
}
BOUNDS: dict[str, SDF] = {
    "smooth union": sdf.smooth_union(sdf.sphere(0.5), sdf.box((0.9, 0.2, 0.2)), 0.3),
    "smooth intersection": sdf.smooth_intersection(sdf.sphere(0.7), sdf.box((0.6,) * 3), 0.2),
    "smooth difference": sdf.smooth_difference(sdf.box((0.6,) * 3), sdf.sphere(0.7), 0.2),
    "rounded": sdf_warps.rounded(sdf.box((0.4, 0.3, 0.2)), 0.15),
    "elongated": sdf_warps.elongated(sdf.sphere(0.3), (0.4, 0.2, 0.0)),
    "mirrored": sdf_warps.mirrored(sdf.translated(sdf.sphere(0.3), (0.5, 0.1, 0.0)), 0),
    "repeated": sdf_warps.repeated(sdf.box((0.1, 0.1, 0.2)), (0.4, 0.5, 0.0)),
    "repeated often": sdf_warps.repeated(sdf.sphere(0.15), (0.4, 0.4, 0.4), (4, 3, 1)),
    "repeated overlapping": sdf_warps.repeated(
        sdf.translated(sdf.sphere(0.2), (0.15, 0.0, 0.0)), (0.5, 0.0, 0.0), None, True
    ),
    "around": sdf_warps.repeated_around(
        sdf.translated(sdf.box((0.2, 0.1, 0.3)), (0.8, 0.0, 0.0)), 7
    ),
    "twisted": sdf_warps.twisted(sdf.box((0.4, 0.2, 0.8)), 2.5, 0.45),
    "displaced": sdf_warps.displaced(
        sdf.sphere(0.8), lambda points: 0.05 * (8 * points[:, 0]).sin(), 0.4
    ),
    "warped": sdf_warps.warped(
        sdf.sphere(0.7), lambda points: points * points.new_tensor([1.0, 1.0, 2.0]), 2.0
    ),
}
EVERY = {name: function for name, (function, _) in EXACT.items()} | BOUNDS


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(EVERY)), st.integers(0, 10**6), st.floats(1e-3, 2.0))
def test_no_two_values_differ_by_more_than_the_way(name: str, seed: int, reach: float) -> None:
    """1-Lipschitz: what makes a step along a ray safe."""
    x = around(300, seed)
    y = x + around(300, seed + 1, reach)
    difference = (EVERY[name](x) - EVERY[name](y)).abs()
    assert bool((difference <= (x - y).norm(dim=1) * (1 + 1e-6) + 1e-5).all())


def test_a_warp_without_its_constant_breaks_the_law() -> None:
    x, y = around(2000), around(2000, 1)
    twice = sdf_warps.warped(sdf.sphere(0.5), lambda points: 2 * points, 1.0)
    assert bool(((twice(x) - twice(y)).abs() > (x - y).norm(dim=1)).any())


@pytest.mark.parametrize("name", EXACT)
def test_exact_distances_have_slope_one_and_lead_to_the_surface(name: str) -> None:
    shape = EXACT[name][0]
    points = around(800).requires_grad_()
    distance = shape(points)
    (slope,) = torch.autograd.grad(distance.sum(), points)
    torch.testing.assert_close(slope.norm(dim=1), torch.ones(800).double(), atol=1e-4, rtol=0)
    there = shape((points - distance[:, None] * slope).detach())
    assert float(there.abs().max()) < 1e-4
    assert 0 < float((distance < 0).double().mean()) < 1


@pytest.mark.parametrize("name", EXACT)
def test_exact_distances_are_those_to_the_surface(name: str) -> None:
    """By marching cubes: to less than a cell, the more where it cuts edges off."""
    shape = EXACT[name][0]
    grid = VoxelGrid.cube(torch.zeros(72, 72, 72), 1.2)
    points = around(600, 3, 1.2).float()
    true = point_to_mesh_distance2(points, mesh_from_sdf(shape, grid)).sqrt()
    off = (shape(points).abs() - true).abs()
    assert float(off.max()) < 1.7 * grid.cell
    assert float(off.mean()) < 0.3 * grid.cell


@pytest.mark.parametrize("name", [name for name, (_, inside) in EXACT.items() if inside])
def test_the_sign_is_that_of_the_inside(name: str) -> None:
    shape, inside = EXACT[name]
    assert inside is not None
    points = around(5000, 4, 1.0)
    assert torch.equal(shape(points) < 0, inside(*points.unbind(1)))


def copies(part: SDF, offsets: list[tuple[float, float, float]]) -> SDF:
    return sdf.union(*(sdf.translated(part, offset) for offset in offsets))


def test_repetition_is_a_union_of_copies() -> None:
    points = around(3000, 5, 2.0)
    part = sdf.box((0.12, 0.1, 0.2))
    grid = [(0.5 * i - 0.75, 0.6 * j - 0.6, 0.0) for i in range(4) for j in range(3)]
    found = sdf_warps.repeated(part, (0.5, 0.6, 0.0), (4, 3, 1))
    torch.testing.assert_close(found(points), copies(part, grid)(points))
    # Asymmetric, and over the border of its cell: right with neighbours alone.
    odd = sdf.translated(sdf.sphere(0.2), (0.2, 0.0, 0.0))
    row = copies(odd, [(0.5 * i, 0.0, 0.0) for i in range(-9, 10)])
    with_them, without = (
        sdf_warps.repeated(odd, (0.5, 0.0, 0.0), None, way)(points) for way in (True, False)
    )
    torch.testing.assert_close(with_them, row(points))
    assert float((without - row(points)).max()) > 0.05


def test_copies_around_are_turned() -> None:
    points = around(2000, 6)
    part = sdf.translated(sdf.box((0.3, 0.1, 0.2)), (0.9, 0.0, 0.0))
    turned: list[SDF] = []
    for k in range(5):
        c, s = math.cos(2 * math.pi * k / 5), math.sin(2 * math.pi * k / 5)
        turned.append(sdf.rotated(part, torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])))
    found = sdf_warps.repeated_around(part, 5)(points)
    torch.testing.assert_close(found, sdf.union(*turned)(points), atol=1e-6, rtol=0)


def test_a_twist_turns_each_height() -> None:
    """A point at height z is inside when it is, turned back by the twist's angle."""
    points, box = around(4000, 7, 0.8), sdf.box((0.5, 0.2, 0.7))
    x, y, z = points.unbind(1)
    c, s = (2 * z).cos(), (2 * z).sin()
    back = torch.stack([c * x + s * y, c * y - s * x, z], dim=1)
    found = sdf_warps.twisted(box, 2.0, 0.55)(points) < 0
    assert torch.equal(found, box(back) < 0)
    assert 0.02 < float(found.double().mean()) < 0.5


@pytest.mark.parametrize("curvature", [1.1, -0.7])
def test_a_bend_is_a_bound_and_bends(curvature: float) -> None:
    bar = sdf.box((1.2, 0.2, 0.1))
    bent = sdf_warps.bent(bar, curvature, 0.15)
    # Points of the bar's surface, carried along the circle: on the bent surface.
    x = torch.linspace(-1.2, 1.2, 60).double()
    y, z = torch.linspace(-0.2, 0.2, 21).double(), torch.tensor([-0.1, 0.1]).double()
    x, y, z = (each.flatten() for each in torch.meshgrid(x, y, z, indexing="ij"))
    radius = 1 / curvature
    turn = x / radius
    place = [(radius - z) * turn.sin(), y, radius - (radius - z) * turn.cos()]
    surface = torch.stack(place, dim=1)
    assert float(bent(surface).abs().max()) < 1e-6
    points = around(3000, 8, 2.5)
    way = torch.cdist(points, surface).amin(1)
    value = bent(points)
    assert bool((value <= way + 1e-9).all())
    assert 0.001 < float((value < 0).double().mean()) < 0.1
    with pytest.raises(InputError, match="smaller curvature"):
        sdf_warps.bent(bar, 5.0, 0.3)


def test_bounded_parts_are_bounds_and_exact_when_near() -> None:
    part = sdf.translated(sdf.box((0.2, 0.3, 0.1)), (0.5, 0.0, 0.2))
    found = sdf_warps.with_bounding_sphere(part, (0.5, 0.0, 0.2), 0.4)
    points = around(3000, 9, 3.0)
    whole, quick = part(points), found(points)
    assert bool((quick <= whole + 1e-12).all())
    near = (points - torch.tensor([0.5, 0.0, 0.2])).norm(dim=1) < 0.79
    assert torch.equal(quick[near], whole[near])
    assert float(quick[~near].min()) >= 0.39
    assert len(found(points[:0])) == 0


def test_gradients_reach_sizes_and_places() -> None:
    """Sizes may be tensors: derivatives are those of finite differences."""
    points = around(40, 10)

    def value(size: Tensor, place: Tensor) -> Tensor:
        parts = [
            sdf.sphere(size),
            sdf.translated(sdf_shapes.ellipsoid(place.abs() + 0.2), place),
            sdf_shapes.rounded_box(place.abs() + 0.3, 0.5 * size),
            sdf.capsule(place, -place, size),
            sdf_shapes.octahedron(size),
            sdf_shapes.link(size, 2 * size, 0.3 * size),
            sdf_warps.elongated(sdf.torus(0.4, 0.3 * size), place.abs()),
            sdf_shapes.hexagonal_prism(size, 2 * size),
        ]
        return torch.stack([part(points) for part in parts])

    size = torch.tensor(0.4, dtype=torch.double, requires_grad=True)
    place = torch.tensor([0.3, -0.2, 0.5], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(value, (size, place))


def test_shapes_without_inside_are_refused() -> None:
    with pytest.raises(InputError, match="3 or more"):
        sdf_shapes.polygon([(0.0, 0.0), (1.0, 0.0)])
    with pytest.raises(InputError, match="3 or more"):
        sdf_shapes.regular_polygon(2, 1.0)
    with pytest.raises(InputError, match="at least 1"):
        sdf_warps.repeated(sdf.sphere(0.1), (1.0, 1.0, 1.0), (2, 0, 1))


def two_balls(blend: float) -> ColoredSDF:
    left = with_color(sdf.translated(sdf.sphere(0.5), (-0.4, 0.0, 0.0)), (1.0, 0.0, 0.0))
    right = with_color(sdf.translated(sdf.sphere(0.5), (0.4, 0.0, 0.0)), (0.0, 0.0, 1.0))
    return colored_union(left, right, blend=blend)


def test_the_nearest_part_has_its_colour() -> None:
    points = around(500, 11)
    found = two_balls(0.0).color(points)
    left = points[:, 0] < 0
    assert torch.equal(found[:, 0], left.double())
    assert torch.equal(found[:, 2], (~left).double())


def test_colours_mix_as_parts_move_the_surface() -> None:
    """At a seam the share of a colour is ∂f/∂(its part's distance)."""
    points = around(500, 12)
    shift = torch.zeros(500, dtype=torch.double, requires_grad=True)
    left = sdf.translated(sdf.sphere(0.5), (-0.4, 0.0, 0.0))
    right = sdf.translated(sdf.sphere(0.5), (0.4, 0.0, 0.0))
    value = sdf.smooth_minimum(left(points) + shift, right(points), 0.3)
    (share,) = torch.autograd.grad(value.sum(), shift)
    mixed = two_balls(0.3)
    torch.testing.assert_close(mixed.color(points)[:, 0], share)
    torch.testing.assert_close(mixed.sdf(points), value.detach())
    assert bool(((share > 0.1) & (share < 0.9)).any())


def test_no_parts_are_nothing() -> None:
    points = around(5).float()
    assert bool(colored_union().sdf(points).isinf().all())
    blended = sdf.smooth_union(sdf.empty(), sdf.empty(), 0.1)(points)
    assert bool(blended.isposinf().all())
    ball = sdf.smooth_union(sdf.empty(), sdf.sphere(1.0), 0.1)
    torch.testing.assert_close(ball(points), sdf.sphere(1.0)(points))
