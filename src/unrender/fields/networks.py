"""The fully connected networks of NeRF and mip-NeRF."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from unrender.kernels.mlp import Activation, mlp

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

    def affine(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases of the layers, for `fused_layers`."""
        return [(weight, bias) for weight, bias in map(nn.Module.parameters, self.layers)]

    def fused(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points width"]:
        """The same in one kernel: faster on a CPU, with first derivatives only."""
        layers = self.affine()
        if not 0 < self.skip < len(layers):
            return fused_layers(x, layers, "relu")
        hidden = fused_layers(x, layers[: self.skip], "relu")
        return fused_layers(torch.cat([hidden, x], dim=-1), layers[self.skip :], "relu")

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
        if can_fuse(position):
            return self._fused(position, direction)
        hidden = self.trunk(position)
        # The direction's part of the product is computed once per ray, not per bin.
        width = self.bottleneck.bias.shape[0]
        weight = self.hidden.weight
        from_direction = linear(direction, weight[:, width:], self.hidden.bias)
        features = self.bottleneck(hidden)
        view = (linear(features, weight[:, :width]) + from_direction[:, None]).relu()
        return self.density(hidden)[..., 0], self.color(view)

    def _fused(self, position: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """The same in two kernels; the bottleneck, which has no ReLU, is one with its layer."""
        rays, bins = position.shape[:2]
        hidden = self.trunk.fused(position.flatten(0, 1))
        into, weight = self.bottleneck, self.hidden.weight
        direct, rest = weight.split([into.bias.shape[0], direction.shape[1]], dim=1)
        layers = [
            (
                torch.cat([rest, direct @ into.weight], dim=1),
                self.hidden.bias + direct @ into.bias,
            ),
            (self.color.weight, self.color.bias),
        ]
        color = fused_layers(hidden, layers, "none", direction)
        density = fused_layers(hidden, [(self.density.weight, self.density.bias)], "none")
        return density.view(rays, bins), color.unflatten(0, (rays, bins))


def can_fuse(x: Tensor) -> bool:
    """Whether `fused_layers` is faster for `x`: on a CPU, in single precision."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def fused_layers(
    x: Float[Tensor, "points inputs"],
    layers: Sequence[tuple[Float[Tensor, "_ _"], Float[Tensor, "_"]]],
    activation: Activation,
    per_ray: Float[Tensor, "rays channels"] | None = None,
    offsets: Int[Tensor, "rays_plus_one"] | None = None,
) -> Float[Tensor, "points outputs"]:
    """Affine layers, (weights, biases), with ReLU between them, in one kernel (`kernels/mlp`).

    A bias is the weight of an input that is 1, which hidden layers pass on. `per_ray` are
    further inputs in front of x, the same for the points of a ray: ray r has the points
    offsets[r] to offsets[r + 1], or all rays have as many.
    """
    values = x.new_ones(1, 1) if per_ray is None else pad(per_ray, (1, 0), value=1.0)
    if offsets is None:
        offsets = torch.arange(len(values) + 1) * (len(x) // len(values))
    weights = [torch.cat([bias[:, None], weight], dim=1) for weight, bias in layers]
    for k, weight in enumerate(weights[:-1]):
        one = nn.functional.one_hot(torch.tensor([0]), weight.shape[1]).to(weight)
        weights[k] = torch.cat([one, weight])
    return mlp(x, weights, activation, ray_inputs=(values, offsets))


def padded_sigmoid(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """A sigmoid that exceeds [0, 1] by RGB_PADDING, so that it need not saturate.

    mip-NeRF, supplement: (1 + 2 ε) / (1 + exp(−x)) − ε.
    """
    return (1 + 2 * RGB_PADDING) * x.sigmoid() - RGB_PADDING
