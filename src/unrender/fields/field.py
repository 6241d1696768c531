"""Fields: networks and grids that map points of a square or cube to a few numbers.

What the numbers mean is up to the caller: the logit of occupancy, a signed distance, a color. A
field is an encoder followed by a network; "grid" has no network, and "mlp" and "siren" encode
points by their coordinates alone.

mlp:         a ReLU network on coordinates: smooth, and slow to learn detail.
encoding:    the same with NeRF's positional encoding (Mildenhall et al. 2020, eq. 4).
fourier:     the same with random Fourier features (Tancik et al. 2020, eq. 5).
siren:       a network with sine activations (Sitzmann et al. 2020).
grid:        numbers at the vertices of a dense grid, interpolated linearly along each axis.
hybrid:      features at the vertices of a dense grid, followed by a small network.
ground-plan: features on the ground, at (x, y), and an encoding of z (DeVries et al. 2021).
triplane:    features on the planes xy, xz and yz, summed or multiplied (Chan et al. 2022).
hash:        a multiresolution hash grid (Müller et al. 2022).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.errors import InputError
from unrender.fields.feature_grids import (
    CenteredCoordinates,
    DenseGrid,
    Encoder,
    GroundPlan,
    HashGrid,
    PositionalEncoding,
    RandomFourierFeatures,
    Triplane,
)
from unrender.fields.mlps import ReLUNetwork, SineNetwork, SmallNetwork
from unrender.kernels.hash_grid import HashGridLayout
from unrender.kernels.runtime.backend import Backend

FieldKind = Literal[
    "mlp",
    "encoding",
    "siren",
    "fourier",
    "grid",
    "hybrid",
    "ground-plan",
    "triplane",
    "hash",
]
FIELD_KINDS: tuple[FieldKind, ...] = get_args(FieldKind)
IMAGE_KINDS: tuple[FieldKind, ...] = (
    "mlp", "encoding", "siren", "fourier", "grid", "hybrid", "hash",
)  # fmt: skip
"""The kinds that are available in two dimensions."""
SMOOTH_KINDS: tuple[FieldKind, ...] = ("siren",)
"""Kinds with continuous derivatives of every order. The others have creases, where a ReLU turns
on or at the boundaries of a grid's cells."""

Role = Literal["network", "grid", "table"]
"""Where a parameter is: in a network, at the vertices of a grid, or in a hash table."""
LEARNING_RATES: Mapping[Role, float] = {"network": 1e-3, "grid": 3e-2, "table": 3e-2}
"""Default learning rates for Adam; `default_learning_rates` adapts them to each kind. A grid
vertex is hit by few points per step and takes larger steps than a network's weight, which all
points affect."""


@dataclass(frozen=True)
class FieldOptions:
    """Sizes of a field; each kind reads the options that apply to it."""

    width: int = 256
    """Width of the hidden layers of mlp, encoding, fourier and siren."""
    depth: int = 3
    """Number of hidden layers of mlp, encoding, fourier and siren."""
    frequencies: int = 8
    """Frequencies of the positional encoding: half a period per box, then twice as many each.
    """
    fourier_features: int = 128
    """Random frequencies, each of which gives a sine and a cosine."""
    fourier_scale: float = 10.0
    """Standard deviation of the random frequencies, in periods per box."""
    omega: float = 30.0
    """Factor ω0 inside the sines of siren."""
    resolution: int = 128
    """Vertices per side of two-dimensional grids: grid, hybrid, ground-plan, triplane."""
    volume_resolution: int = 64
    """Vertices per side of three-dimensional grids: grid and hybrid."""
    features: int = 8
    """Features per grid vertex, for kinds with a network."""
    small_width: int = 64
    """Width of the hidden layers of hybrid, ground-plan, triplane and hash."""
    small_depth: int = 2
    """Number of hidden layers of hybrid, ground-plan, triplane and hash."""
    multiplied: bool = False
    """Whether a triplane's features are multiplied rather than summed."""
    levels: int = 8
    """Levels of the hash grid."""
    log2_table_size: int = 15
    """Base-2 logarithm of the maximum number of entries of a hash grid's level."""
    coarsest: int = 16
    """Cells per side of the hash grid's first level."""
    finest: int = 512
    """Cells per side of the hash grid's last level."""
    table_features: int = 2
    """Features per entry of the hash grid."""
    backend: Backend = "auto"
    """Backend of the kernels. "reference" is differentiable in the points any number of times.
    """


