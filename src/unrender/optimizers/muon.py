"""Muon: updates of weight matrices by their orthogonalized momentum.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). Updates are
scaled as in Liu et al., "Muon is Scalable for LLM Training" (2025), so that one learning rate
and one weight decay serve both the matrices and all other parameters, which AdamW updates.

`torch.optim.Muon`, since torch 2.9, makes the same updates bit for bit in bfloat16, its only
precision, but takes 1.6 to 2.7 times as long on two CPU cores (16 matrices of a transformer).
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.kernels.runtime.jit import run_threads

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic a s + b s³ + c s⁵, which increases small singular values."""
MOMENTUM = 0.95
ADAM_UPDATE = 0.2
"""Root mean square of the entries of typical AdamW updates, relative to the learning rate."""


def orthogonalize(
    matrix: Float[Tensor, "rows columns"], dtype: torch.dtype
) -> Float[Tensor, "rows columns"]:
    """Approximate U Vᵀ of the singular value decomposition U S Vᵀ, by Newton-Schulz iterations.

    The singular values of the result are between about 0.7 and 1.2, except for those that are
    tiny relative to the norm of the input. Products are computed in `dtype`.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.to(dtype).T if tall else matrix.to(dtype)
    wide = wide / wide.norm().clamp_min(1e-7)
    # Low precision would lose small singular values, which the Gram matrix squares.
    exact = dtype in (torch.float32, torch.float64)
    iterate = (
        _newton_schulz_gram if exact and wide.shape[1] >= 2 * wide.shape[0] else _newton_schulz
    )
    result = iterate(wide)
    return (result.T if tall else result).to(matrix.dtype)


def _newton_schulz(wide: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        wide = torch.addmm(wide, polynomial, wide, beta=a)
    return wide


def _newton_schulz_gram(wide: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """The same iterations with the Gram matrix, which is smaller than a wide matrix."""
    a, b, c = COEFFICIENTS
    gram = wide @ wide.T
    total = polynomial = gram
    for iteration in range(ITERATIONS):
        if iteration:
            # The Gram matrix and polynomials of it commute.
            gram = polynomial @ (gram @ polynomial)
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal().add_(a)
        total = polynomial @ total if iteration else polynomial
    return total @ wide


class Muon(torch.optim.AdamW):
    """Muon for weight matrices, of which there may be none, and AdamW for all other parameters.

    The gradients for AdamW are clipped to the total norm `max_norm`, unless it is 0; Muon's
    updates do not depend on the norm of the gradient.
    """

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter],
        lr: float,
        weight_decay: float,
        max_norm: float,
        dtype: torch.dtype,
        beta2: float = 0.99,
    ):
        """`dtype` is that of Muon's matrix products; bfloat16 is accurate enough for them.

        `beta2` is the decay rate of AdamW's second moment.
        """
        groups = [
            {"params": list(matrices), "matrices": True},
            {"params": list(others), "matrices": False},
        ]
        super().__init__(
            groups, lr=lr, betas=(0.9, beta2), weight_decay=weight_decay, fused=True
        )
        self.max_norm, self.dtype = max_norm, dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        assert closure is None, "closures are not supported: compute the loss before the step"
        for group in self.param_groups:
            if group["matrices"]:
                self._update_matrices(group["params"], group["lr"], group["weight_decay"])
            elif self.max_norm:
                nn.utils.clip_grad_norm_(group["params"], self.max_norm)
        super().step()

    def _update_matrices(
        self, parameters: Sequence[nn.Parameter], lr: float, weight_decay: float
    ) -> None:
        matrices = [matrix for matrix in parameters if matrix.grad is not None]
        updates = [self._nesterov(matrix) for matrix in matrices]
        if matrices and matrices[0].device.type == "cpu":
            # One thread per matrix, because small products scale badly over threads.
            updates = run_threads(self._orthogonalize, updates, include_caller=False)
        else:
            updates = list(map(self._orthogonalize, updates))
        for matrix, update in zip(matrices, updates, strict=True):
            # Entries of an orthogonal matrix have the root mean square 1 / √max(rows, columns).
            size = ADAM_UPDATE * math.sqrt(max(matrix.shape))
            matrix.mul_(1 - lr * weight_decay).add_(update, alpha=-lr * size)
            # AdamW skips parameters without a gradient.
            matrix.grad = None

    def _orthogonalize(self, matrix: Tensor) -> Tensor:
        return orthogonalize(matrix, self.dtype)

    def _nesterov(self, matrix: nn.Parameter) -> Tensor:
        """Update the momentum and return the Nesterov momentum."""
        gradient = matrix.grad
        assert gradient is not None, "only parameters with a gradient are updated"
        state = self.state[matrix]
        if "momentum" not in state:
            # AdamW requires a step count in every state.
            state["step"] = torch.zeros(())
            state["momentum"] = torch.zeros_like(matrix)
        state["step"] += 1
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(momentum, MOMENTUM)
