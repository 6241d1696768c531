"""A flow between cameras and the images they take.

Forwards in time it makes the image of a lifted camera, backwards it finds the camera of an
image. Images are premultiplied RGBA; the flow sees them channels first and scaled to [−1, 1].

Mean start: the source without noise, lift(P); sampled start: with it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.generative.calibration import rising_line
from unrender.generative.lifting import PoseReading, RepeatLifting
from unrender.generative.solvers import Solver, integrate
from unrender.generative.transformer import Shape, SiT
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance

IMAGES_AT_ONCE = 256

Images = Float[Tensor, "images height width 4"]
"""RGBA, premultiplied, in [0, 1]."""


def flow_from_images(images: Images) -> Float[Tensor, "images 4 height width"]:
    return 2 * images.movedim(-1, 1) - 1


def images_from_flow(x1: Float[Tensor, "images 4 height width"]) -> Images:
    """Values outside of [0, 1] are clamped."""
    return ((x1 + 1) / 2).clamp(0, 1).movedim(1, -1)


class PoseFlow(nn.Module):
    """The network, the moving average of its weights, and what the data told."""

    radius: Tensor
    intrinsics: Tensor
    training_views: Tensor
    held_out_views: Tensor
    calibration: Tensor

    def __init__(self, shape: Shape, views: tuple[int, int], generator: torch.Generator):
        """`views`: how many are trained on, and how many are held out."""
        super().__init__()
        self.lifting = RepeatLifting(shape.channels)
        self.network = SiT(shape, generator)
        self.average = SiT(shape, torch.Generator())
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        buffers = {
            # Mean distance of the training cameras from the world's centre.
            "radius": torch.ones(()),
            "intrinsics": torch.eye(3),
            "training_views": torch.zeros(views[0], dtype=torch.long),
            "held_out_views": torch.zeros(views[1], dtype=torch.long),
            # Expected error = a + b · spread: rows for rotation and translation, columns a, b.
            "calibration": torch.tensor([[0.0, 1.0], [0.0, 1.0]]),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)

    @property
    def image_size(self) -> int:
        """Pixels a side of the images that the flow makes and reads."""
        return self.network.shape.image_size

    def cameras(self, world_from_camera: Float[Tensor, "cameras 3 4"]) -> Cameras:
        """Cameras at these poses with the intrinsics and the image size of training."""
        intrinsics = self.intrinsics.expand(len(world_from_camera), 3, 3)
        return Cameras(world_from_camera, intrinsics, self.image_size, self.image_size)

    def lift(self, cameras: Cameras) -> Float[Tensor, "cameras channels height width"]:
        """The mean start of each camera."""
        return self.lifting.lift(cameras, self.radius)

    def generate(
        self, source: Float[Tensor, "images channels height width"], steps: int, solver: Solver
    ) -> Images:
        """The images that the averaged network makes of lifted cameras."""
        parts = [
            integrate(self.average, part, 0.0, 1.0, steps, solver)
            for part in source.split(IMAGES_AT_ONCE)
        ]
        return images_from_flow(torch.cat(parts))

    @torch.no_grad()
    def read(self, images: Images, steps: int, solver: Solver) -> PoseReading:
        """The poses at the other end of the images' paths."""
        parts = [
            integrate(self.average, part, 1.0, 0.0, steps, solver)
            for part in flow_from_images(images).split(IMAGES_AT_ONCE)
        ]
        blank = self.cameras(images.new_zeros(len(images), 3, 4))
        return self.lifting.unlift(torch.cat(parts), blank, self.radius)

    def expected_errors(
        self, reading: PoseReading
    ) -> tuple[Float[Tensor, "images"], Float[Tensor, "images"]]:
        """Of the rotations, in radians, and of the centres, in scene units."""
        rotation, translation = self.calibration
        return (
            rotation[0] + rotation[1] * reading.rotation_spread,
            translation[0] + translation[1] * reading.translation_spread,
        )

    def calibrate(self, reading: PoseReading, truth: Cameras) -> None:
        """Fit the expected errors to the errors of views that training never saw."""
        pose = reading.world_from_camera
        rotation = so3_distance(pose[:, :, :3], truth.rotations)
        translation = (pose[:, :, 3] - truth.centers).norm(dim=1)
        self.calibration.copy_(
            torch.stack(
                [
                    rising_line(reading.rotation_spread, rotation),
                    rising_line(reading.translation_spread, translation),
                ]
            )
        )
