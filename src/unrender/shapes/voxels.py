"""Voxel grids: a box of cubic cells with one value each.

Cell (i, j, k) is the cube from low + cell (i, j, k) to low + cell (i + 1, j + 1, k + 1). The
meaning of a value depends on who made the grid: the probability that the cell is filled, its
logit, or density per unit length. Cells above a level are filled: ½ for probabilities, 0 for
logits.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.display import Shown
from unrender.shapes.mesh import Mesh

Corner = tuple[float, float, float]


@dataclass(frozen=True)
class VoxelGrid(Shown):
    """A grid of cubic cells with one value each, given at the cell centers.

    >>> import torch
    >>> import unrender as ur
    >>> ur.VoxelGrid(torch.ones(4, 4, 8), low=(0.0, 0.0, 0.0), cell=0.25)
    VoxelGrid(4×4×8, 128 filled)
    """

    values: Float[Tensor, "x y z"]
    low: Corner
    """The box's lowest corner, in the world frame."""
    cell: float
    """Side of a cell, in scene units."""

    @classmethod
    def load(cls, path: str | Path) -> "VoxelGrid":
        """Load a grid from an .npz or .binvox file.

        Raises InputError for a file that cannot be read or holds another kind of shape.

        >>> import torch
        >>> import unrender as ur
        >>> ur.VoxelGrid.cube(torch.ones(8, 8, 8), half_width=1.0).save("cube.npz")
        >>> ur.VoxelGrid.load("cube.npz")
        VoxelGrid(8×8×8, 512 filled)
        """
        # These modules import this one.
        from unrender.shapes.files.shape import load_shape_as  # noqa: PLC0415

        return load_shape_as(cls, path)

    def save(self, path: str | Path) -> None:
        """Save all values as .npz, the filled cells as .binvox, or the surface as a mesh.

        The path's ending chooses the format. Raises InputError for an unknown ending, for a
        .binvox file of a grid that is not a cube, and for a surface without faces.
        """
        from unrender.shapes.files.shape import save_shape  # noqa: PLC0415

        save_shape(path, self)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.values.shape))
        return f"VoxelGrid({size}, {int(self.filled().sum())} filled)"

    @classmethod
    def cube(cls, values: Float[Tensor, "cells cells cells"], half_width: float) -> "VoxelGrid":
        """A grid over the box [−half_width, half_width]³."""
        low = -half_width
        return cls(values, (low, low, low), 2 * half_width / len(values))

    @classmethod
    def around(
        cls, points: Float[Tensor, "points 3"], cells: int, margin: int = 2
    ) -> "VoxelGrid":
        """A grid of zeros around points, with `cells` cells along its longest side.

        `margin` cells at each end of the longest side are kept free. Shorter sides have fewer
        cells, and the points are centered.

        Raises InputError if there are no points, if they have no extent, or if the margins
        leave no cells for them.
        """
        if len(points) == 0 or not bool(points.isfinite().all()) or cells <= 2 * margin:
            raise InputError(
                f"cannot fit {len(points)} points in a grid of {cells} cells, {margin} of them "
                "free at each end: give finite points, and more cells"
            )
        points = points.detach().double()
        low, high = points.amin(0), points.amax(0)
        cell = float((high - low).max()) / (cells - 2 * margin)
        if cell == 0:
            raise InputError(
                "all points coincide, so a grid around them has no size: give more points"
            )
        # Rounding must not add a cell to the longest side.
        sizes = ((high - low) / cell - 1e-6).ceil().long() + 2 * margin
        x, y, z = ((low + high) / 2 - cell * sizes / 2).tolist()
        return cls(torch.zeros(*sizes.tolist(), device=points.device), (x, y, z), cell)

    @property
    def high(self) -> Corner:
        """The box's highest corner, in the world frame."""
        x, y, z = (
            low + self.cell * size
            for low, size in zip(self.low, self.values.shape, strict=True)
        )
        return x, y, z

    def to(self, device: torch.device | str) -> "VoxelGrid":
        return dataclasses.replace(self, values=self.values.to(device))

    def with_values(self, values: Float[Tensor, "x y z"]) -> "VoxelGrid":
        """The same cells with other values."""
        return dataclasses.replace(self, values=values)

    def centers(self) -> Float[Tensor, "x y z 3"]:
        """Cell centers in the world frame."""
        return cell_centers(self.values, self.low, self.cell)

    def filled(self, level: float = 0.5) -> Bool[Tensor, "x y z"]:
        """Whether each cell's value is above the level."""
        return self.values > level

    def points(self, level: float = 0.5) -> Float[Tensor, "points 3"]:
        """Centers of the filled cells."""
        return self.centers()[self.filled(level)]

    def iou(self, other: "VoxelGrid", level: float = 0.5) -> float:
        """Intersection over union of the filled cells of two grids over the same box.

        1 if both are empty. Raises InputError if the grids have different cells.
        """
        near = max(abs(a - b) for a, b in zip(self.low, other.low, strict=True))
        if (
            self.values.shape != other.values.shape
            or max(near, abs(self.cell - other.cell)) > 1e-3 * self.cell
        ):
            raise InputError(
                f"the grids have different cells ({_describe(self)}; {_describe(other)}): give "
                "two grids over the same box"
            )
        return float(voxel_iou(self.filled(level), other.filled(level)))


