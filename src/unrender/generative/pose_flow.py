"""A flow between cameras and the images they take.

Forwards in time it makes the image of a lifted camera, backwards it finds the camera of an
image. Images are premultiplied RGBA; the flow sees them in a data space, such as their pixels
channels first and scaled to [−1, 1].

Mean start: the source without noise, lift(P); sampled start: with it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from unrender.data.views import Views
from unrender.generative.calibration import rising_line
from unrender.generative.data_space import Codes, DataSpace
from unrender.generative.energy import Mode, Prior, Residuals, find_mode, fit_temperature
from unrender.generative.lifting import Lifting, PoseReading
from unrender.generative.solvers import Solver, integrate
from unrender.generative.transformer import Shape, SiT
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance
from unrender.rendering.photometric import errors_of_twists
from unrender.rendering.rendering import Images

IMAGES_AT_ONCE = 256
AS_SPREAD = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
"""The calibration by which errors are as large as their spreads."""

Ends = Float[Tensor, "images channels rows columns"]
"""Images as the end of the flow: in its data space, channels that are only its source's 0."""

Errors = tuple[Float[Tensor, "images"], Float[Tensor, "images"]]
"""Of rotations, in radians, and of centres, in scene units."""


@dataclass(frozen=True)
class Search:
    """How the pose whose image is nearest is looked for."""

    steps: int
    """Gauss-Newton steps."""
    image_steps: int
    """Steps of the flow from a pose to its image."""
    solver: Solver


