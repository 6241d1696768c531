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

from unrender.kernels.jit import inline, jit, num_threads, run_threads, shares
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
