"""What each kind of field promises: its start, its symmetries, its derivatives."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.errors import InputError
from unrender.fields.derivatives import (
    gradient,
    pixel_gradient,
    pixel_laplacian,
    second_derivatives,
)
from unrender.fields.feature_grids import DenseGrid, HashGrid, PositionalEncoding, Triplane
from unrender.fields.field import (
    FIELD_KINDS,
    IMAGE_KINDS,
    Field,
    FieldKind,
    FieldOptions,
    build_field,
    default_learning_rates,
)
from unrender.fields.mlps import SineNetwork, SmallNetwork
from unrender.kernels.hash_grid import hash_grid
from unrender.kernels.mlp import mlp

SMALL = FieldOptions(
    width=16, depth=2, frequencies=3, fourier_features=8, fourier_scale=2.0, omega=5.0,
    resolution=9, volume_resolution=5, features=4, small_width=16, levels=3, log2_table_size=10,
    coarsest=3, finest=9,
)  # fmt: skip
REFERENCE = replace(SMALL, backend="reference")
EVERY = [(2, kind) for kind in IMAGE_KINDS] + [(3, kind) for kind in FIELD_KINDS]
every = pytest.mark.parametrize(("dimensions", "kind"), EVERY)


def made(
    kind: FieldKind, dimensions: int, options: FieldOptions = SMALL, seed: int = 0
) -> Field:
    """A small field whose grids are not zero."""
    generator = torch.Generator().manual_seed(seed)
    field = build_field(kind, dimensions, 2, generator, options)
    with torch.no_grad():
        for numbers in field.encoder.parameters():
            numbers.add_(torch.randn(numbers.shape, generator=generator))
    return field


def points_in_box(count: int, dimensions: int, seed: int = 1) -> Tensor:
    return torch.rand(count, dimensions, generator=torch.Generator().manual_seed(seed))


@every
def test_gives_as_many_numbers_as_asked(dimensions: int, kind: FieldKind) -> None:
    field = made(kind, dimensions)
    assert field(points_in_box(7, dimensions)).shape == (7, 2)
    assert field(points_in_box(0, dimensions)).shape == (0, 2)


@every
def test_a_seed_gives_the_same_field(dimensions: int, kind: FieldKind) -> None:
    points = points_in_box(50, dimensions)
    one, same = (made(kind, dimensions, seed=3)(points) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, made(kind, dimensions, seed=4)(points))


@every
def test_backends_agree_forward_and_backward(dimensions: int, kind: FieldKind) -> None:
    results: list[list[Tensor]] = []
    for options in (SMALL, REFERENCE):
        field = made(kind, dimensions, options)
        points = points_in_box(300, dimensions).requires_grad_()
        out = field(points)
        out.sin().sum().backward()
        gradients = [numbers.grad for numbers in field.parameters()]
        found = [points.grad, *gradients]
        results.append([out.detach(), *(g for g in found if g is not None)])
        assert len(results[-1]) == 2 + len(gradients)
    for fast, reference in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-3, atol=1e-4)


@every
def test_the_gradient_is_that_of_finite_differences(dimensions: int, kind: FieldKind) -> None:
    field = made(kind, dimensions, REFERENCE).double()
    points = points_in_box(40, dimensions).double() * 0.9 + 0.05

    def first(at: Tensor) -> Tensor:
        return field(at)[:, 0]

    found = gradient(first, points)
    step = 1e-6
    for axis in range(dimensions):
        ahead, behind = points.clone(), points.clone()
        ahead[:, axis] += step
        behind[:, axis] -= step
        difference = (first(ahead) - first(behind)) / (2 * step)
        # Where a crease lies between the two, differences see both of its sides.
        off = (difference - found[:, axis]).abs() > 1e-4 * (1 + difference.abs())
        assert int(off.sum()) <= 1


@pytest.mark.parametrize("kind", ["mlp", "encoding", "fourier", "siren", "hybrid", "hash"])
def test_what_is_twice_differentiable_says_so(kind: FieldKind) -> None:
    """An eikonal loss reaches the parameters through the gradient by the points."""
    for options in (SMALL, REFERENCE):
        field = made(kind, 3, options)
        points = points_in_box(20, 3).requires_grad_()
        (slope,) = torch.autograd.grad(field(points)[:, 0].sum(), points, create_graph=True)
        loss = (slope.norm(dim=1) - 1).square().mean()
        reached = loss.requires_grad
        if reached:
            weights = list(field.parameters())
            found = torch.autograd.grad(loss, weights, allow_unused=True)
            reached = any(g is not None and bool(g.abs().sum() > 0) for g in found)
        assert reached == field.twice_differentiable


def test_sines_start_as_the_paper_says() -> None:
    """Variance 1 into the second sine, then 1 − exp(−2v) of that before: it never dies."""
    network = SineNetwork(2, 512, 5, 1, 30.0, torch.Generator().manual_seed(0))
    x = 2 * points_in_box(4000, 2) - 1
    with torch.no_grad():
        expected = 1.0
        for number, layer in enumerate(network.layers[:-1]):
            before = 30.0 * layer(x)
            if number:
                assert float(before.var()) == pytest.approx(expected, rel=0.06)
                expected = 1 - math.exp(-2 * expected)
            x = before.sin()
    assert expected == pytest.approx(0.80, abs=0.01)


def test_the_law_of_sines_can_fail() -> None:
    """Twice as large hidden weights have four times the variance."""
    network = SineNetwork(2, 512, 2, 1, 30.0, torch.Generator().manual_seed(0))
    first, second, _ = network.layers
    with torch.no_grad():
        second.weight.mul_(2)  # pyright: ignore[reportCallIssue]
        hidden = (30.0 * first(2 * points_in_box(4000, 2) - 1)).sin()
        assert float((30.0 * second(hidden)).var()) == pytest.approx(4, abs=0.4)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_grid_holds_its_vertices(dimensions: int) -> None:
    field = made("grid", dimensions)
    assert isinstance(field.encoder, DenseGrid)
    vertices = field.encoder.vertices.detach()
    sides = [torch.linspace(0, 1, size) for size in vertices.shape[:-1]]
    points = torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1).flatten(0, -2)
    torch.testing.assert_close(field(points).detach(), vertices.flatten(0, -2))


@given(st.floats(0, 1), st.integers(0, 7), st.integers(0, 8))
@settings(max_examples=30, deadline=None)
def test_a_grid_is_linear_between_neighbours(share: float, cell: int, row: int) -> None:
    field = made("grid", 2)
    assert isinstance(field.encoder, DenseGrid)
    vertices = field.encoder.vertices.detach()
    point = torch.tensor([[(cell + share) / 8, row / 8]])
    expected = torch.lerp(vertices[cell, row], vertices[cell + 1, row], share)
    torch.testing.assert_close(field(point)[0].detach(), expected, rtol=1e-4, atol=1e-5)


def test_no_two_points_have_one_code() -> None:
    """Of NeRF's waves over [0, 1], the longest ends half-way: it does not come back."""
    encoded = PositionalEncoding(1, 4)(torch.linspace(0, 1, 101)[:, None])
    apart = torch.cdist(encoded[:, 1:], encoded[:, 1:]) + torch.eye(101)
    assert float(apart.min()) > 0.03
    # Without the longest, the two ends would be the same.
    assert float((encoded[0, 2:5] - encoded[-1, 2:5]).abs().max()) < 1e-5
    assert float((encoded[0] - encoded[-1]).abs().max()) > 1


