"""Plain implementation of a training step of the flow, as a baseline of the library's.

The same network, losses, optimizer and average, in float32: patches by a convolution, attention
by its formula, and a loop over the parameters for every update. Nothing here is approximate, so
both steps compute the same.
"""

import math

import torch
from torch import Tensor, nn

from unrender.flows import transformer
from unrender.optimizers.muon import ADAM_UPDATE, COEFFICIENTS, ITERATIONS, MOMENTUM

BETAS = (0.9, 0.99)
EPSILON = 1e-8


def patches_by_convolution(self: transformer.PatchEmbedder, x: Tensor) -> Tensor:
    """`PatchEmbedder.forward`."""
    return self.proj(x).flatten(2).transpose(1, 2)


def attention_by_formula(self: transformer.Attention, x: Tensor) -> Tensor:
    """`Attention.forward`: softmax(q kᵀ / √d) v."""
    q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
    q, k = self.q_norm(q), self.k_norm(k)
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    return self.proj((weights @ v).transpose(1, 2).flatten(2))


class PlainOptimizer(torch.optim.Optimizer):
    """Muon and AdamW as in their papers, one parameter after another."""

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        rate: float,
        weight_decay: float,
        max_norm: float,
    ):
        groups = [
            {"params": matrices, "lr": rate, "matrices": True},
            {"params": others, "lr": rate, "matrices": False},
        ]
        super().__init__(groups, {})
        self.weight_decay, self.max_norm = weight_decay, max_norm

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step."""
        matrices, others = self.param_groups
        for parameter in matrices["params"]:
            state = self.state[parameter]
            momentum = state.setdefault("momentum", torch.zeros_like(parameter))
            momentum.mul_(MOMENTUM).add_(parameter.grad, alpha=1 - MOMENTUM)
            update = orthogonalize((1 - MOMENTUM) * parameter.grad + MOMENTUM * momentum) * (
                ADAM_UPDATE * math.sqrt(max(parameter.shape))
            )
            parameter.mul_(1 - matrices["lr"] * self.weight_decay)
            parameter.add_(update, alpha=-matrices["lr"])
        norm = sum(p.grad.square().sum() for p in others["params"]) ** 0.5
        share = min(1.0, self.max_norm / (float(norm) + 1e-6))
        for parameter in others["params"]:
            state = self.state[parameter]
            state["step"] = state.get("step", 0) + 1
            first = state.setdefault("first", torch.zeros_like(parameter))
            second = state.setdefault("second", torch.zeros_like(parameter))
            gradient = share * parameter.grad
            first.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
            second.mul_(BETAS[1]).add_(gradient.square(), alpha=1 - BETAS[1])
            mean, square = (
                moment / (1 - beta ** state["step"])
                for moment, beta in zip((first, second), BETAS, strict=True)
            )
            parameter.mul_(1 - others["lr"] * self.weight_decay)
            parameter.sub_(others["lr"] * mean / (square.sqrt() + EPSILON))


def orthogonalize(matrix: Tensor) -> Tensor:
    """Newton–Schulz iterations on the matrix itself."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp_min(1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, share: float) -> None:
    """Update the exponential moving average of the weights."""
    for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
        ours.mul_(share).add_(theirs, alpha=1 - share)
