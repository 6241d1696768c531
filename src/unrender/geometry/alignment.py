"""Similarity transforms, and the alignment of two reconstructions of the same scene."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras


@dataclass(frozen=True)
class Similarity:
    """The map x → scale · rotation x + translation."""

    scale: float
    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]

    def transform_points(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Apply the transform to points."""
        return self.scale * points @ self.rotation.T + self.translation

    def transform_cameras(self, cameras: Cameras) -> Cameras:
        """Apply the transform to cameras; transformed points keep their pixels."""
        rotation = self.rotation @ cameras.rotations
        center = self.transform_points(cameras.centers)
        return cameras.with_poses(torch.cat([rotation, center[..., None]], dim=2))


def align_points(
    source: Float[Tensor, "points 3"], target: Float[Tensor, "points 3"]
) -> Similarity:
    """The least-squares similarity transform from source to target points.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns"
    (1991). It requires at least three points that are not collinear.
    """
    a, b = source.double(), target.double()
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    u, s, vt = torch.linalg.svd(b.T @ a / len(a))
    # The sign makes the result a rotation rather than a reflection.
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.linalg.det(u @ vt).sign()
    rotation = u @ torch.diag(sign) @ vt
    scale = float((s * sign).sum() / a.square().sum(1).mean())
    translation = mean_b - scale * rotation @ mean_a
    return Similarity(scale, rotation.to(source.dtype), translation.to(source.dtype))
