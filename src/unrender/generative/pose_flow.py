"""A flow between cameras and the images they take.

Forwards in time it makes the image of a lifted camera, backwards it finds the camera of an
image. Images are premultiplied RGBA; the flow sees them channels first and scaled to [−1, 1].

Mean start: the source without noise, lift(P); sampled start: with it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from unrender.generative.averaged import IMAGES_AT_ONCE, AveragedSiT
from unrender.generative.calibration import (
    AS_SPREAD,
    Errors,
    fitted_lines,
    on_lines,
    pose_errors,
)
from unrender.generative.energy import Mode, Prior, Residuals, find_mode, fit_temperature
from unrender.generative.lifting import Lifting, PoseReading
from unrender.generative.solvers import Solver, integrate
from unrender.generative.transformer import Shape
from unrender.geometry.cameras import Cameras
from unrender.rendering.photometric import errors_of_twists

Images = Float[Tensor, "images height width 4"]
"""RGBA, premultiplied, in [0, 1]."""


@dataclass(frozen=True)
class Search:
    """How the pose whose image is nearest is looked for."""

    steps: int
    """Gauss-Newton steps."""
    image_steps: int
    """Steps of the flow from a pose to its image."""
    solver: Solver


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
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)

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

    def expected_errors(self, reading: PoseReading) -> Errors:
        """Of a reading."""
        spread = reading.rotation_spread, reading.translation_spread
        return on_lines(self.calibration, spread)

    def calibrate(self, reading: PoseReading, truth: Cameras) -> None:
        """Fit the expected errors to the errors of views that training never saw."""
        spread = reading.rotation_spread, reading.translation_spread
        errors = pose_errors(reading.world_from_camera, truth)
        self.calibration.copy_(fitted_lines(spread, errors))

    def refine(
        self, images: Images, reading: PoseReading, search: Search
    ) -> tuple[Float[Tensor, "images 3 4"], Errors]:
        """The poses near the readings whose images the flow makes most like these.

        With their expected errors.
        """
        parts = [
            find_mode(
                self._residuals(images[part], search),
                reading.world_from_camera[part],
                self._prior(reading, part),
                float(self.temperature),
                search.steps,
                float(self.radius),
            )
            for part in torch.arange(len(images)).split(IMAGES_AT_ONCE)
        ]
        poses = torch.cat([part.world_from_camera for part in parts])
        return poses, on_lines(self.mode_calibration, _mode_spread(parts))

    def calibrate_modes(
        self, images: Images, reading: PoseReading, truth: Cameras, search: Search
    ) -> None:
        """Fit the energy's temperature, and then the expected errors of `refine`."""
        self.mode_calibration.copy_(AS_SPREAD)
        everything = torch.arange(len(images))
        prior, residuals = self._prior(reading, everything), self._residuals(images, search)
        true, radius = truth.world_from_camera, float(self.radius)
        # Once from the readings, and once from the modes that the first answer leads to.
        near = reading.world_from_camera
        self.temperature.fill_(fit_temperature(residuals, near, prior, true, radius))
        near, _ = self.refine(images, reading, search)
        self.temperature.fill_(fit_temperature(residuals, near, prior, true, radius))
        near, spread = self.refine(images, reading, search)
        errors = pose_errors(near, truth)
        self.mode_calibration.copy_(fitted_lines(spread, errors))

    def _prior(self, reading: PoseReading, part: Int[Tensor, "chosen"]) -> Prior:
        """Of the three axes each has its share of what a reading is expected to err."""
        rotation, translation = (
            error[part].clamp_min(1e-6) / 3**0.5 for error in self.expected_errors(reading)
        )
        return Prior(reading.world_from_camera[part], rotation, translation)

    def _residuals(self, images: Images, search: Search) -> Residuals:
        """What the flow makes of poses, less the images."""
        wanted = flow_from_images(images).flatten(1)

        def residuals(pose: Float[Tensor, "images 3 4"]) -> Float[Tensor, "images numbers"]:
            source = self.lift(self.cameras(pose))
            made = integrate(self.average, source, 0.0, 1.0, search.image_steps, search.solver)
            return made[:, :4].flatten(1) - wanted

        return residuals


def _mode_spread(parts: list[Mode]) -> Errors:
    poses = torch.cat([part.world_from_camera for part in parts])
    covariance = torch.linalg.inv(torch.cat([part.precision for part in parts]).double())
    rotation, translation = errors_of_twists(covariance, poses[:, :, 3])
    return rotation, translation
