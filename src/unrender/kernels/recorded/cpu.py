"""Tapes replayed in Numba, block by block, and rays that follow them.

The loop over a block's points is inside each instruction, so that it runs on vectors, and all
registers of a block stay in the cache. Rays are followed as `rendering.sphere_tracing` says;
where a ray of a block is done, the next one takes its place.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.recorded.tape import NUMBER, Tape
from unrender.kernels.runtime.jit import exact, num_threads, run_threads, shares

WIDTH = 256
"""Points of a block."""

ADD, SUB, MUL, DIV = (NUMBER[name] for name in ("add", "sub", "mul", "div"))
MINIMUM, MAXIMUM, ATAN2 = (NUMBER[name] for name in ("minimum", "maximum", "atan2"))
LT, LE, EQ, WHERE = (NUMBER[name] for name in ("lt", "le", "eq", "where"))
NEG, ABS, SQRT, SIN, COS = (NUMBER[name] for name in ("neg", "abs", "sqrt", "sin", "cos"))
FLOOR, EXP, LOG, TANH = (NUMBER[name] for name in ("floor", "exp", "log", "tanh"))


def evaluated(tape: Tape, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """As the package says."""
    places = points.detach().T.contiguous().numpy()
    found = np.empty(places.shape[1], np.float32)

    def fill(share: tuple[int, int]) -> None:
        evaluate(
            tape.code,
            tape.constants,
            tape.num_registers,
            tape.result,
            places[:, slice(*share)],
            found[slice(*share)],
        )

    run_threads(fill, shares(len(found), num_threads() if len(found) > WIDTH else 1))
    return torch.from_numpy(found)


@exact
@no_type_check
def _replay(code, registers, count):  # noqa: PLR0912 - one branch for each operation
    """Every instruction on the first `count` points of the registers."""
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
            # What is no number stays so, from either side.
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


@exact
@no_type_check
def _registers(constants, count):
    found = np.empty((count, WIDTH), np.float32)
    for k in range(len(constants)):
        found[k] = constants[k]
    return found


@exact
@no_type_check
def evaluate(code, constants, num_registers, result, places, found):
    """The values at places [3, points]."""
    registers = _registers(constants, num_registers)
    first = len(constants)
    for begin in range(0, len(found), WIDTH):
        count = min(WIDTH, len(found) - begin)
        for axis in range(3):
            registers[first + axis, :count] = places[axis, begin : begin + count]
        _replay(code, registers, count)
        found[begin : begin + count] = registers[result, :count]


@exact
@no_type_check
def march(  # noqa: PLR0912 - the branches are those of one loop
    code, constants, num_registers, result, origins, directions, start, end,
    max_steps, tolerance, lipschitz, longest, narrower, slant, first_ray, stride,
    mask, distance, inside, exhausted, steps,
):  # fmt: skip
    """Every `stride`-th ray from the first; False if a value was no number."""
    registers = _registers(constants, num_registers)
    x_register = len(constants)
    ray = np.empty(WIDTH, np.int64)
    place, side = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    low, low_radius = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    high, high_radius = np.empty(WIDTH, np.float32), np.empty(WIDTH, np.float32)
    waiting, count = first_ray, 0
    one = np.float32(1)
    while True:
        while count < WIDTH and waiting < len(start):
            if start[waiting] < end[waiting]:
                ray[count], side[count] = waiting, 0
                place[count], low[count], low_radius[count] = start[waiting], start[waiting], 0
                high[count], high_radius[count] = np.inf, 0
                count += 1
            waiting += stride
        if count == 0:
            return True
        for axis in range(3):
            for i in range(count):
                registers[x_register + axis, i] = (
                    origins[ray[i], axis] + place[i] * directions[ray[i], axis]
                )
        _replay(code, registers, count)
        # From the last to the first: the last one fills the gap of what is done.
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
            close = tolerance * abs(place[i])
            free = high[i] == np.inf
            gap = free and place[i] - abs(radius) > low[i] + low_radius[i] + 1e-3 * close
            narrow = not free and high[i] - low[i] <= close
            came = place[i] - low[i]
            approach = (low_radius[i] - radius) / came if came > 0 else one
            done = False
            if narrow or (not gap and abs(radius) <= close):
                rest = 0.0 if narrow else radius / min(max(approach, slant), one)
                mask[number], distance[number], done = True, place[i] + rest, True
            elif gap:
                place[i] = low[i] + low_radius[i]
            else:
                if radius < 0:
                    high[i], high_radius[i] = place[i], radius
                else:
                    done = free and place[i] + radius >= end[number]
                    low[i], low_radius[i] = place[i], radius
                if high[i] == np.inf:
                    step = radius
                    if longest > 1:
                        step = 2 * radius / (1 + min(max(approach, 2 / longest - 1), one))
                    place[i] = min(place[i] + step, end[number])
                else:
                    share = low_radius[i] / (low_radius[i] - high_radius[i])
                    share = min(max(share, narrower), 1 - narrower)
                    place[i] = low[i] + share * (high[i] - low[i])
            if not done and steps[number] >= max_steps:
                exhausted[number] = done = True
            if done:
                count -= 1
                ray[i], place[i], side[i] = ray[count], place[count], side[count]
                low[i], low_radius[i] = low[count], low_radius[count]
                high[i], high_radius[i] = high[count], high_radius[count]
