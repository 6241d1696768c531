"""Lazy Adam: torch's where there is a gradient, nothing elsewhere; backends agree."""

import pytest
import torch
from torch import Tensor, nn

from unrender.kernels.lazy_adam import lazy_adam
from unrender.kernels.runtime.backend import Backend
from unrender.optimizers.adam import LazyAdam


def tables(rows: int, channels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A table, a gradient that is 0 for most rows, and moments."""
    generator = torch.Generator().manual_seed(rows)
    table, gradient, mean = torch.randn(3, rows, channels, generator=generator).unbind(0)
    gradient = gradient * (torch.rand(rows, 1, generator=generator) < 0.3)
    return table, gradient, mean, torch.rand(rows, channels, generator=generator)


@pytest.mark.parametrize(("rows", "channels"), [(0, 3), (1, 1), (301, 13)])
@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.0, 0.95)])
def test_backends_agree(
    backend: Backend,
    device: torch.device,
    rows: int,
    channels: int,
    betas: tuple[float, float],
) -> None:
    def step(which: Backend, where: torch.device) -> list[Tensor]:
        found = [each.clone().to(where) for each in tables(rows, channels)]
        lazy_adam(*found, 0.1, betas, 3, 1e-8, backend=which)
        return [each.cpu() for each in found]

    for one, other in zip(
        step("reference", torch.device("cpu")), step(backend, device), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.0, 0.95)])
def test_it_is_adam_where_there_are_gradients(betas: tuple[float, float]) -> None:
    start = tables(40, 3)[0]
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    one = LazyAdam([ours], lr=0.01, betas=betas, eps=1e-8)
    other = torch.optim.Adam([theirs], lr=0.01, betas=betas, eps=1e-8)
    for _ in range(5):
        for numbers, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            numbers.exp().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_entries_without_gradient_stay() -> None:
    """Adam would go on moving them by their old moments."""
    start = tables(10, 2)[0]
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    one, other = LazyAdam([ours], lr=0.01), torch.optim.Adam([theirs], lr=0.01)
    for rows in (slice(0, 10), slice(0, 5)):
        for numbers, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            numbers[rows].exp().sum().backward()
            optimizer.step()
        if rows.stop == 10:
            before, there = ours.detach().clone(), theirs.detach().clone()
            moments = {name: each.clone() for name, each in one.state[ours].items()}
    assert torch.equal(ours[5:], before[5:])
    assert bool((ours[:5] != before[:5]).all())
    assert bool((theirs[5:] != there[5:]).all())
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(one.state[ours][name][5:], moments[name][5:])
