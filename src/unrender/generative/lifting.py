"""Liftings: cameras written as tensors with the shape of an image, and read back.

A flow carries its source to an image of the same shape, so a source that is a camera must be
spread over such a tensor: the camera is *lifted*. Reading a camera from a tensor that is only
near a lifted one is *unlifting*; how far the tensor lies from the lifted form is its *spread*.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import project_to_so3

POSE_NUMBERS = 12
"""Numbers of [R | t]: nine of the rotation, row by row, then three of the translation."""


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
        rotation = cameras.rotations.flatten(1)
        numbers = torch.cat([rotation, cameras.centers / radius], dim=1)
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
