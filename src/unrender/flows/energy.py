"""Pose estimation by energy minimization: the camera whose generated image matches the image.

The image that the flow generates from a pose's mean source is compared with the given image;
the squared error over a temperature is the energy −log p(image | pose). The pose obtained by
integrating the flow backwards serves as the prior. Damped Gauss-Newton steps find the nearest
mode of the posterior, whose curvature gives the uncertainty (Laplace approximation).

Images are generated from candidate poses alone, so nothing of the given image leaks into them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.poses import compose, invert, se3_exp, se3_log, so3_log

Residuals = Callable[[Float[Tensor, "images 3 4"]], Float[Tensor, "images numbers"]]
"""Residuals of each image at a pose, which are 0 for a perfect match."""

DIFFERENCE = 4e-3
"""Step of the finite differences, in radians and in scene radii."""
TEMPERATURES = torch.logspace(-3, 2, 41).tolist()


@dataclass(frozen=True)
class Quadratic:
    """Quadratic model of an energy near a pose: value + gradientᵀ δ + δᵀ curvature δ / 2.

    δ is the twist (rotation, translation) about the world's origin, relative to the pose.
    """

    value: Float[Tensor, "images"]
    gradient: Float[Tensor, "images 6"]
    curvature: Float[Tensor, "images 6 6"]

    def plus(self, other: "Quadratic", temperature: float) -> "Quadratic":
        """The model divided by `temperature`, plus another."""
        return Quadratic(
            self.value / temperature + other.value,
            self.gradient / temperature + other.gradient,
            self.curvature / temperature + other.curvature,
        )

    def step(self, damping: Float[Tensor, "images"]) -> Float[Tensor, "images 6"]:
        """The Levenberg-Marquardt step to the minimum, shortened by `damping`."""
        diagonal = self.curvature.diagonal(dim1=1, dim2=2)
        damped = self.curvature + torch.diag_embed(damping[:, None] * diagonal)
        return -torch.linalg.solve(damped, self.gradient[..., None])[..., 0]


@dataclass(frozen=True)
class Prior:
    """Prior of the poses: a normal distribution around each."""

    world_from_camera: Float[Tensor, "images 3 4"]
    rotation: Float[Tensor, "images"]
    """Standard deviation of each of the three angles, in radians."""
    translation: Float[Tensor, "images"]
    """Standard deviation of each coordinate of the center, in scene units."""

    def residuals(self, pose: Float[Tensor, "images 3 4"]) -> Float[Tensor, "images 6"]:
        """Deviations of poses from the prior's means, in standard deviations."""
        mean = self.world_from_camera
        turn = so3_log(pose[:, :, :3] @ mean[:, :, :3].mT)
        shift = pose[:, :, 3] - mean[:, :, 3]
        parts = [turn / self.rotation[:, None], shift / self.translation[:, None]]
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Mode:
    """A mode of each image's posterior, as a normal distribution."""

    world_from_camera: Float[Tensor, "images 3 4"]
    precision: Float[Tensor, "images 6 6"]
    """Inverse covariance of the twist (rotation, translation) about the world's origin."""
    square: Float[Tensor, "images"]
    """Sum of the squared residuals of the image at the mode."""


def quadratic(
    residuals: Residuals,
    pose: Float[Tensor, "images 3 4"],
    radius: float,
    here: Float[Tensor, "images numbers"] | None = None,
) -> Quadratic:
    """Gauss-Newton approximation of half the sum of squared residuals near a pose.

    `radius` is the scene radius, the translation that is weighted like a rotation by a radian;
    `here` are the residuals at the pose, if they are known already.
    """
    columns: list[Tensor] = []
    for axis in range(6):
        size = DIFFERENCE if axis < 3 else DIFFERENCE * radius
        twist = pose.new_zeros(len(pose), 6)
        twist[:, axis] = size
        ahead, behind = (residuals(compose(se3_exp(d), pose)) for d in (twist, -twist))
        columns.append((ahead - behind) / (2 * size))
    jacobian = torch.stack(columns, dim=-1)
    here = residuals(pose) if here is None else here
    gradient = jacobian.mT @ here[..., None]
    return Quadratic(here.square().sum(1) / 2, gradient[..., 0], jacobian.mT @ jacobian)


@torch.no_grad()
def find_mode(
    residuals: Residuals,
    start: Float[Tensor, "images 3 4"],
    prior: Prior,
    temperature: float,
    steps: int,
    radius: float,
) -> Mode:
    """Minimize the energy from `start` by damped Gauss-Newton steps (Levenberg-Marquardt).

    `residuals` are the unscaled differences of the images; `temperature` is their variance if
    they are regarded as independent observations.
    """

    def energy(pose: Tensor, here: Tensor) -> Tensor:
        ours, known = (f.square().sum(1) for f in (here, prior.residuals(pose)))
        return ours / temperature + known

    def quadratics(pose: Tensor, here: Tensor) -> tuple[Quadratic, Quadratic]:
        """Quadratic models of the image's energy and of the posterior's."""
        image = quadratic(residuals, pose, radius, here)
        return image, image.plus(quadratic(prior.residuals, pose, radius), temperature)

    pose, here = start, residuals(start)
    least = energy(pose, here)
    damping = torch.full_like(least, 1e-2)
    for _ in range(steps):
        proposed = compose(se3_exp(quadratics(pose, here)[1].step(damping)), pose)
        there = residuals(proposed)
        found = energy(proposed, there)
        better = found < least
        pose = torch.where(better[:, None, None], proposed, pose)
        here = torch.where(better[:, None], there, here)
        least = torch.where(better, found, least)
        damping = damping * torch.where(better, 0.2, 10.0)
    image, posterior = quadratics(pose, here)
    return Mode(pose, posterior.curvature, 2 * image.value)


@torch.no_grad()
def fit_temperature(
    residuals: Residuals,
    near: Float[Tensor, "images 3 4"],
    prior: Prior,
    truth: Float[Tensor, "images 3 4"],
    radius: float,
) -> float:
    """The temperature that maximizes the likelihood of the true poses.

    All temperatures are evaluated with one quadratic model, at poses `near` the modes.
    """
    ours, known = (quadratic(f, near, radius) for f in (residuals, prior.residuals))
    flat = torch.zeros(len(near)).to(near)

    def likelihood(temperature: float) -> float:
        both = ours.plus(known, temperature)
        mode = compose(se3_exp(both.step(flat)), near)
        twist = se3_log(compose(truth, invert(mode)))[..., None]
        distance = (twist.mT @ both.curvature @ twist).flatten()
        # The median, because a few views at another mode would dominate the mean.
        return float((torch.logdet(both.curvature) - distance).median())

    return max(TEMPERATURES, key=likelihood)
