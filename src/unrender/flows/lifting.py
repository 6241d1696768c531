"""Liftings: cameras written as tensors with the shape of an image, and read back.

A flow carries its source to an image of the same shape, so a source that is a camera must be
spread over such a tensor: the camera is *lifted*. Reading a camera from a tensor that is only
near a lifted one is *unlifting*; how far the tensor lies from the lifted form is its *spread*.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import project_to_so3
from unrender.rendering.renderer import pixel_grid

POSE_NUMBERS = 12
"""Numbers of [R | t]: nine of the rotation, row by row, then three of the translation."""


def pose_numbers(cameras: Cameras, radius: Float[Tensor, ""]) -> Float[Tensor, "cameras 12"]:
    """(R11, R12, …, R33, t1, t2, t3) of each pose, the translation in units of `radius`."""
    return torch.cat([cameras.rotations.flatten(1), cameras.centers / radius], dim=1)


@dataclass(frozen=True)
class PoseReading:
    """Cameras read from tensors."""

    world_from_camera: Float[Tensor, "batch 3 4"]
    """[R | t] with R a rotation and t in scene units."""
    rotation_spread: Float[Tensor, "batch"]
    """Root mean square distance of what was read from R, as an angle in radians."""
    translation_spread: Float[Tensor, "batch"]
    """Root mean square distance of what was read from t, in scene units."""


class Lifting(ABC):
    """A way to write cameras as tensors `channels` × height × width.

    The world's centre should be the scene's, and `radius` the typical distance of a camera
    from it, in scene units: what is lifted is then of order one, as images are.
    """

    channels: int

    @abstractmethod
    def lift(
        self, cameras: Cameras, radius: Float[Tensor, ""]
    ) -> Float[Tensor, "cameras channels height width"]:
        """The tensors of the cameras, at the cameras' image size."""

    @abstractmethod
    def unlift(
        self,
        source: Float[Tensor, "batch channels height width"],
        cameras: Cameras,
        radius: Float[Tensor, ""],
    ) -> PoseReading:
        """The poses of the tensors. `cameras` lend intrinsics and image size, not poses."""


@dataclass(frozen=True)
class RepeatLifting(Lifting):
    """The twelve numbers of the pose, over and over.

    The entry at channel c, row y and column x holds number (c·H·W + y·W + x) mod 12 of
    (R11, R12, …, R33, t1, t2, t3), the translation in units of `radius`. A patch of 4 × 4
    pixels or more then sees all twelve numbers; one of 2 × 2 sees six of them.
    """

    channels: int = 4

    def index(self, height: int, width: int) -> Int[Tensor, "{self.channels} {height} {width}"]:
        """Which of the twelve numbers each entry holds."""
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
        # Two rotations θ apart differ by √2 θ in the Frobenius norm, for small θ.
        return PoseReading(
            torch.cat([rotation, radius * translation[..., None]], dim=-1),
            (distance[:, :9].sum(1) / 2).sqrt(),
            radius * distance[:, 9:].sum(1).sqrt(),
        )


@dataclass(frozen=True)
class PluckerLifting(Lifting):
    """The ray of every pixel in Plücker coordinates: its direction d and its moment o × d.

    Six channels, d and then (o × d) / `radius`, with o the camera's centre and d of unit length
    through the pixel's centre. So the intrinsics are in it, and each pixel knows its own ray
    (Sitzmann et al., "Light Field Networks", NeurIPS 2021, section 3.1).
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
        """The rotation that turns the camera's own rays nearest to those read (Procrustes), and
        then the point nearest to all rays (least squares).
        """
        read, moment = source.flatten(2).mT.split(3, dim=-1)
        identity = torch.eye(3, 4).to(source).expand(len(cameras), 3, 4)
        own = self._rays(cameras.with_poses(identity))
        rotation = project_to_so3(read.mT @ own)
        direction = own @ rotation.mT
        # Along its ray a centre does not count: (I − d dᵀ) o = d × (o × d), summed over rays.
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
        pixels = pixel_grid(cameras.width, cameras.height).flatten(0, 1).to(cameras.device)
        camera = torch.arange(len(cameras), device=cameras.device)[:, None]
        each = camera.expand(-1, len(pixels))
        return cameras.rays(each, pixels.expand(len(cameras), -1, 2)).directions


Liftings = Literal["repeat", "plucker"]
LIFTINGS: dict[Liftings, Lifting] = {"repeat": RepeatLifting(), "plucker": PluckerLifting()}


def lifting_for(name: Liftings, channels: int) -> Lifting:
    """The lifting of this name with room for a data space of so many channels."""
    if name == "repeat":
        return RepeatLifting(max(channels, RepeatLifting.channels))
    lifting = LIFTINGS[name]
    if lifting.channels < channels:
        raise InputError(
            f"--lifting {name}: has {lifting.channels} channels, fewer than the autoencoder's "
            f"{channels}: choose --lifting repeat"
        )
    return lifting
