"""3D Gaussians, as Gaussian splatting fits them and its files hold them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.shapes.display import Shown
from unrender.shapes.points import PointCloud

CONSTANT_HARMONIC = 0.28209479177387814
"""The spherical harmonic of degree 0."""
OPAQUE = 0.1
"""Opacity from which a Gaussian counts for where things are."""
FLOATERS = 0.01
"""Share of the Gaussians on each side of each axis that do not count for it."""


@dataclass(frozen=True)
class Splats(Shown):
    """Gaussians of a scene; colors are 0.5 + 0.2821 `colors` + the harmonics' view dependence.

    >>> import unrender as ur
    >>> run = ur.open("runs/bricks")  # doctest: +SKIP
    >>> run.splats()  # doctest: +SKIP
    Splats(40000 Gaussians, harmonics of degree 3)
    """

    means: Float[Tensor, "splats 3"]
    """In scene units."""
    log_scales: Float[Tensor, "splats 3"]
    """Logarithms of the standard deviations along the axes."""
    quaternions: Float[Tensor, "splats 4"]
    """Orientation, w x y z, of any length."""
    opacity_logits: Float[Tensor, "splats"]
    colors: Float[Tensor, "splats 3"]
    """Coefficients of the constant harmonic."""
    harmonics: Float[Tensor, "splats coefficients 3"]
    """Coefficients of the harmonics of degrees 1 to 4 at most."""

    @classmethod
    def load(cls, path: str | Path) -> "Splats":
        """Load Gaussians from a .ply or .splat file. Raises InputError if it holds none."""
        # This module imports this one.
        from unrender.shapes.files.splats import read_splats  # noqa: PLC0415

        return read_splats(path)

    def save(self, path: str | Path) -> None:
        """Save as .ply. Raises InputError for a place that cannot be written."""
        from unrender.shapes.files.splats import write_splats  # noqa: PLC0415

        write_splats(path, self)

    def __len__(self) -> int:
        return len(self.means)

    def __repr__(self) -> str:
        return f"Splats({len(self)} Gaussians, harmonics of degree {self.degree})"

    @property
    def degree(self) -> int:
        """Degree of the harmonics: 0 where colors do not depend on the direction."""
        return round((1 + self.harmonics.shape[1]) ** 0.5) - 1

    def to(self, device: torch.device | str) -> "Splats":
        """Move all tensors to a device."""
        moved = {name: values.to(device) for name, values in vars(self).items()}
        return dataclasses.replace(self, **moved)

    def points(self) -> PointCloud:
        """The centers, with the colors that do not depend on the direction."""
        return PointCloud(self.means, (0.5 + CONSTANT_HARMONIC * self.colors).clamp(0, 1))

    def middle(self) -> PointCloud:
        """The centers of opaque Gaussians without the outermost, to place cameras by."""
        opaque = self.opacity_logits.sigmoid() >= OPAQUE
        places = self.means[opaque] if bool(opaque.any()) else self.means
        count = len(places)
        cut = int(FLOATERS * count)
        order = places.sort(dim=0).values
        low, high = order[cut], order[count - 1 - cut]
        kept = places[((places >= low) & (places <= high)).all(1)]
        return PointCloud(kept if len(kept) > 1 else places)
