"""Spherical harmonics on the CPU.

A block of points at a time, so that z, C_m and S_m (see legendre.py) stay in cache while the
block passes through all harmonics. Directions, harmonics and gradients are feature-major, so
that every loop over points vectorises.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.jit import inline, jit, num_threads, run_threads, shares
from unrender.kernels.spherical_harmonics.legendre import MAX_DEGREE, factors

BLOCK = 256
ORDERS = MAX_DEGREE + 1


@inline
@no_type_check
def _orders(x, y, num_orders, cosine, sine):
    """C_m and S_m of every order."""
    for i in range(len(x)):
        cosine[0, i] = np.float32(1)
        sine[0, i] = np.float32(0)
    for m in range(1, num_orders):
        for i in range(len(x)):
            cosine[m, i] = x[i] * cosine[m - 1, i] - y[i] * sine[m - 1, i]
            sine[m, i] = x[i] * sine[m - 1, i] + y[i] * cosine[m - 1, i]


@jit
@no_type_check
def _forward(directions, table, first, last, out):
    num_degrees = len(table)
    cosine, sine = np.empty((ORDERS, BLOCK), np.float32), np.empty((ORDERS, BLOCK), np.float32)
    for at in range(first, last, BLOCK):
        end = min(at + BLOCK, last)
        x, y, z = directions[0, at:end], directions[1, at:end], directions[2, at:end]
        _orders(x, y, num_degrees, cosine, sine)
        for ell in range(num_degrees):
            for m in range(ell + 1):
                a, b, c, d, e = table[ell, m]
                plus, minus = out[ell * ell + ell + m, at:end], out[ell * ell + ell - m, at:end]
                for i in range(len(z)):
                    by_z = a + z[i] * (b + z[i] * (c + z[i] * (d + z[i] * e)))
                    # Order 0 is both: the second of these stays.
                    minus[i] = by_z * sine[m, i]
                    plus[i] = by_z * cosine[m, i]


@jit
@no_type_check
def _backward(directions, gradient, table, first, last, out):
    num_degrees = len(table)
    cosine, sine = np.empty((ORDERS, BLOCK), np.float32), np.empty((ORDERS, BLOCK), np.float32)
    above = np.empty((2, BLOCK), np.float32)
    for at in range(first, last, BLOCK):
        end = min(at + BLOCK, last)
        x, y, z = directions[0, at:end], directions[1, at:end], directions[2, at:end]
        by_x, by_y, by_z = out[0, at:end], out[1, at:end], out[2, at:end]
        _orders(x, y, num_degrees, cosine, sine)
        for i in range(len(z)):
            by_x[i] = by_y[i] = by_z[i] = np.float32(0)
        for m in range(num_degrees):
            # Gradients by C_m and S_m.
            above[:] = np.float32(0)
            for ell in range(m, num_degrees):
                a, b, c, d, e = table[ell, m]
                two_c, three_d, four_e = c + c, np.float32(3) * d, np.float32(4) * e
                plus = gradient[ell * ell + ell + m, at:end]
                minus = gradient[ell * ell + ell - m, at:end]
                for i in range(len(z)):
                    value = a + z[i] * (b + z[i] * (c + z[i] * (d + z[i] * e)))
                    slope = b + z[i] * (two_c + z[i] * (three_d + z[i] * four_e))
                    above[0, i] += plus[i] * value
                    above[1, i] += minus[i] * value
                    by_z[i] += slope * (plus[i] * cosine[m, i] + minus[i] * sine[m, i])
            order = np.float32(m)
            if m > 0:
                for i in range(len(z)):
                    c, s = order * cosine[m - 1, i], order * sine[m - 1, i]
                    by_x[i] += above[0, i] * c + above[1, i] * s
                    by_y[i] += above[1, i] * c - above[0, i] * s


@jit
@no_type_check
def _sum(directions, coefficients, table, first, last, out):
    """The harmonics of a block of points, and their sums at once."""
    basis = np.empty((len(table) ** 2, BLOCK), np.float32)
    for at in range(first, last, BLOCK):
        n = min(BLOCK, last - at)
        _forward(directions[:, at : at + n], table, 0, n, basis)
        for i in range(n):
            own = coefficients[at + i]
            red = green = blue = np.float32(0)
            for k in range(1, len(basis)):
                value = basis[k, i]
                red += value * own[k - 1, 0]
                green += value * own[k - 1, 1]
                blue += value * own[k - 1, 2]
            out[at + i, 0] = red
            out[at + i, 1] = green
            out[at + i, 2] = blue


@jit
@no_type_check
def _sum_backward(directions, coefficients, gradient, table, first, last, g_coefficients, out):
    basis = np.empty((len(table) ** 2, BLOCK), np.float32)
    above = np.zeros((len(table) ** 2, BLOCK), np.float32)
    for at in range(first, last, BLOCK):
        n = min(BLOCK, last - at)
        _forward(directions[:, at : at + n], table, 0, n, basis)
        for i in range(n):
            own, by_own = coefficients[at + i], g_coefficients[at + i]
            red, green, blue = gradient[at + i]
            for k in range(1, len(basis)):
                value = basis[k, i]
                by_own[k - 1, 0] = value * red
                by_own[k - 1, 1] = value * green
                by_own[k - 1, 2] = value * blue
                above[k, i] = own[k - 1, 0] * red + own[k - 1, 1] * green + own[k - 1, 2] * blue
            by_own[len(basis) - 1 :] = np.float32(0)
        _backward(directions[:, at : at + n], above, table, 0, n, out[:, at : at + n])


def spherical_harmonics(
    directions: Float[Tensor, "points 3"], degree: int
) -> Float[Tensor, "points coefficients"]:
    return _SphericalHarmonics.apply(directions, degree)  # pyright: ignore[reportReturnType]


class _SphericalHarmonics(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, directions: Tensor, degree: int) -> Tensor:
        columns = directions.detach().T.contiguous()
        out = columns.new_empty((degree + 1) ** 2, columns.shape[1])
        table = factors(degree).astype(np.float32)
        source, target = columns.numpy(), out.numpy()
        run_threads(
            lambda share: _forward(source, table, *share, target),
            shares(columns.shape[1], num_threads()),
        )
        ctx.save_for_backward(columns)
        ctx.degree = degree
        return out.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (columns,) = ctx.saved_tensors
        out = torch.empty_like(columns)
        table = factors(ctx.degree).astype(np.float32)
        source, target = columns.numpy(), out.numpy()
        above = gradients[0].T.contiguous().numpy()
        run_threads(
            lambda share: _backward(source, above, table, *share, target),
            shares(columns.shape[1], num_threads()),
        )
        return out.T, None


def harmonic_colors(
    directions: Float[Tensor, "points 3"],
    coefficients: Float[Tensor, "points harmonics 3"],
    degree: int,
) -> Float[Tensor, "points 3"]:
    return _HarmonicColors.apply(directions, coefficients, degree)  # pyright: ignore[reportReturnType]


class _HarmonicColors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, directions: Tensor, coefficients: Tensor, degree: int) -> Tensor:
        columns, own = directions.detach().T.contiguous(), coefficients.detach().contiguous()
        out = own.new_empty(len(own), 3)
        table = factors(degree).astype(np.float32)
        arrays = columns.numpy(), own.numpy(), table
        target = out.numpy()
        run_threads(lambda part: _sum(*arrays, *part, target), shares(len(own), num_threads()))
        ctx.save_for_backward(columns, own)
        ctx.degree = degree
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        columns, own = ctx.saved_tensors
        by_columns, by_own = torch.empty_like(columns), torch.empty_like(own)
        table = factors(ctx.degree).astype(np.float32)
        arrays = columns.numpy(), own.numpy(), gradients[0].contiguous().numpy(), table
        targets = by_own.numpy(), by_columns.numpy()
        run_threads(
            lambda part: _sum_backward(*arrays, *part, *targets),
            shares(len(own), num_threads()),
        )
        return by_columns.T, by_own, None
