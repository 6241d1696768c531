"""A flow between cameras and images.

Integrated forwards in time, it generates the image of a lifted camera; backwards, it estimates
the camera of an image. Images are premultiplied RGBA, represented in a data space such as
pixels scaled to [−1, 1], channels first.

The mean start of a camera P is the source without noise, lift(P); a sampled start has noise.
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
"""Images in the flow's data space, zero-padded to the number of source channels."""

ONE_SIDED = 0.6
"""Deviation of lifted poses from their mean, relative to their size, below which cameras stand
on one side."""


class PoseFlow(AveragedSiT):
    """The flow network, its lifting and data space, and the calibration of its poses."""

    source_mean: Tensor
    source_scale: Tensor
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
        """`views` are the numbers of training views and of held-out views."""
        super().__init__(shape, views, generator)
        self.lifting = lifting
        self.space = space
        cells = shape.image_size
        buffers = {
            # Lifted poses are (lift − mean) / scale; 0 and 1 for cameras all around.
            "source_mean": torch.zeros(lifting.channels, cells, cells),
            "source_scale": torch.ones(()),
            # Expected error = a + b · spread: rows for rotation and translation, columns a, b.
            "calibration": AS_SPREAD.clone(),
            # The same for modes of the energy, and the energy's temperature.
            "mode_calibration": AS_SPREAD.clone(),
            "temperature": torch.ones(()),
            # Training poses that serve as candidates, and the temperature of the posterior over
            # them.
            "candidate_poses": torch.zeros(min(views[0], MAX_CANDIDATES), 3, 4),
            "candidate_temperature": torch.ones(()),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)
        self.candidates: dict[tuple[int, Solver], Candidates] = {}
        """Cache of candidates by integration steps and solver."""

    def learn_cameras(
        self,
        cameras: Cameras,
        training: Int[Tensor, "training"],
        held_out: Int[Tensor, "held_out"],
    ) -> None:
        super().learn_cameras(cameras, training, held_out)
        inside = self.centered(cameras)
        chosen = training[: len(self.candidate_poses)].to(cameras.device)
        self.candidate_poses.copy_(inside.world_from_camera[chosen])
        # Of cameras on one side lifted poses hardly differ; they are spread as on a sphere.
        lifted = self.lift(inside.select(chosen))
        mean = lifted.mean(0)
        scale = (lifted - mean).square().mean().sqrt() / lifted.square().mean().sqrt()
        if 0 < float(scale) < ONE_SIDED:
            self.source_mean.copy_(mean)
            self.source_scale.copy_(scale)

    @property
    def training_cameras(self) -> Cameras:
        """Cameras of training views, in the world's frame: as many as there are candidates."""
        pose = self.candidate_poses.clone()
        pose[:, :, 3] += self.center
        return self.cameras(pose)

    @property
    def image_size(self) -> int:
        """Side of the generated and encoded images, in pixels."""
        return self.network.shape.image_size * self.space.scale

    def flow_from_images(self, images: Images) -> Ends:
        """Encode images as ends of the flow."""
        return self._padded(self.space.encode(images))

    def flow_from_views(self, views: Views) -> Ends:
        """Encode the views' images, or use their codes if they have been encoded before."""
        codes = views.codes
        return self.flow_from_images(views.images) if codes is None else self._padded(codes)

    def _padded(self, codes: Codes) -> Float[Tensor, "images source_channels rows columns"]:
        """Zero-pad to the number of source channels."""
        return pad(codes, (0, 0, 0, 0, 0, self.lifting.channels - self.space.channels))

    def lift(self, cameras: Cameras) -> Float[Tensor, "cameras channels rows columns"]:
        """The mean start of each camera, whose pose is about `center`."""
        source = self.lifting.lift(self._seeing_cells(cameras), self.radius)
        return (source - self.source_mean) / self.source_scale

    def _seeing_cells(self, cameras: Cameras) -> Cameras:
        """The cameras with one pixel per cell of the data space."""
        size = self.network.shape.image_size
        return cameras.resized(size, size)

    def generate(
        self, source: Float[Tensor, "images channels rows columns"], steps: int, solver: Solver
    ) -> Images:
        """Generate images from lifted cameras with the averaged network."""
        parts = [
            integrate(self.average, part, 0.0, 1.0, steps, solver)
            for part in source.split(IMAGES_AT_ONCE)
        ]
        return self.space.decode(torch.cat(parts)[:, : self.space.channels])

    @torch.no_grad()
    def read(self, x1: Ends, steps: int, solver: Solver) -> PoseReading:
        """Read the poses of images by integrating the flow backwards."""
        parts = [
            integrate(self.average, part, 1.0, 0.0, steps, solver)
            for part in x1.split(IMAGES_AT_ONCE)
        ]
        return self.unlift(torch.cat(parts))

    def unlift(self, source: Ends) -> PoseReading:
        """Read the poses of sources, about `center`."""
        source = source * self.source_scale + self.source_mean
        blank = self._seeing_cells(self.cameras(source.new_zeros(len(source), 3, 4)))
        return self.lifting.unlift(source, blank, self.radius)

    def expect(self, reading: PoseReading) -> PoseEstimate:
        """The poses of a reading with their expected errors, by the calibration."""
        spread = reading.rotation_spread, reading.translation_spread
        return PoseEstimate.isotropic(
            self.cameras(reading.world_from_camera), *on_lines(self.calibration, spread)
        )

    def calibrate(self, reading: PoseReading, truth: Cameras) -> None:
        """Fit the calibration of expected errors on held-out views."""
        spread = reading.rotation_spread, reading.translation_spread
        self.calibration.copy_(fitted_lines(spread, reading.world_from_camera, truth))
