"""Score distillation: what a denoiser says of a rendered image, as a gradient.

*Score distillation sampling* (SDS): Poole, Jain, Barron, Mildenhall, "DreamFusion",
https://arxiv.org/abs/2209.14988, eq. 3: the gradient w(t) (ε̂ − ε), which is descended, without
the Jacobian of the network. ZeroNVS (https://arxiv.org/abs/2310.17994) has w = 1 − ᾱ.

*Score Jacobian chaining* (SJC): Wang, Du, Li, Yeh, Shakhnarovich,
https://arxiv.org/abs/2212.00774, sec. 4: the direction (D(y + σ n) − y) / σ, which is ascended,
averaged over the noise n ("perturb and average").

With ε̂ = (y + σ n − D) / σ, SJC's direction is n − ε̂: it is SDS's gradient with w = 1 and the
opposite sign. In the form of a flow, ε̂ − ε = (x − x̂1) t / (1 − t).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.flows.guidance import Denoiser, Mixture, NoiseLevel, sigma_denoiser
from unrender.flows.noise import normal_like

Distillation = Literal["sds", "sjc"]


def sds_gradient(
    predicted_noise: Mixture, noise: Mixture, weight: Float[Tensor, "images"]
) -> Mixture:
    """w (ε̂ − ε), the gradient of SDS for the clean images in data space; to be descended."""
    return weight[:, None, None, None] * (predicted_noise - noise)


def sds_weight(level: NoiseLevel) -> Float[Tensor, "images"]:
    """ZeroNVS's weight of SDS, 1 − ᾱ = (1 − t)² / (t² + (1 − t)²)."""
    return 1 - level.alpha_bar


def flow_sds_gradient(
    predicted: Mixture,
    clean: Mixture,
    t: Float[Tensor, "images"],
    weight: Float[Tensor, "images"],
) -> Mixture:
    """SDS's gradient of a flow that predicts x̂1 of t x + (1 − t) ε: w (x − x̂1) t / (1 − t)."""
    return (weight * t / (1 - t))[:, None, None, None] * (clean - predicted)


def sjc_direction(
    denoised: Float[Tensor, "samples images channels rows columns"],
    clean: Mixture,
    sigma: Float[Tensor, "images"],
) -> Mixture:
    """(D(y + σ n) − y) / σ averaged over samples of n; to be ascended.

    `denoised` is D(y + σ n) of the `clean` images y, once for each sample of the noise n.
    """
    return (denoised.mean(0) - clean) / sigma[:, None, None, None]


def distillation_gradient(
    kind: Distillation,
    denoiser: Denoiser,
    clean: Mixture,
    t: Float[Tensor, "images"],
    generator: torch.Generator,
    samples: int = 1,
) -> Mixture:
    """The gradient, to be descended, of SDS or SJC for images in data space, at flow times t.

    SDS has the weight 1 − ᾱ; SJC's direction has its sign changed. Both are means over
    `samples` of the noise. Times are in (0, 1). No gradients flow through the denoiser.
    """
    with torch.no_grad():
        level, total = NoiseLevel.of_time(t), clean.new_zeros(clean.shape)
        for _ in range(samples):
            noise = normal_like(clean, generator)
            if kind == "sds":
                mixture = level.mixed(clean, noise)
                predicted = level.noise_from_clean(mixture, denoiser(mixture, t))
                total += sds_gradient(predicted, noise, sds_weight(level))
            else:
                sigma = level.sigma
                mixture = NoiseLevel.of_sigma(sigma).mixed(clean, noise)
                denoised = sigma_denoiser(denoiser)(mixture, sigma)
                total -= sjc_direction(denoised[None], clean, sigma)
        return total / samples


def injected_loss(
    images: Float[Tensor, "*shape"], gradient: Float[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """A loss whose gradient for `images` is `gradient`: half the squared distance to a target.

    The target is images − gradient, through which no gradients flow. The value of the loss,
    half the squared norm of the gradient, says nothing of progress.
    """
    target = (images - gradient).detach()
    return (images - target).square().sum() / 2


@dataclass(frozen=True)
class AnnealedLevels:
    """Flow times that are drawn at each step, from ranges of noise that change linearly.

    All are shares of noise, 1 − t, in (0, 1). Much noise at first decides the coarse shape;
    less of it later adds detail and no longer changes the shape.
    """

    least: float = 0.02
    most: float = 0.98
    """Bounds at the first step."""
    last_least: float = 0.02
    last_most: float = 0.5
    """Bounds at the last step."""

    def bounds(self, fraction: float) -> tuple[float, float]:
        """The least and most noise at this fraction of training."""
        low = self.least + fraction * (self.last_least - self.least)
        high = self.most + fraction * (self.last_most - self.most)
        return min(low, high), high

    def sample(
        self, count: int, fraction: float, generator: torch.Generator
    ) -> Float[Tensor, "count"]:
        """Times t, whose share of noise is uniform between the bounds."""
        low, high = self.bounds(fraction)
        return 1 - (low + (high - low) * torch.rand(count, generator=generator))
