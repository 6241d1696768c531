"""Metrics of surfaces reconstructed from images.

On held-out images: silhouettes, and colors inside them. With a ground-truth surface:
distances, restricted to parts visible to the cameras, because images do not determine hidden
parts such as undersides and interiors.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.rendering.mesh.raster import rasterize_mesh
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_distance import point_to_mesh_distance2

SPACING = 1 / 400
"""Spacing of visible points, as a fraction of the diagonal of the true bounding box."""


def silhouette_iou(
    opacity: Float[Tensor, "views height width"], alpha: Float[Tensor, "views height width"]
) -> Float[Tensor, "views"]:
    """IoU of the silhouettes (opacity above 0.5); 1 if both are empty."""
    found, true = opacity > 0.5, alpha > 0.5
    either = (found | true).sum((1, 2))
    return torch.where(either > 0, (found & true).sum((1, 2)) / either.clamp_min(1), 1.0)


def psnr_inside(
    rendered: Float[Tensor, "views height width 3"],
    truth: Float[Tensor, "views height width 3"],
    inside: Bool[Tensor, "views height width"],
) -> Float[Tensor, "views"]:
    """Peak signal-to-noise ratio of each view's pixels inside a mask, in dB.

    Raises InputError for a view with an empty mask.
    """
    count = inside.sum((1, 2))
    for view in (count == 0).nonzero()[:1, 0].tolist():
        raise InputError(f"the mask of view {view} is empty: leave out the view")
    error = (rendered - truth).double().square().mean(3)
    mean = (error * inside).sum((1, 2)) / count
    return (-10 * mean.log10()).float()


def visible_points(mesh: Mesh, cameras: Cameras, spacing: float) -> Float[Tensor, "points 3"]:
    """Points of a mesh visible to any camera, one in each cube of side `spacing`.

    They are the intersections of pixel-center rays with the mesh. Raises InputError if there
    are none.
    """
    found: list[Tensor] = []
    for k in range(len(cameras)):
        fragments = rasterize_mesh(mesh, cameras.select(slice(k, k + 1)))
        found.append(fragments.interpolate(mesh.vertices, mesh.faces))
    points = torch.cat(found)
    if len(points) == 0:
        raise InputError("no camera sees the mesh: check that both are in the same frame")
    return thinned(points, spacing)


def thinned(points: Float[Tensor, "points 3"], spacing: float) -> Float[Tensor, "fewer 3"]:
    """The first point in each cube of side `spacing`, for an even distribution."""
    _, cube = (points / spacing).floor().long().unique(dim=0, return_inverse=True)
    first = torch.full((len(points),), len(points), device=points.device)
    number = torch.arange(len(points), device=points.device)
    first = first.scatter_reduce(0, cube, number, "amin")
    return points[first[first < len(points)]]


@dataclass(frozen=True)
class VisibleScores:
    """Distances between the visible parts of a reconstruction and of the ground truth."""

    accuracy: float
    """Mean distance from visible points of the reconstruction to the true surface."""
    completeness: float
    """Mean distance from visible points of the true surface to the reconstruction."""
    diagonal: float
    """Diagonal of the true bounding box; all in scene units."""

    @property
    def chamfer_percent(self) -> float:
        """Mean of accuracy and completeness, in percent of the diagonal."""
        return 50 * (self.accuracy + self.completeness) / self.diagonal


@torch.no_grad()
def score_visible(mesh: Mesh, truth: Mesh, cameras: Cameras) -> VisibleScores:
    """Distances of visible points of the reconstruction to the ground truth, and vice versa.

    Parts that no camera sees are not sampled. True parts that are hidden in the reconstruction
    count as missing only if they are far from it. Raises InputError if nothing is visible.
    """
    low, high = truth.vertices.amin(0), truth.vertices.amax(0)
    diagonal = float((high - low).norm())
    points, true_points = (
        visible_points(each, cameras, SPACING * diagonal) for each in (mesh, truth)
    )
    return VisibleScores(
        float(point_to_mesh_distance2(points, truth).sqrt().mean()),
        float(point_to_mesh_distance2(true_points, mesh).sqrt().mean()),
        diagonal,
    )
