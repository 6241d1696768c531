"""A flow between cameras and the images they take.

Forwards in time it makes the image of a lifted camera, backwards it finds the camera of an
image. Images are premultiplied RGBA; the flow sees them in a data space, such as their pixels
channels first and scaled to [−1, 1].

Mean start: the source without noise, lift(P); sampled start: with it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from unrender.data.views import Views
from unrender.flows.averaged import IMAGES_AT_ONCE, AveragedSiT
from unrender.flows.calibration import AS_SPREAD, fitted_lines, on_lines
from unrender.flows.candidates import MAX_CANDIDATES, Candidates
from unrender.flows.data_space import Codes, DataSpace
from unrender.flows.lifting import Lifting, PoseReading
from unrender.flows.solvers import Solver, integrate
from unrender.flows.transformer import TransformerSize
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Images, PoseEstimate

Ends = Float[Tensor, "images channels rows columns"]
"""Images as the end of the flow: in its data space, channels that are only its source's 0."""


class PoseFlow(AveragedSiT):
    """The network between lifted cameras and images, and how far to trust its poses."""

    calibration: Tensor
    mode_calibration: Tensor
    temperature: Tensor
    candidate_poses: Tensor
    candidate_temperature: Tensor

    def __init__(
        self,
        shape: TransformerSize,
        lifting: Lifting,
        space: DataSpace,
        views: tuple[int, int],
        generator: torch.Generator,
    ):
        """`views`: how many are trained on, and how many are held out."""
        super().__init__(shape, views, generator)
        self.lifting = lifting
        self.space = space
        buffers = {
            # Expected error = a + b · spread: rows for rotation and translation, columns a, b.
            "calibration": AS_SPREAD.clone(),
            # The same for modes of the energy, and the variance of independent errors.
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

    @property
    def image_size(self) -> int:
        """Pixels a side of the images that the flow makes and reads."""
        return self.network.shape.image_size * self.space.scale

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
        return self.unlift(torch.cat(parts))

    def unlift(self, source: Ends) -> PoseReading:
        """The poses of sources."""
        blank = self._seeing_cells(self.cameras(source.new_zeros(len(source), 3, 4)))
        return self.lifting.unlift(source, blank, self.radius)

    def expect(self, reading: PoseReading) -> PoseEstimate:
        """A reading with the errors that such readings have."""
        spread = reading.rotation_spread, reading.translation_spread
        return PoseEstimate.isotropic(
            self.cameras(reading.world_from_camera), *on_lines(self.calibration, spread)
        )

    def calibrate(self, reading: PoseReading, truth: Cameras) -> None:
        """Fit the expected errors to the errors of views that training never saw."""
        spread = reading.rotation_spread, reading.translation_spread
        self.calibration.copy_(fitted_lines(spread, reading.world_from_camera, truth))
