"""Evaluation on DTU: chamfer distances in millimeters to scanned points.

Jensen, Dahl, Vogiatzis, Tola, Aanæs, "Large Scale Multi-view Stereopsis Evaluation", CVPR 2014;
Aanæs et al., "Large-Scale Data for Multiple-View Stereopsis", IJCV 2016, sec. 4. Papers on
surface reconstruction report the mean of accuracy and completeness.

The scans are incomplete: a voxel mask marks the observed space, and a plane the table under the
object. Both are MATLAB files that come with the dataset.
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
"""Spacing of points sampled on the mesh in millimeters, as in the scans."""
MAX_DISTANCE = 20.0
"""Points at this distance in millimeters or more are excluded as outliers."""
MAX_CELLS = 1 << 30


@dataclass(frozen=True)
class Observed:
    """The space observed by the scanner."""

    cells: Bool[Tensor, "x y z"]
    low: Float[Tensor, "3"]
    """Center of the first cell, in millimeters."""
    cell: float
    """Side of the cells, in millimeters."""

    def contains(self, points: Float[Tensor, "points 3"]) -> Bool[Tensor, "points"]:
        """Whether points are in observed cells."""
        index = ((points - self.low) / self.cell).round().long()
        sizes = torch.tensor(self.cells.shape)
        inside = ((index >= 0) & (index < sizes)).all(1)
        x, y, z = index.clamp_min(0).minimum(sizes - 1).unbind(1)
        return inside & self.cells[x, y, z]


@dataclass(frozen=True)
class ScanScores:
    """Mean distances in millimeters, excluding points at `MAX_DISTANCE` or more."""

    accuracy: float
    """From the reconstruction to the scan."""
    completeness: float
    """From the scan to the reconstruction."""

    @property
    def chamfer(self) -> float:
        """Mean of accuracy and completeness."""
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
    """Score a mesh in the scanner's frame, in millimeters, against a scan.

    Only `observed` parts of the mesh are scored, and only scan points above the `table`, where
    a x + b y + c z + d > 0. Raises InputError if nothing is left to compare.
    """
    generator = torch.Generator().manual_seed(seed)
    area = torch.linalg.cross(*_sides(mesh)).norm(dim=1).sum() / 2
    # Twice as many samples as are kept, so that few cubes of side `spacing` stay empty.
    count = min(int(2 * area / spacing**2) + 1, 1 << 24)
    points = thinned(sample_surface(mesh, count, generator).points, spacing)
    given = points
    if observed is not None:
        points = points[observed.contains(points)]
    kept = scan
    if table is not None:
        kept = scan[scan @ table[:3] + table[3] > 0]
    for name, cloud in (("the mesh", points), ("the scan", kept)):
        if len(cloud) == 0:
            raise InputError(
                f"no part of {name} is in the observed space: check that both are in the "
                "scanner's frame, in millimetres"
            )
    return ScanScores(_mean_distance(points, scan), _mean_distance(kept, given))


def _sides(mesh: Mesh) -> tuple[Tensor, Tensor]:
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return b - a, c - a


def _mean_distance(
    points: Float[Tensor, "points 3"], others: Float[Tensor, "others 3"]
) -> float:
    away = nearest(points[None], others[None]).distance2[0].sqrt()
    near = away[away < MAX_DISTANCE]
    return float(near.mean()) if len(near) else MAX_DISTANCE


def in_world(mesh: Mesh, scale: Float[Tensor, "4 4"]) -> Mesh:
    """Transform a mesh from the unit sphere's frame (data/formats/idr.py) to the world."""
    return mesh.with_vertices(mesh.vertices @ scale[:3, :3].T.float() + scale[:3, 3].float())


def read_observed(path: Path) -> Observed:
    """Read the observed cells from ObsMask*.mat. Raises InputError."""
    content = _read_matlab(path, ("ObsMask", "BB", "Res"))
    cells, box, side = content["ObsMask"], content["BB"], content["Res"]
    if cells.ndim != 3 or box.shape != (2, 3) or side.size != 1 or not float(side.flat[0]) > 0:
        raise InputError(
            f"{path}: ObsMask has shape {cells.shape}, BB {box.shape}, and Res {side.size} "
            "numbers: they must be 3D, 2 x 3 and one positive number"
        )
    if cells.size > MAX_CELLS:
        raise InputError(
            f"{path}: has {cells.size} cells, more than {MAX_CELLS}: check the file"
        )
    low = torch.from_numpy(box[0].astype(np.float32))
    return Observed(torch.from_numpy(cells != 0), low, float(side.flat[0]))


def read_table(path: Path) -> Float[Tensor, "4"]:
    """Read the table's plane from Plane*.mat. Raises InputError."""
    plane = _read_matlab(path, ("P",))["P"]
    if plane.size != 4:
        raise InputError(f"{path}: P has {plane.size} numbers; it must have four")
    return torch.from_numpy(plane.reshape(4).astype(np.float32))


def _read_matlab(path: Path, names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    from scipy.io import loadmat  # noqa: PLC0415 - slow to import and rarely needed

    try:
        content = loadmat(path, variable_names=list(names))
    except Exception as error:
        # Damaged files make scipy raise many types of errors.
        raise InputError(f"{path}: is not a MATLAB file ({error}): copy it again") from error
    found: dict[str, np.ndarray] = {}
    for name in names:
        values = content.get(name)
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
            raise InputError(
                f"{path}: has no numeric array {name}: give the file of the dataset"
            )
        if not np.isfinite(values).all():
            raise InputError(
                f"{path}: {name} contains NaN or Inf, not finite numbers: copy the file again"
            )
        found[name] = values
    return found
