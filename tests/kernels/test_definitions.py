"""The reference kernels against closed forms, brute force and finite differences."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from unrender.kernels.composite import composite
from unrender.kernels.expand import expand
from unrender.kernels.hash_grid import HashGridLayout, hash_grid
from unrender.kernels.march import MarchGrid, march
from unrender.kernels.mlp import mlp
from unrender.kernels.runtime.backend import resolve

LAYOUT = HashGridLayout(num_levels=3, log2_table_size=8, min_resolution=4, max_resolution=20)


def test_a_dense_level_reproduces_a_linear_function() -> None:
    layout = HashGridLayout(
        num_levels=1, log2_table_size=12, min_resolution=8, max_resolution=8
    )
    axis = torch.linspace(0, 1, 9)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    table = torch.stack([x + 2 * y - z, torch.ones_like(x)], dim=-1).view(-1, 2)
    points = torch.rand(50, 3)
    linear = points @ torch.tensor([1.0, 2.0, -1.0])
    found = hash_grid(points, table, layout)
    torch.testing.assert_close(found[:, 0], linear, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, 1], torch.ones(50))


def test_hash_grid_gradients_match_finite_differences() -> None:
    torch.manual_seed(0)
    table = torch.randn(LAYOUT.num_entries, 2, dtype=torch.float64, requires_grad=True)
    points = (0.1 + 0.8 * torch.rand(4, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p, t: hash_grid(p, t, LAYOUT, "reference"), (points, table)
    )


def test_resolutions_grow_geometrically_to_the_maximum() -> None:
    layout = HashGridLayout(num_levels=16, min_resolution=16, max_resolution=512)
    assert layout.resolutions[0] == 16
    assert layout.resolutions[-1] == 512
    ratios = [b / a for a, b in zip(layout.resolutions, layout.resolutions[1:], strict=False)]
    assert max(ratios) / min(ratios) < 1.1
    assert layout.num_entries == sum(layout.sizes)


def test_constant_density_is_beer_lambert() -> None:
    edges = torch.linspace(0, 2, 101)
    density = torch.full((100,), 0.7)
    color = torch.tensor([0.2, 0.5, 0.9]).expand(100, 3)
    offsets = torch.tensor([0, 100])
    out = composite(density, color, edges[:-1], edges[1:], offsets)
    opacity = 1 - math.exp(-1.4)
    torch.testing.assert_close(out.opacity, torch.tensor([opacity]), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.color[0], opacity * color[0], atol=1e-5, rtol=0)
    exact = (1 - math.exp(-1.4)) / 0.7 - 2 * math.exp(-1.4)
    torch.testing.assert_close(out.distance, torch.tensor([exact]), atol=1e-4, rtol=0)


def test_composite_matches_a_loop() -> None:
    torch.manual_seed(0)
    counts = [4, 0, 9]
    offsets = torch.tensor([0, 4, 4, 13])
    starts = torch.cat([torch.rand(n).sort().values for n in counts])
    ends = starts + 0.1
    density, color = 20 * torch.rand(13), torch.rand(13, 3)
    expected = torch.zeros(3, 3)
    for ray in range(3):
        light = 1.0
        for i in range(int(offsets[ray]), int(offsets[ray + 1])):
            alpha = 1 - math.exp(-float(density[i] * (ends[i] - starts[i])))
            expected[ray] += light * alpha * color[i]
            light *= 1 - alpha
    out = composite(density, color, starts, ends, offsets)
    torch.testing.assert_close(out.color, expected, atol=1e-5, rtol=0)
    alone = composite(density, None, starts, ends, offsets)
    assert torch.equal(alone.weights, out.weights)
    assert float(alone.color.abs().max()) == 0
    for ray in range(3):
        part = slice(int(offsets[ray]), int(offsets[ray + 1]))
        sum_of_colors = (out.weights[part, None] * color[part]).sum(0)
        torch.testing.assert_close(out.color[ray], sum_of_colors)


def test_composite_gradients_match_finite_differences() -> None:
    torch.manual_seed(0)
    offsets = torch.tensor([0, 4, 4, 9])
    starts = torch.rand(9, dtype=torch.float64)
    density = (5 * torch.rand(9, dtype=torch.float64)).requires_grad_()
    color = torch.rand(9, 3, dtype=torch.float64, requires_grad=True)

    def run(density: Tensor, color: Tensor) -> tuple[Tensor, ...]:
        out = composite(density, color, starts, starts + 0.2, offsets, 0.0, "reference")
        return out.color, out.opacity, out.distance, out.distortion, out.weights

    assert torch.autograd.gradcheck(run, (density, color))


def test_distortion_is_its_double_integral() -> None:
    """Mip-NeRF 360, eq. 14: the mean distance between two points drawn from the histogram."""
    torch.manual_seed(0)
    edges = torch.rand(7, dtype=torch.float64).sort().values
    density = 4 * torch.rand(6, dtype=torch.float64)
    color, offsets = torch.zeros(6, 3, dtype=torch.float64), torch.tensor([0, 6])
    out = composite(density, color, edges[:-1], edges[1:], offsets)
    depth = density * edges.diff()
    before = torch.nn.functional.pad(depth.cumsum(0), (1, 0))[:-1]
    weights = (-before).exp() * (1 - (-depth).exp())
    fine = 2000
    at = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine
    places = (edges[:-1, None] + edges.diff()[:, None] * at).flatten()
    mass = (weights[:, None] / fine).expand(6, fine).flatten()
    order = places.argsort()
    places, mass = places[order], mass[order]
    left, first = mass.cumsum(0) - mass, (mass * places).cumsum(0) - mass * places
    integral = 2 * (mass * (places * left - first)).sum()
    torch.testing.assert_close(out.distortion[0], integral, rtol=1e-3, atol=0)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_ray_ends_where_no_light_is_left(backend) -> None:
    """Each bin lets half of the light through; 0.3 is left of it after the second."""
    density = torch.full((4,), math.log(2)).requires_grad_()
    starts = torch.arange(4.0)
    color, offsets = torch.ones(4, 3), torch.tensor([0, 4])
    out = composite(density, color, starts, starts + 1, offsets, 0.3, backend)
    torch.testing.assert_close(out.opacity, torch.tensor([0.75]))
    (gradient,) = torch.autograd.grad(out.color.sum(), density)
    assert gradient[:2].abs().min() > 0
    assert gradient[2:].abs().max() == 0


@pytest.mark.parametrize("dense", [1e8, 1e30, math.inf])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_dense_bin_leaves_the_weights_of_the_others(backend, dense: float) -> None:
    """On its own ray and on the next: against a loop in double precision."""
    generator = torch.Generator().manual_seed(0)
    density = torch.rand(12, generator=generator)
    density[3] = dense
    color, starts = torch.rand(12, 3, generator=generator), torch.arange(6.0).repeat(2)
    out = composite(density, color, starts, starts + 1, torch.tensor([0, 6, 12]), 0.0, backend)
    for ray in range(2):
        light, found = 1.0, torch.zeros(3, dtype=torch.float64)
        for i in range(6 * ray, 6 * ray + 6):
            found += light * -math.expm1(-float(density[i])) * color[i].double()
            light *= math.exp(-float(density[i]))
        torch.testing.assert_close(out.color[ray].double(), found, rtol=1e-6, atol=0)
        assert abs(float(out.opacity[ray]) - (1 - light)) < 1e-6


def test_mlp_is_products_and_relu() -> None:
    x = torch.tensor([[1.0, -2.0]])
    weights = [torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([[5.0, 2.0]])]
    torch.testing.assert_close(mlp(x, weights), torch.tensor([[6.0]]))


def test_expand_repeats_rows() -> None:
    values = torch.tensor([[1.0], [2.0], [3.0]])
    out = expand(values, torch.tensor([0, 2, 2, 3]))
    assert out[:, 0].tolist() == [1, 1, 3]


def full_grid(filled: bool, density: float = 0.0, cells: int = 16) -> MarchGrid:
    shape = (cells, cells, cells)
    return MarchGrid.from_cells(
        1.0, torch.full(shape, filled), torch.full(shape, density), 0.01
    )


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_march_covers_the_chord_through_the_cube(backend) -> None:
    origins = torch.tensor([[-3.0, 0.1, 0.2], [0, 0, 0], [5, 5, 5]])
    directions = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    bins = march(origins, directions, torch.full((3,), 0.5), full_grid(True), backend=backend)
    counts = bins.offsets.diff()
    assert abs(int(counts[0]) - 200) <= 1  # Through all of it.
    assert abs(int(counts[1]) - 100) <= 1  # From the middle out.
    assert counts[2] == 0  # Past it.
    torch.testing.assert_close(float(bins.starts[0]), 2.0, atol=1e-4, rtol=0)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_march_keeps_just_the_samples_in_occupied_cells(backend) -> None:
    torch.manual_seed(0)
    occupied = torch.rand(16, 16, 16) < 0.1
    grid = MarchGrid.from_cells(1.0, occupied, torch.zeros(16, 16, 16), 0.02)
    origin, direction = torch.tensor([[-2.0, 0.3, -0.1]]), torch.tensor([[1.0, 0.01, 0.02]])
    direction /= direction.norm()
    bins = march(origin, direction, torch.tensor([0.5]), grid, backend=backend)
    points = origin + (bins.starts + 0.01)[:, None] * direction
    x, y, z = ((points + 1) * 8).long().unbind(-1)
    assert len(bins) > 0
    assert occupied[x, y, z].all()


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_march_stops_where_the_ray_has_gone_dark(backend) -> None:
    origin, direction = torch.tensor([[-3.0, 0.1, 0.1]]), torch.tensor([[1.0, 0, 0]])
    grid = full_grid(True, density=1e6)
    bins = march(origin, direction, torch.tensor([0.5]), grid, backend=backend)
    # Each bin counts 0.7 at most, so the twelfth passes 8.
    assert len(bins) == 12


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_bins_grow_with_their_distance_and_leave_no_gap(backend) -> None:
    grid = dataclasses.replace(full_grid(True), cone_angle=0.02, near=0.1)
    origin, direction = torch.tensor([[0.0, 0.1, 0.0]]), torch.tensor([[1.0, 0, 0]])
    bins = march(origin, direction, torch.tensor([0.5]), grid, backend=backend)
    torch.testing.assert_close(float(bins.starts[0]), 0.1)
    torch.testing.assert_close(bins.starts[1:], bins.ends[:-1])
    middles, widths = (bins.starts + bins.ends) / 2, bins.ends - bins.starts
    # One of them may contain the distance 0.5, beyond which bins grow.
    off = (widths / torch.maximum(0.02 * middles, torch.tensor(0.01)) - 1).abs()
    assert (off > 1e-3).sum() <= 1
    assert widths[-1] > 0.019


def test_march_skips_an_empty_grid() -> None:
    origin, direction = torch.tensor([[-3.0, 0.0, 0.0]]), torch.tensor([[1.0, 0, 0]])
    assert len(march(origin, direction, torch.tensor([0.0]), full_grid(False))) == 0


def test_backend_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="move them to the CPU"):
        resolve("cpu", torch.empty(1, device="meta"))
