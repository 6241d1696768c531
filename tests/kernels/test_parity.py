"""Every kernel's CPU version against its torch reference, forward and gradient."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from unrender.kernels.backend import Backend
from unrender.kernels.composite import composite
from unrender.kernels.expand import expand
from unrender.kernels.hash_grid import HashGridLayout, hash_grid
from unrender.kernels.march import MarchGrid, march
from unrender.kernels.mlp import mlp

LAYOUT = HashGridLayout(num_levels=5, log2_table_size=12, coarsest=4, finest=80)


def agree(
    function: Callable[[Backend], Sequence[Tensor]],
    inputs: Sequence[Tensor],
    tolerance: float = 1e-4,
) -> None:
    """Both backends give the same values and the same gradients of a random functional."""
    results: list[list[Tensor]] = []
    for backend in ("reference", "cpu"):
        outputs = function(backend)
        generator = torch.Generator().manual_seed(0)
        total = sum(
            (out * torch.randn(out.shape, generator=generator)).sum() for out in outputs
        )
        assert isinstance(total, Tensor)
        results.append(
            [*(out.detach() for out in outputs), *torch.autograd.grad(total, inputs)]
        )
    for expected, found in zip(*results, strict=True):
        scale = float(expected.abs().max()) + 1e-12 if expected.numel() else 1.0
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


def grid(seed: int, filled: float, cells: int = 32) -> MarchGrid:
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.rand(cells, cells, cells, generator=generator) < filled
    density = 30 * torch.rand(cells, cells, cells, generator=generator)
    return MarchGrid.from_cells(1.5, occupied, density)


def rays(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, 3, generator=generator)
    origins = 4 * torch.nn.functional.normalize(normal, dim=-1)
    target = 2 * torch.rand(count, 3, generator=generator) - 1
    directions = torch.nn.functional.normalize(target - origins, dim=-1)
    return origins, directions, torch.rand(count, generator=generator)


def packed(counts: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """starts, ends and offsets of bins, `counts` to a ray."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    starts = torch.cat([torch.rand(n, generator=generator).sort().values for n in counts])
    return starts, starts + 0.05 * torch.rand(len(starts), generator=generator), offsets


@pytest.mark.parametrize("count", [0, 1, 255, 257, 1000])
def test_hash_grid(count: int) -> None:
    torch.manual_seed(count)
    points = (torch.rand(count, 3) * 1.2 - 0.1).requires_grad_()
    table = torch.randn(LAYOUT.num_entries, 2, requires_grad=True)
    assert any(LAYOUT.dense)
    assert not all(LAYOUT.dense)
    agree(lambda b: [hash_grid(points, table, LAYOUT, b)], [points, table])


def test_hash_grid_at_the_corners_of_the_cube() -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0.5], [2, -1, 0.3]])
    table = torch.randn(LAYOUT.num_entries, 2)
    a, b = (hash_grid(points, table, LAYOUT, backend) for backend in ("reference", "cpu"))
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("count", [0, 1, 1000, 40_000])
@pytest.mark.parametrize("sizes", [[16, 32, 16], [32, 32, 32, 3], [5, 7, 1], [3, 2]])
def test_mlp(count: int, sizes: list[int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(count, sizes[0], requires_grad=True)
    weights = [torch.randn(b, a).requires_grad_() for a, b in pairwise(sizes)]
    agree(lambda b: [mlp(x, weights, b)], [x, *weights])


@pytest.mark.parametrize("counts", [[3, 0, 1, 7], [0, 0], [1], [40] * 300])
def test_composite(counts: list[int]) -> None:
    starts, ends, offsets = packed(counts)
    density = (60 * torch.rand(len(starts))).requires_grad_()
    color = torch.rand(len(starts), 3).requires_grad_()

    def run(backend: Backend) -> list[Tensor]:
        out = composite(density, color, starts, ends, offsets, backend)
        return [out.color, out.opacity, out.distance]

    agree(run, [density, color])


@pytest.mark.parametrize("counts", [[3, 0, 1, 7], [0, 0], [1], [40] * 300])
def test_expand(counts: list[int]) -> None:
    _, _, offsets = packed(counts)
    values = torch.randn(len(counts), 5, requires_grad=True)
    agree(lambda b: [expand(values, offsets, b)], [values])


@pytest.mark.parametrize("filled", [0.0, 0.01, 0.2, 1.0])
@pytest.mark.parametrize("count", [0, 1, 3000])
def test_march(filled: float, count: int) -> None:
    origins, directions, jitter = rays(count)
    cells = grid(1, filled)
    a = march(origins, directions, jitter, cells, 0.02, backend="reference")
    b = march(origins, directions, jitter, cells, 0.02, backend="cpu")
    # A sample on the wall of a cell may fall to either side by rounding; hardly any does.
    differing = (a.offsets.diff() != b.offsets.diff()).sum()
    assert differing <= 0.002 * count
    if differing == 0:
        torch.testing.assert_close(a.starts, b.starts, atol=1e-5, rtol=0)
        torch.testing.assert_close(a.ends, b.ends, atol=1e-5, rtol=0)


def test_strides_do_not_matter() -> None:
    """Rows or columns first in memory: the same result."""
    torch.manual_seed(0)
    points = torch.rand(100, 3)
    table = torch.randn(LAYOUT.num_entries, 2)
    weights = [torch.randn(4, 3), torch.randn(2, 4)]
    columns = points.T.contiguous().T
    assert not columns.is_contiguous()
    torch.testing.assert_close(
        hash_grid(points, table, LAYOUT), hash_grid(columns, table, LAYOUT)
    )
    torch.testing.assert_close(mlp(points, weights), mlp(columns, weights))


def test_the_comparison_can_fail() -> None:
    x = torch.ones(3, requires_grad=True)
    factors = {"reference": 1.0, "cpu": 1.01}
    with pytest.raises(AssertionError):
        agree(lambda b: [x * factors[b]], [x])
