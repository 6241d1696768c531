"""Poses from images by the flow's energy: of all cameras, the one whose image is the image.

What a flow makes of a pose's mean start is compared with the image; the squared error over a
temperature is an energy, −log p(image | pose). With what the flow reads at the other end of the
image's own path for a prior, damped Gauss-Newton steps find the nearest mode of the posterior,
and the curvature there says how sure it is (Laplace's approximation).

Nothing of the answer is put in: images are made of candidate poses alone, never of the image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.poses import compose, invert, se3_exp, se3_log, so3_log

Residuals = Callable[[Float[Tensor, "images 3 4"]], Float[Tensor, "images numbers"]]
"""Of each image at a pose: what should be 0."""

DIFFERENCE = 4e-3
"""Of the finite differences, in radians and in scene radii."""
TEMPERATURES = torch.logspace(-3, 2, 41).tolist()


@dataclass(frozen=True)
class Quadratic:
    """Half a sum of squares near a pose: value + gradientᵀ δ + δᵀ curvature δ / 2.

    δ is the twist (rotation, translation) about the world's origin that leads there.
    """

    value: Float[Tensor, "images"]
    gradient: Float[Tensor, "images 6"]
    curvature: Float[Tensor, "images 6 6"]

    def plus(self, other: "Quadratic", temperature: float) -> "Quadratic":
        """The sum of its temperature-th part and another."""
        return Quadratic(
            self.value / temperature + other.value,
            self.gradient / temperature + other.gradient,
            self.curvature / temperature + other.curvature,
        )

    def step(self, damping: Float[Tensor, "images"]) -> Float[Tensor, "images 6"]:
        """To the least of it; the greater the damping, the shorter."""
        diagonal = self.curvature.diagonal(dim1=1, dim2=2)
        damped = self.curvature + torch.diag_embed(damping[:, None] * diagonal)
        return -torch.linalg.solve(damped, self.gradient[..., None])[..., 0]


@dataclass(frozen=True)
class Prior:
    """What is known of the poses beforehand: a normal distribution about each."""

    world_from_camera: Float[Tensor, "images 3 4"]
    rotation: Float[Tensor, "images"]
    """Standard deviation of each of the three angles, in radians."""
    translation: Float[Tensor, "images"]
    """Standard deviation of each coordinate of the centre, in scene units."""

    def residuals(self, pose: Float[Tensor, "images 3 4"]) -> Float[Tensor, "images 6"]:
        """How far poses are from these, in standard deviations."""
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
    """Sum of the squares of the image's residuals there."""


def quadratic(
    residuals: Residuals, pose: Float[Tensor, "images 3 4"], radius: float
) -> Quadratic:
    """Half the sum of the residuals' squares near the pose, as Gauss and Newton have it.

    `radius` is the scene's: the size of a translation that counts like a turn of a radian.
    """
    scale = pose.new_tensor([1, 1, 1, radius, radius, radius])
    columns: list[Tensor] = []
    for axis in torch.diag(DIFFERENCE * scale):
        twist = axis.expand(len(pose), 6)
        ahead, behind = (residuals(compose(se3_exp(d), pose)) for d in (twist, -twist))
        columns.append((ahead - behind) / (2 * axis.sum()))
    jacobian = torch.stack(columns, dim=-1)
    here = residuals(pose)
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
    """Descend from `start` by damped Gauss-Newton steps (Levenberg-Marquardt).

    `residuals` are the image's at a pose, unscaled; `temperature` is the variance with which
    they would be independent observations.
    """

    def energy(pose: Tensor) -> Tensor:
        ours, known = (f(pose).square().sum(1) for f in (residuals, prior.residuals))
        return ours / temperature + known

    def quadratics(pose: Tensor) -> tuple[Quadratic, Quadratic]:
        """Of the image alone, and of the posterior."""
        image, known = (quadratic(f, pose, radius) for f in (residuals, prior.residuals))
        return image, image.plus(known, temperature)

    pose, least = start, energy(start)
    damping = torch.full_like(least, 1e-2)
    for _ in range(steps):
        proposed = compose(se3_exp(quadratics(pose)[1].step(damping)), pose)
        found = energy(proposed)
        better = found < least
        pose = torch.where(better[:, None, None], proposed, pose)
        least = torch.where(better, found, least)
        damping = damping * torch.where(better, 0.2, 10.0)
    image, posterior = quadratics(pose)
    return Mode(pose, posterior.curvature, 2 * image.value)


@torch.no_grad()
def fit_temperature(
    residuals: Residuals,
    near: Float[Tensor, "images 3 4"],
    prior: Prior,
    truth: Float[Tensor, "images 3 4"],
    radius: float,
) -> float:
    """The temperature that makes the true poses of known images likeliest.

    All temperatures are tried on one quadratic about the poses `near` the modes.
    """
    ours, known = (quadratic(f, near, radius) for f in (residuals, prior.residuals))
    flat = torch.zeros(len(near)).to(near)

    def likelihood(temperature: float) -> float:
        both = ours.plus(known, temperature)
        mode = compose(se3_exp(both.step(flat)), near)
        twist = se3_log(compose(truth, invert(mode)))[..., None]
        distance = (twist.mT @ both.curvature @ twist).flatten()
        # The median, since few views of another mode would decide the mean.
        return float((torch.logdet(both.curvature) - distance).median())

    return max(TEMPERATURES, key=likelihood)
