"""Points around a surface with signed distances: training data of distance fields."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.shapes.implicit.sdf import SDF

SPREADS = (0.002, 0.01, 0.05)
"""Standard deviations of the offsets from the surface, for equal numbers of points."""
ANYWHERE = 0.25
"""Fraction of the points that are uniform in the box."""


@dataclass(frozen=True)
class SpaceSamples:
    """Points in a box, most of them near the surface, in no particular order."""

    points: Float[Tensor, "points 3"]
    distances: Float[Tensor, "points"]
    """Signed distances to the surface, negative inside."""

    @classmethod
    @torch.no_grad()
    def about(
        cls,
        surface: Float[Tensor, "surface 3"],
        sdf: SDF,
        count: int,
        half_width: float,
        seed: int = 0,
    ) -> "SpaceSamples":
        """`count` points near points of a surface and in the box [−half_width, half_width]³."""
        generator = torch.Generator().manual_seed(seed)
        anywhere = int(ANYWHERE * count)
        near = surface[
            torch.randint(len(surface), (count - anywhere,), generator=generator)
        ].cpu()
        spread = torch.tensor(SPREADS)[torch.arange(len(near)) % len(SPREADS)]
        near = near + spread[:, None] * torch.randn(near.shape, generator=generator)
        box = half_width * (2 * torch.rand(anywhere, 3, generator=generator) - 1)
        points = torch.cat([near.clamp(-half_width, half_width), box]).to(surface)
        return cls(points, sdf(points))

    def to(self, device: torch.device | str) -> "SpaceSamples":
        return SpaceSamples(self.points.to(device), self.distances.to(device))

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "count 3"], Float[Tensor, "count"]]:
        """Random points and their signed distances."""
        chosen = torch.randint(len(self.points), (count,), generator=generator)
        chosen = chosen.to(self.points.device)
        return self.points[chosen], self.distances[chosen]
