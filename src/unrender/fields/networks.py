"""Fully connected networks of radiance fields."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

RGB_PADDING = 0.001


class LinearLayer(nn.Module):
    """An affine map, with weights from a generator (Glorot and Bengio's uniform ones)."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator):
        super().__init__()
        bound = (6 / (inputs + outputs)) ** 0.5
        weight = (2 * torch.rand(outputs, inputs, generator=generator) - 1) * bound
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        return linear(x, self.weight, self.bias)


class Trunk(nn.Module):
    """Hidden layers with ReLU; the input comes in again behind layer `skip` (NeRF, fig. 7)."""

    def __init__(
        self, inputs: int, width: int, depth: int, skip: int, generator: torch.Generator
    ):
        super().__init__()
        self.skip = skip
        sizes = [inputs, *[width] * depth]
        self.layers = nn.ModuleList(
            LinearLayer(a + (inputs if i == skip and i else 0), b, generator)
            for i, (a, b) in enumerate(pairwise(sizes))
        )

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch width"]:
        hidden = x
        for i, layer in enumerate(self.layers):
            if i == self.skip and i:
                hidden = torch.cat([hidden, x], dim=-1)
            hidden = layer(hidden).relu()
        return hidden


class RadianceNetwork(nn.Module):
    """From an encoded position and direction to a density and a colour (NeRF, fig. 7).

    Both before their last functions, which differ from paper to paper.
    """

    def __init__(
        self,
        position: int,
        direction: int,
        width: int,
        depth: int,
        skip: int,
        generator: torch.Generator,
    ):
        """`position` and `direction`: how many numbers each is encoded in."""
        super().__init__()
        self.trunk = Trunk(position, width, depth, skip, generator)
        self.density = LinearLayer(width, 1, generator)
        self.bottleneck = LinearLayer(width, width, generator)
        self.hidden = LinearLayer(width + direction, width // 2, generator)
        self.color = LinearLayer(width // 2, 3, generator)

    def forward(
        self,
        position: Float[Tensor, "rays bins position"],
        direction: Float[Tensor, "rays direction"],
    ) -> tuple[Float[Tensor, "rays bins"], Float[Tensor, "rays bins 3"]]:
        hidden = self.trunk(position)
        # The direction's part of the product is the same for all bins of a ray.
        width = self.bottleneck.bias.shape[0]
        weight = self.hidden.weight
        seen = linear(direction, weight[:, width:], self.hidden.bias)
        features = self.bottleneck(hidden)
        view = (linear(features, weight[:, :width]) + seen[:, None]).relu()
        return self.density(hidden)[..., 0], self.color(view)


def padded_sigmoid(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """A sigmoid that reaches beyond [0, 1] by WIDER, so that it need not saturate.

    mip-NeRF, supplement: (1 + 2 ε) / (1 + exp(−x)) − ε.
    """
    return (1 + 2 * RGB_PADDING) * x.sigmoid() - RGB_PADDING