class Field(nn.Module):
    """A function of points in [0, 1]² or [0, 1]³, with parameters; made by `build_field`.

    Outputs are raw: no sigmoid, no clamp.
    """

    kind: FieldKind
    twice_differentiable: bool
    """Whether derivatives by the points can be differentiated again, as an eikonal loss does by
    the parameters. The fast kernels of grids, hash grids and small networks cannot: use
    `FieldOptions(backend="reference")`, or finite differences."""

    def __init__(self, kind: FieldKind, encoder: Encoder, network: nn.Module, twice: bool):
        super().__init__()
        self.kind, self.twice_differentiable = kind, twice
        self.encoder, self.network = encoder, network

    def forward(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points outputs"]:
        """Raw outputs at points.

        Outside the box, a grid has the value of the nearest point in it; other fields
        extrapolate.
        """
        return self.network(self.encoder(points))

    def parameter_groups(
        self, rates: Mapping[Role, float] | None = None
    ) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer, with the learning rate `lr` of their role.

        Rates are those of `default_learning_rates` for the field's kind, unless given.
        """
        rates = rates or default_learning_rates(self.kind)
        features = list(self.encoder.parameters())
        weights = list(self.network.parameters())
        groups: list[dict[str, Any]] = []
        if features:
            groups.append({"params": features, "lr": rates[self.encoder.role]})
        if weights:
            groups.append({"params": weights, "lr": rates["network"]})
        return groups

    def adam(self, factor: float) -> torch.optim.Adam:
        """Adam with the constants of Müller et al. 2022 and `factor` on all learning rates."""
        groups = self.parameter_groups()
        for group in groups:
            group["lr"] *= factor
        return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)


def default_learning_rates(kind: FieldKind) -> dict[Role, float]:
    """Learning rates for Adam that suit a kind of field, by the role of a parameter."""
    if kind == "siren":
        return {**LEARNING_RATES, "network": 4e-4}
    if kind in ("hybrid", "ground-plan", "triplane", "hash"):
        # Small networks tolerate larger steps.
        return {**LEARNING_RATES, "network": 3e-3}
    return dict(LEARNING_RATES)


def build_field(
    kind: FieldKind,
    dimensions: int,
    outputs: int,
    generator: torch.Generator,
    options: FieldOptions = FieldOptions(),
) -> Field:
    """A randomly initialized field of 2 or 3 dimensions.

    Raises InputError for other numbers of dimensions, for a kind that exists in three
    dimensions only, and for sizes below 1.
    """
    if dimensions not in (2, 3):
        raise InputError(f"a field of {dimensions} dimensions: give 2 or 3")
    for name, value in vars(options).items():
        if isinstance(value, int) and value < 1 and not isinstance(value, bool):
            raise InputError(f"field {kind}: {name} {value}: give at least 1")
    if dimensions == 2 and kind not in IMAGE_KINDS:
        raise InputError(
            f"field {kind}: needs three dimensions: use one of {', '.join(IMAGE_KINDS)}"
        )
    encoder = _encoder(kind, dimensions, outputs, generator, options)
    network = _network(kind, encoder.outputs, outputs, generator, options)
    twice = kind in ("mlp", "encoding", "fourier", "siren") or options.backend == "reference"
    return Field(kind, encoder, network, twice)


def _encoder(
    kind: FieldKind, dimensions: int, outputs: int, generator: torch.Generator, o: FieldOptions
) -> Encoder:
    vertices = o.resolution if dimensions == 2 else o.volume_resolution
    match kind:
        case "mlp" | "siren":
            found = CenteredCoordinates(dimensions)
        case "encoding":
            found = PositionalEncoding(dimensions, o.frequencies)
        case "fourier":
            found = RandomFourierFeatures(
                dimensions, o.fourier_features, o.fourier_scale, generator
            )
        case "grid":
            found = DenseGrid(dimensions, vertices, outputs, 0.0, generator, o.backend)
        case "hybrid":
            found = DenseGrid(dimensions, vertices, o.features, 0.1, generator, o.backend)
        case "ground-plan":
            found = GroundPlan(o.resolution, o.features, o.frequencies, generator, o.backend)
        case "triplane":
            found = Triplane(o.resolution, o.features, o.multiplied, generator, o.backend)
        case "hash":
            layout = HashGridLayout(
                o.levels, o.log2_table_size, o.coarsest, o.finest, o.table_features, dimensions
            )
            found = HashGrid(layout, generator, o.backend)
    return found


def _network(
    kind: FieldKind, inputs: int, outputs: int, generator: torch.Generator, o: FieldOptions
) -> nn.Module:
    match kind:
        case "grid":
            return nn.Identity()
        case "siren":
            return SineNetwork(inputs, o.width, o.depth, outputs, o.omega, generator)
        case "mlp" | "encoding" | "fourier":
            return ReLUNetwork(inputs, o.width, o.depth, outputs, generator)
        case _:
            sizes = [inputs, *[o.small_width] * o.small_depth, outputs]
            return SmallNetwork(sizes, generator, o.backend)