def test_fourier_features_are_shifted_not_stretched() -> None:
    """The inner product of two codes depends on where one point lies from the other alone."""
    encoder = made("fourier", 2).encoder
    a, b, shift = points_in_box(20, 2), points_in_box(20, 2, 2), torch.tensor([0.3, -0.2])
    here = (encoder(a) * encoder(b)).sum(1)
    torch.testing.assert_close((encoder(a + shift) * encoder(b + shift)).sum(1), here)
    torch.testing.assert_close(encoder(a).square().sum(1), torch.full((20,), 8.0))


def test_a_ground_plan_knows_heights_by_their_code_alone() -> None:
    """Without the weights of z's code, columns are constant; with them they are not."""
    field = made("ground-plan", 3)
    ground = points_in_box(30, 2)
    low, high = (torch.cat([ground, torch.full((30, 1), z)], dim=1) for z in (0.1, 0.8))
    assert not torch.allclose(field(low), field(high))
    assert isinstance(field.network, SmallNetwork)
    with torch.no_grad():
        field.network.weights[0][:, SMALL.features :] = 0
    torch.testing.assert_close(field(low), field(high))


@pytest.mark.parametrize("multiplied", [False, True])
def test_planes_do_not_see_the_axis_across_them(multiplied: bool) -> None:
    options = replace(SMALL, multiplied=multiplied)
    encoder = made("triplane", 3, options).encoder
    assert isinstance(encoder, Triplane)
    with torch.no_grad():
        for plane in list(encoder.planes.parameters())[1:]:
            plane.fill_(1.0)
    points = points_in_box(30, 3)
    moved = torch.cat([points[:, :2], points_in_box(30, 1, 5)], dim=1)
    torch.testing.assert_close(encoder(points), encoder(moved))
    assert not torch.allclose(encoder(points), encoder(points.flip(0)))


