"""The network in plain torch."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def mlp(
    x: Float[Tensor, "points inputs"], weights: Sequence[Float[Tensor, "_ _"]]
) -> Float[Tensor, "points outputs"]:
    for weight in weights[:-1]:
        x = functional.linear(x, weight).relu()
    return functional.linear(x, weights[-1])
