"""Batches of sets of views, and what they are drawn from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.imaging.color import premultiply


@dataclass(frozen=True)
class ViewBatch:
    """Square images of several objects or scenes, as many of each."""

    images: Float[Tensor, "sets views height width 4"]
    """Premultiplied RGBA in [0, 1]; opaque where a background belongs to the scene."""
    world_from_camera: Float[Tensor, "sets views 3 4"]
    """The origin is the center of the object or scene."""
    intrinsics: Float[Tensor, "sets views 3 3"]

    def cameras(self, first: int, last: int | None = None) -> Cameras:
        """Cameras of the views from `first` up to `last` of all sets, set after set."""
        chosen = slice(first, last)
        size = self.images.shape[2]
        return Cameras(
            self.world_from_camera[:, chosen].flatten(0, 1),
            self.intrinsics[:, chosen].flatten(0, 1),
            size,
            size,
        )


@dataclass(frozen=True)
class ViewPool:
    """Sets with equally many views, packed in memory."""

    images: UInt8[Tensor, "sets views height width 4"]
    """RGBA, straight alpha."""
    world_from_camera: Float[Tensor, "sets views 3 4"]
    intrinsics: Float[Tensor, "sets views 3 3"]

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, sets: Int[Tensor, "sets"], views: Int[Tensor, "sets views"]) -> ViewBatch:
        """These views of these sets."""
        index = sets[:, None], views
        return ViewBatch(
            premultiply(self.images[index].float() / 255),
            self.world_from_camera[index],
            self.intrinsics[index],
        )

    def draw(self, sets: int, views: int, generator: torch.Generator) -> ViewBatch:
        """Random sets, with replacement, and distinct random views of each."""
        chosen = torch.randint(len(self), (sets,), generator=generator)
        order = torch.rand(sets, self.images.shape[1], generator=generator).argsort(dim=1)
        device = self.images.device
        return self.batch(chosen.to(device), order[:, :views].to(device))


class ViewSets(ABC):
    """Where batches of sets of views come from."""

    size: int
    """Pixels per side of the images."""

    @property
    @abstractmethod
    def views(self) -> int:
        """Views that each set has at least."""

    @abstractmethod
    def draw(self, sets: int, views: int, step: int, generator: torch.Generator) -> ViewBatch:
        """Random sets and random views of them, for a step of training.

        What is drawn depends on the step and the generator alone.
        """

    def to(self, device: torch.device | str) -> "ViewSets":
        """The same; batches are drawn on the CPU and moved by who draws them."""
        del device
        return self


def on_random_backgrounds(
    batch: ViewBatch, share: float, generator: torch.Generator
) -> ViewBatch:
    """The batch with a `share` of its sets opaque, in front of a random color each."""
    if not share:
        return batch
    sets = len(batch.images)
    opaque = (torch.rand(sets, generator=generator) < share).to(batch.images.device)
    color = torch.rand(sets, 3, generator=generator).to(batch.images)
    behind = torch.cat([color, torch.ones_like(color[:, :1])], dim=1)[:, None, None, None]
    images = batch.images
    over = images + (1 - images[..., 3:]) * behind
    images = torch.where(opaque[:, None, None, None, None], over, images)
    return ViewBatch(images, batch.world_from_camera, batch.intrinsics)


def white(images: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Premultiplied RGBA over white, as novel views are compared."""
    return images[..., :3] + 1 - images[..., 3:]