def test_a_triplane_with_equal_planes_forgets_the_order_of_axes() -> None:
    encoder = made("triplane", 3).encoder
    with torch.no_grad():
        planes = list(encoder.parameters())
        symmetric = planes[0] + planes[0].transpose(0, 1)
        for plane in planes:
            plane.copy_(symmetric)
    points = points_in_box(30, 3)
    torch.testing.assert_close(encoder(points), encoder(points[:, [2, 0, 1]]))


def test_a_hash_field_is_its_two_kernels() -> None:
    field = made("hash", 3)
    assert isinstance(field.encoder, HashGrid)
    assert isinstance(field.network, SmallNetwork)
    points = points_in_box(100, 3)
    grid = field.encoder.grid
    features = hash_grid(points, grid.table, grid.layout)
    assert torch.equal(field(points), mlp(features, list(field.network.weights)))


@every
def test_each_parameter_has_one_rate(dimensions: int, kind: FieldKind) -> None:
    field = made(kind, dimensions)
    groups = field.parameter_groups()
    grouped = [id(numbers) for group in groups for numbers in group["params"]]
    assert sorted(grouped) == sorted(id(numbers) for numbers in field.parameters())
    rates = default_learning_rates(kind)
    assert rates["network"] < rates["grid"] <= rates["table"]
    torch.optim.Adam(groups)


def test_kinds_of_three_dimensions_are_refused_in_two() -> None:
    generator = torch.Generator()
    for kind in ("ground-plan", "triplane"):
        with pytest.raises(InputError, match=f"{kind}: needs three dimensions"):
            build_field(kind, 2, 1, generator)
    with pytest.raises(InputError, match="give 2 or 3"):
        build_field("mlp", 4, 1, generator)
    with pytest.raises(InputError, match="resolution 0: give at least 1"):
        build_field("grid", 2, 1, generator, FieldOptions(resolution=0))


def test_second_derivatives_of_a_wave() -> None:
    """sin(a x) cos(b y) has the Laplacian −(a² + b²) times itself."""
    points = points_in_box(50, 2).double()

    def wave(at: Tensor) -> Tensor:
        return (3 * at[:, 0]).sin() * (2 * at[:, 1]).cos()

    own = torch.stack([-9 * wave(points), -4 * wave(points)], dim=1)
    torch.testing.assert_close(second_derivatives(wave, points), own)
    x, y = points.unbind(1)
    slope = torch.stack(
        [3 * (3 * x).cos() * (2 * y).cos(), -2 * (3 * x).sin() * (2 * y).sin()], dim=1
    )
    torch.testing.assert_close(gradient(wave, points), slope)


def test_sines_have_the_laplacian_of_differences() -> None:
    field = made("siren", 2).double()
    points = points_in_box(20, 2).double()

    def first(at: Tensor) -> Tensor:
        return field(at)[:, 0]

    step, total = 1e-4, torch.zeros(20, dtype=torch.float64)
    with torch.no_grad():
        for axis in range(2):
            offset = step * torch.eye(2, dtype=torch.float64)[axis]
            around = first(points + offset) + first(points - offset) - 2 * first(points)
            total += around / step**2
    torch.testing.assert_close(
        second_derivatives(first, points).sum(1), total, rtol=1e-3, atol=1e-3
    )


def test_relus_hide_what_turns_from_differentiation() -> None:
    """A network of ReLUs is linear between its creases: its own Laplacian is 0."""
    field = made("mlp", 2)
    found = second_derivatives(lambda at: field(at)[:, 0], points_in_box(50, 2))
    assert float(found.abs().max()) == 0


def test_pixels_of_a_parabola() -> None:
    """Differences are exact for x² + 3xy: (2x + 3y, 3x), and 2."""
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="ij")
    image = x.square() + 3 * x * y
    inner = (slice(1, -1), slice(1, -1))
    by_x, by_y = pixel_gradient(image)
    torch.testing.assert_close(by_x[inner], (2 * x + 3 * y)[inner])
    torch.testing.assert_close(by_y[inner], (3 * x)[inner])
    torch.testing.assert_close(pixel_laplacian(image)[inner], torch.full((4, 3), 2.0))
    assert math.isfinite(float(pixel_laplacian(image).abs().max()))
