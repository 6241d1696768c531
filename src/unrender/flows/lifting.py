"""Liftings: representations of cameras as tensors with the shape of an image.

A flow maps its source to an image of the same shape, so a camera that serves as the source must
be represented by such a tensor: it is *lifted*. Estimating a camera from a tensor that is only
close to a lifted one is *unlifting*; the distance of the tensor from the lifted camera is its
*spread*.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import project_to_so3

POSE_NUMBERS = 12
"""Entries of [R | t]: nine of the rotation, row by row, then three of the translation."""


def pose_numbers(cameras: Cameras, radius: Float[Tensor, ""]) -> Float[Tensor, "cameras 12"]:
    """(R11, R12, …, R33, t1, t2, t3) of each pose, the translation in units of `radius`."""
    return torch.cat([cameras.rotations.flatten(1), cameras.centers / radius], dim=1)


@dataclass(frozen=True)
class PoseReading:
    """Camera poses estimated from source tensors."""

    world_from_camera: Float[Tensor, "batch 3 4"]
    """[R | t] with R a rotation and t in scene units."""
    rotation_spread: Float[Tensor, "batch"]
    """RMS deviation of the tensor's rotation part from R, as an angle in radians."""
    translation_spread: Float[Tensor, "batch"]
    """RMS deviation of the tensor's translation part from t, in scene units."""


class Lifting(ABC):
    """A representation of cameras as tensors `channels` × height × width.

    The world's origin should be the center of the scene, and `radius` the typical distance of
    cameras from it, in scene units, so that lifted cameras are of order one, as images are.
    """

    channels: int

    @abstractmethod
    def lift(
        self, cameras: Cameras, radius: Float[Tensor, ""]
    ) -> Float[Tensor, "cameras channels height width"]:
        """Lift cameras to tensors of their image size."""

    @abstractmethod
    def unlift(
        self,
        source: Float[Tensor, "batch channels height width"],
        cameras: Cameras,
        radius: Float[Tensor, ""],
    ) -> PoseReading:
        """Estimate the poses of tensors; `cameras` give the intrinsics and the image size."""


@dataclass(frozen=True)
class RepeatLifting(Lifting):
    """The twelve numbers of the pose, repeated over the tensor.

    The entry at channel c, row y and column x is number (c·H·W + y·W + x) mod 12 of
    (R11, R12, …, R33, t1, t2, t3), the translation in units of `radius`. A patch of at least
    4 × 4 pixels contains all twelve numbers, one of 2 × 2 only six.
    """

    channels: int = 4

    def index(self, height: int, width: int) -> Int[Tensor, "{self.channels} {height} {width}"]:
        """Which of the twelve numbers each entry of the tensor is."""
        count = self.channels * height * width
        flat = torch.arange(count) % POSE_NUMBERS
        return flat.reshape(self.channels, height, width)

    def lift(
        self, cameras: Cameras, radius: Float[Tensor, ""]
    ) -> Float[Tensor, "cameras channels height width"]:
        numbers = pose_numbers(cameras, radius)
        shape = (self.channels, cameras.height, cameras.width)
        count = self.channels * cameras.height * cameras.width
        copies = -(-count // POSE_NUMBERS)
        return numbers.repeat(1, copies)[:, :count].unflatten(1, shape)

    def unlift(
        self,
        source: Float[Tensor, "batch channels height width"],
        cameras: Cameras,
        radius: Float[Tensor, ""],
    ) -> PoseReading:
        index = self.index(*source.shape[2:]).flatten().to(source.device)
        count = torch.bincount(index, minlength=POSE_NUMBERS).to(source)
        entries = source.flatten(1)

        def mean(values: Float[Tensor, "batch entries"]) -> Float[Tensor, "batch 12"]:
            total = values.new_zeros(len(values), POSE_NUMBERS)
            return total.index_add(1, index, values) / count

        numbers = mean(entries)
        rotation = project_to_so3(numbers[:, :9].unflatten(1, (3, 3)))
        translation = numbers[:, 9:]
        nearest = torch.cat([rotation.flatten(1), translation], dim=1)
        distance = mean((entries - nearest[:, index]).square())
        # For small θ, rotations θ apart have a Frobenius distance of √2 θ.
        return PoseReading(
            torch.cat([rotation, radius * translation[..., None]], dim=-1),
            (distance[:, :9].sum(1) / 2).sqrt(),
            radius * distance[:, 9:].sum(1).sqrt(),
        )


@dataclass(frozen=True)
class PluckerLifting(Lifting):
    """The ray of every pixel in Plücker coordinates, its direction d and its moment o × d.

    The six channels are d and (o × d) / `radius`, where o is the camera's center and d the unit
    direction through the pixel's center. They include the intrinsics, and each pixel has its
    own ray (Sitzmann et al., "Light Field Networks", NeurIPS 2021, section 3.1).
    """

    channels: int = 6

    def lift(
        self, cameras: Cameras, radius: Float[Tensor, ""]
    ) -> Float[Tensor, "cameras channels height width"]:
        direction = self._rays(cameras)
        moment = torch.linalg.cross((cameras.centers / radius)[:, None], direction, dim=-1)
        shape = (cameras.height, cameras.width)
        return torch.cat([direction, moment], dim=-1).mT.unflatten(2, shape)

    def unlift(
        self,
        source: Float[Tensor, "batch channels height width"],
        cameras: Cameras,
        radius: Float[Tensor, ""],
    ) -> PoseReading:
        """The rotation that best aligns the camera's rays with the directions (Procrustes), and
        then the point nearest to all rays (least squares).
        """
        read, moment = source.flatten(2).mT.split(3, dim=-1)
        identity = torch.eye(3, 4).to(source).expand(len(cameras), 3, 4)
        own = self._rays(cameras.with_poses(identity))
        rotation = project_to_so3(read.mT @ own)
        direction = own @ rotation.mT
        # A ray constrains o across its direction: Σ (I − d dᵀ) o = Σ d × (o × d) over rays.
        count = direction.shape[1]
        across = count * torch.eye(3).to(source) - direction.mT @ direction
        nearest = torch.linalg.cross(direction, moment, dim=-1).sum(1)
        center = torch.linalg.solve(across, nearest[..., None])
        expected = torch.linalg.cross(center.mT.expand_as(direction), direction, dim=-1)
        return PoseReading(
            torch.cat([rotation, radius * center], dim=-1),
            (read - direction).square().sum(-1).mean(1).sqrt(),
            radius * (moment - expected).square().sum(-1).mean(1).sqrt(),
        )

    def _rays(self, cameras: Cameras) -> Float[Tensor, "cameras pixels 3"]:
        pixels = pixel_grid(cameras.width, cameras.height, cameras.device).flatten(0, 1)
        camera = torch.arange(len(cameras), device=cameras.device)[:, None]
        each = camera.expand(-1, len(pixels))
        return cameras.rays(each, pixels.expand(len(cameras), -1, 2)).directions


Liftings = Literal["repeat", "plucker"]
LIFTINGS: dict[Liftings, Lifting] = {"repeat": RepeatLifting(), "plucker": PluckerLifting()}


def lifting_for(name: Liftings, channels: int) -> Lifting:
    """The lifting `name`, with at least `channels` channels. InputError if it has fewer."""
    if name == "repeat":
        return RepeatLifting(max(channels, RepeatLifting.channels))
    lifting = LIFTINGS[name]
    if lifting.channels < channels:
        raise InputError(
            f"--lifting {name}: has {lifting.channels} channels, fewer than the autoencoder's "
            f"{channels}: choose --lifting repeat"
        )
    return lifting
