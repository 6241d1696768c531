"""A SiT with the moving average of its weights and statistics of the data.

The base class of all models of posed images: flows in either direction, and regressors.
"""

from abc import ABC
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from unrender.flows.transformer import SiT, TransformerSize
from unrender.geometry.bounds import scene_center
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import PoseEstimate

IMAGES_AT_ONCE = 256
"""Batch size at inference."""
MAX_HELD_OUT = 128
"""Maximum number of views held out to measure the errors of estimated poses."""


class AveragedSiT(nn.Module, ABC):
    """The network, the moving average of its weights, and statistics of the data.

    Poses inside the model are about `center`, which becomes the origin: `centered` moves
    cameras there, and `placed` moves estimates back to the world.
    """

    center: Tensor
    radius: Tensor
    intrinsics: Tensor
    training_views: Tensor
    held_out_views: Tensor

    def __init__(
        self, shape: TransformerSize, views: tuple[int, int], generator: torch.Generator
    ):
        """`views` are the numbers of training views and of held-out views."""
        super().__init__()
        self.network = SiT(shape, generator)
        self.average = SiT(shape, torch.Generator())
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        buffers = {
            # The point at which the training cameras look, and their mean distance from it.
            "center": torch.zeros(3),
            "radius": torch.ones(()),
            "intrinsics": torch.eye(3),
            "training_views": torch.zeros(views[0], dtype=torch.long),
            "held_out_views": torch.zeros(views[1], dtype=torch.long),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)

    @property
    def image_size(self) -> int:
        """Side of the model's images, in pixels."""
        return self.network.shape.image_size

    def cameras(self, world_from_camera: Float[Tensor, "cameras 3 4"]) -> Cameras:
        """Cameras at these poses with the intrinsics and the image size of training."""
        intrinsics = self.intrinsics.expand(len(world_from_camera), 3, 3)
        return Cameras(world_from_camera, intrinsics, self.image_size, self.image_size)

    def learn_cameras(
        self,
        cameras: Cameras,
        training: Int[Tensor, "training"],
        held_out: Int[Tensor, "held_out"],
    ) -> None:
        """Store the split of the views, and center, distance and intrinsics of the cameras."""
        self.training_views.copy_(training)
        self.held_out_views.copy_(held_out)
        seen = cameras.select(training.to(cameras.device))
        self.center.copy_(scene_center(seen))
        self.radius.copy_(self.centered(seen).centers.norm(dim=1).mean())
        self.intrinsics.copy_(cameras.intrinsics[0])

    def centered(self, cameras: Cameras) -> Cameras:
        """Cameras in the world's frame, moved so that `center` is the origin."""
        return cameras.translated(-self.center)

    def placed(self, estimate: PoseEstimate) -> PoseEstimate:
        """An estimate about `center`, in the world's frame."""

        def moved(pose: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 3 4"]:
            return torch.cat([pose[..., :3], pose[..., 3:] + self.center[:, None]], dim=-1)

        modes = estimate.modes
        if modes is not None:
            modes = replace(modes, world_from_camera=moved(modes.world_from_camera))
        return replace(estimate, cameras=estimate.cameras.translated(self.center), modes=modes)

    def follow(self, share: float) -> None:
        """Update the moving average of the weights, with `share` as its decay."""
        average: list[Tensor] = list(self.average.parameters())
        network: list[Tensor] = list(self.network.parameters())
        get_ema_multi_avg_fn(share)(average, network, 0)


def split_views(
    count: int, generator: torch.Generator
) -> tuple[Int[Tensor, "training"], Int[Tensor, "held_out"]]:
    """Split views at random into training and held-out ones (a twentieth, from 1 to 128)."""
    held_out = max(1, min(MAX_HELD_OUT, count // 20))
    order = torch.randperm(count, generator=generator)
    return order[held_out:], order[:held_out]
