"""A step of Adam on the entries with a gradient, on the CPU, in one pass over the table."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares


@jit
@no_type_check
def _step(table, gradient, mean, square, numbers, first, last):
    rate, beta1, beta2, root, eps = numbers
    one, zero = np.float32(1), np.float32(0)
    x, g, m, v = table[first:last], gradient[first:last], mean[first:last], square[first:last]
    for i in range(len(x)):
        # Selected without branches, so that the loop is vectorized.
        new_m = beta1 * m[i] + (one - beta1) * g[i]
        new_v = beta2 * v[i] + (one - beta2) * g[i] * g[i]
        change = rate * new_m / (np.sqrt(new_v) / root + eps)
        moved = g[i] != zero
        m[i] = new_m if moved else m[i]
        v[i] = new_v if moved else v[i]
        x[i] = x[i] - change if moved else x[i]


def lazy_adam(
    table: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*shape"],
    square: Float[Tensor, "*shape"],
    rate: float,
    betas: tuple[float, float],
    root: float,
    eps: float,
) -> None:
    tables = [each.detach().view(-1).numpy() for each in (table, gradient, mean, square)]
    numbers = tuple(np.float32(number) for number in (rate, *betas, root, eps))
    run_threads(
        lambda share: _step(*tables, numbers, *share), shares(table.numel(), num_threads())
    )
