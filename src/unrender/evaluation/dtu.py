"""The evaluation of DTU's scans: chamfer distances in millimetres to points of a scanner.

Jensen, Dahl, Vogiatzis, Tola, Aanæs, "Large Scale Multi-view Stereopsis Evaluation", CVPR 2014;
Aanæs et al., "Large-Scale Data for Multiple-View Stereopsis", IJCV 2016, sec. 4. Papers that
learn surfaces report the mean of accuracy and completeness.

The scanner did not see everything: a mask of cells says where it looked, and a plane is the
table that the object stands on. Both come with the data set's points, as MATLAB files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.errors import InputError
from unrender.evaluation.surfaces import thinned
from unrender.kernels.nearest import nearest
from unrender.shapes.mesh import Mesh
from unrender.shapes.sampling import sample_surface

SPACING = 0.2
"""Millimetres between points of the mesh, as far as the scanner's are apart."""
FARTHEST = 20.0
"""Millimetres from which on a point counts as none of the surface's."""
MOST_CELLS = 1 << 30


@dataclass(frozen=True)
class Observed:
    """Where the scanner looked."""

    cells: Bool[Tensor, "x y z"]
    low: Float[Tensor, "3"]
    """Centre of the first cell, in millimetres."""
    cell: float
    """Their side."""

    def holds(self, points: Float[Tensor, "points 3"]) -> Bool[Tensor, "points"]:
        """Whether points lie in cells that the scanner looked into."""
        index = ((points - self.low) / self.cell).round().long()
        sizes = torch.tensor(self.cells.shape)
        inside = ((index >= 0) & (index < sizes)).all(1)
        x, y, z = index.clamp_min(0).minimum(sizes - 1).unbind(1)
        return inside & self.cells[x, y, z]


@dataclass(frozen=True)
class ScanScores:
    """Mean distances in millimetres, without points that are FARTHEST or farther."""

    accuracy: float
    """From the reconstruction to the scan."""
    completeness: float
    """From the scan to the reconstruction."""

    @property
    def chamfer(self) -> float:
        """The mean of both."""
        return (self.accuracy + self.completeness) / 2


@torch.no_grad()
def score_scan(
    mesh: Mesh,
    scan: Float[Tensor, "points 3"],
    observed: Observed | None = None,
    table: Float[Tensor, "4"] | None = None,
    spacing: float = SPACING,
    seed: int = 0,
) -> ScanScores:
    """A mesh in the scanner's frame, in millimetres, against a scan.

    Of the mesh only what is `observed` counts; of the scan only what is above the `table`, a
    plane a x + b y + c z + d > 0. InputError where nothing is left to compare.
    """
    generator = torch.Generator().manual_seed(seed)
    area = torch.linalg.cross(*_sides(mesh)).norm(dim=1).sum() / 2
    # Twice as many as are kept, so that few cubes of that side stay empty.
    count = min(int(2 * area / spacing**2) + 1, 1 << 24)
    points = thinned(sample_surface(mesh, count, generator).points, spacing)
    given = points
    if observed is not None:
        points = points[observed.holds(points)]
    kept = scan
    if table is not None:
        kept = scan[scan @ table[:3] + table[3] > 0]
    for name, cloud in (("the mesh", points), ("the scan", kept)):
        if len(cloud) == 0:
            raise InputError(
                f"nothing of {name} is where the scanner looked: are both in one frame, in "
                "millimetres?"
            )
    return ScanScores(_mean_distance(points, scan), _mean_distance(kept, given))


def _sides(mesh: Mesh) -> tuple[Tensor, Tensor]:
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return b - a, c - a


def _mean_distance(
    points: Float[Tensor, "points 3"], others: Float[Tensor, "others 3"]
) -> float:
    away = nearest(points[None], others[None]).distance2[0].sqrt()
    near = away[away < FARTHEST]
    return float(near.mean()) if len(near) else FARTHEST


def in_world(mesh: Mesh, scale: Float[Tensor, "4 4"]) -> Mesh:
    """A mesh in the unit sphere's frame, that of `data/idr.py`, moved to the world's."""
    return mesh.with_vertices(mesh.vertices @ scale[:3, :3].T.float() + scale[:3, 3].float())


def read_observed(path: Path) -> Observed:
    """ObsMask*.mat: the cells that the scanner looked into. InputError."""
    content = _read_matlab(path, ("ObsMask", "BB", "Res"))
    cells, box, side = content["ObsMask"], content["BB"], content["Res"]
    if cells.ndim != 3 or box.shape != (2, 3) or side.size != 1 or not float(side.flat[0]) > 0:
        raise InputError(
            f"{path}: ObsMask is of shape {cells.shape}, BB of {box.shape}, and Res has "
            f"{side.size} numbers: they must be 3D, 2 x 3 and one"
        )
    if cells.size > MOST_CELLS:
        raise InputError(f"{path}: has {cells.size} cells: {MOST_CELLS} at most")
    low = torch.from_numpy(box[0].astype(np.float32))
    return Observed(torch.from_numpy(cells != 0), low, float(side.flat[0]))


def read_table(path: Path) -> Float[Tensor, "4"]:
    """Plane*.mat: the table. InputError."""
    plane = _read_matlab(path, ("P",))["P"]
    if plane.size != 4:
        raise InputError(f"{path}: P has {plane.size} numbers: a plane has four")
    return torch.from_numpy(plane.reshape(4).astype(np.float32))


def _read_matlab(path: Path, names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    from scipy.io import loadmat  # noqa: PLC0415 - slow to import, and seldom needed

    try:
        content = loadmat(path, variable_names=list(names))
    except Exception as error:
        # Of many types, by where a damaged file broke scipy off.
        raise InputError(f"{path}: is no file of MATLAB ({error}): copy it again") from error
    found: dict[str, np.ndarray] = {}
    for name in names:
        values = content.get(name)
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
            raise InputError(f"{path}: has no numbers {name}: give the file of the data set")
        if not np.isfinite(values).all():
            raise InputError(f"{path}: {name} is not finite: copy the file again")
        found[name] = values
    return found
