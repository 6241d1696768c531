"""A flow between cameras and the images they take.

Forwards in time it makes the image of a lifted camera, backwards it finds the camera of an
image. Images are premultiplied RGBA; the flow sees them channels first and scaled to [−1, 1].

Mean start: the source without noise, lift(P); sampled start: with it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from unrender.generative.averaged import IMAGES_AT_ONCE, AveragedSiT
from unrender.generative.calibration import AS_SPREAD, fitted_lines, on_lines, pose_errors
from unrender.generative.candidates import MAX_CANDIDATES, Candidates
from unrender.generative.lifting import Lifting, PoseReading
from unrender.generative.solvers import Solver, integrate
from unrender.generative.transformer import Shape
from unrender.geometry.cameras import Cameras
from unrender.rendering.rendering import Images, PoseEstimate


def flow_from_images(
    images: Images, channels: int = 4
) -> Float[Tensor, "images {channels} height width"]:
    """Channels behind the fourth are 0."""
    return pad(2 * images.movedim(-1, 1) - 1, (0, 0, 0, 0, 0, channels - 4))


def images_from_flow(x1: Float[Tensor, "images channels height width"]) -> Images:
    """Of the first four channels. Values outside of [0, 1] are clamped."""
    return ((x1[:, :4] + 1) / 2).clamp(0, 1).movedim(1, -1)


class PoseFlow(AveragedSiT):
    """The network between lifted cameras and images, and how far to trust its poses."""

    calibration: Tensor
    mode_calibration: Tensor
    temperature: Tensor
    candidate_poses: Tensor
    candidate_temperature: Tensor

    def __init__(
        self,
        shape: Shape,
        lifting: Lifting,
        views: tuple[int, int],
        generator: torch.Generator,
    ):
        """`views`: how many are trained on, and how many are held out."""
        super().__init__(shape, views, generator)
        self.lifting = lifting
        buffers = {
            # Expected error = a + b · spread: rows for rotation and translation, columns a, b.
            "calibration": AS_SPREAD.clone(),
            # The same for modes of the energy, and the variance of a pixel's independent error.
            "mode_calibration": AS_SPREAD.clone(),
            "temperature": torch.ones(()),
            # Training poses among which the modes of a posterior are looked for, and the
            # temperature of that posterior.
            "candidate_poses": torch.zeros(min(views[0], MAX_CANDIDATES), 3, 4),
            "candidate_temperature": torch.ones(()),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)
        self.candidates: dict[tuple[int, Solver], Candidates] = {}
        """By steps and solver; made when they are first asked for."""

    def learn_cameras(
        self,
        cameras: Cameras,
        training: Int[Tensor, "training"],
        held_out: Int[Tensor, "held_out"],
    ) -> None:
        super().learn_cameras(cameras, training, held_out)
        chosen = training[: len(self.candidate_poses)].to(cameras.device)
        self.candidate_poses.copy_(cameras.world_from_camera[chosen])

    def flow_from_images(self, images: Images) -> Float[Tensor, "images channels height width"]:
        """Images as the end of the flow, with the channels of its source."""
        return flow_from_images(images, self.lifting.channels)

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
            for part in self.flow_from_images(images).split(IMAGES_AT_ONCE)
        ]
        blank = self.cameras(images.new_zeros(len(images), 3, 4))
        return self.lifting.unlift(torch.cat(parts), blank, self.radius)

    def expect(self, reading: PoseReading) -> PoseEstimate:
        """A reading with the errors that such readings have."""
        spread = reading.rotation_spread, reading.translation_spread
        return PoseEstimate.isotropic(
            self.cameras(reading.world_from_camera), *on_lines(self.calibration, spread)
        )

    def calibrate(self, reading: PoseReading, truth: Cameras) -> None:
        """Fit the expected errors to the errors of views that training never saw."""
        spread = reading.rotation_spread, reading.translation_spread
        errors = pose_errors(reading.world_from_camera, truth)
        self.calibration.copy_(fitted_lines(spread, errors))
