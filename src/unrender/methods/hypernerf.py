"""HyperNeRF: a scene whose topology changes, as slices through a field of more dimensions.

Park, Sinha, Hedman, Barron, Bouaziz, Goldman, Martin-Brualla, Seitz, "HyperNeRF: A
Higher-Dimensional Representation for Topologically Varying Neural Radiance Fields", SIGGRAPH
Asia 2021, https://arxiv.org/abs/2106.13228.

A deformation is continuous, so it cannot open a mouth or a box that is closed in the canonical
scene. Here the canonical field has further, ambient coordinates besides the three of space: a
family of shapes. What a moment shows is a slice through it, which may bend: a second network
maps a point and the moment's code to the ambient coordinates at which the field is evaluated
(a deformable slicing surface). Everything else is as in Nerfies (`methods/nerfies.py`), without
the elastic loss.

`hypernerf` has the sizes of the authors' settings for their validation rig; `hypernerf-fast`
has a hash grid of space, whose density network sees the encoded ambient coordinates. They open
over a share of training, as the deformation's frequencies do, instead of over 10,000 steps.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.fields.deformation import (
    CodedNetwork,
    DeformationField,
    windowed_encoding,
)
from unrender.methods.nerfies import FastNerfies, Nerfies
from unrender.training.deformed_scene import DeformedScene
from unrender.training.method import Progress


class SlicingField(DeformationField):
    """A deformation, and the slices of moments through a field of ambient coordinates."""

    ambient_alpha: Tensor
    """Progress of the window of the ambient coordinates' encoding; set while training."""

    def __init__(self, options: "Slicing", times: Tensor, generator: torch.Generator):
        inner = (options.codes, options.appearance, generator, options.conditioned)
        super().__init__(times, options.motions(generator), *inner)
        self.slices = CodedNetwork(
            options.codes,
            options.slicing_frequencies,
            options.slicing_width,
            options.slicing_depth,
            options.slicing_skip,
            options.ambient,
            generator,
        )
        self.ambient_frequencies = options.ambient_frequencies
        self.register_buffer("ambient_alpha", torch.zeros(()))

    def further(
        self,
        points: Float[Tensor, "points 3"],
        times: Float[Tensor, "rays"],
        offsets: Int[Tensor, "rays_plus_one"],
    ) -> Float[Tensor, "points further"]:
        """Encoded ambient coordinates of points, where each moment's slice has them."""
        network = self.slices
        codes, every = self.shown_codes(times), float(network.frequencies)
        ambient = network.along_rays(points, codes, offsets, every)
        known = super().further(points, times, offsets)
        alpha = float(self.ambient_alpha)
        encoded = windowed_encoding(ambient, self.ambient_frequencies, alpha)
        # As long as the window is closed, so is the way of the coordinates themselves.
        encoded = min(1.0, alpha) * encoded
        return torch.cat([known, encoded], dim=1)


@dataclass(frozen=True)
class Slicing(DeformedScene):
    """Options of the ambient coordinates."""

    ambient: int = 2
    """Ambient dimensions of the canonical field."""
    ambient_frequencies: int = 1
    """Octaves of the positional encoding of ambient coordinates."""
    ambient_until: float = 0.04
    """Fraction of training at which their encoding is open."""
    slicing_frequencies: int = 6
    """Octaves of the positional encoding of the slicing network's points."""
    slicing_width: int = 64
    """Units per hidden layer of the slicing network."""
    slicing_depth: int = 6
    """Hidden layers of the slicing network."""
    slicing_skip: int = 4
    """Layer of it that receives its inputs again (skip connection); 0: none."""
    elastic: float = 0.0
    """Weight of the elastic loss of Nerfies, which the paper leaves out."""

    @property
    def density_inputs(self) -> int:
        return super().density_inputs + self.ambient * (1 + 2 * self.ambient_frequencies)

    def deformation_of(self, times: Tensor, generator: torch.Generator) -> SlicingField:
        return SlicingField(self, times, generator)

    def open_window(self, deformation: Any, progress: Progress) -> None:
        super().open_window(deformation, progress)
        share = progress.fraction / self.ambient_until if self.ambient_until else 1.0
        deformation.ambient_alpha.fill_(self.ambient_frequencies * min(1.0, share))


@dataclass(frozen=True)
class HyperNeRF(Slicing, Nerfies):
    """NeRF with ambient coordinates, a deformation and slices (2021)."""


@dataclass(frozen=True)
class FastHyperNeRF(Slicing, FastNerfies):
    """A hash grid with ambient coordinates, a deformation and slices."""
