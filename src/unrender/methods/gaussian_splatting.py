"""Gaussian splatting: a scene as coloured Gaussians that are drawn instead of marched through.

Kerbl, Kopanas, Leimkühler, Drettakis, "3D Gaussian Splatting for Real-Time Radiance Field
Rendering", SIGGRAPH 2023, https://arxiv.org/abs/2308.04079; with Kheradmand et al., "3D
Gaussian Splatting as Markov Chain Monte Carlo", NeurIPS 2024, https://arxiv.org/abs/2404.09591,
for the choice of where Gaussians live: those that nobody sees move to where others are, which
share their light with them, and all are stirred by noise; and with the antialiasing of Yu et
al., "Mip-Splatting", CVPR 2024, https://arxiv.org/abs/2311.16493.

An image at a time: Gaussians are projected (kernels/gaussian_projection), drawn
(kernels/splat), and moved by the gradient of the error.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.gaussians import compute_relocation, neighbor_distance
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_from_quaternion
from unrender.kernels.gaussian_projection import project_gaussians
from unrender.kernels.spherical_harmonics import harmonic_colors
from unrender.kernels.splat import splat
from unrender.rendering.renderer import Rendering
from unrender.training.method import Method, Progress
from unrender.training.pixels import dissimilarity

FIRST_OPACITY = 0.1
LEAST_OPACITY = 0.005
"""Gaussians below it are as good as gone, and move to where others are (MCMC, sec. 4.3)."""
FEWEST_POINTS = 100
"""Fewer points of a reconstruction are not worth beginning with."""
CONSTANT = 0.28209479177387814
"""The harmonic of degree 0."""
STIRRED = 5e5
"""The noise on the means, in their learning rate times their covariance (MCMC, eq. 10)."""


class GaussianSplattingModel(nn.Module):
    """Room for `most` Gaussians, of which the first `alive` are used: scenes/gaussians.py says
    in which numbers.
    """

    alive: Tensor

    def __init__(self, most: int, degree: int):
        super().__init__()
        self.ball = Ball()
        self.means = nn.Parameter(torch.zeros(most, 3))
        self.log_scales = nn.Parameter(torch.zeros(most, 3))
        self.quaternions = nn.Parameter(torch.zeros(most, 4))
        self.opacity_logits = nn.Parameter(torch.zeros(most))
        self.colors = nn.Parameter(torch.zeros(most, 3))
        self.harmonics = nn.Parameter(torch.zeros(most, (degree + 1) ** 2 - 1, 3))
        self.register_buffer("alive", torch.zeros((), dtype=torch.long))

    def draw(self, cameras: Cameras, index: int, degree: int) -> Rendering:
        """One camera's image, with harmonics up to `degree`."""
        n, pose = int(self.alive), cameras.world_from_camera[index]
        means = self.means[:n]
        seen = project_gaussians(
            means,
            self.log_scales[:n],
            self.quaternions[:n],
            pose,
            cameras.intrinsics[index],
            cameras.width,
            cameras.height,
        )
        color = 0.5 + CONSTANT * self.colors[:n]
        if degree:
            towards = normalize(means - pose[:, 3], dim=1)
            color = color + harmonic_colors(towards, self.harmonics[:n], degree)
        opacity = self.opacity_logits[:n].sigmoid() * seen.compensations
        out = splat(
            seen.means2d,
            seen.conics,
            color.clamp_min(0),
            torch.where(seen.visible, opacity, 0.0),
            seen.distances,
            cameras.width,
            cameras.height,
        )
        return Rendering(out.color, out.opacity, out.depth / out.opacity.clamp_min(1e-6))


