"""SiT with camera poses as its source: one flow that renders images and estimates poses.

The transformer of Ma, Goldstein, Albergo, Boffi, Vanden-Eijnden, Xie, "SiT: Exploring Flow and
Diffusion-based Generative Models with Scalable Interpolant Transformers", ECCV 2024,
https://arxiv.org/abs/2401.08740, trained by flow matching (Lipman et al., ICLR 2023,
https://arxiv.org/abs/2210.02747) between a camera and the image it takes: x0 = lift(P) + s ε,
x_t = t x1 + (1 − t) x0, loss |v(x_t, t) − (x1 − x0)|², where P = [R | t] is the camera's pose,
x1 the premultiplied RGBA image scaled to [−1, 1] and ε normal. Integrated forward it generates
the image of a pose; integrated backward it reads a pose from an image, from which it searches
for the pose whose generated image matches.

The presets `sit-s-2` to `sit-xl-8` have the paper's twelve sizes and its training: the linear
path, velocity prediction, 256 images a step, AdamW at a constant 1e-4 without weight decay or
warm-up, and a moving average of the weights with decay 0.9999. `sit` is ours, for minutes on
two cores: 4 blocks of width 256, Muon (`optimizers/muon.py`) at 4e-3 with a warm-up and a
cosine, and 32 images a step; `sit-plain` is the same size with AdamW and textbook flow
matching. Where all of them differ from the paper: the source is the pose, not noise, so that
there is no class to condition on and no classifier-free guidance; noise of random scale is
added to it, and a part of each batch is at t = 0 or t = 1 without noise (neither in
`sit-plain`); images are RGBA pixels unless `--autoencoder` names one for latents; time runs
from the source to the image, as in the authors' code; the average of the weights forgets their
start; and ODEs are integrated in a few steps of fixed length (`--image-steps`,
`--inversion-steps`, `--solver`), without the SDE sampler. `sit-gaussian` has noise as its
source, as in the paper.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.flows.checks import check_cameras, small_squares
from unrender.flows.data_space import DataSpace, Pixels
from unrender.flows.latents import Latents, load_autoencoder
from unrender.flows.lifting import Liftings, lifting_for
from unrender.flows.noise import normal_like
from unrender.flows.paths import LinearPath
from unrender.flows.pose_flow import PoseFlow
from unrender.flows.pose_search import PoseSearch
from unrender.flows.precision import autocast
from unrender.flows.solvers import Solver
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Images, PoseEstimate, Rendering
from unrender.training.method import Progress
from unrender.training.transformer_method import TransformerMethod

PATH = LinearPath()


@dataclass(frozen=True)
class SiTFlow(TransformerMethod[PoseFlow]):
    """Pose-to-image flow, inverted for image-to-pose (SiT 2024)."""

    finds_poses: ClassVar[bool] = True

    lifting: Liftings = "repeat"
    """How a pose becomes a tensor of the image's shape: its twelve numbers repeated, or the
    Plücker coordinates of every pixel's ray."""
    source_noise: float = 0.25
    """Maximum scale of the noise added to the source."""
    noise_scale: Literal["uniform", "fixed"] = "uniform"
    """uniform: random noise scale in [0, maximum] per example; fixed: always the maximum."""
    end_share: float = 0.3
    """Fraction of a batch at t = 1, where the backward integration starts."""
    start_share: float = 0.5
    """Fraction of a batch at t = 0, where the forward integration starts."""
    image_steps: int = 1
    """Integration steps from a pose to its image."""
    inversion_steps: int = 1
    """Integration steps from an image to its pose."""
    solver: Solver = "euler"
    """ODE solver."""
    refine_steps: int = 2
    """Gauss-Newton steps that refine the pose so that its generated image matches; 0 for the
    backward integration alone."""
    modes: int = 3
    """Additional candidates among the training poses, besides the backward reading; 0 for
    none."""
    autoencoder: str = ""
    """Folder of diffusers' AutoencoderKL, or hub:OWNER/NAME: the flow then works on its latents
    of the images on white, 4x32x32 of 256x256 pixels; without one, on RGBA pixels."""

    def space(self) -> DataSpace:
        return Latents(load_autoencoder(self.autoencoder)) if self.autoencoder else Pixels()

    def model(
        self,
        size: int,
        space: DataSpace,
        views: tuple[int, int],
        generator: torch.Generator,
    ) -> PoseFlow:
        lifting = lifting_for(self.lifting, space.channels)
        return PoseFlow(
            self.transformer_size(size, lifting.channels), lifting, space, views, generator
        )

    def prepare(self, model: PoseFlow, data: Views) -> Views:
        """Encode the images once: an autoencoder takes far longer than a training step."""
        data = super().prepare(model, data)
        if not self.autoencoder:
            return data
        return dataclasses.replace(data, codes=model.space.encode(data.images))

    def losses(
        self,
        model: PoseFlow,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        device = data.device
        drawn = data.select(self.draw(model, data, generator))
        x1, mean = model.flow_from_views(drawn), model.lift(drawn.cameras)
        scale = torch.full((self.batch,), self.source_noise)
        if self.noise_scale == "uniform":
            scale *= torch.rand(self.batch, generator=generator)
        t = torch.rand(self.batch, generator=generator)
        # At both ends examples have no noise, so that the network knows the noise-free source
        # and, from an image, predicts the mean of all sources that lead to it.
        ends, starts = round(self.end_share * self.batch), round(self.start_share * self.batch)
        scale[: ends + starts] = 0
        t[:ends], t[ends : ends + starts] = 1, 0
        scale, t = scale.to(device), t.to(device)
        x0 = mean + scale[:, None, None, None] * normal_like(mean, generator)
        point = PATH.sample(x0, x1, t)
        with autocast(self.precision, device):
            predicted = model.network(point.x_t, t)
        error = (predicted.float() - point.velocity).square()
        losses = {"velocity": error.mean()}
        if starts and not self.autoencoder:
            # The error of one step from the noise-free source; the flow's images span 2, not 1.
            image_error = error.detach()[ends : ends + starts, :4].mean() / 4
            losses["metric/psnr"] = -10 * image_error.log10()
        return losses

    def finish(self, model: PoseFlow, data: Views) -> None:
        """Calibrate expected pose errors on held-out views."""
        held_out = data.select(model.held_out_views)
        x1 = model.flow_from_views(held_out)
        reading = model.read(x1, self.inversion_steps, self.solver)
        model.calibrate(reading, held_out.cameras)
        if self.refine_steps:
            self.search.calibrate(model, x1, reading, held_out.cameras)

    @property
    def search(self) -> PoseSearch:
        """The pose search."""
        return PoseSearch(self.refine_steps, self.modes, self.image_steps, self.solver)

    def render(self, model: PoseFlow, cameras: Cameras) -> Rendering:
        """Images from the noise-free source; differentiable in poses that require gradients.

        Cameras must have the image size and the field of view of the training views.
        """
        check_cameras(model, cameras)
        with torch.set_grad_enabled(_follows(cameras)):
            return self._render(model, model.lift(model.centered(cameras)))

    def render_sampled(
        self, model: PoseFlow, cameras: Cameras, generator: torch.Generator
    ) -> Rendering:
        """Images from a noisy source, at the maximum noise scale of training."""
        check_cameras(model, cameras)
        with torch.set_grad_enabled(_follows(cameras)):
            mean = model.lift(model.centered(cameras))
            noise = self.source_noise * normal_like(mean, generator)
            return self._render(model, mean + noise)

    def _render(
        self, model: PoseFlow, source: Float[Tensor, "cameras channels height width"]
    ) -> Rendering:
        images = model.generate(source, self.image_steps, self.solver)
        opacity = images[..., 3]
        return Rendering(images[..., :3], opacity, torch.zeros_like(opacity))

    def estimate_poses(self, model: PoseFlow, images: Images) -> PoseEstimate:
        """Estimate cameras with the field of view of training, at the images' own size.

        Images of another size than the flow's are downscaled first, by averaging.
        """
        height, width = images.shape[1:3]
        x1 = model.flow_from_images(small_squares(model, images))
        reading = model.read(x1, self.inversion_steps, self.solver)
        if self.refine_steps:
            found = self.search.estimate(model, x1, reading)
        else:
            found = model.expect(reading)
        found = model.placed(found)
        return dataclasses.replace(found, cameras=found.cameras.resized(width, height))


def _follows(cameras: Cameras) -> bool:
    return torch.is_grad_enabled() and cameras.world_from_camera.requires_grad
