"""SiT as in its paper: images from noise, conditioned on the camera pose.

Ma et al., "SiT: Exploring Flow and Diffusion-based Generative Models with Scalable Interpolant
Transformers", ECCV 2024, https://arxiv.org/abs/2401.08740: the linear path x_t = t x1 + (1 − t)
ε from normal noise ε to an image x1, the loss |v(x_t, t, P) − (x1 − ε)|² at uniform t. The pose
P = [R | t] replaces the paper's class label: two layers embed its twelve numbers, t in units of
the mean camera distance, and the embedding is added to that of time.

The preset `sit-gaussian` is a baseline for the flow whose source is the pose itself, and has
its size, optimizer and schedule (`methods/sit.py`): 4 blocks of width 256, Muon, 32 images a
step. Where it differs from the paper besides: images are RGBA pixels, not latents; time runs
from noise to the image, as in the authors' code; poses are never left out in training, so that
there is no classifier-free guidance; all images start from the same noise; and they are
integrated by 50 Euler steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.flows.averaged import IMAGES_AT_ONCE, AveragedSiT
from unrender.flows.checks import check_cameras
from unrender.flows.data_space import DataSpace, Pixels
from unrender.flows.lifting import POSE_NUMBERS, pose_numbers
from unrender.flows.noise import normal_like
from unrender.flows.paths import LinearPath
from unrender.flows.precision import autocast
from unrender.flows.solvers import integrate
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Images, Rendering
from unrender.training.method import Progress
from unrender.training.transformer_method import TransformerMethod

PATH = LinearPath()


class GaussianFlow(AveragedSiT):
    """A network from noise and poses to images."""

    @torch.no_grad()
    def generate(self, poses: Float[Tensor, "images 12"], steps: int, seed: int) -> Images:
        """Images by the averaged weights, from the same noise, by Euler steps."""
        size = self.image_size
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, 4, size, size, generator=generator).to(poses)

        def images(part: Float[Tensor, "images 12"]) -> Tensor:
            def velocity(x: Tensor, t: Tensor) -> Tensor:
                return self.average(x, t, part)

            start = noise.expand(len(part), -1, -1, -1)
            return integrate(velocity, start, 0.0, 1.0, steps, "euler")

        return Pixels().decode(torch.cat([images(p) for p in poses.split(IMAGES_AT_ONCE)]))


@dataclass(frozen=True)
class SiTGaussian(TransformerMethod[GaussianFlow]):
    """Noise-to-image flow conditioned on the pose (SiT 2024): a baseline."""

    image_steps: int = 50
    """Steps from noise to an image."""
    noise_seed: int = 0
    """Seed of the noise that all images start from."""

    def model(
        self,
        size: int,
        space: DataSpace,
        views: tuple[int, int],
        generator: torch.Generator,
    ) -> GaussianFlow:
        return GaussianFlow(
            self.transformer_size(size, 4, condition=POSE_NUMBERS), views, generator
        )

    def losses(
        self,
        model: GaussianFlow,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        device = data.device
        index = self.draw(model, data, generator)
        x1 = Pixels().encode(data.select(index).images)
        poses = pose_numbers(data.cameras.select(index), model.radius)
        t = torch.rand(self.batch, generator=generator).to(device)
        point = PATH.sample(normal_like(x1, generator), x1, t)
        with autocast(self.precision, device):
            predicted = model.network(point.x_t, t, poses)
        return {"velocity": (predicted.float() - point.velocity).square().mean()}

    def render(self, model: GaussianFlow, cameras: Cameras) -> Rendering:
        """Images from the noise of `noise_seed`, so that equal cameras give equal images.

        Cameras must have the image size and the field of view of the training views.
        """
        check_cameras(model, cameras)
        poses = pose_numbers(model.centered(cameras), model.radius)
        images = model.generate(poses, self.image_steps, self.noise_seed)
        opacity = images[..., 3]
        return Rendering(images[..., :3], opacity, torch.zeros_like(opacity))
