import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.errors import InputError
from unrender.flows.solvers import (
    SOLVERS,
    Solver,
    integrate,
    integrate_adaptively,
    invert_euler,
)

ORDER = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
VELOCITIES_A_STEP = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}


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
    """Orders of convergence on dx/dt = t x, whose solution is x exp(t² / 2)."""
    x = torch.tensor([[1.0], [2.0]]).double()
    start, end = (1.0, 0.0) if backwards else (0.0, 1.0)
    exact = x * math.exp((end**2 - start**2) / 2)

    def error(steps: int) -> float:
        out = integrate(lambda y, t: t[:, None] * y, x, start, end, steps, solver)
        return float((out - exact).abs().max())

    few = 32 if ORDER[solver] == 4 else 64
    measured = math.log2(error(few) / error(2 * few))
    assert measured == pytest.approx(ORDER[solver], rel=0.1)


@pytest.mark.parametrize("solver", SOLVERS)
def test_round_trip_on_a_linear_field(solver: Solver) -> None:
    """The round-trip error decreases with the order of the solver."""
    generator = torch.Generator().manual_seed(0)
    matrix = 0.5 * torch.randn(3, 3, generator=generator).double()
    x = torch.randn(4, 3, generator=generator).double()

    def error(steps: int) -> float:
        there = integrate(lambda y, t: y @ matrix, x, 0.0, 1.0, steps, solver)
        back = integrate(lambda y, t: y @ matrix, there, 1.0, 0.0, steps, solver)
        return float((back - x).abs().max())

    assert 0 < error(40) < 1.3 * error(10) / 4 ** ORDER[solver]


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


def swirl(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A velocity field that no solver integrates exactly."""
    return (2 * x.roll(1, -1) + t[:, None]).sin()


def test_adaptive_steps_keep_their_tolerance() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    exact = integrate(swirl, x, 0.0, 1.0, 2000, "rk4")

    def error(tolerance: float) -> float:
        found = integrate_adaptively(swirl, x, 0.0, 1.0, tolerance)
        return float((found - exact).abs().max())

    assert error(1e-8) < 1e-7
    assert error(1e-2) > error(1e-8)
    back = integrate_adaptively(swirl, exact, 1.0, 0.0, 1e-8)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-7)


def test_adaptive_steps_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(InputError, match=r"unrender\[ode\]"):
        integrate_adaptively(swirl, torch.zeros(1, 3), 0.0, 1.0)


@pytest.mark.parametrize("steps", [3, 10])
def test_the_inverse_of_euler_finds_the_very_source(steps: int) -> None:
    """The fixed point is the start of the path; plain backward Euler ends elsewhere."""
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    there = integrate(swirl, x, 0.0, 1.0, steps, "euler")
    back = invert_euler(swirl, there, steps, tolerance=1e-12)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)
    assert (integrate(swirl, there, 1.0, 0.0, steps, "euler") - x).abs().max() > 0.01


def test_the_inverse_of_euler_stops() -> None:
    """The iteration stops after the given number even if it does not converge."""
    calls = []

    def steep(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.append(float(t[0]))
        return 9 * x.cos()

    assert invert_euler(steep, torch.ones(1, 2), 2, iterations=7).isfinite().all()
    assert calls == [0.5] * 7 + [0.0] * 7
