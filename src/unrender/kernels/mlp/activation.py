"""Derivatives of activations, computed from their outputs."""

from torch import Tensor


def before_activation(gradient: Tensor, out: Tensor | None, activation: str) -> Tensor:
    """Gradient with respect to an activation's input, given its output and gradient."""
    if out is None:
        return gradient
    return gradient * (out > 0 if activation == "relu" else out - out * out)