def _describe(grid: VoxelGrid) -> str:
    x, y, z = grid.values.shape
    corner = ", ".join(f"{value:.4g}" for value in grid.low)
    return f"{x}×{y}×{z} cells of {grid.cell:.4g} from ({corner})"


def cell_centers(like: Tensor, low: Corner, cell: float) -> Float[Tensor, "x y z 3"]:
    """Centers of the cells of a grid with the shape of `like`."""
    axes = [
        start + cell * (torch.arange(size, device=like.device) + 0.5)
        for start, size in zip(low, like.shape, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def voxel_iou(
    filled: Bool[Tensor, "*batch x y z"], truth: Bool[Tensor, "*batch x y z"]
) -> Float[Tensor, "*batch"]:
    """Intersection over union of filled cells; 1 if both grids are empty."""
    both = (filled & truth).sum((-3, -2, -1))
    either = (filled | truth).sum((-3, -2, -1))
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)


OPAQUE_OPTICAL_DEPTH = 1e6
"""Optical depth of a filled cell, large enough that a ray crossing 1e-5 of the cell is stopped.
"""
MAX_PROBABILITY = 1 - 1e-6
"""Probabilities above this differ from 1 by rounding only."""


def density_from_occupancy(probability: VoxelGrid) -> VoxelGrid:
    """Density per unit length that stops a ray crossing a cell with the given probability.

    1 − exp(−density × cell) = probability for a ray parallel to a cell's side; a probability of
    1 gives the optical depth `OPAQUE_OPTICAL_DEPTH`. Differentiable.
    """
    sure = probability.values > MAX_PROBABILITY
    depth = -torch.log1p(-probability.values.clamp(0, MAX_PROBABILITY))
    return probability.with_values(
        torch.where(sure, OPAQUE_OPTICAL_DEPTH, depth) / probability.cell
    )


def cubify(grid: VoxelGrid, level: float = 0.5) -> Mesh:
    """The faces between filled cells and empty or outside ones, two triangles for each.

    They face outward and share vertices. The mesh is watertight, except where two filled cells
    touch along an edge only: that edge has four faces.
    """
    filled = grid.filled(level)
    _, size_y, size_z = filled.shape
    strides = torch.tensor([(size_y + 1) * (size_z + 1), size_z + 1, 1], device=filled.device)
    quads: list[Int[Tensor, "quads 4"]] = []
    for axis in range(3):
        shape = list(filled.shape)
        shape[axis] = 1
        nothing = filled.new_zeros(shape)
        before, after = torch.cat([nothing, filled], axis), torch.cat([filled, nothing], axis)
        u, v = strides[(axis + 1) % 3], strides[(axis + 2) % 3]
        around = torch.stack([u - u, u, u + v, v])
        # Counterclockwise as seen from the axis's positive end, then clockwise.
        for wall, corners in ((before & ~after, around), (after & ~before, around.flip(0))):
            quads.append((wall.nonzero() * strides).sum(1, keepdim=True) + corners)
    vertices, index = torch.cat(quads).unique(return_inverse=True)
    x, y, z = vertices // strides[0], vertices // strides[1], vertices // strides[2]
    corner = torch.stack([x, y % (size_y + 1), z % (size_z + 1)], dim=1)
    low = torch.tensor(grid.low, device=filled.device)
    faces = torch.cat([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])
    return Mesh((corner * grid.cell + low).to(grid.values.dtype), faces)
