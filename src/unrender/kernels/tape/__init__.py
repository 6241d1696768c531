"""Tapes: functions of points, recorded once as a list of instructions and replayed by a kernel.

A function that computes every point independently, by elementwise operations of torch, is
recorded while it is called at one point (`recorder`). The instructions are then replayed for
blocks of points that stay in cache, which avoids torch's overhead per call: most of the time if
few of many rays are left. Functions that do anything else, such as evaluating a network or
branching on the points, cannot be recorded.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, resolve
from unrender.kernels.tape.recorder import Tape, UnrecordableError, record_tape

TOLERANCE = 1e-4
"""Maximum error of a tape's values, relative to the function's value or to 1."""

Function = Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points"]]


@torch.no_grad()
def record(
    function: Function, check_points: Float[Tensor, "points 3"], backend: Backend = "auto"
) -> Tape | None:
    """The function's tape, or None if it cannot be recorded or there is no kernel for
    `backend`.

    Tensors that the function uses are recorded with their current values. The tape is verified
    against the function at `check_points`, of which there should be some hundred.
    """
    if resolve(backend, check_points) != "cpu" or check_points.dtype != torch.float32:
        return None
    try:
        tape = record_tape(function)
    except UnrecordableError:
        return None
    expected = function(check_points)
    if expected.shape != check_points.shape[:1]:
        return None
    replayed = evaluate(tape, check_points)
    close = (replayed - expected).abs() <= TOLERANCE * expected.abs().clamp_min(1)
    # At discontinuities, such as borders of cells, either side is right.
    return tape if float((close | (replayed == expected)).float().mean()) > 0.98 else None


def evaluate(tape: Tape, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """The recorded function's values at points on the CPU, in single precision."""
    from unrender.kernels.tape import cpu  # noqa: PLC0415 - Numba compiles on import

    return cpu.evaluate(tape, points)
