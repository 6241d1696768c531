"""Spherical harmonics on the CPU.

Points are processed in blocks, so that z, C_m and S_m (see legendre.py) stay in cache while all
harmonics of the block are computed. Directions, harmonics and gradients are feature-major, so
that every loop over points vectorizes.
"""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.runtime.jit import inline, jit, num_threads, run_threads, shares
from unrender.kernels.spherical_harmonics.legendre import MAX_DEGREE, factors

BLOCK = 256
ORDERS = MAX_DEGREE + 1


@inline
@no_type_check
def _orders(x, y, num_orders, cosine, sine):
    """C_m and S_m of all orders."""
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
                    factor = a + z[i] * (b + z[i] * (c + z[i] * (d + z[i] * e)))
                    # For order 0 both are the same entry, and the second assignment prevails.
                    minus[i] = factor * sine[m, i]
                    plus[i] = factor * cosine[m, i]


@jit
@no_type_check
def _backward(directions, gradient, table, first, last, out):
    num_degrees = len(table)
    cosine, sine = np.empty((ORDERS, BLOCK), np.float32), np.empty((ORDERS, BLOCK), np.float32)
    grad_orders = np.empty((2, BLOCK), np.float32)
    for at in range(first, last, BLOCK):
        end = min(at + BLOCK, last)
        x, y, z = directions[0, at:end], directions[1, at:end], directions[2, at:end]
        grad_x, grad_y, grad_z = out[0, at:end], out[1, at:end], out[2, at:end]
        _orders(x, y, num_degrees, cosine, sine)
        for i in range(len(z)):
            grad_x[i] = grad_y[i] = grad_z[i] = np.float32(0)
        for m in range(num_degrees):
            # Gradients with respect to C_m and S_m.
            grad_orders[:] = np.float32(0)
            for ell in range(m, num_degrees):
                a, b, c, d, e = table[ell, m]
                two_c, three_d, four_e = c + c, np.float32(3) * d, np.float32(4) * e
                plus = gradient[ell * ell + ell + m, at:end]
                minus = gradient[ell * ell + ell - m, at:end]
                for i in range(len(z)):
                    value = a + z[i] * (b + z[i] * (c + z[i] * (d + z[i] * e)))
                    slope = b + z[i] * (two_c + z[i] * (three_d + z[i] * four_e))
                    grad_orders[0, i] += plus[i] * value
                    grad_orders[1, i] += minus[i] * value
                    grad_z[i] += slope * (plus[i] * cosine[m, i] + minus[i] * sine[m, i])
            order = np.float32(m)
            if m > 0:
                for i in range(len(z)):
                    c, s = order * cosine[m - 1, i], order * sine[m - 1, i]
                    grad_x[i] += grad_orders[0, i] * c + grad_orders[1, i] * s
                    grad_y[i] += grad_orders[1, i] * c - grad_orders[0, i] * s


@jit
@no_type_check
def _sum(directions, coefficients, table, first, last, out):
    """Weighted sums of the harmonics, block by block."""
    basis = np.empty((len(table) ** 2, BLOCK), np.float32)
    for at in range(first, last, BLOCK):
        n = min(BLOCK, last - at)
        _forward(directions[:, at : at + n], table, 0, n, basis)
        for i in range(n):
            point_coefficients = coefficients[at + i]
            red = green = blue = np.float32(0)
            for k in range(1, len(basis)):
                value = basis[k, i]
                red += value * point_coefficients[k - 1, 0]
                green += value * point_coefficients[k - 1, 1]
                blue += value * point_coefficients[k - 1, 2]
            out[at + i, 0] = red
            out[at + i, 1] = green
            out[at + i, 2] = blue


@jit
@no_type_check
def _sum_backward(directions, coefficients, gradient, table, first, last, g_coefficients, out):
    basis = np.empty((len(table) ** 2, BLOCK), np.float32)
    grad_basis = np.zeros((len(table) ** 2, BLOCK), np.float32)
    for at in range(first, last, BLOCK):
        n = min(BLOCK, last - at)
        _forward(directions[:, at : at + n], table, 0, n, basis)
        for i in range(n):
            point_coefficients, grad_coefficients = coefficients[at + i], g_coefficients[at + i]
            red, green, blue = gradient[at + i]
            for k in range(1, len(basis)):
                value = basis[k, i]
                grad_coefficients[k - 1, 0] = value * red
                grad_coefficients[k - 1, 1] = value * green
                grad_coefficients[k - 1, 2] = value * blue
                grad_basis[k, i] = (
                    point_coefficients[k - 1, 0] * red
                    + point_coefficients[k - 1, 1] * green
                    + point_coefficients[k - 1, 2] * blue
                )
            grad_coefficients[len(basis) - 1 :] = np.float32(0)
        _backward(directions[:, at : at + n], grad_basis, table, 0, n, out[:, at : at + n])


def spherical_harmonics_forward(directions: Tensor, degree: int) -> Saved:
    columns = directions.detach().T.contiguous()
    out = columns.new_empty((degree + 1) ** 2, columns.shape[1])
    table = factors(degree).astype(np.float32)
    source, target = columns.numpy(), out.numpy()
    run_threads(
        lambda share: _forward(source, table, *share, target),
        shares(columns.shape[1], num_threads()),
    )
    return out.T, (columns,), (degree,)


def spherical_harmonics_backward(
    gradient: Tensor, needed: tuple[bool, ...], degree: int, columns: Tensor
) -> Gradients:
    out = torch.empty_like(columns)
    table = factors(degree).astype(np.float32)
    source, target = columns.numpy(), out.numpy()
    grad_output = gradient.T.contiguous().numpy()
    run_threads(
        lambda share: _backward(source, grad_output, table, *share, target),
        shares(columns.shape[1], num_threads()),
    )
    return (out.T,)


def harmonic_colors_forward(directions: Tensor, coefficients: Tensor, degree: int) -> Saved:
    columns, point_coefficients = (
        directions.detach().T.contiguous(),
        coefficients.detach().contiguous(),
    )
    out = point_coefficients.new_empty(len(point_coefficients), 3)
    table = factors(degree).astype(np.float32)
    arrays = columns.numpy(), point_coefficients.numpy(), table
    target = out.numpy()
    run_threads(
        lambda part: _sum(*arrays, *part, target),
        shares(len(point_coefficients), num_threads()),
    )
    return out, (columns, point_coefficients), (degree,)


def harmonic_colors_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    degree: int,
    columns: Tensor,
    point_coefficients: Tensor,
) -> Gradients:
    grad_columns, grad_coefficients = (
        torch.empty_like(columns),
        torch.empty_like(point_coefficients),
    )
    table = factors(degree).astype(np.float32)
    arrays = (
        columns.numpy(),
        point_coefficients.numpy(),
        gradient.contiguous().numpy(),
        table,
    )
    targets = grad_coefficients.numpy(), grad_columns.numpy()
    run_threads(
        lambda part: _sum_backward(*arrays, *part, *targets),
        shares(len(point_coefficients), num_threads()),
    )
    return grad_columns.T, grad_coefficients
