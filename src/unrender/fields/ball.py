"""The ball that a scene's cameras look at: a model's unit of length."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.geometry.bounds import intersect_ball, visible_ball
from unrender.geometry.cameras import Cameras, Rays


class Ball(nn.Module):
    """Centre and radius, which a checkpoint holds; the unit ball until it is told."""

    center: Tensor
    radius: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("radius", torch.ones(()))

    def fit_to_cameras(self, cameras: Cameras, known: Float[Tensor, "4"] | None = None) -> None:
        """Become what is known of centre and radius, or else what these cameras look at."""
        if known is not None:
            center, radius = known[:3], float(known[3])
        else:
            center, radius = visible_ball(cameras)
        self.center.copy_(center)
        self.radius.fill_(radius)

    def to_unit(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World points, in the ball's own frame: its surface at distance 1 from 0."""
        return (points - self.center) / self.radius

    def intersect(
        self, rays: Rays, least: float
    ) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
        """Distances at which rays enter and leave it, none nearer than `least` radii."""
        radius = float(self.radius)
        return intersect_ball(rays, self.center, radius, least * radius)