@dataclass(frozen=True)
class GaussianSplatting(Method[GaussianSplattingModel, Views]):
    """Gaussians that move, split and fade until they draw the views (2023)."""

    first: int = 100_000
    """Gaussians at the start, at random places of the ball that the cameras look at; where the
    views come with points, these are the start."""
    most: int = 1_000_000
    """Gaussians at the end."""
    grown: float = 0.5
    """Share of the fit after which there are as many as will be."""
    degree: int = 3
    """Of the harmonics by which colours depend on the direction."""
    relocate_every: int = 100
    """Steps between rounds in which Gaussians move to others, and new ones join them."""
    similarity: float = 0.2
    """Weight of 1 − SSIM; that of the absolute error is the rest."""
    opacity_weight: float = 0.01
    """Weight of the mean opacity, which frees Gaussians that are not needed."""
    scale_weight: float = 0.01
    """Weight of the mean scale, in radii of the ball."""
    mean_rate: float = 1.6e-4
    """Learning rate of the means at the start, in radii of the ball."""
    last_mean_rate: float = 0.01
    """That at the end, as a share of that at the start; it falls exponentially."""
    last_rate: float = 1.0
    """The other learning rates at the end, as a share of those at the start; 1 in the paper."""
    scale_rate: float = 5e-3
    """Learning rate of the scales' logarithms."""
    rotation_rate: float = 1e-3
    """Learning rate of the quaternions."""
    opacity_rate: float = 0.05
    """Learning rate of the opacities' logits."""
    color_rate: float = 2.5e-3
    """Learning rate of the colours; that of the harmonics is a twentieth."""

    def build(self, data: Views, generator: torch.Generator) -> GaussianSplattingModel:
        model = GaussianSplattingModel(self.most, self.degree)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        places, colors = self._places(model.ball, data, generator)
        n = len(places)
        with torch.no_grad():
            model.means[:n] = places
            model.colors[:n] = (colors - 0.5) / CONSTANT
            distance = neighbor_distance(places).clamp_min(1e-6)
            model.log_scales[:n] = distance.log()[:, None]
            model.quaternions[:, 0] = 1
            model.opacity_logits[:n] = math.log(FIRST_OPACITY / (1 - FIRST_OPACITY))
        model.alive.fill_(n)
        return model

    def _places(
        self, ball: Ball, data: Views, generator: torch.Generator
    ) -> tuple[Float[Tensor, "first 3"], Float[Tensor, "first 3"]]:
        """The views' own points and colours, or grey ones anywhere in the ball."""
        most = min(self.first, self.most)
        if data.points is not None and len(data.points) >= FEWEST_POINTS:
            count = min(self.most, len(data.points))
            chosen = torch.randperm(len(data.points), generator=generator)[:count]
            points, colors = data.points[chosen], data.point_colors
            return points, torch.full_like(points, 0.5) if colors is None else colors[chosen]
        normal = torch.randn(most, 3, generator=generator)
        reach = torch.rand(most, 1, generator=generator) ** (1 / 3)
        places = ball.center + ball.radius * reach * normalize(normal, dim=1)
        return places, torch.full_like(places, 0.5)

    def restore(self, tensors: Mapping[str, Tensor]) -> GaussianSplattingModel:
        model = GaussianSplattingModel(len(tensors["means"]), self.degree)
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: GaussianSplattingModel) -> torch.optim.Optimizer:
        radius = float(model.ball.radius)
        rates = {
            model.means: self.mean_rate * radius,
            model.log_scales: self.scale_rate,
            model.quaternions: self.rotation_rate,
            model.opacity_logits: self.opacity_rate,
            model.colors: self.color_rate,
            model.harmonics: self.color_rate / 20,
        }
        groups = [{"params": [numbers], "lr": rate} for numbers, rate in rates.items()]
        return torch.optim.Adam(groups, eps=1e-15, fused=True)

    def learning_rate(self, progress: Progress) -> list[float]:
        others = self.last_rate**progress.fraction
        return [self.last_mean_rate**progress.fraction, *[others] * 5]

    def losses(
        self,
        model: GaussianSplattingModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        index = int(torch.randint(len(data), (), generator=generator))
        background = data.background
        if background is None:
            # Over a constant colour, a wrong opacity could hide.
            background = torch.rand(3, generator=generator).to(data.images.device)
        image = model.draw(data.cameras, index, self._degree(progress)).over(background)
        truth = data.select(torch.tensor([index])).over(background)[0]
        n = int(model.alive)
        square = (image.detach() - truth).square().mean()
        return {
            "color": (1 - self.similarity) * (image - truth).abs().mean(),
            "similarity": self.similarity * dissimilarity(image, truth),
            "opacity": self.opacity_weight * model.opacity_logits[:n].sigmoid().mean(),
            "scale": self.scale_weight * model.log_scales[:n].exp().mean() / model.ball.radius,
            "metric/psnr": -10 * square.log10(),
        }

    def _degree(self, progress: Progress) -> int:
        """One degree more with each tenth of the fit: first shape, then gloss."""
        return min(self.degree, int(10 * progress.fraction))

    @torch.no_grad()
    def after_step(
        self,
        model: GaussianSplattingModel,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
    ) -> None:
        generator = torch.Generator().manual_seed(progress.step)
        self._stir(model, optimizer.param_groups[0]["lr"], generator)
        if (progress.step + 1) % self.relocate_every == 0:
            self._relocate(model, optimizer, progress, generator)

    def _stir(
        self, model: GaussianSplattingModel, rate: float, generator: torch.Generator
    ) -> None:
        """Move means at random in the shape of their Gaussians, those alone that few see."""
        n = int(model.alive)
        faint = (model.opacity_logits[:n].sigmoid() < 5 * LEAST_OPACITY).nonzero()[:, 0]
        if not len(faint):
            return
        opacity = model.opacity_logits[faint].sigmoid()
        free = (100 * (LEAST_OPACITY - opacity)).sigmoid()
        noise = torch.randn(len(faint), 3, generator=generator).to(opacity.device)
        axes = (
            so3_from_quaternion(model.quaternions[faint])
            * model.log_scales[faint].exp()[:, None]
        )
        moved = (axes @ (axes.mT @ noise[..., None]))[..., 0]
        model.means[faint] += STIRRED * rate * free[:, None] * moved

    def _relocate(
        self,
        model: GaussianSplattingModel,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        generator: torch.Generator,
    ) -> None:
        """Those that nobody sees, and new ones, join others drawn by their opacity."""
        n = int(model.alive)
        opacity = model.opacity_logits[:n].sigmoid().cpu()
        dead = (opacity <= LEAST_OPACITY).nonzero()[:, 0]
        first = min(self.first, self.most)
        growth = (self.most / first) ** min(1.0, progress.fraction / self.grown)
        wanted = max(n, min(self.most, int(first * growth)))
        moving = torch.cat([dead, torch.arange(n, wanted)])
        if not len(moving) or len(dead) == n:
            return
        weights = torch.where(opacity > LEAST_OPACITY, opacity, 0.0)
        hosts = torch.multinomial(weights, len(moving), replacement=True, generator=generator)
        self._join(model, optimizer, moving, hosts)
        model.alive.fill_(wanted)

    def _join(
        self,
        model: GaussianSplattingModel,
        optimizer: torch.optim.Optimizer,
        moving: Int[Tensor, "moving"],
        hosts: Int[Tensor, "moving"],
    ) -> None:
        """Put Gaussians where their hosts are, each host and its guests as bright together."""
        device = model.means.device
        who, guests = hosts.unique(return_counts=True)
        who, guests, moving, hosts = (each.to(device) for each in (who, guests, moving, hosts))
        opacity, shrink = compute_relocation(model.opacity_logits[who].sigmoid(), guests + 1)
        opacity = opacity.clamp(LEAST_OPACITY, 1 - 1e-6)
        model.opacity_logits[who] = torch.logit(opacity)
        model.log_scales[who] += shrink.log()[:, None]
        for group in optimizer.param_groups:
            (numbers,) = group["params"]
            numbers[moving] = numbers[hosts]
            for name in ("exp_avg", "exp_avg_sq"):
                state = optimizer.state[numbers].get(name)
                if state is not None:
                    state[moving] = 0
                    state[who] = 0

    def render(self, model: GaussianSplattingModel, cameras: Cameras) -> Rendering:
        """Differentiable in the cameras' poses where these require gradients."""
        follow = torch.is_grad_enabled() and cameras.world_from_camera.requires_grad
        with torch.set_grad_enabled(follow):
            images = [model.draw(cameras, k, self.degree) for k in range(len(cameras))]
        return Rendering(
            torch.stack([image.color for image in images]),
            torch.stack([image.opacity for image in images]),
            torch.stack([image.depth for image in images]),
        )
