"""Two reconstructions of one scene, whose frames and units differ, brought together."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras


@dataclass(frozen=True)
class Similarity:
    """x → scale · rotation x + shift."""

    scale: float
    rotation: Float[Tensor, "3 3"]
    shift: Float[Tensor, "3"]

    def points(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        return self.scale * points @ self.rotation.T + self.shift

    def cameras(self, cameras: Cameras) -> Cameras:
        """The cameras where the similarity takes them; they see the moved points as before."""
        rotation = self.rotation @ cameras.rotations
        center = self.points(cameras.centers)
        return cameras.with_poses(torch.cat([rotation, center[..., None]], dim=2))


def align_points(
    source: Float[Tensor, "points 3"], target: Float[Tensor, "points 3"]
) -> Similarity:
    """The similarity that takes source points nearest to target ones, by least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns"
    (1991). At least three points that are not on a line.
    """
    a, b = source.double(), target.double()
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    u, s, vt = torch.linalg.svd(b.T @ a / len(a))
    # A rotation, not a reflection.
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.linalg.det(u @ vt).sign()
    rotation = u @ torch.diag(sign) @ vt
    scale = float((s * sign).sum() / a.square().sum(1).mean())
    shift = mean_b - scale * rotation @ mean_a
    return Similarity(scale, rotation.to(source.dtype), shift.to(source.dtype))
