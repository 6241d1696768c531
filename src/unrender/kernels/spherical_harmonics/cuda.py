"""Spherical harmonics on a GPU, in Triton.

A lane is a point: it holds C_m and S_m (see legendre.py) in registers, updates them from order
to order, and loops over the degrees of each order. Directions, harmonics and gradients are
feature-major, so that adjacent lanes access contiguous memory.
"""

from functools import cache
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.spherical_harmonics.legendre import MAX_DEGREE, factors

BLOCK = 128
TERMS = tl.constexpr(MAX_DEGREE + 1)


@triton.jit
@no_type_check
def _direction(directions, stride, at, inside):
    x = tl.load(directions + at, mask=inside, other=0.0)
    y = tl.load(directions + stride + at, mask=inside, other=0.0)
    z = tl.load(directions + 2 * stride + at, mask=inside, other=0.0)
    return x, y, z


@triton.jit
@no_type_check
def _factor(table, row, z):
    """Q_lm(z), with the coefficients in the table's row, and its derivative."""
    value = tl.zeros_like(z)
    slope = tl.zeros_like(z)
    for k in tl.static_range(TERMS):
        slope = slope * z + value
        value = value * z + tl.load(table + (row + 1) * TERMS - 1 - k)
    return value, slope


@triton.jit
@no_type_check
def _forward(directions, num_points, table, out, DEGREE: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_points
    stride = tl.cast(num_points, tl.int64)
    x, y, z = _direction(directions, stride, at, inside)
    cosine = tl.full([BLOCK], 1.0, tl.float32)
    sine = tl.zeros([BLOCK], tl.float32)
    for m in tl.static_range(DEGREE + 1):
        for ell in tl.static_range(m, DEGREE + 1):
            value, _ = _factor(table, ell * (DEGREE + 1) + m, z)
            middle = out + (ell * ell + ell) * stride + at
            tl.store(middle + m * stride, value * cosine, mask=inside)
            if m > 0:
                tl.store(middle - m * stride, value * sine, mask=inside)
        next_cosine = x * cosine - y * sine
        sine = x * sine + y * cosine
        cosine = next_cosine


@triton.jit
@no_type_check
def _backward(
    directions, num_points, gradient, table, out, DEGREE: tl.constexpr, BLOCK: tl.constexpr
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_points
    stride = tl.cast(num_points, tl.int64)
    x, y, z = _direction(directions, stride, at, inside)
    cosine = tl.full([BLOCK], 1.0, tl.float32)
    sine = tl.zeros([BLOCK], tl.float32)
    # C_{m−1} and S_{m−1}.
    cosine_before = tl.zeros([BLOCK], tl.float32)
    sine_before = tl.zeros([BLOCK], tl.float32)
    grad_x = tl.zeros([BLOCK], tl.float32)
    grad_y = tl.zeros([BLOCK], tl.float32)
    grad_z = tl.zeros([BLOCK], tl.float32)
    for m in tl.static_range(DEGREE + 1):
        grad_cosine = tl.zeros([BLOCK], tl.float32)
        grad_sine = tl.zeros([BLOCK], tl.float32)
        for ell in tl.static_range(m, DEGREE + 1):
            value, slope = _factor(table, ell * (DEGREE + 1) + m, z)
            middle = gradient + (ell * ell + ell) * stride + at
            plus = tl.load(middle + m * stride, mask=inside, other=0.0)
            minus = tl.load(middle - m * stride, mask=inside, other=0.0)
            grad_cosine += plus * value
            grad_sine += minus * value
            grad_z += slope * (plus * cosine + minus * sine)
        grad_x += m * (grad_cosine * cosine_before + grad_sine * sine_before)
        grad_y += m * (grad_sine * cosine_before - grad_cosine * sine_before)
        cosine_before, sine_before = cosine, sine
        cosine = x * cosine_before - y * sine_before
        sine = x * sine_before + y * cosine_before
    tl.store(out + at, grad_x, mask=inside)
    tl.store(out + stride + at, grad_y, mask=inside)
    tl.store(out + 2 * stride + at, grad_z, mask=inside)


@triton.jit
@no_type_check
def _sum(
    directions,
    coefficients,
    num_points,
    num_coefficients,
    table,
    out,
    DEGREE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Sum over a point's own coefficients, [num_coefficients, 3]."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_points
    stride = tl.cast(num_points, tl.int64)
    x, y, z = _direction(directions, stride, at, inside)
    own = coefficients + at * (3 * num_coefficients)
    cosine = tl.full([BLOCK], 1.0, tl.float32)
    sine = tl.zeros([BLOCK], tl.float32)
    red = tl.zeros([BLOCK], tl.float32)
    green = tl.zeros([BLOCK], tl.float32)
    blue = tl.zeros([BLOCK], tl.float32)
    for m in tl.static_range(DEGREE + 1):
        for ell in tl.static_range(m, DEGREE + 1):
            if ell > 0:
                value, _ = _factor(table, ell * (DEGREE + 1) + m, z)
                entry = own + 3 * (ell * ell + ell + m - 1)
                red += value * cosine * tl.load(entry, mask=inside, other=0.0)
                green += value * cosine * tl.load(entry + 1, mask=inside, other=0.0)
                blue += value * cosine * tl.load(entry + 2, mask=inside, other=0.0)
                if m > 0:
                    entry = own + 3 * (ell * ell + ell - m - 1)
                    red += value * sine * tl.load(entry, mask=inside, other=0.0)
                    green += value * sine * tl.load(entry + 1, mask=inside, other=0.0)
                    blue += value * sine * tl.load(entry + 2, mask=inside, other=0.0)
        next_cosine = x * cosine - y * sine
        sine = x * sine + y * cosine
        cosine = next_cosine
    tl.store(out + 3 * at, red, mask=inside)
    tl.store(out + 3 * at + 1, green, mask=inside)
    tl.store(out + 3 * at + 2, blue, mask=inside)


@triton.jit
@no_type_check
def _coefficient_gradient(entry, grad_entry, value, red, green, blue, inside):
    """Gradient with respect to one harmonic; stores the gradient of its coefficients."""
    tl.store(grad_entry, value * red, mask=inside)
    tl.store(grad_entry + 1, value * green, mask=inside)
    tl.store(grad_entry + 2, value * blue, mask=inside)
    grad_value = red * tl.load(entry, mask=inside, other=0.0)
    grad_value += green * tl.load(entry + 1, mask=inside, other=0.0)
    return grad_value + blue * tl.load(entry + 2, mask=inside, other=0.0)


@triton.jit
@no_type_check
def _sum_backward(
    directions,
    coefficients,
    num_points,
    num_coefficients,
    gradient,
    table,
    grad_coefficients,
    out,
    DEGREE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < num_points
    stride = tl.cast(num_points, tl.int64)
    x, y, z = _direction(directions, stride, at, inside)
    red = tl.load(gradient + 3 * at, mask=inside, other=0.0)
    green = tl.load(gradient + 3 * at + 1, mask=inside, other=0.0)
    blue = tl.load(gradient + 3 * at + 2, mask=inside, other=0.0)
    own, grad_own = (
        coefficients + at * (3 * num_coefficients),
        grad_coefficients + at * (3 * num_coefficients),
    )
    cosine = tl.full([BLOCK], 1.0, tl.float32)
    sine = tl.zeros([BLOCK], tl.float32)
    # C_{m−1} and S_{m−1}.
    cosine_before = tl.zeros([BLOCK], tl.float32)
    sine_before = tl.zeros([BLOCK], tl.float32)
    grad_x = tl.zeros([BLOCK], tl.float32)
    grad_y = tl.zeros([BLOCK], tl.float32)
    grad_z = tl.zeros([BLOCK], tl.float32)
    for m in tl.static_range(DEGREE + 1):
        grad_cosine = tl.zeros([BLOCK], tl.float32)
        grad_sine = tl.zeros([BLOCK], tl.float32)
        for ell in tl.static_range(m, DEGREE + 1):
            if ell > 0:
                value, slope = _factor(table, ell * (DEGREE + 1) + m, z)
                entry = 3 * (ell * ell + ell + m - 1)
                plus = _coefficient_gradient(
                    own + entry, grad_own + entry, value * cosine, red, green, blue, inside
                )
                grad_cosine += plus * value
                grad_z += slope * plus * cosine
                if m > 0:
                    entry = 3 * (ell * ell + ell - m - 1)
                    minus = _coefficient_gradient(
                        own + entry, grad_own + entry, value * sine, red, green, blue, inside
                    )
                    grad_sine += minus * value
                    grad_z += slope * minus * sine
        grad_x += m * (grad_cosine * cosine_before + grad_sine * sine_before)
        grad_y += m * (grad_sine * cosine_before - grad_cosine * sine_before)
        cosine_before, sine_before = cosine, sine
        cosine = x * cosine_before - y * sine_before
        sine = x * sine_before + y * cosine_before
    tl.store(out + at, grad_x, mask=inside)
    tl.store(out + stride + at, grad_y, mask=inside)
    tl.store(out + 2 * stride + at, grad_z, mask=inside)


@cache
def _table(degree: int, device: torch.device) -> Float[Tensor, "degrees orders terms"]:
    """The factors on `device`; cached, since copying them to the GPU synchronizes."""
    return torch.from_numpy(factors(degree)).to(device, torch.float32)


def spherical_harmonics_forward(directions: Tensor, degree: int) -> Saved:
    columns = directions.detach().T.contiguous()
    num_points = columns.shape[1]
    out = columns.new_empty((degree + 1) ** 2, num_points)
    table = _table(degree, columns.device)
    if num_points:
        with torch.cuda.device_of(columns):
            _forward[(triton.cdiv(num_points, BLOCK),)](
                columns, num_points, table, out, degree, BLOCK
            )
    return out.T, (columns,), (degree,)


def spherical_harmonics_backward(
    gradient: Tensor, needed: tuple[bool, ...], degree: int, columns: Tensor
) -> Gradients:
    num_points = columns.shape[1]
    out, grad_output = torch.empty_like(columns), gradient.T.contiguous()
    table = _table(degree, columns.device)
    if num_points:
        with torch.cuda.device_of(columns):
            _backward[(triton.cdiv(num_points, BLOCK),)](
                columns, num_points, grad_output, table, out, degree, BLOCK
            )
    return (out.T,)


def harmonic_colors_forward(directions: Tensor, coefficients: Tensor, degree: int) -> Saved:
    columns, own = directions.detach().T.contiguous(), coefficients.detach().contiguous()
    num_points, num_coefficients, _ = own.shape
    out, table = own.new_empty(num_points, 3), _table(degree, columns.device)
    if num_points:
        with torch.cuda.device_of(columns):
            _sum[(triton.cdiv(num_points, BLOCK),)](
                columns, own, num_points, num_coefficients, table, out, degree, BLOCK
            )
    return out, (columns, own), (degree,)


def harmonic_colors_backward(
    gradient: Tensor, needed: tuple[bool, ...], degree: int, columns: Tensor, own: Tensor
) -> Gradients:
    num_points, num_coefficients, _ = own.shape
    # Coefficients of higher degrees have gradient 0.
    grad_columns, grad_own = torch.empty_like(columns), torch.zeros_like(own)
    table = _table(degree, columns.device)
    if num_points:
        with torch.cuda.device_of(columns):
            _sum_backward[(triton.cdiv(num_points, BLOCK),)](
                columns, own, num_points, num_coefficients, gradient.contiguous(),
                table,
                grad_own, grad_columns, degree, BLOCK,
            )  # fmt: skip
    return grad_columns.T, grad_own
