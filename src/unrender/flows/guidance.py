"""Denoisers of conditional flows, classifier-free guidance, and forms of one denoiser.

A clean image x and normal noise ε are mixed in three ways, which differ by a factor alone:

| form | mixture | level |
|---|---|---|
| flow | x_t = t x + (1 − t) ε | time t from 0 (noise) to 1 (image) |
| diffusion, variance preserving | z = √ᾱ x + √(1 − ᾱ) ε | ᾱ from 0 to 1 |
| diffusion, variance exploding | y = x + σ ε | σ from ∞ to 0 |

All three have the same ratio of noise to signal, σ = (1 − t) / t = √(1 − ᾱ) / √ᾱ, so x_t / t =
z / √ᾱ = y. A network that predicts x, ε, the velocity x − ε of the flow or v = √ᾱ ε − √(1 − ᾱ)
x of Salimans and Ho predicts all of them: given the mixture, each is affine in each other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Mixture = Float[Tensor, "images channels rows columns"]
Denoiser = Callable[
    [Float[Tensor, "images channels rows columns"], Float[Tensor, "images"]],
    Float[Tensor, "images channels rows columns"],
]
"""The expected clean images x1 of x_t = t x1 + (1 − t) ε, at times t in [0, 1), with normal ε.

Images are in a data space of `unrender.flows.data_space`, for view flows in `OverWhite`."""


def guided(
    conditional: Float[Tensor, "*shape"], unconditional: Float[Tensor, "*shape"], scale: float
) -> Float[Tensor, "*shape"]:
    """Classifier-free guidance: Ho and Salimans, https://arxiv.org/abs/2207.12598, eq. 6.

    A scale of 1 gives the conditional prediction, 0 the unconditional one. It may be applied to
    predictions of x1, of noise or of velocities alike, since they are affine in each other.
    """
    return unconditional + scale * (conditional - unconditional)


@dataclass(frozen=True)
class NoiseLevel:
    """How much of each image and of noise is in its mixture: signal · x + noise · ε.

    Both numbers are at least 0 and not both 0. What is divided by `signal` is infinite for pure
    noise, and what is divided by `noise` for clean images.
    """

    signal: Float[Tensor, "images"]
    noise: Float[Tensor, "images"]

    @classmethod
    def of_time(cls, t: Float[Tensor, "images"]) -> "NoiseLevel":
        """The level of a flow at time t, in its form."""
        return cls(t, 1 - t)

    @classmethod
    def of_alpha_bar(cls, alpha_bar: Float[Tensor, "images"]) -> "NoiseLevel":
        """The level of a variance-preserving diffusion, in its form; ᾱ as Ho et al. 2020."""
        return cls(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())

    @classmethod
    def of_sigma(cls, sigma: Float[Tensor, "images"]) -> "NoiseLevel":
        """The level of a variance-exploding diffusion, in its form."""
        return cls(torch.ones_like(sigma), sigma)

    @property
    def sigma(self) -> Float[Tensor, "images"]:
        """Standard deviation of the noise beside an image of weight 1."""
        return self.noise / self.signal

    @property
    def time(self) -> Float[Tensor, "images"]:
        """The time of a flow with this ratio of noise to signal: 1 / (1 + σ)."""
        return self.signal / (self.signal + self.noise)

    @property
    def alpha_bar(self) -> Float[Tensor, "images"]:
        """The ᾱ of a variance-preserving diffusion with this ratio: 1 / (1 + σ²)."""
        return self.signal.square() / (self.signal.square() + self.noise.square())

    def mixed(self, clean: Mixture, noise: Mixture) -> Mixture:
        """signal · x + noise · ε."""
        return _each(self.signal) * clean + _each(self.noise) * noise

    def in_form_of(self, other: "NoiseLevel", mixture: Mixture) -> Mixture:
        """A mixture at this level in the form of `other`, which has the same σ."""
        return mixture * _each(other.signal / self.signal)

    def clean_from_noise(self, mixture: Mixture, noise: Mixture) -> Mixture:
        """The clean images of mixtures with a predicted noise."""
        return (mixture - _each(self.noise) * noise) / _each(self.signal)

    def noise_from_clean(self, mixture: Mixture, clean: Mixture) -> Mixture:
        """The noise of mixtures with predicted clean images."""
        return (mixture - _each(self.signal) * clean) / _each(self.noise)

    def velocity_from_clean(self, mixture: Mixture, clean: Mixture) -> Mixture:
        """The velocity x − ε of a flow at this σ, given predicted clean images."""
        return clean - self.noise_from_clean(mixture, clean)

    def clean_from_velocity(self, mixture: Mixture, velocity: Mixture) -> Mixture:
        """The clean images, given a predicted velocity x − ε: x_t + (1 − t) v in flow form."""
        total = _each(self.signal + self.noise)
        return (mixture + _each(self.noise) * velocity) / total

    def v_from_clean(self, mixture: Mixture, clean: Mixture) -> Mixture:
        """v = √ᾱ ε − √(1 − ᾱ) x, given predicted clean images.

        Salimans and Ho, https://arxiv.org/abs/2202.00512, appendix D.
        """
        noise, alpha_bar = self.noise_from_clean(mixture, clean), self.alpha_bar
        return _each(alpha_bar.sqrt()) * noise - _each((1 - alpha_bar).sqrt()) * clean

    def clean_from_v(self, mixture: Mixture, v: Mixture) -> Mixture:
        """The clean images, given a predicted v: √ᾱ z − √(1 − ᾱ) v."""
        alpha_bar = self.alpha_bar
        z = self.in_form_of(NoiseLevel.of_alpha_bar(alpha_bar), mixture)
        return _each(alpha_bar.sqrt()) * z - _each((1 - alpha_bar).sqrt()) * v


def noise_predictor(
    denoiser: Denoiser,
) -> Callable[[Mixture, Float[Tensor, "images"]], Mixture]:
    """A flow's denoiser as a diffusion model: the noise ε̂ in z = √ᾱ x + √(1 − ᾱ) ε, given ᾱ."""

    def predict(z: Mixture, alpha_bar: Float[Tensor, "images"]) -> Mixture:
        level = NoiseLevel.of_alpha_bar(alpha_bar)
        flow = NoiseLevel.of_time(level.time)
        return level.noise_from_clean(z, denoiser(level.in_form_of(flow, z), level.time))

    return predict


def sigma_denoiser(
    denoiser: Denoiser,
) -> Callable[[Mixture, Float[Tensor, "images"]], Mixture]:
    """A flow's denoiser as D(y; σ): the expected x of y = x + σ ε (Karras et al. 2022)."""

    def denoise(y: Mixture, sigma: Float[Tensor, "images"]) -> Mixture:
        level = NoiseLevel.of_sigma(sigma)
        flow = NoiseLevel.of_time(level.time)
        return denoiser(level.in_form_of(flow, y), level.time)

    return denoise


def _each(values: Float[Tensor, "images"]) -> Float[Tensor, "images 1 1 1"]:
    return values[:, None, None, None]
