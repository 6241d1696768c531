"""A small fully connected network: ReLU between layers, no biases.

The shape of the networks of instant-ngp (Müller et al., SIGGRAPH 2022, sec. 4).
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation

Activation = Literal["none", "relu", "sigmoid"]
"""What the last layer's values go through."""
Precision = Literal["float32", "bfloat16"]


def mlp(
    x: Float[Tensor, "points inputs"],
    weights: Sequence[Float[Tensor, "_ _"]],
    activation: Activation = "none",
    precision: Precision = "float32",
    head: tuple[Float[Tensor, "rays channels"], Int[Tensor, "rays_plus_one"]] | None = None,
    backend: Backend = "auto",
) -> Float[Tensor, "points outputs"]:
    """The network's outputs; each weight is [outputs, inputs]. Differentiable in all of them.

    A `head`, (values, offsets), stands for more inputs in front of x: the same for all samples
    of a ray, which are points offsets[r] to offsets[r + 1].

    With "bfloat16", what is multiplied, forward and backward, is rounded to bfloat16, and sums
    are held in float32; the output is float32.
    """
    assert weights, "a network has at least one layer"
    kernel = implementation(__name__, backend, x)
    return kernel.mlp(x, weights, activation, precision, head)
