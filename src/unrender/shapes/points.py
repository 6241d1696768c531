"""Point clouds from depth images or surfaces, with normals, downsampling and outlier removal.

Nearest neighbors are computed in single precision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.kernels.nearest import k_nearest
from unrender.shapes.display import Shown


@dataclass(frozen=True)
class PointCloud(Shown):
    """A point cloud, possibly empty, optionally with colors and normals.

    >>> import torch
    >>> import unrender as ur
    >>> points = torch.rand(100, 3)
    >>> ur.PointCloud(points, colors=points)
    PointCloud(100 points, colors)
    """

    points: Float[Tensor, "points 3"]
    """Positions in scene units."""
    colors: Float[Tensor, "points 3"] | None = None
    """Display-referred RGB in [0, 1]."""
    normals: Float[Tensor, "points 3"] | None = None
    """Unit normals; 0 where unknown."""

    @classmethod
    def load(cls, path: str | Path) -> "PointCloud":
        """Load points from a .ply, .npz or .xyz file; the axes are kept as they are.

        Raises InputError for a file that cannot be read or holds another kind of shape.

        >>> import torch
        >>> import unrender as ur
        >>> ur.PointCloud(torch.rand(100, 3)).save("points.ply")
        >>> ur.PointCloud.load("points.ply")
        PointCloud(100 points)
        """
        # These modules import this one.
        from unrender.shapes.files.shape import load_shape_as  # noqa: PLC0415

        return load_shape_as(cls, path)

    def save(self, path: str | Path) -> None:
        """Save as .ply, .npz or .xyz, chosen by the path's ending.

        Raises InputError for another ending, for an empty cloud, and for colors in .xyz.
        """
        from unrender.shapes.files.shape import save_shape  # noqa: PLC0415

        save_shape(path, self)

    def __repr__(self) -> str:
        parts = [f"{len(self)} points"]
        parts += ["normals"] if self.normals is not None else []
        parts += ["colors"] if self.colors is not None else []
        return f"PointCloud({', '.join(parts)})"

    def __len__(self) -> int:
        return len(self.points)

    def to(self, device: torch.device | str) -> "PointCloud":
        return self.map(lambda values: values.to(device))

    def select(self, index: Int[Tensor, "chosen"] | Bool[Tensor, "points"]) -> "PointCloud":
        """The points with these indices, or where a mask is true."""
        return self.map(lambda values: values[index])

    def map(self, change: Callable[[Tensor], Tensor]) -> "PointCloud":
        """Apply a function to points, colors and normals."""
        return PointCloud(
            change(self.points),
            None if self.colors is None else change(self.colors),
            None if self.normals is None else change(self.normals),
        )


def unproject_depth(
    cameras: Cameras,
    depths: Float[Tensor, "cameras height width"],
    along: Literal["axis", "ray"],
    colors: Float[Tensor, "cameras height width 3"] | None = None,
) -> PointCloud:
    """The 3D points of all pixels with a depth, in world coordinates.

    `along` says what depth means: the distance along the optical axis, as depth cameras give
    it, or the distance along the pixel's ray, as in `Rendering.depth` and `Views.depths`.
    Pixels whose depth is not positive and finite are skipped. Differentiable in depths and
    cameras.
    """
    valid = (depths > 0) & depths.isfinite()
    camera, row, column = valid.nonzero(as_tuple=True)
    rays = cameras.rays(camera, torch.stack([column, row], dim=1) + 0.5)
    depth = depths[valid]
    if along == "axis":
        axes = cameras.rotations[camera, :, 2]
        depth = depth / (rays.directions * axes).sum(1)
    points = rays.origins + depth[:, None] * rays.directions
    return PointCloud(points, None if colors is None else colors[valid])


def concatenate(clouds: Sequence[PointCloud]) -> PointCloud:
    """The union of clouds; colors and normals are kept if every cloud has them."""
    assert clouds, "at least one cloud is needed"
    colors = [cloud.colors for cloud in clouds if cloud.colors is not None]
    normals = [cloud.normals for cloud in clouds if cloud.normals is not None]
    return PointCloud(
        torch.cat([cloud.points for cloud in clouds]),
        torch.cat(colors) if len(colors) == len(clouds) else None,
        torch.cat(normals) if len(normals) == len(clouds) else None,
    )


def voxel_downsample(cloud: PointCloud, size: float) -> PointCloud:
    """The mean point, color and normal of each non-empty cubic cell of side `size`.

    The cells are aligned to the world origin, so clouds in the same frame share them. The
    result is sorted by cell. Raises InputError if the cells are too small to be indexed.
    """
    cells = (cloud.points.detach().double() / size).floor()
    if len(cells) == 0:
        return cloud
    cells = cells - cells.amin(0)
    if not bool((cells < 1 << 21).all()):
        raise InputError(
            f"the cloud is {float(cells.max()):.3g} cells of side {size:g} long: give cells of "
            "at least one two-millionth of its length, and finite points"
        )
    x, y, z = cells.long().unbind(1)
    _, cell, counts = ((x << 42) + (y << 21) + z).unique(
        return_inverse=True, return_counts=True
    )

    def mean(values: Float[Tensor, "points 3"]) -> Float[Tensor, "cells 3"]:
        total = values.new_zeros(len(counts), 3).index_add(0, cell, values)
        return total / counts[:, None].to(values)

    found = cloud.map(mean)
    if found.normals is None:
        return found
    return PointCloud(found.points, found.colors, normalize(found.normals, dim=1))


def estimate_normals(
    points: Float[Tensor, "points 3"], viewpoint: Float[Tensor, "3"], neighbors: int = 16
) -> Float[Tensor, "points 3"]:
    """Unit normals of the planes through each point's nearest neighbors, toward a viewpoint.

    The normal is the direction of least variance of the neighbors, including the point itself
    (Hoppe et al., "Surface Reconstruction from Unorganized Points", 1992). Normals are 0 for
    fewer than three points.
    """
    if len(points) < 3:
        return torch.zeros_like(points)
    _, index = nearest_neighbors(points, min(max(neighbors, 3), len(points)))
    near = points[index]
    near = near - near.mean(1, keepdim=True)
    _, axes = torch.linalg.eigh(near.mT @ near)
    normals = axes[..., 0]
    away = (normals * (viewpoint - points)).sum(1, keepdim=True) < 0
    return torch.where(away, -normals, normals)


def farthest_point_sampling(
    points: Float[Tensor, "points 3"], count: int, first: int = 0
) -> Int[Tensor, "chosen"]:
    """Indices of points chosen one by one, each the farthest from those chosen before.

    Exact and greedy (Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance",
    1985), in `count` passes over the points. Ties go to the first point; at most all points are
    chosen.
    """
    points = points.detach()
    count = min(count, len(points))
    chosen = torch.empty(count, dtype=torch.long, device=points.device)
    x, y, z = points.T.contiguous()
    distance = torch.full_like(x, torch.inf)
    latest = torch.tensor(first, device=points.device)
    for k in range(count):
        chosen[k] = latest
        a, b, c = points[latest]
        distance = torch.minimum(distance, (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2)
        # Duplicates of chosen points are at distance 0; −1 puts chosen points behind them.
        distance[latest] = -1
        latest = distance.argmax()
    return chosen


def remove_outliers(
    cloud: PointCloud, neighbors: int = 16, deviations: float = 2.0
) -> PointCloud:
    """Remove points that are far from their nearest neighbors.

    A point is removed if its mean distance to its neighbors exceeds the cloud's mean of that
    distance by more than `deviations` standard deviations (Rusu et al., "Towards 3D Point Cloud
    Based Object Maps", 2008). Clouds of fewer than two points are returned as they are.
    """
    if len(cloud) < 2:
        return cloud
    distance, _ = nearest_neighbors(cloud.points, min(neighbors + 1, len(cloud)))
    mean = distance[:, 1:].mean(1)
    limit = mean.mean() + deviations * mean.std(correction=0)
    return cloud.select(mean <= limit)


def nearest_neighbors(
    points: Float[Tensor, "points 3"], count: int
) -> tuple[Float[Tensor, "points count"], Int[Tensor, "points count"]]:
    """Distances and indices of each point's nearest points, the point itself included.

    At most all points are returned.
    """
    if len(points) == 0:
        return points.new_zeros(0, 0), torch.zeros(0, 0, dtype=torch.long, device=points.device)
    cloud = points.detach().float()[None]
    found = k_nearest(cloud, cloud, min(count, len(points)))
    return found.distance2[0].sqrt().to(points.dtype), found.index[0]