class PoseFlow(nn.Module):
    """The network, the moving average of its weights, and what the data told."""

    radius: Tensor
    intrinsics: Tensor
    training_views: Tensor
    held_out_views: Tensor
    calibration: Tensor
    mode_calibration: Tensor
    temperature: Tensor

    def __init__(
        self,
        shape: Shape,
        lifting: Lifting,
        space: DataSpace,
        views: tuple[int, int],
        generator: torch.Generator,
    ):
        """`views`: how many are trained on, and how many are held out."""
        super().__init__()
        self.lifting = lifting
        self.space = space
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
            "calibration": AS_SPREAD.clone(),
            # The same for modes of the energy, and the variance of independent errors.
            "mode_calibration": AS_SPREAD.clone(),
            "temperature": torch.ones(()),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)

    @property
    def image_size(self) -> int:
        """Pixels a side of the images that the flow makes and reads."""
        return self.network.shape.image_size * self.space.scale

    def cameras(self, world_from_camera: Float[Tensor, "cameras 3 4"]) -> Cameras:
        """Cameras at these poses with the intrinsics and the image size of training."""
        intrinsics = self.intrinsics.expand(len(world_from_camera), 3, 3)
        return Cameras(world_from_camera, intrinsics, self.image_size, self.image_size)

    def flow_from_images(self, images: Images) -> Ends:
        """Images as the end of the flow."""
        return self._padded(self.space.encode(images))

    def flow_from_views(self, views: Views) -> Ends:
        """Those of the views' images, from their codes if they have been encoded before."""
        codes = views.codes
        return self.flow_from_images(views.images) if codes is None else self._padded(codes)

    def _padded(self, codes: Codes) -> Float[Tensor, "images source_channels rows columns"]:
        """With the channels of the source."""
        return pad(codes, (0, 0, 0, 0, 0, self.lifting.channels - self.space.channels))

    def lift(self, cameras: Cameras) -> Float[Tensor, "cameras channels rows columns"]:
        """The mean start of each camera."""
        return self.lifting.lift(self._seeing_cells(cameras), self.radius)

    def _seeing_cells(self, cameras: Cameras) -> Cameras:
        """With a pixel for each cell of the data space."""
        size = self.network.shape.image_size
        return cameras.resized(size, size)

    def generate(
        self, source: Float[Tensor, "images channels rows columns"], steps: int, solver: Solver
    ) -> Images:
        """The images that the averaged network makes of lifted cameras."""
        parts = [
            integrate(self.average, part, 0.0, 1.0, steps, solver)
            for part in source.split(IMAGES_AT_ONCE)
        ]
        return self.space.decode(torch.cat(parts)[:, : self.space.channels])

    @torch.no_grad()
    def read(self, x1: Ends, steps: int, solver: Solver) -> PoseReading:
        """The poses at the other end of the images' paths."""
        parts = [
            integrate(self.average, part, 1.0, 0.0, steps, solver)
            for part in x1.split(IMAGES_AT_ONCE)
        ]
        blank = self._seeing_cells(self.cameras(x1.new_zeros(len(x1), 3, 4)))
        return self.lifting.unlift(torch.cat(parts), blank, self.radius)

    def expected_errors(self, reading: PoseReading) -> Errors:
        """Of a reading."""
        spread = reading.rotation_spread, reading.translation_spread
        return _on_lines(self.calibration, spread)

    def calibrate(self, reading: PoseReading, truth: Cameras) -> None:
        """Fit the expected errors to the errors of views that training never saw."""
        spread = reading.rotation_spread, reading.translation_spread
        errors = _errors(reading.world_from_camera, truth)
        self.calibration.copy_(torch.stack(list(map(rising_line, spread, errors))))

    def refine(
        self, x1: Ends, reading: PoseReading, search: Search
    ) -> tuple[Float[Tensor, "images 3 4"], Errors]:
        """The poses near the readings whose images the flow makes most like these.

        With their expected errors.
        """
        parts = [
            find_mode(
                self._residuals(x1[part], search),
                reading.world_from_camera[part],
                self._prior(reading, part),
                float(self.temperature),
                search.steps,
                float(self.radius),
            )
            for part in torch.arange(len(x1)).split(IMAGES_AT_ONCE)
        ]
        poses = torch.cat([part.world_from_camera for part in parts])
        return poses, _on_lines(self.mode_calibration, _mode_spread(parts))

    def calibrate_modes(
        self, x1: Ends, reading: PoseReading, truth: Cameras, search: Search
    ) -> None:
        """Fit the energy's temperature, and then the expected errors of `refine`."""
        self.mode_calibration.copy_(AS_SPREAD)
        everything = torch.arange(len(x1))
        prior, residuals = self._prior(reading, everything), self._residuals(x1, search)
        true, radius = truth.world_from_camera, float(self.radius)
        # Once from the readings, and once from the modes that the first answer leads to.
        near = reading.world_from_camera
        self.temperature.fill_(fit_temperature(residuals, near, prior, true, radius))
        near, _ = self.refine(x1, reading, search)
        self.temperature.fill_(fit_temperature(residuals, near, prior, true, radius))
        near, spread = self.refine(x1, reading, search)
        errors = _errors(near, truth)
        self.mode_calibration.copy_(torch.stack(list(map(rising_line, spread, errors))))

    def _prior(self, reading: PoseReading, part: Int[Tensor, "chosen"]) -> Prior:
        """Of the three axes each has its share of what a reading is expected to err."""
        rotation, translation = (
            error[part].clamp_min(1e-6) / 3**0.5 for error in self.expected_errors(reading)
        )
        return Prior(reading.world_from_camera[part], rotation, translation)

    def _residuals(self, x1: Ends, search: Search) -> Residuals:
        """What the flow makes of poses, less the images."""
        channels = self.space.channels
        wanted = x1[:, :channels].flatten(1)

        def residuals(pose: Float[Tensor, "images 3 4"]) -> Float[Tensor, "images numbers"]:
            source = self.lift(self.cameras(pose))
            made = integrate(self.average, source, 0.0, 1.0, search.image_steps, search.solver)
            return made[:, :channels].flatten(1) - wanted

        return residuals


def _errors(poses: Float[Tensor, "images 3 4"], truth: Cameras) -> Errors:
    rotation = so3_distance(poses[:, :, :3], truth.rotations)
    return rotation, (poses[:, :, 3] - truth.centers).norm(dim=1)


def _mode_spread(parts: list[Mode]) -> Errors:
    poses = torch.cat([part.world_from_camera for part in parts])
    covariance = torch.linalg.inv(torch.cat([part.precision for part in parts]).double())
    rotation, translation = errors_of_twists(covariance, poses[:, :, 3])
    return rotation, translation


def _on_lines(lines: Float[Tensor, "2 2"], spread: Errors) -> Errors:
    rotation, translation = (
        line[0] + line[1] * values for line, values in zip(lines, spread, strict=True)
    )
    return rotation, translation
