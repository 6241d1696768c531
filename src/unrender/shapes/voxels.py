"""Voxels: a box of cubes, each with one value.

Cell (i, j, k) is the cube from low + cell (i, j, k) to low + cell (i + 1, j + 1, k + 1); what a
value means is whoever's made the grid: the probability that the cell is filled, its logit, or
density per unit length. A level tells filled cells from empty ones: ½ for probabilities, 0 for
logits.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.display import shape_png, show_shape
from unrender.shapes.mesh import Mesh

Corner = tuple[float, float, float]


@dataclass(frozen=True)
class VoxelGrid:
    """Values at the centres of cubes."""

    values: Float[Tensor, "x y z"]
    low: Corner
    """The box' lowest corner, in the world frame."""
    cell: float
    """A cube's side, in scene units."""

    @classmethod
    def load(cls, path: str | Path) -> "VoxelGrid":
        """Load a grid from an .npz or .binvox file.

        Raises InputError for a file that cannot be read or holds another kind of shape.
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

    def show(self) -> None:
        """Show an image: in a notebook inline, on a desktop in a window, else in a file."""
        show_shape(self)

    def _repr_png_(self) -> bytes:
        return shape_png(self)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.values.shape))
        return f"VoxelGrid({size}, {int(self.filled().sum())} filled)"

    @classmethod
    def cube(cls, values: Float[Tensor, "cells cells cells"], half_width: float) -> "VoxelGrid":
        """In the box [−half_width, half_width]³."""
        low = -half_width
        return cls(values, (low, low, low), 2 * half_width / len(values))

    @classmethod
    def around(
        cls, points: Float[Tensor, "points 3"], cells: int, margin: int = 2
    ) -> "VoxelGrid":
        """Zeros in a box about points, with `cells` along its longest side.

        Of these `margin` at each end are free; shorter sides have fewer, the points in the
        middle.

        InputError if there are no points, or no extent or place for them.
        """
        if len(points) == 0 or not bool(points.isfinite().all()) or cells <= 2 * margin:
            raise InputError(
                f"no grid of {cells} cells, {margin} of them free at each end, about "
                f"{len(points)} points: give finite points, and more cells"
            )
        points = points.detach().double()
        low, high = points.amin(0), points.amax(0)
        cell = float((high - low).max()) / (cells - 2 * margin)
        if cell == 0:
            raise InputError("no grid about points that are all in one place: give more points")
        # Rounding must not add a cell to the longest side.
        sizes = ((high - low) / cell - 1e-6).ceil().long() + 2 * margin
        x, y, z = ((low + high) / 2 - cell * sizes / 2).tolist()
        return cls(torch.zeros(*sizes.tolist(), device=points.device), (x, y, z), cell)

    @property
    def high(self) -> Corner:
        """The box' highest corner."""
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
        """Of the cells, in the world frame."""
        return cell_centers(self.values, self.low, self.cell)

    def filled(self, level: float = 0.5) -> Bool[Tensor, "x y z"]:
        """The cells whose values are above the level."""
        return self.values > level

    def points(self, level: float = 0.5) -> Float[Tensor, "points 3"]:
        """The centres of the filled cells."""
        return self.centers()[self.filled(level)]

    def iou(self, other: "VoxelGrid", level: float = 0.5) -> float:
        """Cells filled in both over cells filled in either, of grids over the same box.

        1 where both are empty. InputError if the grids differ in where their cells are.
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
    """The centres of as many cells as `like` has values."""
    axes = [
        start + cell * (torch.arange(size, device=like.device) + 0.5)
        for start, size in zip(low, like.shape, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def voxel_iou(
    filled: Bool[Tensor, "*batch x y z"], truth: Bool[Tensor, "*batch x y z"]
) -> Float[Tensor, "*batch"]:
    """Cells filled in both over cells filled in either; 1 where both are empty."""
    both = (filled & truth).sum((-3, -2, -1))
    either = (filled | truth).sum((-3, -2, -1))
    return torch.where(either > 0, both / either.clamp_min(1), 1.0)


OPAQUE_OPTICAL_DEPTH = 1e6
"""Optical depth of a filled cell: rays that cut off a hundred-thousandth of it are stopped."""
MAX_PROBABILITY = 1 - 1e-6
"""Probabilities beyond are told from 1 by rounding alone."""


def density_from_occupancy(probability: VoxelGrid) -> VoxelGrid:
    """Density per unit length, by which a ray along one side of a cell is stopped so probably.

    1 − exp(−density × cell) = probability, and OPAQUE where that is 1. Differentiable.
    """
    sure = probability.values > MAX_PROBABILITY
    depth = -torch.log1p(-probability.values.clamp(0, MAX_PROBABILITY))
    return probability.with_values(
        torch.where(sure, OPAQUE_OPTICAL_DEPTH, depth) / probability.cell
    )


def cubify(grid: VoxelGrid, level: float = 0.5) -> Mesh:
    """The faces between filled cells and empty ones or the outside, as two triangles each.

    They face outward and share their vertices. Watertight, but where two filled cells touch
    along an edge alone: there an edge has four faces.
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
        # Counterclockwise as seen from where the axis points to, and the other way round.
        for wall, corners in ((before & ~after, around), (after & ~before, around.flip(0))):
            quads.append((wall.nonzero() * strides).sum(1, keepdim=True) + corners)
    vertices, index = torch.cat(quads).unique(return_inverse=True)
    x, y, z = vertices // strides[0], vertices // strides[1], vertices // strides[2]
    corner = torch.stack([x, y % (size_y + 1), z % (size_z + 1)], dim=1)
    low = torch.tensor(grid.low, device=filled.device)
    faces = torch.cat([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])
    return Mesh((corner * grid.cell + low).to(grid.values.dtype), faces)
