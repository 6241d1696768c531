"""Solvers of ordinary differential equations dx/dt = v(x, t), forwards or backwards in time.

Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I" (1993), chapter II.1.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError

Velocity = Callable[[Float[Tensor, "batch *shape"], Float[Tensor, "batch"]], Tensor]
"""The velocity at points x and times t, with the shape of x."""

Solver = Literal["euler", "midpoint", "heun", "rk4"]
"""Solvers of orders 1, 2, 2 and 4, with as many evaluations of the velocity per step."""
SOLVERS: tuple[Solver, ...] = get_args(Solver)


def integrate(
    velocity: Velocity,
    x: Float[Tensor, "batch *shape"],
    t_start: float,
    t_end: float,
    steps: int,
    solver: Solver,
) -> Float[Tensor, "batch *shape"]:
    """Integrate the velocity from x at `t_start` to `t_end` in `steps` equal steps.

    A flow generates images from 0 to 1 and inverts them from 1 to 0, at the same time steps.
    """
    step = _STEPS[solver]
    for start, end in pairwise(_times(t_start, t_end, steps)):
        x = step(velocity, x, start, end)
    return x


def integrate_adaptively(
    velocity: Velocity,
    x: Float[Tensor, "batch *shape"],
    t_start: float,
    t_end: float,
    tolerance: float = 1e-5,
) -> Float[Tensor, "batch *shape"]:
    """Integrate the velocity with adaptive steps, each with an error below `tolerance`.

    Dormand and Prince's method of order 5 ("dopri5") from torchdiffeq (extra "ode"). The whole
    batch takes the same steps; `tolerance` is both absolute and relative. Raises InputError if
    torchdiffeq is not installed.
    """
    try:
        from torchdiffeq import odeint  # noqa: PLC0415 - an extra  # pyright: ignore
    except ImportError as error:
        raise InputError(
            "adaptive steps need torchdiffeq: pip install 'unrender[ode]', or choose a solver "
            f"with equal steps: {', '.join(SOLVERS)}"
        ) from error

    def derivative(t: Tensor, y: Tensor) -> Tensor:
        return velocity(y, t.expand(len(y)))

    times = x.new_tensor([t_start, t_end])
    path = odeint(derivative, x, times, rtol=tolerance, atol=tolerance, method="dopri5")
    assert isinstance(path, Tensor)
    return path[-1]


def invert_euler(
    velocity: Velocity,
    x: Float[Tensor, "batch *shape"],
    steps: int,
    tolerance: float = 1e-6,
    iterations: int = 100,
) -> Float[Tensor, "batch *shape"]:
    """Exact inverse of `steps` Euler steps from 0 to 1: the source that they take to x.

    Each step is inverted by solving y = x − h v(y, t) by fixed-point iteration from y = x,
    which converges if h times the Lipschitz constant of v is below 1. It stops when no entry
    changes by more than `tolerance`, or after `iterations`.
    """
    for end, start in pairwise(_times(1.0, 0.0, steps)):
        time = x.new_full((len(x),), start)
        found = x
        for _ in range(iterations):
            before, found = found, x - (end - start) * velocity(found, time)
            if bool((found - before).abs().amax() <= tolerance):
                break
        x = found
    return x


def _times(t_start: float, t_end: float, steps: int) -> list[float]:
    assert steps >= 1, f"integration needs at least one step, not {steps}"
    # Bit-identical in both directions, so that inversion uses the times of generation.
    up = torch.linspace(
        min(t_start, t_end), max(t_start, t_end), steps + 1, dtype=torch.float64
    )
    return (up if t_start <= t_end else up.flip(0)).tolist()


def _at(x: Float[Tensor, "batch *shape"], time: float) -> Float[Tensor, "batch"]:
    return x.new_full((len(x),), time)


def _euler(
    velocity: Velocity, x: Float[Tensor, "batch *shape"], start: float, end: float
) -> Float[Tensor, "batch *shape"]:
    return x + (end - start) * velocity(x, _at(x, start))


def _midpoint(
    velocity: Velocity, x: Float[Tensor, "batch *shape"], start: float, end: float
) -> Float[Tensor, "batch *shape"]:
    step, middle = end - start, (start + end) / 2
    half = x + step / 2 * velocity(x, _at(x, start))
    return x + step * velocity(half, _at(x, middle))


def _heun(
    velocity: Velocity, x: Float[Tensor, "batch *shape"], start: float, end: float
) -> Float[Tensor, "batch *shape"]:
    step = end - start
    first = velocity(x, _at(x, start))
    second = velocity(x + step * first, _at(x, end))
    return x + step / 2 * (first + second)


def _rk4(
    velocity: Velocity, x: Float[Tensor, "batch *shape"], start: float, end: float
) -> Float[Tensor, "batch *shape"]:
    step, middle = end - start, (start + end) / 2
    first = velocity(x, _at(x, start))
    second = velocity(x + step / 2 * first, _at(x, middle))
    third = velocity(x + step / 2 * second, _at(x, middle))
    fourth = velocity(x + step * third, _at(x, end))
    return x + step / 6 * (first + 2 * second + 2 * third + fourth)


_STEPS = {"euler": _euler, "midpoint": _midpoint, "heun": _heun, "rk4": _rk4}
