"""Poses from images among many candidates: where the modes of the posterior are.

The candidates are poses of training views with the images that the flow makes of them. Their
squared differences from an image, over a temperature, are energies; the softmax of these is the
posterior over the candidates. It is as coarse as the candidates lie, but it sees all of the
space: of an object that looks alike from two sides, it finds both.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.geometry.poses import so3_distance

MAX_CANDIDATES = 2048
APART = math.radians(15)
"""Candidates whose rotations are nearer than this are of one mode."""
MIN_SHARE = 0.05
"""Of the posterior: what has less is no mode."""
TEMPERATURES = torch.logspace(-2, 4, 61).tolist()


@dataclass(frozen=True)
class Candidates:
    """Poses, and the images of them as the flow makes them."""

    world_from_camera: Float[Tensor, "candidates 3 4"]
    images: Float[Tensor, "candidates numbers"]

    def posterior(
        self, images: Float[Tensor, "images numbers"], temperature: float
    ) -> Float[Tensor, "images candidates"]:
        """Softmax of the energies, −½ |image − candidate's image|² / temperature."""
        return (self._squares(images) / (-2 * temperature)).softmax(1)

    def fit_temperature(
        self, images: Float[Tensor, "images numbers"], truth: Float[Tensor, "images 3 4"]
    ) -> float:
        """The temperature that makes those candidates likeliest that are next to the truth."""
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
        """The likeliest candidate of each mode, and the mode's share.

        Greedily: the likeliest candidate takes all that are near it, then the likeliest of
        those that are left.
        """
        rotations = self.world_from_camera[:, :, :3]
        left, best, shares = posterior, list[Tensor](), list[Tensor]()
        for _ in range(count):
            chosen = left.argmax(1)
            near = so3_distance(rotations[chosen][:, None], rotations[None]) < APART
            best.append(chosen)
            shares.append((left * near).sum(1))
            left = left.masked_fill(near, 0.0)
        return torch.stack(best, 1), torch.stack(shares, 1)

    def _squares(
        self, images: Float[Tensor, "images numbers"]
    ) -> Float[Tensor, "images candidates"]:
        return torch.cdist(images, self.images).square()
