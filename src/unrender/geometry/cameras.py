"""Cameras, and the rays that leave them. OpenCV axes: x right, y down, z forward."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Rays:
    """Half-lines in the world frame, in scene units."""

    origins: Float[Tensor, "*batch 3"]
    directions: Float[Tensor, "*batch 3"]
    """Unit length."""
    pixel_radius: Float[Tensor, "*batch"]
    """Radius of the pixel's cone at unit distance (mip-NeRF, sec. 3.1)."""
    camera_index: Int[Tensor, "*batch"]
    """Which camera each ray left."""

    def detach(self) -> "Rays":
        return Rays(
            self.origins.detach(),
            self.directions.detach(),
            self.pixel_radius.detach(),
            self.camera_index,
        )


@dataclass(frozen=True)
class Cameras:
    """Pinhole cameras that share one image size."""

    world_from_camera: Float[Tensor, "cameras 3 4"]
    """[R | t]: maps camera points to world points, x_world = R x_camera + t."""
    intrinsics: Float[Tensor, "cameras 3 3"]
    """K, in pixels; a pixel's centre lies at +0.5."""
    width: int
    height: int

    @classmethod
    def from_focal(
        cls,
        world_from_camera: Float[Tensor, "cameras 3 4"],
        focal: Float[Tensor, "cameras"] | float,
        width: int,
        height: int,
    ) -> "Cameras":
        """Square pixels and the principal point at the image's centre; `focal` in pixels."""
        intrinsics = world_from_camera.new_zeros(len(world_from_camera), 3, 3)
        intrinsics[:, 0, 0] = focal
        intrinsics[:, 1, 1] = focal
        intrinsics[:, 0, 2] = width / 2
        intrinsics[:, 1, 2] = height / 2
        intrinsics[:, 2, 2] = 1
        return cls(world_from_camera, intrinsics, width, height)

    def __len__(self) -> int:
        return len(self.world_from_camera)

    @property
    def rotations(self) -> Float[Tensor, "cameras 3 3"]:
        return self.world_from_camera[:, :, :3]

    @property
    def centers(self) -> Float[Tensor, "cameras 3"]:
        """Where the cameras stand, in the world frame."""
        return self.world_from_camera[:, :, 3]

    @property
    def focal(self) -> Float[Tensor, "cameras"]:
        """Horizontal focal length, in pixels."""
        return self.intrinsics[:, 0, 0]

    @property
    def device(self) -> torch.device:
        return self.world_from_camera.device

    def to(self, device: torch.device | str) -> "Cameras":
        return dataclasses.replace(
            self,
            world_from_camera=self.world_from_camera.to(device),
            intrinsics=self.intrinsics.to(device),
        )

    def select(
        self, index: Int[Tensor, "chosen"] | Bool[Tensor, "cameras"] | slice
    ) -> "Cameras":
        return dataclasses.replace(
            self,
            world_from_camera=self.world_from_camera[index],
            intrinsics=self.intrinsics[index],
        )

    def with_poses(self, world_from_camera: Float[Tensor, "cameras 3 4"]) -> "Cameras":
        return dataclasses.replace(self, world_from_camera=world_from_camera)

    def resized(self, width: int, height: int) -> "Cameras":
        """The same cameras with images of another size: the field of view stays."""
        scale = torch.tensor(
            [width / self.width, height / self.height, 1.0], device=self.device
        )
        return dataclasses.replace(
            self, intrinsics=self.intrinsics * scale[:, None], width=width, height=height
        )

    def rays(self, camera: Int[Tensor, "*batch"], pixel: Float[Tensor, "*batch 2"]) -> Rays:
        """Rays through `pixel` = (x, y), differentiable in the pose and the intrinsics."""
        intrinsics = self.intrinsics[camera]
        focal = torch.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], dim=-1)
        skew, center = intrinsics[..., 0, 1], intrinsics[..., :2, 2]
        offset = (pixel - center) / focal
        x = offset[..., 0] - skew / focal[..., 0] * offset[..., 1]
        direction = torch.stack([x, offset[..., 1], torch.ones_like(x)], dim=-1)
        length = direction.norm(dim=-1, keepdim=True)
        pose = self.world_from_camera[camera]
        rotated = (pose[..., :3] @ (direction / length)[..., None])[..., 0]
        # A disc with the variance of the pixel's square footprint: 2/sqrt(12) of its width.
        radius = 2 / 12**0.5 / (focal[..., 0] * length[..., 0])
        return Rays(pose[..., 3], rotated, radius, camera)

    def project(
        self, camera: Int[Tensor, "*batch"], points: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
        """Pixels (x, y) of world points, and their depth along the optical axis.

        A point behind the camera has a negative depth, and its pixel means nothing.
        """
        pose = self.world_from_camera[camera]
        local = (pose[..., :3].mT @ (points - pose[..., 3])[..., None])[..., 0]
        projected = (self.intrinsics[camera] @ local[..., None])[..., 0]
        return projected[..., :2] / projected[..., 2:], local[..., 2]


def concatenate(parts: list[Cameras]) -> Cameras:
    """All cameras in one batch, of which there must be some; they must share the image size."""
    sizes = {(part.width, part.height) for part in parts}
    assert len(sizes) == 1, f"cameras of several image sizes: {sizes}"
    return dataclasses.replace(
        parts[0],
        world_from_camera=torch.cat([part.world_from_camera for part in parts]),
        intrinsics=torch.cat([part.intrinsics for part in parts]),
    )
