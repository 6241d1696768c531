import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.generative.solvers import Solver, integrate

SOLVERS: tuple[Solver, ...] = ("euler", "heun")
ORDER = {"euler": 1, "heun": 2}
VELOCITIES_A_STEP = {"euler": 1, "heun": 2}


@pytest.mark.parametrize("solver", SOLVERS)
@given(steps=st.integers(1, 20), start=st.floats(-2, 2), end=st.floats(-2, 2))
@settings(deadline=None)
def test_exact_on_a_constant_field(
    solver: Solver, steps: int, start: float, end: float
) -> None:
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double()
    field = torch.tensor([1.0, -2.0, 0.5]).double()
    out = integrate(lambda y, t: field.expand_as(y), x, start, end, steps, solver)
    torch.testing.assert_close(out, x + (end - start) * field)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("backwards", [False, True])
def test_order_of_convergence(solver: Solver, backwards: bool) -> None:
    """On dx/dt = t x, whose solution is x exp(t² / 2)."""
    x = torch.tensor([[1.0], [2.0]]).double()
    start, end = (1.0, 0.0) if backwards else (0.0, 1.0)
    exact = x * math.exp((end**2 - start**2) / 2)

    def error(steps: int) -> float:
        out = integrate(lambda y, t: t[:, None] * y, x, start, end, steps, solver)
        return float((out - exact).abs().max())

    measured = math.log2(error(64) / error(128))
    assert measured == pytest.approx(ORDER[solver], abs=0.1)


@pytest.mark.parametrize("solver", SOLVERS)
def test_round_trip_on_a_linear_field(solver: Solver) -> None:
    """The error of going there and back vanishes with the order of the solver."""
    generator = torch.Generator().manual_seed(0)
    matrix = 0.5 * torch.randn(3, 3, generator=generator).double()
    x = torch.randn(4, 3, generator=generator).double()

    def error(steps: int) -> float:
        there = integrate(lambda y, t: y @ matrix, x, 0.0, 1.0, steps, solver)
        back = integrate(lambda y, t: y @ matrix, there, 1.0, 0.0, steps, solver)
        return float((back - x).abs().max())

    assert 0 < error(160) < 1.2 * error(10) / 16 ** ORDER[solver]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.0)])
def test_takes_exactly_its_steps(solver: Solver, start: float, end: float) -> None:
    times: list[float] = []

    def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        times.append(float(t[0]))
        assert (t == t[0]).all()
        return torch.zeros_like(x)

    integrate(velocity, torch.zeros(2, 1), start, end, 5, solver)
    assert len(times) == 5 * VELOCITIES_A_STEP[solver]
    assert min(times) >= 0
    assert max(times) <= 1
    assert times[0] == start
    assert sorted(times, reverse=start > end) == times
