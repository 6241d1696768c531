"""Gaussian splats in the .ply layout that viewers and other programs read.

The layout of Kerbl et al.'s program: x y z, nx ny nz (zeros), f_dc_0 to 2 (the constant
harmonic), f_rest_* (the other harmonics, all of red, then green, then blue), opacity (logit),
scale_0 to 2 (logarithms), rot_0 to 3 (quaternion w, x, y, z).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.files.arrays import check_numbers
from unrender.shapes.files.ply import read_vertices, write_ply


@dataclass(frozen=True)
class Splats:
    """Parameters of Gaussians, as defined in fields/gaussians.py."""

    means: Float[Tensor, "splats 3"]
    log_scales: Float[Tensor, "splats 3"]
    quaternions: Float[Tensor, "splats 4"]
    opacity_logits: Float[Tensor, "splats"]
    colors: Float[Tensor, "splats 3"]
    harmonics: Float[Tensor, "splats coefficients 3"]

    def save(self, path: str | Path) -> None:
        """Save as .ply. Raises InputError for a place that cannot be written."""
        write_splats(path, self)


def write_splats(path: str | Path, splats: Splats) -> None:
    """Write the file, completely or not at all."""

    def columns(prefix: str, values: Tensor) -> dict[str, np.ndarray]:
        array = values.detach().cpu().float().numpy()
        return {f"{prefix}{k}": array[:, k] for k in range(array.shape[1])}

    zeros = torch.zeros_like(splats.means)
    named = dict(zip(("x", "y", "z"), columns("", splats.means).values(), strict=True))
    named |= dict(zip(("nx", "ny", "nz"), columns("", zeros).values(), strict=True))
    named |= columns("f_dc_", splats.colors)
    named |= columns("f_rest_", splats.harmonics.transpose(1, 2).flatten(1))
    named |= {"opacity": splats.opacity_logits.detach().cpu().float().numpy()}
    named |= columns("scale_", splats.log_scales)
    named |= columns("rot_", splats.quaternions)
    write_ply(Path(path), named)


def read_splats(path: str | Path) -> Splats:
    """Read the Gaussians of a file in this layout. Raises InputError if it cannot be read."""
    path = Path(path)
    found = read_vertices(path)

    def columns(names: list[str]) -> Tensor:
        missing = [name for name in names if name not in found]
        if missing:
            raise InputError(f"{path}: has no column `{missing[0]}`: it has no Gaussians")
        return torch.from_numpy(np.stack([found[name] for name in names], 1)).float()

    rest = sorted(
        (name for name in found if name.startswith("f_rest_")),
        key=lambda name: int(name[7:]) if name[7:].isdecimal() and len(name) < 12 else -1,
    )
    if len(rest) not in (0, 9, 24, 45):
        raise InputError(f"{path}: has {len(rest)} columns f_rest_*, not 0, 9, 24 or 45")
    count = len(next(iter(found.values())))
    if count == 0:
        raise InputError(f"{path}: has no Gaussians: it is empty")
    harmonics = (
        columns(rest).view(count, 3, -1).transpose(1, 2) if rest else torch.zeros(count, 0, 3)
    )
    splats = Splats(
        columns(["x", "y", "z"]),
        columns([f"scale_{k}" for k in range(3)]),
        columns([f"rot_{k}" for k in range(4)]),
        columns(["opacity"])[:, 0],
        columns([f"f_dc_{k}" for k in range(3)]),
        harmonics.contiguous(),
    )
    check_numbers(str(path), "write it again", **vars(splats))
    return splats
