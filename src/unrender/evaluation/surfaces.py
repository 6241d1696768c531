"""How near a surface that was learned from photographs comes to the true one.

By what held-out photographs show: silhouettes, and the colours inside of them. And, where the
surface is known, by distances; but only of what cameras see, for nothing tells a reconstruction
what the undersides and insides of things are like.
"""

from collections.abc import Callable
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
"""Side of the cubes of which each gives one seen point, as a share of the truth's diagonal."""


def silhouette_iou(
    opacity: Float[Tensor, "views height width"], alpha: Float[Tensor, "views height width"]
) -> Float[Tensor, "views"]:
    """Pixels more than half covered in both over those in either; 1 where there are none."""
    found, true = opacity > 0.5, alpha > 0.5
    either = (found | true).sum((1, 2))
    return torch.where(either > 0, (found & true).sum((1, 2)) / either.clamp_min(1), 1.0)


def psnr_inside(
    rendered: Float[Tensor, "views height width 3"],
    truth: Float[Tensor, "views height width 3"],
    inside: Bool[Tensor, "views height width"],
) -> Float[Tensor, "views"]:
    """Peak signal-to-noise ratio of each view's pixels that are inside, in dB.

    InputError for a view that has none of them.
    """
    count = inside.sum((1, 2))
    for view in (count == 0).nonzero()[:1, 0].tolist():
        raise InputError(f"the mask of view {view} is empty: leave the view out")
    error = (rendered - truth).double().square().mean(3)
    mean = (error * inside).sum((1, 2)) / count
    return (-10 * mean.log10()).float()


def seen_points(mesh: Mesh, cameras: Cameras, spacing: float) -> Float[Tensor, "points 3"]:
    """Points of a mesh that some camera sees, spread evenly: one in each cube of that side.

    Where pixels' centres meet the mesh; InputError if they meet nothing.
    """
    found: list[Tensor] = []
    for k in range(len(cameras)):
        fragments = rasterize_mesh(mesh, cameras.select(slice(k, k + 1)))
        found.append(fragments.interpolate(mesh.vertices, mesh.faces))
    points = torch.cat(found)
    if len(points) == 0:
        raise InputError("no camera sees anything of the mesh: are both in one frame?")
    return thinned(points, spacing)


def thinned(points: Float[Tensor, "points 3"], spacing: float) -> Float[Tensor, "fewer 3"]:
    """The first point of each cube of that side, so that they are spread evenly."""
    _, cube = (points / spacing).floor().long().unique(dim=0, return_inverse=True)
    first = torch.full((len(points),), len(points), device=points.device)
    number = torch.arange(len(points), device=points.device)
    first = first.scatter_reduce(0, cube, number, "amin")
    return points[first[first < len(points)]]


@dataclass(frozen=True)
class SeenScores:
    """Distances between a reconstruction and the truth, of what cameras see of each."""

    accuracy: float
    """Mean distance from seen points of the reconstruction to the true surface."""
    completeness: float
    """Mean distance from seen points of the true surface to the reconstruction."""
    diagonal: float
    """Of the truth's box; all in scene units."""

    @property
    def chamfer_percent(self) -> float:
        """The mean of both, in percent of the diagonal."""
        return 50 * (self.accuracy + self.completeness) / self.diagonal


@torch.no_grad()
def score_seen(mesh: Mesh, truth: Mesh, cameras: Cameras) -> SeenScores:
    """What cameras see of a reconstruction against all of the truth, and the other way round.

    Parts that no camera sees count in neither way; what should be seen and is hidden counts as
    missing only where the reconstruction is far from it. InputError if nothing is seen.
    """
    low, high = truth.vertices.amin(0), truth.vertices.amax(0)
    diagonal = float((high - low).norm())
    points, true_points = (
        seen_points(each, cameras, SPACING * diagonal) for each in (mesh, truth)
    )
    return SeenScores(
        float(point_to_mesh_distance2(points, truth).sqrt().mean()),
        float(point_to_mesh_distance2(true_points, mesh).sqrt().mean()),
        diagonal,
    )


@torch.no_grad()
def eikonal_rms(
    gradient: Callable[[Float[Tensor, "points 3"]], Float[Tensor, "points 3"]],
    points: Float[Tensor, "points 3"],
) -> float:
    """Root mean square of ‖∇f‖ − 1 at the points; 0 for a true distance.

    `solids.eikonal_residual` is the mean absolute deviation instead.
    """
    slope = gradient(points).norm(dim=1)
    return float((slope - 1).square().mean().sqrt())
