"""Metrics of a reconstructed shape, by points sampled uniformly on both surfaces.

Precision is the share of the reconstruction's points within a threshold of the ground truth,
recall the share of the ground truth's points within it of the reconstruction, and F1 their
harmonic mean (Knapitsch et al., "Tanks and Temples", SIGGRAPH 2017; Tatarchenko et al., CVPR
2019). Thresholds are fractions of the shape's size, the longest side of the true points'
bounding box. All metrics improve with the number of points, down to the sampling distance, so
they are only comparable for the same number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.nearest import nearest
from unrender.shapes.chamfer import safe_sqrt
from unrender.shapes.voxels import voxel_iou

__all__ = ["THRESHOLDS", "ShapeScores", "score_shape", "voxel_iou"]

THRESHOLDS = (0.01, 0.02, 0.03, 0.04, 0.05)


@dataclass(frozen=True)
class ShapeScores:
    """Metrics of one reconstructed shape."""

    chamfer: float
    """Mean squared nearest-point distance, summed over both directions, in scene units²."""
    accuracy: float
    """Mean distance from the reconstruction's points to the truth, in scene units."""
    completeness: float
    """Mean distance from the truth's points to the reconstruction."""
    size: float
    """Longest side of the true bounding box, in scene units."""
    thresholds: tuple[float, ...]
    """As fractions of the size."""
    precision: tuple[float, ...]
    """In [0, 1], at each threshold."""
    recall: tuple[float, ...]
    normal_consistency: float | None = None
    """Mean |cosine| between normals and the nearest points' normals, over both directions."""

    @property
    def chamfer_l1(self) -> float:
        """Mean of accuracy and completeness."""
        return (self.accuracy + self.completeness) / 2

    @property
    def f1(self) -> tuple[float, ...]:
        """F1 at each threshold."""
        pairs = zip(self.precision, self.recall, strict=True)
        return tuple(2 * p * r / (p + r) if p + r > 0 else 0.0 for p, r in pairs)

    def to_json(self) -> dict[str, object]:
        return {
            "chamfer": self.chamfer,
            "chamfer_l1": self.chamfer_l1,
            "accuracy": self.accuracy,
            "completeness": self.completeness,
            "size": self.size,
            "normal_consistency": self.normal_consistency,
            "thresholds": list(self.thresholds),
            "precision": list(self.precision),
            "recall": list(self.recall),
            "f1": list(self.f1),
        }


@torch.no_grad()
def score_shape(
    points: Float[Tensor, "points 3"],
    true_points: Float[Tensor, "true_points 3"],
    normals: Float[Tensor, "points 3"] | None = None,
    true_normals: Float[Tensor, "true_points 3"] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> ShapeScores:
    """Score a reconstruction's points against those of the ground truth, in the same frame.

    Unit normals are compared if both have them. Raises InputError if there are no points, if
    they contain NaN or Inf, or if the ground truth has no extent.
    """
    for name, cloud in (("the reconstruction", points), ("the truth", true_points)):
        if len(cloud) == 0 or not bool(cloud.isfinite().all()):
            what = "no points" if len(cloud) == 0 else "points that are not finite"
            raise InputError(f"{name} has {what}: sample them from a mesh that has faces")
    size = float((true_points.amax(0) - true_points.amin(0)).max())
    if size == 0:
        raise InputError("the true points all coincide: sample them from a surface")
    there = nearest(points[None], true_points[None])
    back = nearest(true_points[None], points[None])
    near, true_near = safe_sqrt(there.distance2[0]), safe_sqrt(back.distance2[0])
    consistency = None
    if normals is not None and true_normals is not None:
        forth = (normals * true_normals[there.index[0]]).sum(1).abs().mean()
        consistency = (true_normals * normals[back.index[0]]).sum(1).abs().mean()
        consistency = float(forth + consistency) / 2
    limits = [threshold * size for threshold in thresholds]
    return ShapeScores(
        float(near.square().mean() + true_near.square().mean()),
        float(near.mean()),
        float(true_near.mean()),
        size,
        tuple(thresholds),
        tuple(float((near <= limit).float().mean()) for limit in limits),
        tuple(float((true_near <= limit).float().mean()) for limit in limits),
        consistency,
    )
