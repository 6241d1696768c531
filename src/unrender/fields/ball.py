"""The ball that a dataset's cameras look at, which defines a model's unit of length."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from unrender.geometry.bounds import intersect_ball, visible_ball
from unrender.geometry.cameras import Cameras, Rays


class Ball(nn.Module):
    """Center and radius of a ball, stored in checkpoints; the unit ball until it is set."""

    center: Tensor
    radius: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("radius", torch.ones(()))

    def fit_to_cameras(self, cameras: Cameras, known: Float[Tensor, "4"] | None = None) -> None:
        """Set the ball to a known center and radius, or else to what the cameras look at."""
        if known is not None:
            center, radius = known[:3], float(known[3])
        else:
            center, radius = visible_ball(cameras)
        self.center.copy_(center)
        self.radius.fill_(radius)

    def to_unit(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Transform world points into the ball's frame, where it is the unit ball."""
        return (points - self.center) / self.radius

    def from_unit(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The inverse of `to_unit`."""
        return self.center + self.radius * points

    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "count 3"]:
        """Random points in the ball."""
        normal = torch.randn(count, 3, generator=generator)
        reach = torch.rand(count, 1, generator=generator) ** (1 / 3)
        return self.center + self.radius * reach * normalize(normal, dim=1)

    def intersect(
        self, rays: Rays, least: float
    ) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
        """Distances at which rays enter and leave the ball, none below `least` radii."""
        radius = float(self.radius)
        return intersect_ball(rays, self.center, radius, least * radius)


class Box(Ball):
    """A box in the ball's cube, which it touches along its longest side.

    At first it is the whole cube. `half_sides` are in radii, and the longest is 1.
    """

    half_sides: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("half_sides", torch.ones(3))

    def to_box(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Map points of the ball's frame to coordinates in [0, 1]³ of the box."""
        return (points / self.half_sides + 1) / 2

    def shrink(self, low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> None:
        """Replace the box by that of these corners in its coordinates; the ball follows."""
        half_sides = self.half_sides * (high - low)
        self.center += self.radius * self.half_sides * (low + high - 1)
        self.radius *= half_sides.max()
        self.half_sides.copy_(half_sides / half_sides.max())

    def grid_sizes(self, side: float) -> list[int]:
        """Vertices along each axis of a grid of cubes with about side³ vertices in the box."""
        volume = self.half_sides.prod() ** (1 / 3)
        sizes = (side * self.half_sides / volume).round().long()
        return sizes.clamp_min(4).tolist()
