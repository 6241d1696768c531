"""Sparse grids: as the dense ones that they stand for, and each backend as the reference."""

import pytest
import torch
from torch import Tensor

from unrender.kernels.grid_sample import grid_sample
from unrender.kernels.runtime.backend import Backend
from unrender.kernels.sparse_grid import sparse_sample


def grid(channels: int, filled: float = 0.4) -> tuple[Tensor, Tensor]:
    """Rows, of which the first is 0, and which vertex has which."""
    generator = torch.Generator().manual_seed(channels)
    there = torch.rand(5, 7, 4, generator=generator) < filled
    index = torch.zeros(5, 7, 4, dtype=torch.int32)
    index[there] = torch.arange(1, int(there.sum()) + 1, dtype=torch.int32)
    rows = torch.randn(int(there.sum()) + 1, channels, generator=generator)
    rows[0] = 0
    return rows, index


def points(count: int) -> Tensor:
    """Some of them outside of the box."""
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1


def test_it_is_the_dense_grid_that_it_stands_for(
    backend: Backend, device: torch.device
) -> None:
    rows, index = grid(5)
    dense = rows[index.long()].movedim(-1, 0)
    found = sparse_sample(rows.to(device), index.to(device), points(300).to(device), backend)
    torch.testing.assert_close(found.cpu(), grid_sample(dense, points(300), "reference"))


@pytest.mark.parametrize("channels", [1, 3, 12, 28])
@pytest.mark.parametrize("count", [0, 1, 500])
@pytest.mark.interpreted("500-3", "0-12")
def test_agrees_with_the_reference(agree, channels: int, count: int) -> None:
    rows, index = grid(channels)
    given = [rows.requires_grad_(), points(count).requires_grad_()]
    agree(lambda b, r, p: [sparse_sample(r, index.to(r.device), p, b)], given)


def test_gradients_by_finite_differences() -> None:
    rows, index = grid(2)
    rows, index = rows.double()[:12], index.clamp(max=11)
    inside = points(20).double().clamp(0.01, 0.99).requires_grad_()
    free = rows[1:].clone().requires_grad_()

    def value(free: Tensor, inside: Tensor) -> Tensor:
        return sparse_sample(torch.cat([rows[:1], free]), index, inside, "reference")

    assert torch.autograd.gradcheck(value, (free, inside), eps=1e-7, atol=1e-5)


def test_empty_space_does_not_learn(backend: Backend, device: torch.device) -> None:
    rows, index = grid(3, filled=0.05)
    table = rows.to(device).requires_grad_()
    sparse_sample(table, index.to(device), points(200).to(device), backend).sum().backward()
    assert table.grad is not None
    assert float(table.grad[0].abs().max()) == 0
    assert float(table.grad[1:].abs().max()) > 0


def test_what_is_not_a_number_stays_inside(backend: Backend, device: torch.device) -> None:
    rows, index = grid(3)
    wrong = torch.full((4, 3), torch.nan, device=device)
    sparse_sample(rows.to(device), index.to(device), wrong, backend)
