"""Functions of points recorded once, and followed along rays by a kernel.

A function that computes each point by itself, from elementwise operations of torch alone, is a
list of instructions on numbers. It is written down while the function is asked at one point
(`tape`), and then replayed for blocks of points that stay in the cache: without torch's cost of
each call, which is most of the time when few of many rays are left. Whatever else a function
does (a network, a choice by what its points are) is not recorded: then there is no tape.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.recorded.tape import Tape, Unrecordable, recorded
from unrender.kernels.runtime.backend import Backend, resolve

AGREE = 1e-4
"""How far a tape's values are from the function's at most, as a share of these or of 1."""

Function = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]


@torch.no_grad()
def tape_of(
    function: Function, checked_at: Float[Tensor, "points 3"], backend: Backend = "auto"
) -> Tape | None:
    """The function's instructions, or None where it has none, or where there is no kernel.

    Values of the tensors that it is made of are kept as they are now. A tape must give the
    function's own values at the points given, of which there are to be some hundred.
    """
    if resolve(backend, checked_at) != "cpu" or checked_at.dtype != torch.float32:
        return None
    try:
        tape = recorded(function)
    except Unrecordable:
        return None
    expected = function(checked_at)
    if expected.shape != checked_at.shape[:1]:
        return None
    found = evaluated(tape, checked_at)
    same = (found - expected).abs() <= AGREE * expected.abs().clamp_min(1)
    # At the borders of cells, either side is right.
    return tape if float((same | (found == expected)).float().mean()) > 0.98 else None


def evaluated(tape: Tape, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """The recorded function's values; on the CPU, in single precision."""
    from unrender.kernels.recorded import cpu  # noqa: PLC0415 - Numba compiles when it is used

    return cpu.evaluated(tape, points)
