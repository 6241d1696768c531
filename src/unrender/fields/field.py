"""Fields: networks and grids that give a few numbers at every point of a square or a cube.

What the numbers mean is the user's: the logit of occupancy, a signed distance, a colour. A
field is an encoding of the point, followed by a network; a plain grid has no network, and for a
plain network the point is its own encoding.

mlp:         a network of ReLUs on the coordinates alone: smooth, slow to learn detail.
encoding:    the same behind NeRF's positional encoding (Mildenhall et al. 2020, eq. 4).
fourier:     the same behind random Fourier features (Tancik et al. 2020, eq. 5).
siren:       a network of sines (Sitzmann et al. 2020).
grid:        numbers at the vertices of a dense grid, interpolated linearly along each axis.
hybrid:      features at the vertices of a dense grid, and a small network behind it.
ground-plan: features over the ground, at (x, y), and the encoding of z (DeVries et al. 2021).
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
"""Those of two dimensions."""
SMOOTH_KINDS: tuple[FieldKind, ...] = ("siren",)
"""Those with continuous derivatives of every order. The others have creases: where a ReLU turns
on, or at the walls of a grid's cells."""

Role = Literal["network", "grid", "table"]
"""Of a parameter: in a network, at the vertices of a grid, or in the table of a hash grid."""
LEARNING_RATES: Mapping[Role, float] = {"network": 1e-3, "grid": 3e-2, "table": 3e-2}
"""Learning rates of Adam that serve most fits; `rates_of` knows those of each kind. A vertex is
met by few points of a step, and wants longer steps than a weight, which all of them pull at."""


@dataclass(frozen=True)
class FieldOptions:
    """Sizes of a field; each kind reads those that it has."""

    width: int = 256
    """Units of the hidden layers of mlp, encoding, fourier and siren."""
    depth: int = 3
    """Hidden layers of these."""
    frequencies: int = 8
    """Of the positional encoding: half a wave over the box, then twice as many each."""
    fourier_features: int = 128
    """Random waves, of each a sine and a cosine."""
    fourier_scale: float = 10.0
    """Standard deviation of their frequencies, in waves over the box."""
    omega: float = 30.0
    """Factor within the sines of siren (ω0)."""
    resolution: int = 128
    """Vertices a side of grids of two dimensions: grid, hybrid, ground-plan, triplane."""
    volume_resolution: int = 64
    """Vertices a side of grids of three dimensions: grid and hybrid."""
    features: int = 8
    """Numbers at a vertex that a network reads."""
    small_width: int = 64
    """Units of the hidden layers of hybrid, ground-plan, triplane and hash."""
    small_depth: int = 2
    """Hidden layers of these."""
    multiplied: bool = False
    """Whether a triplane's features are multiplied rather than summed."""
    levels: int = 8
    """Of the hash grid."""
    log2_table_size: int = 15
    """Entries of a level at most, as a power of two."""
    coarsest: int = 16
    """Cells a side of the first level."""
    finest: int = 512
    """Cells a side of the last level."""
    table_features: int = 2
    """Numbers in an entry."""
    backend: Backend = "auto"
    """Of the kernels. "reference" can be differentiated by the points any number of times."""


class Field(nn.Module):
    """A function of points in [0, 1]², or [0, 1]³, with its parameters.

    Made by `build_field`. Outputs are raw: no sigmoid, no clamp.
    """

    kind: FieldKind
    twice_differentiable: bool
    """Whether derivatives by the points can be differentiated again, as an eikonal loss does it
    by the parameters. Not through the fast kernels of grids, hash grids and small networks:
    give `FieldOptions(backend="reference")`, or take finite differences."""

    def __init__(self, kind: FieldKind, encoder: Encoder, network: nn.Module, twice: bool):
        super().__init__()
        self.kind, self.twice_differentiable = kind, twice
        self.encoder, self.network = encoder, network

    def forward(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points outputs"]:
        """Raw outputs.

        Outside the box, a grid has the value of the nearest point in it; other fields go on.
        """
        return self.network(self.encoder(points))

    def parameter_groups(
        self, rates: Mapping[Role, float] | None = None
    ) -> list[dict[str, Any]]:
        """What an optimiser takes: parameters with the learning rate `lr` of their role.

        By default those of `rates_of` the field's kind.
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


def default_learning_rates(kind: FieldKind) -> dict[Role, float]:
    """Good learning rates of Adam for a kind, by the role of a parameter."""
    if kind == "siren":
        return {**LEARNING_RATES, "network": 4e-4}
    if kind in ("hybrid", "ground-plan", "triplane", "hash"):
        # Small networks stand longer steps.
        return {**LEARNING_RATES, "network": 3e-3}
    return dict(LEARNING_RATES)


def build_field(
    kind: FieldKind,
    dimensions: int,
    outputs: int,
    generator: torch.Generator,
    options: FieldOptions = FieldOptions(),
) -> Field:
    """A field of 2 or 3 dimensions before its first step. InputError for kinds of 3 alone."""
    if dimensions not in (2, 3):
        raise InputError(f"a field of {dimensions} dimensions: give 2 or 3")
    for name, value in vars(options).items():
        if isinstance(value, int) and value < 1 and not isinstance(value, bool):
            raise InputError(f"field {kind}: {name} {value}: give at least 1")
    if dimensions == 2 and kind not in IMAGE_KINDS:
        raise InputError(
            f"field {kind}: has three dimensions: give one of {', '.join(IMAGE_KINDS)}"
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
