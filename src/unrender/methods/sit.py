"""SiT with poses as its source: one flow that renders images and finds cameras.

The transformer of Ma et al., "SiT" (2024), https://arxiv.org/abs/2401.08740, trained by flow
matching (Lipman et al. 2023) between a camera and the image it takes: x0 = lift(P) + s ε,
x_t = t x1 + (1 − t) x0, loss |v(x_t, t) − (x1 − x0)|², where P = [R | t] is the camera's pose,
x1 the premultiplied RGBA image scaled to [−1, 1] and ε normal. Forwards it makes an image of a
pose; backwards it reads the pose of an image, and from there it searches for the pose whose
image it would make.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.generative.checks import check_cameras, check_views
from unrender.generative.data_space import DataSpace, Pixels
from unrender.generative.latents import Latents, load_autoencoder
from unrender.generative.lifting import Liftings, lifting_for
from unrender.generative.paths import LinearPath
from unrender.generative.pose_flow import PoseFlow, Search
from unrender.generative.precision import multiplies_bfloat16
from unrender.generative.solvers import Solver
from unrender.generative.transformer import Shape
from unrender.geometry.cameras import Cameras
from unrender.imaging.resize import area_average
from unrender.rendering.rendering import Images, PoseEstimate, Rendering
from unrender.training.method import Method, PoseMethod, Progress, halve
from unrender.training.muon import Muon

PATH = LinearPath()
MAX_HELD_OUT = 128
"""Views kept from training at most, to measure how wrong a recovered pose is."""


@dataclass(frozen=True)
class SiTFlow(PoseMethod[PoseFlow, Views]):
    """Pose-to-image flow, inverted for image-to-pose (SiT 2024)."""

    patch: int = 8
    """Pixels a side of the transformer's patches, or latents. The time of a step goes with the
    number of patches: for images of 64 take 16, and for those of 128 take 32."""
    width: int = 256
    """Numbers of a token."""
    depth: int = 4
    """Blocks of the transformer."""
    heads: int = 4
    """Heads of its attention."""
    batch: int = 32
    """Images of a training step."""
    rate: float = 4e-3
    """Learning rate after the warm-up; it falls to nearly 0 along a cosine."""
    warm_up: int = 100
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.01
    """Decay of the weights, as a share of the learning rate."""
    muon: bool = True
    """Whether Muon updates the blocks' matrices; AdamW updates the rest, or all."""
    max_norm: float = 1.0
    """Gradients longer than this are shortened to it, those of Muon apart."""
    average_decay: float = 0.998
    """Share of the averaged weights that each step keeps; these make the images."""
    lifting: Liftings = "repeat"
    """How a pose becomes an image's tensor: its twelve numbers repeated, or every pixel's ray
    in Plücker coordinates."""
    source_noise: float = 0.25
    """Greatest scale of the noise on an example's source."""
    noise_scale: Literal["uniform", "fixed"] = "uniform"
    """Whether each example draws its scale from 0 to the greatest, or all have the greatest."""
    end_share: float = 0.3
    """Share of a batch at the image itself, where the way back to the pose begins."""
    start_share: float = 0.5
    """Share of a batch at the pose itself, where the way to the image begins."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Of the products in training; auto takes bfloat16 where the processor multiplies it."""
    image_steps: int = 1
    """Steps from a pose to its image."""
    inversion_steps: int = 1
    """Steps from an image to its pose."""
    solver: Solver = "euler"
    """How each step is taken."""
    refine_steps: int = 2
    """Gauss-Newton steps from what the flow reads to the pose whose image it would make; 0 for
    the reading alone."""
    autoencoder: str = ""
    """Folder of diffusers' AutoencoderKL, or hub:OWNER/NAME: the flow then works on its latents
    of the images on white, 4x32x32 of 256x256 pixels; without one, on RGBA pixels."""

    def build(self, data: Views, generator: torch.Generator) -> PoseFlow:
        space = self._space()
        size = check_views(data, self.patch, space.scale) // space.scale
        held_out = max(1, min(MAX_HELD_OUT, len(data) // 20))
        order = torch.randperm(len(data), generator=generator)
        model = self._model(size, space, (len(data) - held_out, held_out), generator)
        model.training_views.copy_(order[held_out:])
        model.held_out_views.copy_(order[:held_out])
        training = data.cameras.select(order[held_out:].to(data.cameras.device))
        model.radius.copy_(training.centers.norm(dim=1).mean())
        model.intrinsics.copy_(data.cameras.intrinsics[0])
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> PoseFlow:
        size = math.isqrt(tensors["network.pos_embed"].shape[1]) * self.patch
        views = (len(tensors["training_views"]), len(tensors["held_out_views"]))
        model = self._model(size, self._space(), views, torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def _space(self) -> DataSpace:
        return Latents(load_autoencoder(self.autoencoder)) if self.autoencoder else Pixels()

    def _model(
        self, size: int, space: DataSpace, views: tuple[int, int], generator: torch.Generator
    ) -> PoseFlow:
        lifting, hidden = lifting_for(self.lifting, space.channels), 4 * self.width
        shape = Shape(
            size, lifting.channels, self.patch, self.width, self.depth, self.heads, hidden
        )
        return PoseFlow(shape, lifting, space, views, generator)

    def prepare(self, model: PoseFlow, data: Views) -> Views:
        """Encode the images once: an autoencoder takes far longer than a step."""
        if not self.autoencoder:
            return data
        return dataclasses.replace(data, codes=model.space.encode(data.images))

    def optimizer(self, model: PoseFlow) -> torch.optim.Optimizer:
        matrices = model.network.matrices() if self.muon else []
        chosen = {id(matrix) for matrix in matrices}
        others = [
            parameter for parameter in model.network.parameters() if id(parameter) not in chosen
        ]
        short = multiplies_bfloat16(model.radius.device)
        dtype = torch.bfloat16 if short else torch.float32
        return Muon(matrices, others, self.rate, self.weight_decay, self.max_norm, dtype)

    def learning_rate(self, progress: Progress) -> float:
        rise = min(1.0, (progress.step + 1) / self.warm_up)
        return rise * (0.02 + 0.98 * (1 + math.cos(math.pi * progress.fraction)) / 2)

    def losses(
        self,
        model: PoseFlow,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        device = data.images.device
        drawn = torch.randint(len(model.training_views), (self.batch,), generator=generator)
        index = model.training_views[drawn.to(device)]
        drawn_views = data.select(index)
        x1, mean = model.flow_from_views(drawn_views), model.lift(drawn_views.cameras)
        scale = torch.full((self.batch,), self.source_noise)
        if self.noise_scale == "uniform":
            scale *= torch.rand(self.batch, generator=generator)
        t = torch.rand(self.batch, generator=generator)
        # At both ends the examples have no noise, so that the network knows the mean start
        # and, from an image, aims at the mean of all the sources that lead there.
        ends, starts = round(self.end_share * self.batch), round(self.start_share * self.batch)
        scale[: ends + starts] = 0
        t[:ends], t[ends : ends + starts] = 1, 0
        scale, t = scale.to(device), t.to(device)
        x0 = mean + scale[:, None, None, None] * _noise_like(mean, generator)
        point = PATH.sample(x0, x1, t)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._shortens(device)):
            predicted = model.network(point.x_t, t)
        error = (predicted.float() - point.velocity).square()
        losses = {"velocity": error.mean()}
        if starts and not self.autoencoder:
            # One step from the mean start has this error; the flow's images span 2, not 1.
            image_error = error.detach()[ends : ends + starts, :4].mean() / 4
            losses["metric/psnr"] = -10 * image_error.log10()
        return losses

    def _shortens(self, device: torch.device) -> bool:
        if self.precision == "auto":
            return multiplies_bfloat16(device)
        return self.precision == "bfloat16"

    def after_step(
        self, model: PoseFlow, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        kept = min(self.average_decay, (1 + progress.step) / (10 + progress.step))
        average: list[Tensor] = list(model.average.parameters())
        network: list[Tensor] = list(model.network.parameters())
        get_ema_multi_avg_fn(kept)(average, network, progress.step)

    def finish(self, model: PoseFlow, data: Views) -> None:
        """Measure the errors of poses on the views that were held out."""
        held_out = data.select(model.held_out_views)
        x1 = model.flow_from_views(held_out)
        reading = model.read(x1, self.inversion_steps, self.solver)
        model.calibrate(reading, held_out.cameras)
        if self.refine_steps:
            model.calibrate_modes(x1, reading, held_out.cameras, self._search)

    @property
    def _search(self) -> Search:
        return Search(self.refine_steps, self.image_steps, self.solver)

    def smaller(self) -> "Method[PoseFlow, Views] | None":
        return halve(self, "batch")

    def render(self, model: PoseFlow, cameras: Cameras) -> Rendering:
        """From the mean start; differentiable in poses that require gradients.

        Cameras must have the image size and the field of view of the training views.
        """
        check_cameras(model, cameras)
        with torch.set_grad_enabled(_follows(cameras)):
            return self._render(model, model.lift(cameras))

    def render_sampled(
        self, model: PoseFlow, cameras: Cameras, generator: torch.Generator
    ) -> Rendering:
        """From a sampled start, with the most noise of training: it hides the pose in part."""
        check_cameras(model, cameras)
        with torch.set_grad_enabled(_follows(cameras)):
            mean = model.lift(cameras)
            noise = self.source_noise * _noise_like(mean, generator)
            return self._render(model, mean + noise)

    def _render(
        self, model: PoseFlow, source: Float[Tensor, "cameras channels height width"]
    ) -> Rendering:
        images = model.generate(source, self.image_steps, self.solver)
        opacity = images[..., 3]
        return Rendering(images[..., :3], opacity, torch.zeros_like(opacity))

    def estimate_poses(self, model: PoseFlow, images: Images) -> PoseEstimate:
        """Cameras of the training's field of view, at the images' own size.

        Images of another size than the flow's are averaged over its pixels' squares first.
        """
        height, width = images.shape[1:3]
        if height != width:
            raise InputError(
                f"images of {width}x{height}: this flow reads square images: crop them"
            )
        size = model.image_size
        x1 = model.flow_from_images(area_average(images, size, size))
        reading = model.read(x1, self.inversion_steps, self.solver)
        poses, errors = reading.world_from_camera, model.expected_errors(reading)
        if self.refine_steps:
            poses, errors = model.refine(x1, reading, self._search)
        return PoseEstimate(model.cameras(poses).resized(width, height), *errors)


def _follows(cameras: Cameras) -> bool:
    return torch.is_grad_enabled() and cameras.world_from_camera.requires_grad


def _noise_like(
    values: Float[Tensor, "*shape"], generator: torch.Generator
) -> Float[Tensor, "*shape"]:
    """Normal numbers, made where they are needed from a seed that `generator` draws."""
    seed = int(torch.randint(1 << 62, (), generator=generator))
    there = torch.Generator(values.device).manual_seed(seed)
    return torch.randn(values.shape, generator=there, device=values.device)


def _presets() -> dict[str, SiTFlow]:
    sizes = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16), "xl": (1152, 28, 16)}
    return {
        f"sit-{name}-{patch}": SiTFlow(patch, width, depth, heads, rate=5e-4)
        for name, (width, depth, heads) in sizes.items()
        for patch in (2, 4, 8)
    }


PLAIN = SiTFlow(
    rate=5e-4,
    muon=False,
    source_noise=1.0,
    noise_scale="fixed",
    end_share=0.0,
    start_share=0.0,
    image_steps=50,
    inversion_steps=50,
    refine_steps=0,
)
"""As textbooks have it: noise of scale 1 on every source, all times alike, and many steps."""

SIT_METHODS = {"sit": SiTFlow(), "sit-plain": PLAIN, **_presets()}
"""The default is tiny, for a CPU, and so is its plain form, to be compared with; the others
have the sizes of the paper."""
