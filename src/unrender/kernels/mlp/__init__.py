"""A small fully connected network: ReLU between layers, no biases, nothing after the last.

The shape of the networks of instant-ngp (Müller et al., SIGGRAPH 2022, sec. 4).
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.backend import Backend, resolve
from unrender.kernels.mlp import cpu, reference


def mlp(
    x: Float[Tensor, "points inputs"],
    weights: Sequence[Float[Tensor, "_ _"]],
    backend: Backend = "auto",
) -> Float[Tensor, "points outputs"]:
    """The last layer's values before any activation; each weight is [outputs, inputs]."""
    assert weights, "a network has at least one layer"
    implementation = cpu if resolve(backend, x) == "cpu" else reference
    return implementation.mlp(x, weights)
