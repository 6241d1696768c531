"""Ordinary differential equations dx/dt = v(x, t), solved in equal steps either way in time."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Velocity = Callable[[Float[Tensor, "batch *shape"], Float[Tensor, "batch"]], Tensor]
"""The velocity at points x and times t: a tensor of the shape of x."""

Solver = Literal["euler", "heun"]


def integrate(
    velocity: Velocity,
    x: Float[Tensor, "batch *shape"],
    t_start: float,
    t_end: float,
    steps: int,
    solver: Solver,
) -> Float[Tensor, "batch *shape"]:
    """Follow the velocity from x at `t_start` to `t_end` in exactly `steps` equal steps.

    From 0 to 1 a flow generates; from 1 to 0 it inverts. Euler is of order one and asks for
    one velocity a step; Heun (the explicit trapezoid rule) is of order two and asks for two.
    """
    assert steps >= 1, f"integration takes at least one step, not {steps}"
    step = _SOLVERS[solver]
    times = torch.linspace(t_start, t_end, steps + 1, dtype=torch.float64).tolist()
    for start, end in pairwise(times):
        x = step(velocity, x, start, end)
    return x


def _euler(
    velocity: Velocity, x: Float[Tensor, "batch *shape"], start: float, end: float
) -> Float[Tensor, "batch *shape"]:
    return x + (end - start) * velocity(x, x.new_full((len(x),), start))


def _heun(
    velocity: Velocity, x: Float[Tensor, "batch *shape"], start: float, end: float
) -> Float[Tensor, "batch *shape"]:
    first = velocity(x, x.new_full((len(x),), start))
    guess = x + (end - start) * first
    second = velocity(guess, x.new_full((len(x),), end))
    return x + (end - start) / 2 * (first + second)


_SOLVERS = {"euler": _euler, "heun": _heun}
