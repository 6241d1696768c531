"""Signed distance fields and color networks for surface reconstruction from images.

Both SDF fields are initialized as a sphere, negative inside, and output a feature vector along
with the distance; points are in the frame of a ball of radius 1. `MLPSDF` and `IDRColor` are
the networks of IDR (Yariv et al., NeurIPS 2020), NeuS and VolSDF; `HashSDF` and `ColorNetwork`
take a fraction of their time.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from unrender.fields.encodings import positional_encoding
from unrender.fields.hash_field import HashField
from unrender.fields.mlps import network_weights
from unrender.geometry.contraction import contract
from unrender.kernels.hash_grid import HashGridLayout
from unrender.kernels.mlp import mlp
from unrender.kernels.spherical_harmonics import spherical_harmonics

TETRAHEDRON = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))
"""Corners of a regular tetrahedron around 0. The sum of k kᵀ over its corners k is 4 I."""
NUM_HARMONICS = 16
DIRECTION_OCTAVES = 4
"""Octaves of the papers' encoding of directions."""
LAST = 0.3
"""Factor on the last layers' initial weights, so that outputs begin near their means."""
SOFTPLUS_BETA = 100.0
"""β of the softplus, which is nearly a ReLU (Gropp et al., IGR, 2020)."""


@dataclass(frozen=True)
class SDFSamples:
    """An SDF field's values at points."""

    distance: Float[Tensor, "points"]
    """Signed distance, in radii of the bounding ball."""
    gradient: Float[Tensor, "points 3"]
    """Gradient of the distance; it has unit length where the field is a true distance."""
    features: Float[Tensor, "points features"]
    """Inputs of the color network."""

    @property
    def normals(self) -> Float[Tensor, "points 3"]:
        """Unit normals, outward; 0 where the gradient vanishes."""
        return self.gradient / self.gradient.norm(dim=1, keepdim=True).clamp_min(1e-6)


