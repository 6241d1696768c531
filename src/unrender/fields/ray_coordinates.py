"""Coordinates of rays as inputs of networks: where they meet two planes, or Plücker's."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.poses import project_to_so3
from unrender.geometry.two_plane import TwoPlanes


class RayCoordinates(nn.Module):
    """Six numbers for the line that a ray is on, wherever its origin lies; in checkpoints.

    At first they are Plücker coordinates: the unit direction d and the moment
    (o − center) × d / radius (Sitzmann et al., "Light Field Networks", NeurIPS 2021, sec. 3.1).
    """

    center: Float[Tensor, "3"]
    radius: Float[Tensor, ""]
    world_from_planes: Float[Tensor, "3 4"]
    depths: Float[Tensor, "2"]
    """Depths of two planes, which are equal for Plücker coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("radius", torch.ones(()))
        self.register_buffer("world_from_planes", torch.eye(3, 4))
        self.register_buffer("depths", torch.zeros(2))

    def use_plucker(self, ball: Float[Tensor, "4"]) -> None:
        """Plücker coordinates about a ball of this center and radius."""
        self.center.copy_(ball[:3])
        self.radius.copy_(ball[3])

    def use_planes(self, cameras: Cameras, depth: float) -> None:
        """Two planes across the mean direction of cameras that look one way.

        The first is where the cameras stand, with coordinates per their greatest distance from
        the middle; the second is at `depth`, in scene units, which is also its unit. The last
        two of the six numbers are 0.
        """
        middle = cameras.centers.mean(0)
        self.world_from_planes[:, :3].copy_(project_to_so3(cameras.rotations.mean(0)))
        self.world_from_planes[:, 3].copy_(middle)
        self.radius.copy_((cameras.centers - middle).norm(dim=1).amax().clamp_min(1e-3 * depth))
        self.depths[1].fill_(depth)

    def forward(self, rays: Rays) -> Float[Tensor, "*batch 6"]:
        first, second = self.depths.tolist()
        if first == second:
            start = (rays.origins - self.center) / self.radius
            moment = torch.linalg.cross(start, rays.directions)
            return torch.cat([rays.directions, moment], dim=-1)
        planes = TwoPlanes(self.world_from_planes, first, second)
        found = planes.coordinates(*(x.reshape(-1, 3) for x in (rays.origins, rays.directions)))
        near, far = found[:, :2] / self.radius, found[:, 2:] / second
        found = torch.cat([near, far, torch.zeros_like(near)], dim=1)
        return found.view(*rays.origins.shape[:-1], 6)
