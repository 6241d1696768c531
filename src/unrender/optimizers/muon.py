"""Muon: steps along the momentum of a matrix with all its singular values made equal.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the size of the
steps follows Liu et al., "Muon is Scalable for LLM Training" (2025), so that one learning rate
and one weight decay serve the matrices and all other parameters, which AdamW updates.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.kernels.runtime.jit import run_threads

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic a s + b s³ + c s⁵, which lifts small singular values fastest."""
MOMENTUM = 0.95
ADAM_UPDATE = 0.2
"""Root mean square of the entries of AdamW's updates, in units of the learning rate."""


def orthogonalised(
    matrix: Float[Tensor, "rows columns"], dtype: torch.dtype
) -> Float[Tensor, "rows columns"]:
    """U Vᵀ of the singular value decomposition U S Vᵀ, roughly: by Newton-Schulz iterations.

    The singular values of the outcome lie between about 0.7 and 1.2, except for those that are
    tiny in the input beside its norm. Products are made in `dtype`.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.to(dtype).T if tall else matrix.to(dtype)
    wide = wide / wide.norm().clamp_min(1e-7)
    # Short floats would lose the small singular values, which the Gram matrix squares.
    exact = dtype in (torch.float32, torch.float64)
    turned = _turned_by_gram if exact and wide.shape[1] >= 2 * wide.shape[0] else _turned
    found = turned(wide)
    return (found.T if tall else found).to(matrix.dtype)


def _turned(wide: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        wide = torch.addmm(wide, polynomial, wide, beta=a)
    return wide


def _turned_by_gram(wide: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """The same iterations, all but the first and the last product on a small square."""
    a, b, c = COEFFICIENTS
    gram = wide @ wide.T
    total = polynomial = gram
    for iteration in range(ITERATIONS):
        if iteration:
            # Polynomials of one matrix commute, and so does the Gram matrix with them.
            gram = polynomial @ (gram @ polynomial)
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal().add_(a)
        total = polynomial @ total if iteration else polynomial
    return total @ wide


class Muon(torch.optim.AdamW):
    """Muon for the matrices between layers, AdamW for all else, which may be everything.

    Gradients that AdamW uses are shortened to `max_norm` together; Muon's steps do not depend
    on the length of the gradient.
    """

    def __init__(
        self,
        matrices: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter],
        rate: float,
        weight_decay: float,
        max_norm: float,
        dtype: torch.dtype,
    ):
        """`dtype`: of Muon's products; bfloat16 is enough where it is fast."""
        groups = [
            {"params": list(matrices), "matrices": True},
            {"params": list(others), "matrices": False},
        ]
        super().__init__(
            groups, lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
        )
        self.max_norm, self.dtype = max_norm, dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        assert closure is None, "the loss is computed once, before the step"
        for group in self.param_groups:
            if group["matrices"]:
                self._turn(group["params"], group["lr"], group["weight_decay"])
            else:
                nn.utils.clip_grad_norm_(group["params"], self.max_norm)
        super().step()

    def _turn(
        self, parameters: Sequence[nn.Parameter], rate: float, weight_decay: float
    ) -> None:
        matrices = [matrix for matrix in parameters if matrix.grad is not None]
        updates = [self._ahead(matrix) for matrix in matrices]
        if matrices and matrices[0].device.type == "cpu":
            # A thread to a matrix: threads that share such small products wait for each other.
            updates = run_threads(self._turned, updates, include_caller=False)
        else:
            updates = list(map(self._turned, updates))
        for matrix, update in zip(matrices, updates, strict=True):
            # An orthogonal matrix has entries of 1 / √max(rows, columns) in the mean square.
            size = ADAM_UPDATE * math.sqrt(max(matrix.shape))
            matrix.mul_(1 - rate * weight_decay).add_(update, alpha=-rate * size)
            # AdamW skips parameters without a gradient.
            matrix.grad = None

    def _turned(self, matrix: Tensor) -> Tensor:
        return orthogonalised(matrix, self.dtype)

    def _ahead(self, matrix: nn.Parameter) -> Tensor:
        """The momentum as it will be a step further on (Nesterov)."""
        gradient = matrix.grad
        assert gradient is not None, "only what has a gradient moves"
        state = self.state[matrix]
        if "momentum" not in state:
            # AdamW wants a step counted for all that has a state.
            state["step"] = torch.zeros(())
            state["momentum"] = torch.zeros_like(matrix)
        state["step"] += 1
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(momentum, MOMENTUM)
