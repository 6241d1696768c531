"""The fully connected networks of NeRF and mip-NeRF."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

RGB_PADDING = 0.001  # mip-NeRF's ε, by which colors may exceed [0, 1]


class LinearLayer(nn.Module):
    """An affine layer with Glorot-uniform weights from a generator and zero biases."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator):
        super().__init__()
        bound = (6 / (inputs + outputs)) ** 0.5
        weight = (2 * torch.rand(outputs, inputs, generator=generator) - 1) * bound
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        return linear(x, self.weight, self.bias)


class Trunk(nn.Module):
    """Hidden layers with ReLU and a skip connection into layer `skip` (NeRF, fig. 7)."""

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
    """From an encoded position and direction to density and color (NeRF, fig. 7).

    Both outputs come without activation, as activations differ between papers.
    """

    def __init__(
        self,
        position: int,
        direction: int,
        width: int,
        depth: int,
        skip: int,
        generator: torch.Generator,
        bottleneck: int = 0,
        color_width: int = 0,
    ):
        """`position` and `direction`: sizes of the encodings.

        `bottleneck` features of the position, by default `width`, go to the layer of
        `color_width` units, by default half of `width`, that sees the direction.
        """
        super().__init__()
        bottleneck, color_width = bottleneck or width, color_width or width // 2
        self.trunk = Trunk(position, width, depth, skip, generator)
        self.density = LinearLayer(width, 1, generator)
        self.bottleneck = LinearLayer(width, bottleneck, generator)
        self.hidden = LinearLayer(bottleneck + direction, color_width, generator)
        self.color = LinearLayer(color_width, 3, generator)

    def forward(
        self,
        position: Float[Tensor, "rays bins position"],
        direction: Float[Tensor, "rays direction"],
    ) -> tuple[Float[Tensor, "rays bins"], Float[Tensor, "rays bins 3"]]:
        hidden = self.trunk(position)
        # The direction's part of the product is computed once per ray, not per bin.
        width = self.bottleneck.bias.shape[0]
        weight = self.hidden.weight
        from_direction = linear(direction, weight[:, width:], self.hidden.bias)
        features = self.bottleneck(hidden)
        view = (linear(features, weight[:, :width]) + from_direction[:, None]).relu()
        return self.density(hidden)[..., 0], self.color(view)


def padded_sigmoid(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """A sigmoid that exceeds [0, 1] by RGB_PADDING, so that it need not saturate.

    mip-NeRF, supplement: (1 + 2 ε) / (1 + exp(−x)) − ε.
    """
    return (1 + 2 * RGB_PADDING) * x.sigmoid() - RGB_PADDING