class SDFField(nn.Module):
    """A signed distance and features at points of the cube [−1, 1]³."""

    @abstractmethod
    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points outputs"]:
        """The distance in the first column, then the features."""

    def advance(self, share: float) -> None:
        """Set the coarse-to-fine progress: the fraction of the detail that is active."""

    def distance(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """The distance without the features."""
        return self(points)[:, 0]

    @abstractmethod
    def with_gradients(self, points: Float[Tensor, "points 3"]) -> SDFSamples:
        """Distances, their gradients, and features."""


class WeightNormLayer(nn.Module):
    """An affine layer whose weights are a length times a direction (weight normalization).

    Salimans and Kingma, NeurIPS 2016, eq. 2: row k is scale[k] direction[k] / ‖direction[k]‖.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"], bias: Float[Tensor, "outputs"]):
        super().__init__()
        self.direction, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.scale = nn.Parameter(weight.norm(dim=1))

    def forward(self, x: Float[Tensor, "points inputs"]) -> Float[Tensor, "points outputs"]:
        lengths = self.direction.norm(dim=1)
        return linear(x, (self.scale / lengths)[:, None] * self.direction, self.bias)


class MLPSDF(SDFField):
    """The papers' softplus network, initialized as a sphere (Atzmon and Lipman, SAL, 2020).

    Of the encoded position only x itself has weight at first; it is concatenated again in the
    middle. Weights of variance 2 / outputs preserve lengths from layer to layer, and a last
    layer of equal weights sqrt(π / inputs) with bias −r gives |x| − r (SAL, theorem 1). All
    outputs begin so, as in the code of IDR, NeuS and VolSDF.
    """

    def __init__(
        self, width: int, depth: int, frequencies: int, features: int, radius: float,
        generator: torch.Generator,
    ):  # fmt: skip
        super().__init__()
        self.frequencies = frequencies
        inputs = 3 + 6 * frequencies
        self.skip = depth // 2
        layers: list[WeightNormLayer] = []
        for layer in range(depth):
            outputs = width - inputs if layer + 1 == self.skip else width
            columns = inputs if layer == 0 else width
            weight = torch.randn(outputs, columns, generator=generator)
            weight *= (2 / outputs) ** 0.5
            if layer == 0:
                weight[:, 3:] = 0
            elif layer == self.skip:
                weight[:, width - inputs + 3 :] = 0
            layers.append(WeightNormLayer(weight, torch.zeros(outputs)))
        last = 1e-4 * torch.randn(1 + features, width, generator=generator)
        last += (math.pi / width) ** 0.5
        layers.append(WeightNormLayer(last, torch.full((1 + features,), -radius)))
        self.layers = nn.ModuleList(layers)

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points outputs"]:
        encoded = torch.cat([points, positional_encoding(points, self.frequencies)], dim=1)
        x = encoded
        for number, layer in enumerate(self.layers):
            if number == self.skip:
                x = torch.cat([x, encoded], dim=1) / 2**0.5
            x = layer(x)
            if number + 1 < len(self.layers):
                x = softplus(x, SOFTPLUS_BETA)
        return x

    def with_gradients(self, points: Float[Tensor, "points 3"]) -> SDFSamples:
        """Values and exact gradients, by automatic differentiation, as in the papers."""
        trained = torch.is_grad_enabled()
        with torch.enable_grad():
            if not points.requires_grad:
                points = points.detach().requires_grad_()
            found = self(points)
            (gradient,) = torch.autograd.grad(
                found[:, 0].sum(), points, create_graph=trained, retain_graph=trained
            )
        if not trained:
            found = found.detach()
        return SDFSamples(found[:, 0], gradient, found[:, 1:])


class HashSDF(SDFField):
    """The distance to a sphere plus a learned residual from a hash grid and a small network.

    Levels are added one after the other, each fading in, and gradients are taken over a cell of
    the finest active level (Neuralangelo, sec. 3.3), so that the overall shape is learned
    before its details.
    """

    progress: Tensor

    def __init__(
        self, layout: HashGridLayout, first: int, width: int, features: int, radius: float,
        generator: torch.Generator,
    ):  # fmt: skip
        """`first`: the number of levels that are active from the start."""
        super().__init__()
        self.layout, self.first, self.radius = layout, min(first, layout.num_levels), radius
        self.residual = HashField(layout, [width], 1 + features, generator, inputs=3, last=LAST)
        with torch.no_grad():
            self.residual.network[-1][0] = 0
        # Coarse-to-fine progress in [0, 1]; a checkpoint needs it to render alike.
        self.register_buffer("progress", torch.zeros(()))

    @property
    def levels(self) -> float:
        """The number of active levels; the fraction is the weight of the last one."""
        return self.first + (self.layout.num_levels - self.first) * float(self.progress)

    def advance(self, share: float) -> None:
        self.progress.fill_(min(max(share, 0.0), 1.0))

    def cell(self) -> float:
        """The step of the finite differences for gradients, in radii of the ball."""
        return 2 / self.layout.resolutions[math.ceil(self.levels) - 1]

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points outputs"]:
        features = self.residual.encode((points + 1) / 2).T
        if self.levels < self.layout.num_levels:
            level = torch.arange(self.layout.num_levels, device=points.device)
            share = (self.levels - level).clamp(0, 1)
            features = (
                features * share.repeat_interleave(self.layout.features_per_level)[:, None]
            )
        # Channels first, which is the memory layout of both kernels.
        out = mlp(torch.cat([points.T, features]).T, list(self.residual.network))
        sphere = points.norm(dim=1, keepdim=True) - self.radius
        return torch.cat([sphere + out[:, :1], out[:, 1:]], dim=1)

    def with_gradients(self, points: Float[Tensor, "points 3"]) -> SDFSamples:
        """Values and finite-difference gradients over a cell of the finest active level."""
        return finite_differences(self, points, self.cell())


def finite_differences(
    field: SDFField, points: Float[Tensor, "points 3"], cell: float
) -> SDFSamples:
    """Values and gradients from the corners of a tetrahedron, `cell` / 2 away from each point.

    A loss on such gradients needs first derivatives only (Li et al., "Neuralangelo", CVPR 2023,
    eq. 6, with a tetrahedron in place of six points). Values are means over the corners. Both
    are exact for linear fields; for a curved field, the mean is off by cell² / 8 times its
    Laplacian.
    """
    half = cell / 2 / math.sqrt(3)
    corners = points.new_tensor(TETRAHEDRON)
    positions = points[None] + half * corners[:, None]
    found = field(positions.view(-1, 3)).unflatten(0, (4, len(points)))
    gradient = (corners.T @ found[..., 0]).T / (4 * half)
    mean = found.mean(0)
    return SDFSamples(mean[:, 0], gradient, mean[:, 1:])


class ColorNetwork(nn.Module):
    """Color from position, normal, view direction and the field's features (IDR, sec. 3.2)."""

    def __init__(self, features: int, width: int, layers: int, generator: torch.Generator):
        super().__init__()
        sizes = [NUM_HARMONICS + 6 + features, *[width] * layers, 3]
        self.network = network_weights(sizes, generator, last=LAST)

    def forward(
        self,
        points: Float[Tensor, "points 3"],
        local: SDFSamples,
        directions: Float[Tensor, "rays 3"],
    ) -> Float[Tensor, "points 3"]:
        """Colors in [0, 1]; each direction applies to the same number of consecutive points."""
        offsets = torch.arange(len(directions) + 1, device=points.device)
        offsets = offsets * (len(points) // max(len(directions), 1))
        view = spherical_harmonics(directions), offsets
        inputs = torch.cat([points, local.normals, local.features], dim=1)
        return mlp(inputs, list(self.network), "sigmoid", ray_inputs=view)


class IDRColor(nn.Module):
    """The papers' color network: weight-normalized layers with ReLU, then a sigmoid.

    Its inputs are the point, the direction encoded with four octaves, the normal and the
    field's features (IDR, sec. 3.2, as NeuS and VolSDF take it over).
    """

    def __init__(self, features: int, width: int, layers: int, generator: torch.Generator):
        super().__init__()
        sizes = [9 + 6 * DIRECTION_OCTAVES + features, *[width] * layers, 3]
        made: list[WeightNormLayer] = []
        for inputs, outputs in pairwise(sizes):
            bound = inputs**-0.5
            drawn = torch.rand(outputs, inputs + 1, generator=generator)
            weight, bias = (bound * (2 * drawn - 1)).split([inputs, 1], dim=1)
            made.append(WeightNormLayer(weight.contiguous(), bias[:, 0].contiguous()))
        self.layers = nn.ModuleList(made)

    def forward(
        self,
        points: Float[Tensor, "points 3"],
        local: SDFSamples,
        directions: Float[Tensor, "rays 3"],
    ) -> Float[Tensor, "points 3"]:
        """Colors in [0, 1]; each direction applies to the same number of consecutive points."""
        encoded = torch.cat(
            [directions, positional_encoding(directions, DIRECTION_OCTAVES)], dim=1
        )
        encoded = encoded.repeat_interleave(len(points) // max(len(directions), 1), 0)
        x = torch.cat([points, encoded, local.gradient, local.features], dim=1)
        *hidden, last = self.layers
        for layer in hidden:
            x = layer(x).relu()
        return last(x).sigmoid()


class BackgroundField(nn.Module):
    """Density and color outside the ball, from a hash grid over contracted space.

    It takes the place of the inverted sphere of NeRF++ that NeuS and VolSDF use.
    """

    def __init__(self, layout: HashGridLayout, width: int, generator: torch.Generator):
        super().__init__()
        self.field = HashField(layout, [width], 16, generator, last=LAST)
        self.color = network_weights([NUM_HARMONICS + 16, width, 3], generator, last=LAST)

    def forward(
        self, points: Float[Tensor, "rays bins 3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, "rays bins"], Float[Tensor, "rays bins 3"]]:
        """Density per radius of the ball, and colors in [0, 1]."""
        rays, bins, _ = points.shape
        features = self.field((contract(points.reshape(-1, 3)) + 2) / 4)
        offsets = torch.arange(rays + 1, device=points.device) * bins
        view = spherical_harmonics(directions), offsets
        color = mlp(features, list(self.color), "sigmoid", ray_inputs=view)
        density = (features[:, 0] - 1).clamp_max(10.0).exp()
        return density.view(rays, bins), color.view(rays, bins, 3)
