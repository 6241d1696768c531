"""Replay of tapes in Numba, block by block, and sphere tracing with them.

The loop over a block's points is inside each instruction, so that it is vectorized, and all
registers of a block stay in cache. Sphere tracing follows `rendering.implicit.sphere_tracing`;
as soon as a ray of a block is done, the next one takes its place.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.jit import num_threads, run_threads, shares, strict_jit
from unrender.kernels.tape.recorder import NUMBER, Tape

WIDTH = 256
"""Points per block."""

ADD, SUB, MUL, DIV = (NUMBER[name] for name in ("add", "sub", "mul", "div"))
MINIMUM, MAXIMUM, ATAN2 = (NUMBER[name] for name in ("minimum", "maximum", "atan2"))
LT, LE, EQ, WHERE = (NUMBER[name] for name in ("lt", "le", "eq", "where"))
NEG, ABS, SQRT, SIN, COS = (NUMBER[name] for name in ("neg", "abs", "sqrt", "sin", "cos"))
FLOOR, EXP, LOG, TANH = (NUMBER[name] for name in ("floor", "exp", "log", "tanh"))


def evaluate(tape: Tape, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """See `kernels.tape.evaluate`."""
    columns = points.detach().T.contiguous().numpy()
    values = np.empty(columns.shape[1], np.float32)

    def fill(share: tuple[int, int]) -> None:
        _evaluate(
            tape.code,
            tape.constants,
            tape.num_registers,
            tape.result,
            columns[:, slice(*share)],
            values[slice(*share)],
        )

    run_threads(fill, shares(len(values), num_threads() if len(values) > WIDTH else 1))
    return torch.from_numpy(values)


@strict_jit
@no_type_check
def _replay(code, registers, count):  # noqa: PLR0912 - one branch for each operation
    """Execute all instructions on the first `count` points of the registers."""
    for line in range(len(code)):
        operation = code[line, 0]
        out = registers[code[line, 1]][:count]
        a = registers[code[line, 2]][:count]
        b = registers[code[line, 3]][:count]
        if operation == ADD:
            for i in range(len(out)):
                out[i] = a[i] + b[i]
        elif operation == SUB:
            for i in range(len(out)):
                out[i] = a[i] - b[i]
        elif operation == MUL:
            for i in range(len(out)):
                out[i] = a[i] * b[i]
        elif operation == DIV:
            for i in range(len(out)):
                out[i] = a[i] / b[i]
        elif operation == MINIMUM:
            # NaN in either operand propagates.
            for i in range(len(out)):
                out[i] = a[i] if (a[i] < b[i]) | (a[i] != a[i]) else b[i]
        elif operation == MAXIMUM:
            for i in range(len(out)):
                out[i] = a[i] if (a[i] > b[i]) | (a[i] != a[i]) else b[i]
        elif operation == ABS:
            for i in range(len(out)):
                out[i] = abs(a[i])
        elif operation == SQRT:
            for i in range(len(out)):
                out[i] = math.sqrt(a[i])
        elif operation == NEG:
            for i in range(len(out)):
                out[i] = -a[i]
        elif operation == WHERE:
            c = registers[code[line, 4]][:count]
            for i in range(len(out)):
                yes, no = b[i], c[i]
                out[i] = yes if a[i] != 0 else no
        elif operation == LT:
            for i in range(len(out)):
                out[i] = 1.0 if a[i] < b[i] else 0.0
        elif operation == LE:
            for i in range(len(out)):
                out[i] = 1.0 if a[i] <= b[i] else 0.0
        elif operation == EQ:
            for i in range(len(out)):
                out[i] = 1.0 if a[i] == b[i] else 0.0
        elif operation == FLOOR:
            for i in range(len(out)):
                out[i] = math.floor(a[i])
        elif operation == SIN:
            for i in range(len(out)):
                out[i] = math.sin(a[i])
        elif operation == COS:
            for i in range(len(out)):
                out[i] = math.cos(a[i])
        elif operation == ATAN2:
            for i in range(len(out)):
                out[i] = math.atan2(a[i], b[i])
        elif operation == EXP:
            for i in range(len(out)):
                out[i] = math.exp(a[i])
        elif operation == LOG:
            for i in range(len(out)):
                out[i] = math.log(a[i])
        elif operation == TANH:
            for i in range(len(out)):
                out[i] = math.tanh(a[i])
        else:
            for i in range(len(out)):
                out[i] = a[i]


@strict_jit
@no_type_check
def _registers(constants, count):
    values = np.empty((count, WIDTH), np.float32)
    for k in range(len(constants)):
        values[k] = constants[k]
    return values


@strict_jit
@no_type_check
def _evaluate(code, constants, num_registers, result, columns, values):
    """Fill values with the function at points, [3, points]."""
    registers = _registers(constants, num_registers)
    first = len(constants)
    for begin in range(0, len(values), WIDTH):
        count = min(WIDTH, len(values) - begin)
        for axis in range(3):
            registers[first + axis, :count] = columns[axis, begin : begin + count]
        _replay(code, registers, count)
        values[begin : begin + count] = registers[result, :count]


@strict_jit
@no_type_check
def sphere_trace(  # noqa: PLR0912 - the branches are those of one loop
    code, constants, num_registers, result, origins, directions, start, end,
    max_steps, tolerance, lipschitz, max_step_ratio, min_shrink, min_cosine, first_ray, stride,
    mask, distance, inside, exhausted, steps,
):  # fmt: skip
    """Trace every `stride`-th ray from `first_ray` on; returns False if a value was NaN."""
    registers = _registers(constants, num_registers)
    x_register = len(constants)
    ray = np.empty(WIDTH, np.int64)
    t, side = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    low, low_radius = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    high, high_radius = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    next_ray, count = first_ray, 0
    one = np.float32(1)
    while True:
        while count < WIDTH and next_ray < len(start):
            if start[next_ray] < end[next_ray]:
                ray[count], side[count] = next_ray, 0
                t[count], low[count], low_radius[count] = start[next_ray], start[next_ray], 0
                high[count], high_radius[count] = np.inf, 0
                count += 1
            next_ray += stride
        if count == 0:
            return True
        for axis in range(3):
            for i in range(count):
                registers[x_register + axis, i] = (
                    origins[ray[i], axis] + t[i] * directions[ray[i], axis]
                )
        _replay(code, registers, count)
        # In reverse order, because the last ray fills the slot of one that is done.
        for i in range(count - 1, -1, -1):
            radius = registers[result, i] / lipschitz
            if math.isnan(radius):
                return False
            number = ray[i]
            steps[number] += 1
            if side[i] == 0:
                side[i] = -one if radius < 0 else one
                inside[number] = radius < 0
            radius *= side[i]
            close = tolerance * abs(t[i])
            unbracketed = high[i] == np.inf
            gap = unbracketed and t[i] - abs(radius) > low[i] + low_radius[i] + 1e-3 * close
            narrow = not unbracketed and high[i] - low[i] <= close
            traveled = t[i] - low[i]
            approach = (low_radius[i] - radius) / traveled if traveled > 0 else one
            done = False
            if narrow or (not gap and abs(radius) <= close):
                rest = 0.0 if narrow else radius / min(max(approach, min_cosine), one)
                mask[number], distance[number], done = True, t[i] + rest, True
            elif gap:
                t[i] = low[i] + low_radius[i]
            else:
                if radius < 0:
                    high[i], high_radius[i] = t[i], radius
                else:
                    done = unbracketed and t[i] + radius >= end[number]
                    low[i], low_radius[i] = t[i], radius
                if high[i] == np.inf:
                    step = radius
                    if max_step_ratio > 1:
                        step = (
                            2 * radius / (1 + min(max(approach, 2 / max_step_ratio - 1), one))
                        )
                    t[i] = min(t[i] + step, end[number])
                else:
                    share = low_radius[i] / (low_radius[i] - high_radius[i])
                    share = min(max(share, min_shrink), 1 - min_shrink)
                    t[i] = low[i] + share * (high[i] - low[i])
            if not done and steps[number] >= max_steps:
                exhausted[number] = done = True
            if done:
                count -= 1
                ray[i], t[i], side[i] = ray[count], t[count], side[count]
                low[i], low_radius[i] = low[count], low_radius[count]
                high[i], high_radius[i] = high[count], high_radius[count]
