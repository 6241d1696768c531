"""zero123 and ZeroNVS: views of an object, or of a scene, from one image, by latent diffusion.

Liu, Wu, Van Hoorick, Tokmakov, Zakharov, Vondrick, "Zero-1-to-3: Zero-shot One Image to 3D
Object", ICCV 2023, https://arxiv.org/abs/2303.11328, and Sargent, Li, Shah, Herrmann, Yu,
Zhang, Chan, Lagun, Fei-Fei, Sun, Wu, "ZeroNVS: Zero-Shot 360-Degree View Synthesis from a
Single Image", CVPR 2024, https://arxiv.org/abs/2310.17994. Published checkpoints are read by
`flows/zero123/load.py`; nothing is trained here. Latents are sampled by DDIM (Song et al.,
2021, https://arxiv.org/abs/2010.02502) with classifier-free guidance, whose unconditional
prediction is of a token and of latents that are zero.

Where this differs from the authors' programs: distances are taken relative to that of the input
camera (`distance`, `depth`), for scenes may have any unit, and with several input images each
target is conditioned on the nearest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.object_ball import object_ball
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.data_space import DataSpace
from unrender.flows.guidance import Denoiser, NoiseLevel
from unrender.flows.noise import normal_like
from unrender.flows.zero123.networks import Condition, Zero123
from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import nearest_views
from unrender.geometry.view_conditions import (
    depths_along_axis,
    embedding_3dof,
    embedding_6dof,
    fields_of_view,
    opengl_poses,
    viewer_scale,
)
from unrender.imaging.color import matte_around
from unrender.imaging.resize import area_average
from unrender.ranges import Range
from unrender.rendering.renderer import Images
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import Method, Progress

TIMESTEPS, FIRST_BETA, LAST_BETA = 1000, 0.00085, 0.012
"""The noise schedule of latent diffusion: the roots of β are evenly spaced."""

WHITE = 12 / 255
"""Difference from white, per channel, up to which a pixel around an object is background."""


def alpha_bars() -> Float[Tensor, "timesteps"]:
    """ᾱ of each timestep, in double precision."""
    roots = torch.linspace(FIRST_BETA**0.5, LAST_BETA**0.5, TIMESTEPS, dtype=torch.float64)
    return (1 - roots.square()).cumprod(0)


@dataclass(frozen=True)
class Zero123Views(Method[Zero123, Views]):
    """Views from one image, by a published checkpoint (zero123, 2023; ZeroNVS, 2024)."""

    data: ClassVar[Any] = POSED_IMAGES
    makes_images: ClassVar[bool] = False
    any_size: ClassVar[bool] = False
    generates_views: ClassVar[bool] = True

    size: Annotated[int, Range(8, 1024)] = 256
    """Pixels per side of images; both models were trained at 256."""
    guidance: Annotated[float, Range(0, 100)] = 3.0
    """Scale of classifier-free guidance; 1 is none."""
    image_steps: Annotated[int, Range(1, 500)] = 50
    """Steps of DDIM: 50 in zero123's demo, 500 in ZeroNVS's paper."""
    eta: Annotated[float, Range(0, 1)] = 1.0
    """Share of the noise that is drawn anew at each step: 1 in zero123's demo, 0 for none."""
    batch: int = 4
    """Views that are generated together."""
    distance: Annotated[float, Range(0, 100, above=True)] = 1.85
    """zero123: distance of the input camera in the unit of its training, where it was 1.5 to
    2.2."""
    depth: Annotated[float, Range(0, 100, above=True)] = 1.0
    """ZeroNVS: depth of what is nearest in the input view (its quantile 0.2), relative to the
    distance of the object's center, where the views come without depths."""

    def image_size(self, model: Zero123) -> int:
        return self.size

    def novel_views(
        self, model: Zero123, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        """Views by DDIM: opaque, or cut out from white where zero123's inputs are cut out.

        InputError for inputs that are not square.
        """
        from diffusers import DDIMScheduler  # noqa: PLC0415 - an extra  # pyright: ignore

        scheduler: Any = DDIMScheduler(
            TIMESTEPS, FIRST_BETA, LAST_BETA, "scaled_linear",
            clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        )  # fmt: skip
        scheduler.set_timesteps(self.image_steps)
        found: list[Tensor] = []
        for condition in self._condition(model, inputs, targets).parts(self.batch):
            x = normal_like(condition.latents, generator)
            for timestep in scheduler.timesteps.tolist():
                times = x.new_full((len(x),), timestep)
                noise = model.noise(x, times, condition, self.guidance)
                fresh = normal_like(x, generator) if self.eta else None
                x = scheduler.step(
                    noise, timestep, x, eta=self.eta, variance_noise=fresh
                ).prev_sample
            found.append(model.space.decode(x))
        views = torch.cat(found)
        if model.kind != "zero123" or bool((inputs.opaque[..., 3] == 1).all()):
            return views
        return matte_around(views[..., :3], views.new_ones(3), WHITE)

    def denoiser(
        self, model: Zero123, inputs: Views, targets: Cameras, guidance: float
    ) -> Denoiser:
        """The clean latents expected of noisy ones, in the flow's form and in `model.space`.

        Times between timesteps are interpolated; noise beyond the first and the last timestep
        counts as theirs.
        """
        condition = self._condition(model, inputs, targets)
        levels = alpha_bars().to(targets.device)
        # Increasing, as `bucketize` needs them.
        sigmas = ((1 - levels) / levels).sqrt()

        @torch.no_grad()
        def denoise(x: Float[Tensor, "n c h w"], t: Float[Tensor, "n"]) -> Tensor:
            level = NoiseLevel.of_time(t.double())
            sigma = level.sigma.clamp(float(sigmas[0]), float(sigmas[-1]))
            above = torch.bucketize(sigma, sigmas).clamp(1, TIMESTEPS - 1)
            low, high = sigmas[above - 1].log(), sigmas[above].log()
            times = above - 1 + (sigma.log() - low) / (high - low)
            near = NoiseLevel.of_alpha_bar(NoiseLevel.of_sigma(sigma).alpha_bar.to(x))
            norm = (level.signal.square() + level.noise.square()).sqrt().to(x)
            mixture = x / norm[:, None, None, None]
            noise = model.noise(mixture, times.to(x), condition, guidance)
            return near.clean_from_noise(mixture, noise)

        return denoise

    def view_space(self, model: Zero123) -> DataSpace:
        return model.space

    def _condition(self, model: Zero123, inputs: Views, targets: Cameras) -> Condition:
        """The condition of each target on the nearest of the inputs."""
        sizes = inputs.cameras.sizes
        if sizes.mixed or sizes.one[0] != sizes.one[1]:
            raise InputError(
                f"input images of {sizes}: this model needs square ones: crop them"
            )
        config: Any = model.config
        step = model.space.scale * 2 ** (len(config.block_out_channels) - 1)
        if self.size % step:
            raise InputError(f"size {self.size}: give a multiple of {step} pixels")
        center = object_ball(inputs)[:3].to(targets.world_from_camera)
        which = nearest_views(targets, inputs.cameras, center)[:, 0]
        images = area_average(inputs.opaque.float(), self.size, self.size)
        cameras = self.camera_numbers(model, inputs, targets, which, center)
        return model.condition(images, which, cameras)

    def camera_numbers(
        self,
        model: Zero123,
        inputs: Views,
        targets: Cameras,
        which: Tensor,
        center: Float[Tensor, "3"],
    ) -> Float[Tensor, "targets numbers"]:
        """3DoF or 6DoF+1 of each target relative to the input `which`."""
        before, after = opengl_poses(inputs.cameras)[which], opengl_poses(targets)
        away = (before[:, :3, 3] - center.to(before)).norm(dim=1)
        if model.kind == "zero123":
            numbers = embedding_3dof(before, after, center)
            return torch.cat(
                [numbers[:, :3], numbers[:, 3:] * (self.distance / away)[:, None]], 1
            )
        scale = self.depth * away
        if inputs.depths is not None:
            depths = depths_along_axis(inputs.cameras, inputs.depths)
            scale = viewer_scale(depths)[which].to(away)
        fov = fields_of_view(inputs.cameras)[which]
        return embedding_6dof(before, after, fov, scale, saturate=True)

    def build(self, data: Views, generator: torch.Generator) -> Zero123:
        self._refuse()

    def restore(self, tensors: Mapping[str, Tensor]) -> Zero123:
        self._refuse()

    def optimizer(self, model: Zero123) -> torch.optim.Optimizer:
        self._refuse()

    def losses(
        self, model: Zero123, data: Views, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InputError(
            "zero123 and ZeroNVS are not trained here: open a published checkpoint"
        )
