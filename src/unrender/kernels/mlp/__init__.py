"""A small fully connected network with ReLU between layers and no biases.

This is the architecture of instant-ngp's networks (Müller et al., SIGGRAPH 2022, sec. 4).
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation

Activation = Literal["none", "relu", "sigmoid"]
"""Activation of the last layer."""
Precision = Literal["float32", "bfloat16"]


def mlp(
    x: Float[Tensor, "points inputs"],
    weights: Sequence[Float[Tensor, "_ _"]],
    activation: Activation = "none",
    precision: Precision = "float32",
    ray_inputs: tuple[Float[Tensor, "rays channels"], Int[Tensor, "rays_plus_one"]]
    | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "points outputs"]:
    """The network's outputs; each weight is [outputs, inputs]. Differentiable in all of them.

    `ray_inputs`, (values, offsets), are additional inputs in front of x that are shared by all
    samples of a ray; ray r has the points offsets[r] to offsets[r + 1].

    With "bfloat16", the factors of all products, forward and backward, are rounded to bfloat16,
    and sums are accumulated in float32; the output is float32.
    """
    assert weights, "a network has at least one layer"
    kernel = implementation(__name__, backend, x)
    return kernel.mlp(x, weights, activation, precision, ray_inputs)
