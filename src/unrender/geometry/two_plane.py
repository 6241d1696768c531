"""Rays as four numbers: where they meet two parallel planes.

Levoy and Hanrahan, "Light Field Rendering", SIGGRAPH 1996; Gortler et al., "The Lumigraph",
SIGGRAPH 1996. The cameras stand in the first plane, at (u, v); the second, at (s, t), is where
the scene is.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError

LEVEL = 1e-6
"""Sine of the angle to the planes up to which a ray counts as parallel to them."""


@dataclass(frozen=True)
class TwoPlanes:
    """Two parallel planes at the depths `first` and `second` of a frame, in scene units.

    >>> planes = TwoPlanes(torch.eye(3, 4), 0.0, 2.0)
    >>> planes.coordinates(torch.tensor([[0.0, 0.0, -1.0]]), torch.tensor([[0.0, 0.6, 0.8]]))
    tensor([[0.0000, 0.7500, 0.0000, 2.2500]])
    """

    world_from_planes: Float[Tensor, "3 4"]
    """The frame, with OpenCV's axes: u and s to the right (x), v and t downwards (y), and
    depths forwards (z)."""
    first: float
    """Depth of the (u, v) plane."""
    second: float
    """Depth of the (s, t) plane."""

    def __post_init__(self) -> None:
        if self.first == self.second:
            raise InputError(
                f"planes at depths {self.first:g} and {self.second:g}: give two depths"
            )

    def coordinates(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays 4"]:
        """(u, v, s, t) of the lines that rays are on; origins may lie anywhere on them.

        Differentiable. Raises InputError for a ray that is parallel to the planes.
        """
        rotation, shift = self.world_from_planes[:, :3], self.world_from_planes[:, 3]
        start, towards = (origins - shift) @ rotation, directions @ rotation
        level = towards[:, 2].abs() <= LEVEL * towards.norm(dim=1)
        for k in level.nonzero()[:1, 0].tolist():
            raise InputError(
                f"ray {k}: is parallel to the two planes, and meets neither in a point: leave "
                "it out"
            )
        slope = towards[:, :2] / towards[:, 2:]
        return torch.cat(
            [start[:, :2] + (depth - start[:, 2:]) * slope for depth in self.depths], dim=1
        )

    def rays(
        self, coordinates: Float[Tensor, "rays 4"]
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
        """Origins in the (u, v) plane, and directions of unit length towards (s, t)."""
        rotation, shift = self.world_from_planes[:, :3], self.world_from_planes[:, 3]
        points = [
            torch.cat([each, torch.full_like(each[:, :1], depth)], dim=1)
            for each, depth in zip(coordinates.split(2, dim=1), self.depths, strict=True)
        ]
        sign = 1.0 if self.second > self.first else -1.0
        directions = normalize(sign * (points[1] - points[0]), dim=1) @ rotation.T
        return points[0] @ rotation.T + shift, directions

    @property
    def depths(self) -> tuple[float, float]:
        """Of the first and the second plane."""
        return self.first, self.second
