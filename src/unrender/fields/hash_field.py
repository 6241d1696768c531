"""A multiresolution hash grid followed by a small network (Müller et al., SIGGRAPH 2022)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.fields.mlps import network_weights
from unrender.kernels.hash_grid import HashGridLayout, hash_grid
from unrender.kernels.mlp import mlp
from unrender.kernels.runtime.backend import Backend

MAX_LOG_DENSITY = 12.0
"""Logarithms of density are clamped to it, so that densities stay finite."""


class HashTable(nn.Module):
    """The features of a hash grid, uniform in ±10⁻⁴ at first (sec. 4 of the paper)."""

    def __init__(
        self, layout: HashGridLayout, generator: torch.Generator, backend: Backend = "auto"
    ):
        super().__init__()
        self.layout = layout
        self.backend: Backend = backend
        table = torch.rand(layout.num_entries, layout.features_per_level, generator=generator)
        self.table = nn.Parameter(1e-4 * (2 * table - 1))

    @property
    def encoded(self) -> int:
        """Features per point, of all levels."""
        return self.layout.num_levels * self.layout.features_per_level

    def encode(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points features"]:
        """Interpolated features of all levels at points of the unit square or cube."""
        return hash_grid(points, self.table, self.layout, self.backend)


class HashField(HashTable):
    """A hash grid and a network with ReLU and without biases, which runs as one kernel."""

    def __init__(
        self,
        layout: HashGridLayout,
        hidden: Sequence[int],
        outputs: int,
        generator: torch.Generator,
        inputs: int = 0,
        glorot: bool = False,
        last: float = 1.0,
    ):
        """`inputs` are given to the network besides the features; the rest: see
        `network_weights`.
        """
        super().__init__(layout, generator)
        sizes = [inputs + self.encoded, *hidden, outputs]
        self.network = network_weights(sizes, generator, glorot, last)

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points outputs"]:
        """The network's outputs at points of the unit cube; without further inputs."""
        return mlp(self.encode(points), list(self.network))


def exponential_density(
    features: Float[Tensor, "points outputs"],
) -> tuple[Float[Tensor, "points"], Float[Tensor, "points outputs"]]:
    """exp of the first feature, clamped at MAX_LOG_DENSITY with the gradient passed through.

    All features are returned too, so that both gradients are added without an array of zeros.
    """
    return _ExponentialDensity.apply(features)  # pyright: ignore[reportReturnType]


class _ExponentialDensity(torch.autograd.Function):
    """See `exponential_density`."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, features: Tensor
    ) -> tuple[Tensor, Tensor]:
        density = features[:, 0].clamp_max(MAX_LOG_DENSITY).exp()
        ctx.save_for_backward(density)
        return density, features.view_as(features)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        (density,) = ctx.saved_tensors  # type: ignore[attr-defined]
        total = gradients[1].clone()
        total[:, 0] += gradients[0] * density
        return total
