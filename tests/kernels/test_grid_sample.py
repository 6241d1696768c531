"""Dense grids against closed forms, torch's own and finite differences; backends agree."""

import math

import pytest
import torch
from torch import Tensor

from unrender.kernels.grid_sample import grid_sample, total_variation
from unrender.kernels.runtime.backend import Backend

SIZES = [(5, 3), (1, 4), (4, 3, 6), (2, 1, 3), (1, 1, 1)]


def random_grid(
    channels: int, sizes: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> Tensor:
    generator = torch.Generator().manual_seed(channels)
    return torch.randn(channels, *sizes, generator=generator, dtype=dtype)


def random_points(count: int, dimensions: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """In a box that is somewhat larger than the grid."""
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, dimensions, generator=generator, dtype=dtype) * 1.4 - 0.2


@pytest.mark.parametrize("sizes", [(5, 3), (4, 3, 6)], ids=str)
def test_reproduces_a_linear_function(sizes: tuple[int, ...]) -> None:
    axes = [torch.linspace(0, 1, size, dtype=torch.float64) for size in sizes]
    vertices = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    slope = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)[: len(sizes)]
    grid = torch.einsum("a,a...->...", slope, vertices)[None] + 0.5
    points = torch.rand(50, len(sizes), dtype=torch.float64)
    expected = (points @ slope + 0.5)[:, None]
    torch.testing.assert_close(grid_sample(grid, points), expected)


def test_vertices_and_what_lies_outside() -> None:
    grid = random_grid(2, (3, 2))
    points = torch.tensor([[0.0, 0], [0.5, 0], [1, 1], [7, 1], [0.5, -3]])
    expected = torch.stack(
        [grid[:, 0, 0], grid[:, 1, 0], grid[:, 2, 1], grid[:, 2, 1], grid[:, 1, 0]]
    )
    torch.testing.assert_close(grid_sample(grid, points), expected)


@pytest.mark.parametrize("sizes", [(5, 3), (4, 3, 6)], ids=str)
def test_against_torch(sizes: tuple[int, ...]) -> None:
    """Torch's last coordinate runs along the first size, and goes from −1 to 1."""
    grid = random_grid(3, sizes, torch.float64).requires_grad_()
    points = random_points(40, len(sizes), torch.float64).requires_grad_()
    where = (2 * points - 1).flip(-1).view(1, -1, *[1] * (len(sizes) - 1), len(sizes))
    expected = (
        torch.nn.functional.grid_sample(
            grid[None], where, padding_mode="border", align_corners=True
        )[0]
        .flatten(1)
        .T
    )
    found = grid_sample(grid, points)
    torch.testing.assert_close(found, expected)
    expected_gradients = torch.autograd.grad(expected.square().sum(), [grid, points])
    gradients = torch.autograd.grad(found.square().sum(), [grid, points])
    for a, b in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradients_match_finite_differences(sizes: tuple[int, ...]) -> None:
    grid = random_grid(2, sizes, torch.float64).requires_grad_()
    points = random_points(6, len(sizes), torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda g, p: grid_sample(g, p, "reference"), (grid, points))
    assert torch.autograd.gradcheck(lambda g: total_variation(g, "reference"), grid)


@pytest.mark.parametrize("channels", [1, 2, 7, 33])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.interpreted("(4, 3, 6)-7", "(2, 1, 3)-1")
def test_backends_agree(agree, sizes: tuple[int, ...], channels: int) -> None:
    grid = random_grid(channels, sizes).requires_grad_()
    points = random_points(150, len(sizes)).requires_grad_()
    agree(lambda b, g, p: [grid_sample(g, p, b)], [grid, points])
    agree(lambda b, g: [total_variation(g, b)], [grid])


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("sizes", [(5, 3), (4, 3, 6)], ids=str)
def test_few_points(agree, sizes: tuple[int, ...], count: int) -> None:
    grid, points = random_grid(2, sizes), random_points(count, len(sizes))
    inputs = [grid.requires_grad_(), points.requires_grad_()]
    agree(lambda b, g, p: [grid_sample(g, p, b)], inputs)


def test_one_gradient_at_a_time(agree) -> None:
    grid, points = random_grid(3, (4, 3, 6)), random_points(20, 3)
    agree(lambda b, g, p: [grid_sample(g, p, b)], [grid.clone().requires_grad_(), points])
    agree(lambda b, g, p: [grid_sample(g, p, b)], [grid, points.requires_grad_()])


@pytest.mark.parametrize("sizes", [(5, 3), (4, 3, 6)], ids=str)
def test_strides_do_not_matter(agree, sizes: tuple[int, ...]) -> None:
    grid, points = random_grid(3, sizes), random_points(60, len(sizes))
    channels_last = grid.movedim(0, -1).contiguous().movedim(-1, 0)
    every_other = grid.repeat_interleave(2, dim=-1)[..., ::2]
    for g in (channels_last, every_other):
        assert not g.is_contiguous()
        for p in (points.T.contiguous().T, points.repeat(1, 2)[:, 1 : 1 + len(sizes)]):
            inputs = [g.requires_grad_(), p.requires_grad_()]
            agree(lambda b, g, p: [grid_sample(g, p, b)], inputs)
        agree(lambda b, g: [total_variation(g, b)], [g])


def test_threads_do_not_matter() -> None:
    """Each vertex adds up its points in order, bit for bit."""
    before = torch.get_num_threads()
    results: list[list[Tensor]] = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            grid = random_grid(3, (7, 3, 4)).requires_grad_()
            points = random_points(500, 3).requires_grad_()
            value = grid_sample(grid, points, "cpu")
            results.append([value, *torch.autograd.grad(value.square().sum(), [grid, points])])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("sizes", [(5, 3), (4, 3, 6)], ids=str)
def test_total_variation(
    backend: Backend, device: torch.device, sizes: tuple[int, ...]
) -> None:
    constant = torch.full((3, *sizes), 2.5, device=device)
    assert float(total_variation(constant, backend)) == 0
    # 1, 2 and 3 from vertex to vertex along x, y and z.
    steps = [1.0, 2.0, 3.0][: len(sizes)]
    axes = [step * torch.arange(size) for step, size in zip(steps, sizes, strict=True)]
    ramp = torch.stack(torch.meshgrid(*axes, indexing="ij")).sum(0).expand(3, *sizes)
    expected = sum(step**2 for step in steps)
    assert math.isclose(
        float(total_variation(ramp.to(device), backend)), expected, rel_tol=1e-6
    )


def test_other_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="points of 3 coordinates"):
        grid_sample(torch.zeros(1, 2, 2), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="2 or 3 coordinates"):
        grid_sample(torch.zeros(1, 2), torch.zeros(1, 1))
