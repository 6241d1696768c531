"""A coarse posterior over poses, on candidate poses, and its modes.

The candidates are training poses with the images that the flow generates from them. Their
squared differences from an image, over a temperature, are energies, whose softmax is the
posterior over the candidates. Its resolution is limited by the spacing of the candidates, but
it covers the whole space: for an object that looks the same from two sides, it finds both.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.geometry.poses import so3_distance

MAX_CANDIDATES = 2048
MODE_ANGLE = math.radians(15)
"""Candidates whose rotations are closer than this, in radians, belong to one mode."""
MIN_SHARE = 0.05
"""Minimum share of the posterior for a mode."""
TEMPERATURES = torch.logspace(-2, 4, 61).tolist()


@dataclass(frozen=True)
class Candidates:
    """Candidate poses and the images that the flow generates from them."""

    world_from_camera: Float[Tensor, "candidates 3 4"]
    images: Float[Tensor, "candidates numbers"]

    def posterior(
        self, images: Float[Tensor, "images numbers"], temperature: float
    ) -> Float[Tensor, "images candidates"]:
        """Softmax of −½ |image − candidate's image|² / temperature over the candidates."""
        return (self._squares(images) / (-2 * temperature)).softmax(1)

    def fit_temperature(
        self, images: Float[Tensor, "images numbers"], truth: Float[Tensor, "images 3 4"]
    ) -> float:
        """The temperature that maximizes the likelihood of the candidates nearest the truth."""
        squares = self._squares(images)
        poses = self.world_from_camera
        distance = so3_distance(truth[:, None, :, :3], poses[None, :, :, :3])
        nearest = distance.argmin(1, keepdim=True)

        def likelihood(temperature: float) -> float:
            logarithms = (squares / (-2 * temperature)).log_softmax(1)
            return float(logarithms.gather(1, nearest).mean())

        return max(TEMPERATURES, key=likelihood)

    def modes(
        self, posterior: Float[Tensor, "images candidates"], count: int
    ) -> tuple[Int[Tensor, "images {count}"], Float[Tensor, "images {count}"]]:
        """The most probable candidate of each mode, and the mode's share of the posterior.

        Modes are formed greedily: the most probable candidate and all candidates near it, then
        the most probable of the remaining ones, and so on.
        """
        rotations = self.world_from_camera[:, :, :3]
        left, best, shares = posterior, list[Tensor](), list[Tensor]()
        for _ in range(count):
            chosen = left.argmax(1)
            near = so3_distance(rotations[chosen][:, None], rotations[None]) < MODE_ANGLE
            best.append(chosen)
            shares.append((left * near).sum(1))
            left = left.masked_fill(near, 0.0)
        return torch.stack(best, 1), torch.stack(shares, 1)

    def _squares(
        self, images: Float[Tensor, "images numbers"]
    ) -> Float[Tensor, "images candidates"]:
        # Not by a matrix product, which loses the digits of images that are alike.
        mode = "donot_use_mm_for_euclid_dist"
        return torch.cdist(images, self.images, compute_mode=mode).square()
