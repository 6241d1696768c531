"""Splats against their formula, finite differences, and backends against the reference."""

import math

import pytest
import torch
from torch import Tensor

from unrender.kernels.runtime.backend import Backend
from unrender.kernels.splat import MAX_ALPHA, MIN_ALPHA, splat

WIDTH, HEIGHT = 37, 21


def splats(
    count: int, seed: int = 0, size: float = 3.0, opacity: float = 0.9
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Some of them partly or wholly outside of the image."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    means = uniform(count, 2) * torch.tensor([1.4 * WIDTH, 1.4 * HEIGHT]) - 6
    axes = size * (uniform(count, 2) + 0.3)
    angle = 7 * uniform(count)
    rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)
    turn = rows.view(count, 2, 2)
    inverse = turn @ torch.diag_embed(axes**-2) @ turn.mT
    conics = torch.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], dim=1)
    return means, conics, uniform(count, 3), opacity * uniform(count), 1 + uniform(count)


def test_one_splat_is_its_formula(backend: Backend, device: torch.device) -> None:
    given = (
        torch.tensor([[10.0, 8.0]]),
        torch.tensor([[0.1, 0.03, 0.2]]),
        torch.tensor([[1.0, 0.5, 0.25]]),
        torch.tensor([0.8]),
        torch.tensor([2.0]),
    )
    found = splat(*(each.to(device) for each in given), 24, 16, backend)
    for x, y in ((10, 8), (7, 9), (0, 0)):
        dx, dy = x + 0.5 - 10, y + 0.5 - 8
        alpha = 0.8 * math.exp(-0.5 * (0.1 * dx * dx + 0.2 * dy * dy) - 0.03 * dx * dy)
        alpha = alpha if alpha >= MIN_ALPHA else 0.0
        assert float(found.opacity[y, x]) == pytest.approx(alpha, abs=1e-6)
        assert float(found.color[y, x, 1]) == pytest.approx(alpha / 2, abs=1e-6)
        assert float(found.depth[y, x]) == pytest.approx(2 * alpha, abs=1e-6)


def test_the_nearest_is_in_front(backend: Backend, device: torch.device) -> None:
    means = torch.tensor([[8.5, 8.5], [8.5, 8.5]])
    conics = torch.tensor([[0.01, 0.0, 0.01]]).expand(2, 3).contiguous()
    colors = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    opacities, depths = torch.tensor([0.75, 0.5]), torch.tensor([3.0, 2.0])
    given = (each.to(device) for each in (means, conics, colors, opacities, depths))
    found = splat(*given, 16, 16, backend)
    torch.testing.assert_close(found.color[8, 8].cpu(), torch.tensor([0.375, 0.5, 0]))
    assert float(found.opacity[8, 8]) == pytest.approx(0.875)


def test_no_splat_hides_all_behind_it(backend: Backend, device: torch.device) -> None:
    given = list(splats(1, size=50.0))
    given[3] = torch.ones(1)
    found = splat(*(each.to(device) for each in given), WIDTH, HEIGHT, backend)
    assert float(found.opacity.max()) <= MAX_ALPHA + 1e-6


@pytest.mark.parametrize("count", [0, 1, 3, 60, 700])
@pytest.mark.interpreted("60", "0")
def test_agrees_with_the_reference(agree, backend: Backend, count: int) -> None:
    if backend == "cuda" and count > 60 and not torch.cuda.is_available():
        count = 130  # More would take minutes in Triton's interpreter.
    given = [each.requires_grad_() for each in splats(count, seed=count)]

    def draw(name: Backend, *inputs: Tensor) -> list[Tensor]:
        found = splat(*inputs, WIDTH, HEIGHT, name)
        return [found.color, found.opacity, found.depth]

    agree(draw, given)


def test_agrees_where_light_ends(agree, backend: Backend) -> None:
    """Behind many opaque splats nothing counts, nor has a derivative."""
    count = 40 if backend == "cpu" or torch.cuda.is_available() else 12
    given = [each.requires_grad_() for each in splats(count, 5, size=30.0, opacity=1.0)]
    agree(lambda b, *x: [splat(*x, 16, 8, b).color, splat(*x, 16, 8, b).depth], given)


def test_gradients_by_finite_differences() -> None:
    """Of the reference, in double precision; small splats would jump at MIN_ALPHA."""
    given = [
        each.double().requires_grad_() for each in splats(4, seed=3, size=40.0, opacity=0.7)
    ]

    def total(*inputs: Tensor) -> Tensor:
        found = splat(*inputs, 6, 5, "reference")
        return torch.stack([found.color.square().sum(), found.depth.sum()])

    assert torch.autograd.gradcheck(total, given, eps=1e-6, atol=1e-5)


def test_splats_that_nobody_can_see_change_nothing(
    backend: Backend, device: torch.device
) -> None:
    given = splats(20, seed=9)
    wrong = [each.clone() for each in splats(6, seed=10)]
    wrong[3][:2] = 0
    wrong[0][2:4] = 1e6
    wrong[1][4] = torch.tensor([1.0, 2.0, 1.0])  # Not positive definite.
    wrong[0][5] = math.nan
    together = [torch.cat([a, b]).to(device) for a, b in zip(given, wrong, strict=True)]
    found = splat(*together, WIDTH, HEIGHT, backend)
    alone = splat(*(each.to(device) for each in given), WIDTH, HEIGHT, backend)
    torch.testing.assert_close(found.color, alone.color)
