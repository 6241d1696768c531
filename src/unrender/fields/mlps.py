"""Networks of fields: ReLU and sine networks, and small ones that run as one kernel."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.fields.networks import LinearLayer, Trunk
from unrender.kernels.mlp import mlp
from unrender.kernels.runtime.backend import Backend


class ReLUNetwork(nn.Module):
    """Hidden layers with biases and ReLU, then an affine layer."""

    def __init__(
        self, inputs: int, width: int, depth: int, outputs: int, generator: torch.Generator
    ):
        super().__init__()
        self.trunk = Trunk(inputs, width, depth, 0, generator)
        self.last = LinearLayer(width, outputs, generator)

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points outputs"]:
        return self.last(self.trunk(x))


class SineNetwork(nn.Module):
    """SIREN: hidden layers sin(ω0 (W x + b)), then an affine layer, on coordinates in [−1, 1].

    Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions",
    NeurIPS 2020, sec. 3.2: the first weights are uniform in ±1/inputs, all others in
    ±√(6/inputs)/ω0. The input of the second sine then has variance 1. The sine of normally
    distributed numbers of variance v has variance (1 − exp(−2v)) / 2, so that the inputs of the
    following sines have variance 1 − exp(−2v): 0.86, 0.82, and so on to 0.80, at any depth. The
    first biases, which are phases, are uniform over half a period; the others begin at 0.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        outputs: int,
        omega: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.omega = omega
        sizes = [inputs, *[width] * depth, outputs]
        self.layers = nn.ModuleList(LinearLayer(a, b, generator) for a, b in pairwise(sizes))
        with torch.no_grad():
            for number, layer in enumerate(self.layers):
                assert isinstance(layer, LinearLayer), "made above"
                count = layer.weight.shape[1]
                bound = (6 / count) ** 0.5 / omega if number else 1 / count
                layer.weight.uniform_(-bound, bound, generator=generator)
            first = self.layers[0].bias
            assert isinstance(first, Tensor), "made above"
            half_wave = torch.pi / omega
            first.uniform_(-half_wave / 2, half_wave / 2, generator=generator)

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points outputs"]:
        *hidden, last = self.layers
        for layer in hidden:
            x = (self.omega * layer(x)).sin()
        return last(x)


def network_weights(
    sizes: Sequence[int], generator: torch.Generator, glorot: bool = False, last: float = 1.0
) -> nn.ParameterList:
    """Weights [outputs, inputs] of a bias-free network's layers, for `kernels/mlp`.

    They are normal with variance 2 / inputs (He et al., "Delving Deep into Rectifiers", 2015),
    or uniform with variance 2 / (inputs + outputs) (Glorot and Bengio, 2010). Those of the last
    layer are multiplied by `last`: with a small one, sigmoids begin near 1/2 and densities near
    a constant.
    """

    def layer(inputs: int, outputs: int) -> Tensor:
        if glorot:
            return LinearLayer(inputs, outputs, generator).weight.detach()
        return torch.randn(outputs, inputs, generator=generator) * (2 / inputs) ** 0.5

    weights = [layer(a, b) for a, b in pairwise(sizes)]
    weights[-1] *= last
    return nn.ParameterList(nn.Parameter(weight) for weight in weights)


class SmallNetwork(nn.Module):
    """A bias-free ReLU network that runs as one kernel (`kernels/mlp`); He initialization."""

    def __init__(self, sizes: list[int], generator: torch.Generator, backend: Backend):
        super().__init__()
        self.backend: Backend = backend
        self.weights = network_weights(sizes, generator)

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points outputs"]:
        return mlp(x, list(self.weights), backend=self.backend)
