"""SDS anchoring: views that are sampled first, on which distillation is conditioned.

ZeroNVS, https://arxiv.org/abs/2310.17994, appendix B.1: score distillation makes the unseen
sides of a scene alike and smooth. So a few views are sampled as images first, the anchors. Each
step is then conditioned, with some probability, on the anchor nearest to the rendered camera,
and else on the input. The gradient of an anchor counts only where the rendered depth is beyond
a threshold.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import nearest_views
from unrender.geometry.poses import so3_exp


@dataclass(frozen=True)
class Anchoring:
    """How anchors are chosen. `VARIANTS` has that of the paper, and that of the code."""

    azimuths: tuple[float, ...]
    """Of the anchors, in degrees from the input about the vertical axis."""
    rotation_only: bool
    """Whether the nearest anchor is that of the smallest rotation, wherever it stands."""
    probability: float
    """Of conditioning a step on an anchor, at first."""
    last_probability: float
    last_fraction: float
    """Of training, from which on the probability is the last; it changes linearly before."""
    least_depth: float
    """Depth beyond which an anchor's gradient counts, in radii of the scene's ball."""

    def probability_at(self, fraction: float) -> float:
        """The probability of conditioning on an anchor at this fraction of training."""
        done = min(1.0, fraction / self.last_fraction) if self.last_fraction else 1.0
        return self.probability + done * (self.last_probability - self.probability)

    def cameras(
        self, camera: Cameras, center: Float[Tensor, "3"], up: Float[Tensor, "3"]
    ) -> Cameras:
        """The input's camera, turned by the azimuths about the axis through the center."""
        return turned(camera, center, up, [math.radians(each) for each in self.azimuths])

    def choose(
        self,
        targets: Cameras,
        anchors: Cameras,
        center: Float[Tensor, "3"],
        fraction: float,
        generator: torch.Generator,
    ) -> Int[Tensor, "targets"]:
        """For each target the index of its nearest anchor, or −1 for the input."""
        drawn = torch.rand(len(targets), generator=generator) < self.probability_at(fraction)
        chosen = torch.full((len(targets),), -1)
        if not len(anchors):
            return chosen
        nearest = nearest_views(targets, anchors, center, 1, self.rotation_only)[:, 0]
        return torch.where(drawn, nearest.cpu(), chosen)

    def counts(
        self,
        depth: Float[Tensor, "images height width"],
        chosen: Int[Tensor, "images"],
        radius: float,
    ) -> Bool[Tensor, "images height width"]:
        """Pixels whose gradient counts: all of the input's, an anchor's beyond the depth."""
        of_input = (chosen < 0).to(depth.device)[:, None, None]
        return of_input | (depth > self.least_depth * radius)


VARIANTS = {
    "off": Anchoring((), False, 0.0, 0.0, 0.0, 0.0),
    "paper": Anchoring((120.0, 240.0), False, 0.5, 0.5, 0.0, 1.0),
    "code": Anchoring((120.0, 240.0), True, 1.0, 0.0, 0.5, 0.0),
}
"""No anchors, those of the paper, and those of its code, which has the nearest by rotation
alone, a probability that falls to 0 in the first half (2,000 steps of 4,000), and no threshold
but that something is hit. (By default the code samples no anchors; here it samples those of the
paper.)"""


def turned(
    camera: Cameras,
    center: Float[Tensor, "3"],
    up: Float[Tensor, "3"],
    azimuths: list[float],
) -> Cameras:
    """One camera, turned by angles in radians about the axis `up` through `center`."""
    angles = torch.tensor(azimuths, dtype=up.dtype, device=up.device)
    rotation = so3_exp(angles[:, None] * up / up.norm())
    pose = camera.world_from_camera.expand(len(angles), -1, -1)
    place = (rotation @ (pose[:, :, 3] - center)[..., None])[..., 0] + center
    poses = torch.cat([rotation @ pose[:, :, :3], place[..., None]], dim=2)
    return Cameras(poses, camera.intrinsics.expand(len(angles), -1, -1), sizes=camera.sizes)
