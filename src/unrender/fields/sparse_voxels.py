"""Sparse voxel grids: features only at the occupied vertices of a cube.

An index maps each vertex of the grid to a row of a feature table; row 0 stands for all empty
vertices (`kernels/sparse_grid`). The other rows are in the order of their vertices, x slowest.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor
from torch.nn.functional import max_pool3d

from unrender.fields.pruning import keeps_most
from unrender.kernels.sparse_grid import sparse_sample


def index_occupied(occupied: Bool[Tensor, "x y z"]) -> Int32[Tensor, "x y z"]:
    """The index of a grid whose occupied vertices have a row each, numbered from 1."""
    return torch.where(occupied, occupied.flatten().cumsum(0).view(occupied.shape), 0).int()


def full_index(
    sizes: Sequence[int], device: torch.device | None = None
) -> Int32[Tensor, "x y z"]:
    """The index of a grid of these sizes whose vertices have a row each."""
    return index_occupied(torch.ones(*sizes, dtype=torch.bool, device=device))


def vertex_positions(index: Int32[Tensor, "x y z"]) -> Float[Tensor, "vertices 3"]:
    """Positions of the vertices of rows 1, 2, … in the unit cube."""
    sizes = torch.tensor(index.shape, device=index.device)
    return index.nonzero() / (sizes - 1)


def resample_rows(
    rows: Float[Tensor, "rows channels"],
    index: Int32[Tensor, "x y z"],
    target: Int32[Tensor, "a b c"],
) -> Float[Tensor, "more_rows channels"]:
    """The rows of another grid over the same cube, interpolated from this one."""
    found = sparse_sample(rows, index, vertex_positions(target))
    return torch.cat([rows[:1], found])


def dilate(occupied: Bool[Tensor, "x y z"]) -> Bool[Tensor, "x y z"]:
    """The occupied vertices and their 26 neighbors."""
    return max_pool3d(occupied[None].float(), 3, stride=1, padding=1)[0] > 0


def pruned_index(
    index: Int32[Tensor, "x y z"],
    depth: Float[Tensor, "a b c"],
    threshold: float,
    haze: float,
) -> Int32[Tensor, "a b c"] | None:
    """The index of a finer grid over the same cube, without vertices in empty space.

    `depth` is the optical depth of one of its voxels at each of its vertices. Those above
    `threshold` and their neighbors are kept. If they do not hold most of the scene, a sparse
    grid keeps all of its vertices, and for a dense one there is no index yet: None. The first
    `haze` of the depths, with which grids start, does not count.
    """
    kept = dilate(depth > threshold)
    if not keeps_most((depth - haze).relu().flatten(), kept.flatten()):
        if bool((index > 0).all()):
            return None
        size = torch.tensor(depth.shape, device=depth.device)
        points = torch.ones_like(depth).nonzero() / (size - 1)
        present = torch.ones(int(index.max()) + 1, 1, device=depth.device)
        present[0] = 0
        kept = (sparse_sample(present, index, points)[:, 0] > 0).view(depth.shape)
    return index_occupied(kept)


def bounding_box(
    occupied: Bool[Tensor, "x y z"], margin: float
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Corners, in the unit cube, of `margin` times the box around the occupied vertices.

    Each side is at least a voxel and a half wide.
    """
    cells = torch.tensor(occupied.shape, device=occupied.device) - 1
    places = occupied.nonzero()
    low, high = places.amin(0) / cells, places.amax(0) / cells
    half = margin * ((high - low) / 2).clamp_min(0.75 / cells)
    return (low + high) / 2 - half, (low + high) / 2 + half


def refine_index(
    occupied: Bool[Tensor, "x y z"],
    sizes: list[int],
    box: tuple[Float[Tensor, "3"], Float[Tensor, "3"]] | None = None,
) -> Int32[Tensor, "a b c"]:
    """The index of a grid of other sizes over the same cube, or over a box in it.

    It has the vertices in cells of this grid's occupied vertices or of their 26 neighbors, but
    none on its faces: points beyond the box get the value at its faces, which is that of empty
    vertices.
    """
    near = index_occupied(dilate(occupied))
    ones = torch.ones(int(near.max()) + 1, 1, device=near.device)
    ones[0] = 0
    full = full_index(sizes, near.device)
    points = vertex_positions(full)
    if box is not None:
        points = torch.lerp(*box, points)
    kept = (sparse_sample(ones, near, points) > 0).view(full.shape)
    for axis in range(3):
        kept.select(axis, 0).fill_(False)
        kept.select(axis, -1).fill_(False)
    return index_occupied(kept)
