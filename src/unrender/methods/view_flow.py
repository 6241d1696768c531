"""Novel views by flow matching: samples of what an object may look like from elsewhere.

A flow from noise to the target's image, conditioned on posed images of the object: what
zero123 (Liu et al., ICCV 2023, https://arxiv.org/abs/2303.11328) and ZeroNVS (Sargent et al.,
CVPR 2024, https://arxiv.org/abs/2310.17994) are in latents, here in pixels. Flow matching
(Lipman et al., ICLR 2023, https://arxiv.org/abs/2210.02747): x_t = t x1 + (1 − t) ε. The
network predicts the clean image x1, and its velocity (x1 − x_t) / (1 − t) is compared, as in
JiT (Li and He, 2025, https://arxiv.org/abs/2511.13720, section 4.2): pixels of a patch are too
many for a narrow network to predict noise. Times are drawn as there, t = σ(μ + s n) with
normal n. The inputs are dropped in some sets, for classifier-free guidance (Ho and Salimans,
https://arxiv.org/abs/2207.12598).

The network is that of `view-regression` (`flows/view_transformer.py`) with the noisy image and
the time added, and may begin with the weights of one (`--weights`): with zeros for what is new,
it begins as that regression, which is the answer for pure noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.view_sets.view_sets import ViewSets
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.guidance import Denoiser, guided
from unrender.flows.noise import normal_like
from unrender.flows.paths import LinearPath
from unrender.flows.precision import autocast
from unrender.flows.solvers import Solver, integrate
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Images
from unrender.training.method import Progress
from unrender.training.view_method import (
    SPACE,
    Encoded,
    ViewMethod,
    ViewModel,
    averaged_weights,
)

PATH = LinearPath()
LATEST = 0.95
"""Time after which errors of the velocity no longer grow: JiT's clip of 1 − t at 0.05."""


@dataclass(frozen=True)
class ViewFlow(ViewMethod[ViewModel]):
    """Novel views from one or a few images, sampled by a flow (zero123 2023, JiT 2025)."""

    weights: str = ""
    """A run of view-regression with the same network, whose weights the flow begins with."""
    time_mean: float = -0.4
    """Mean of the logit of the times in training; below 0 there is more noise than image."""
    time_spread: float = 1.0
    """Standard deviation of the logit of the times."""
    dropped_share: float = 0.1
    """Fraction of the sets whose inputs are dropped, for guidance."""
    guidance: float = 2.0
    """Scale of classifier-free guidance; 1 is none."""
    image_steps: int = 20
    """Integration steps from noise to an image."""
    solver: Solver = "euler"
    """ODE solver."""

    def model(self, image_size: int, generator: torch.Generator) -> ViewModel:
        return ViewModel(self.size(image_size, noisy=True), generator)

    def build(self, data: ViewSets, generator: torch.Generator) -> ViewModel:
        model = super().build(data, generator)
        if self.weights:
            tensors = averaged_weights(Path(self.weights))
            for network in (model.network, model.average):
                try:
                    network.begin_with(tensors)
                except (RuntimeError, KeyError) as error:
                    raise InputError(
                        f"--weights {self.weights}: its network has other sizes than this one: "
                        "give the options that it was fitted with"
                    ) from error
        return model

    def losses(
        self,
        model: ViewModel,
        data: ViewSets,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        drawn = self.draw(model, data, progress, generator)
        x1 = drawn.targets
        sets, targets = x1.shape[:2]
        logit = torch.randn(sets, targets, generator=generator)
        t = (self.time_mean + self.time_spread * logit).sigmoid().to(x1)
        dropped = (torch.rand(sets, generator=generator) < self.dropped_share).to(x1.device)
        noise = normal_like(x1, generator)
        x_t = PATH.sample(noise.flatten(0, 1), x1.flatten(0, 1), t.flatten()).x_t
        with autocast(self.precision, x1.device):
            seen = model.network.encode(drawn.inputs, drawn.geometry, dropped)
            predicted = model.network.decode(seen, drawn.geometry, x_t.view_as(x1), t)
        error = (predicted - x1).square().mean((-3, -2, -1))
        # Velocities are (x1 − x_t) / (1 − t); x_t is known.
        weight = 1 / (1 - t).clamp_min(1 - LATEST).square()
        return {"velocity": (weight * error).mean(), "metric/image": error.detach().mean()}

    @torch.no_grad()
    def novel_views(
        self, model: ViewModel, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        denoise = self.denoiser(model, inputs, targets, self.guidance)
        size = self.image_size(model)
        # All targets begin with the same noise, so that neighboring views of a film are alike.
        empty = torch.empty(1, SPACE.channels, size, size, device=targets.device)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            left = (1 - t).clamp_min(1e-3)[:, None, None, None]
            return (denoise(x, t) - x) / left

        noise = normal_like(empty, generator).expand(len(targets), -1, -1, -1)
        return SPACE.decode(integrate(velocity, noise, 0.0, 1.0, self.image_steps, self.solver))

    def denoiser(
        self, model: ViewModel, inputs: Views, targets: Cameras, guidance: float
    ) -> Denoiser:
        encoded = self.encoded(model, inputs, targets)

        def denoise(
            x_t: Float[Tensor, "images 4 height width"], t: Float[Tensor, "images"]
        ) -> Float[Tensor, "images 4 height width"]:
            found = _decoded(model, encoded, encoded.seen, x_t, t)
            if guidance == 1:
                return found
            return guided(found, _decoded(model, encoded, encoded.unknown, x_t, t), guidance)

        return denoise


def _decoded(
    model: ViewModel,
    encoded: Encoded,
    seen: Float[Tensor, "1 inputs tokens channels"],
    x_t: Float[Tensor, "images 4 height width"],
    t: Float[Tensor, "images"],
) -> Float[Tensor, "images 4 height width"]:
    return model.average.decode(seen, encoded.geometry, x_t[None], t[None])[0]
