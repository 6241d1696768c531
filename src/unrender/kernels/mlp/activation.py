"""The activation's derivative, by its own value."""

from torch import Tensor


def before_activation(gradient: Tensor, out: Tensor | None, activation: str) -> Tensor:
    """The gradient by what went into an activation, given the one by what came `out`."""
    if out is None:
        return gradient
    return gradient * (out > 0 if activation == "relu" else out - out * out)
