import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.flows.calibration import rising_line


@given(a=st.floats(0, 5), b=st.floats(0, 5))
@settings(deadline=None)
def test_finds_a_rising_line(a: float, b: float) -> None:
    spread = torch.linspace(0.1, 2, 20, dtype=torch.float64)
    line = rising_line(spread, a + b * spread)
    torch.testing.assert_close(line, torch.tensor([a, b], dtype=torch.float64))


@given(seed=st.integers(0, 200))
@settings(deadline=None)
def test_no_line_of_the_quadrant_is_nearer(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    spread, error = torch.rand(2, 10, generator=generator, dtype=torch.float64)
    spread, error = spread + 0.1, error * (2 * torch.rand((), generator=generator) - spread)
    error = error.abs()

    def loss(lines: torch.Tensor) -> torch.Tensor:
        return (lines[..., :1] + lines[..., 1:] * spread - error).square().sum(-1)

    found = rising_line(spread, error)
    assert (found >= 0).all()
    grid = torch.linspace(0, 2, 41, dtype=torch.float64)
    others = torch.cartesian_prod(grid, grid)
    assert (loss(found) <= loss(others) + 1e-12).all()


def test_one_example_is_enough() -> None:
    a, b = rising_line(torch.tensor([0.5]), torch.tensor([2.0]))
    assert float(a + b * 0.5) == 2.0
