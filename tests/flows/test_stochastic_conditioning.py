"""Laws of samples that see a random input at every step."""

import torch
from torch import Tensor

from unrender.flows.guidance import Denoiser
from unrender.flows.solvers import integrate
from unrender.flows.stochastic_conditioning import sample_with_random_inputs


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


NOISE = torch.randn(2, 4, 3, 3, generator=seeded(1))


def constant(value: float) -> Denoiser:
    return lambda x, t: torch.full_like(x, value)


def test_known_images_are_reached_exactly() -> None:
    found = sample_with_random_inputs([constant(0.3)], NOISE, 7, seeded())
    assert torch.allclose(found, torch.full_like(NOISE, 0.3), atol=1e-6)


def test_with_one_denoiser_it_is_euler() -> None:
    """For normal images of variance s²: E[x1 | x] = t s² x / (t² s² + (1 − t)²)."""

    def expected(x: Tensor, t: Tensor) -> Tensor:
        t = t[:, None, None, None]
        return t * 0.25 * x / (0.25 * t.square() + (1 - t).square())

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return (expected(x, t) - x) / (1 - t[:, None, None, None])

    found = sample_with_random_inputs([expected], NOISE, 8, seeded())
    assert torch.allclose(found, integrate(velocity, NOISE, 0.0, 1.0, 8, "euler"), atol=1e-5)


def test_all_inputs_are_seen_and_the_seed_decides_when() -> None:
    seen: list[int] = []

    def told(which: int) -> Denoiser:
        def denoise(x: Tensor, t: Tensor) -> Tensor:
            seen.append(which)
            return torch.zeros_like(x)

        return denoise

    every = [told(which) for which in range(3)]
    sample_with_random_inputs(every, NOISE, 30, seeded())
    first = list(seen)
    seen.clear()
    sample_with_random_inputs(every, NOISE, 30, seeded())
    assert seen == first
    assert set(first) == {0, 1, 2}
