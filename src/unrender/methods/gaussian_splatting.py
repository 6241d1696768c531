"""Gaussian splatting: a scene as colored Gaussians that are rasterized.

Kerbl, Kopanas, Leimkühler, Drettakis, "3D Gaussian Splatting for Real-Time Radiance Field
Rendering", SIGGRAPH 2023, https://arxiv.org/abs/2308.04079; with Kheradmand et al., "3D
Gaussian Splatting as Markov Chain Monte Carlo", NeurIPS 2024, https://arxiv.org/abs/2404.09591,
for densification: nearly transparent Gaussians are relocated to opaque ones, which split their
opacity with them, and noise is added to all means; and with the antialiasing of Yu et al.,
"Mip-Splatting", CVPR 2024, https://arxiv.org/abs/2311.16493.

Each step renders one image, by kernels/gaussian_projection and kernels/splat. The preset
`gaussian-splatting` has the rates of the MCMC authors' code, and its schedules as
fractions of 30,000 steps. What differs: random points are gray and fill the bounding sphere,
not a cube; scales are penalized in its radii; the number of Gaussians grows exponentially until
a fraction of training, not by 5% at a time; and they are sorted by distance, not by depth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.gaussians import compute_relocation, neighbor_distance
from unrender.fields.pruning import keeps_most
from unrender.geometry.bounds import camera_extent
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_from_quaternion
from unrender.rendering.gaussians import draw_gaussians
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import follows
from unrender.shapes.splats import CONSTANT_HARMONIC, Splats
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress
from unrender.training.pixels import dissimilarity

LEAST_OPACITY = 0.005
"""Opacity below which a Gaussian is dead and is relocated (MCMC, sec. 4.3)."""
FEWEST_POINTS = 100
"""Fewest points of a reconstruction that are used as initialization."""
MAX_STIRRED_OPACITY = 0.1
"""Opacity above which means get no noise: its factor in eq. 10 is below 1e-4 there."""
STIRRED = 5e5
"""Scale of the noise on the means, relative to rate and covariance (MCMC, eq. 10)."""


class GaussianSplattingModel(nn.Module):
    """Buffers for `max_gaussians` Gaussians, the first `alive` in use (fields/gaussians.py)."""

    alive: Tensor
    extent: Tensor

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
        self.register_buffer("extent", torch.ones(()))

    def splats(self) -> Splats:
        """The Gaussians in use."""
        n = int(self.alive)
        return Splats(
            self.means[:n], self.log_scales[:n], self.quaternions[:n],
            self.opacity_logits[:n], self.colors[:n], self.harmonics[:n],
        )  # fmt: skip

    def draw(self, cameras: Cameras, index: int, degree: int) -> Rendering:
        """Render one camera, with spherical harmonics up to `sh_degree`."""
        return draw_gaussians(self.splats(), cameras, index, degree)


@dataclass(frozen=True)
class GaussianSplatting(Method[GaussianSplattingModel, Views]):
    """3D Gaussians, optimized by rasterization and densified by MCMC (2023, 2024)."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES
    antialiased: ClassVar[bool] = True

    initial_gaussians: int = 100_000
    """Initial number of Gaussians at random positions, for data without points."""
    max_gaussians: int = 1_000_000
    """Maximum number of Gaussians."""
    grow_until: float = 0.17
    """Fraction of training after which their number no longer grows: 5% more every 100 steps
    from step 500 are ten times as many after 5,200 of 30,000 steps."""
    sh_degree: int = 3
    """Degree of the spherical harmonics of view-dependent color."""
    degree_every: float = 1 / 30
    """Fraction of training after which the harmonics get one more degree."""
    initial_opacity: float = 0.5
    """Initial opacity of the Gaussians; 0.1 without MCMC."""
    initial_scale: float = 0.1
    """Initial scale, relative to the distance to the nearest neighbors; 1 without MCMC."""
    relocate_every: int = 100
    """Steps between relocations of dead Gaussians and additions of new ones."""
    relocate_from: float = 500 / 30_000
    """Fraction of training before which there are none."""
    relocate_until: float = 25_000 / 30_000
    """Fraction of training after which there are none."""
    similarity: float = 0.2
    """Weight λ of 1 − SSIM; the L1 loss has weight 1 − λ."""
    opacity_weight: float = 0.01
    """Weight of the mean opacity, which lets unneeded Gaussians die."""
    scale_weight: float = 0.01
    """Weight of the mean scale, in radii of the bounding sphere."""
    mean_learning_rate: float = 1.6e-4
    """Initial learning rate of the means, relative to a length."""
    by_extent: bool = True
    """Whether that length is the cameras' extent, or the bounding sphere's radius."""
    mean_learning_rate_decay: float = 0.01
    """Final learning rate of the means, as a fraction of the initial one."""
    learning_rate_decay: float = 1.0
    """Final value of the other learning rates, as a fraction of the initial ones."""
    scale_learning_rate: float = 5e-3
    """Learning rate of the logarithms of the scales."""
    rotation_learning_rate: float = 1e-3
    """Learning rate of the quaternions."""
    opacity_learning_rate: float = 0.05
    """Learning rate of the logits of the opacities."""
    color_learning_rate: float = 2.5e-3
    """Learning rate of the base color; that of higher harmonics is a twentieth of it."""

    def build(self, data: Views, generator: torch.Generator) -> GaussianSplattingModel:
        model = GaussianSplattingModel(self.max_gaussians, self.sh_degree)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        model.extent.fill_(self.by_extent * camera_extent(data.cameras) or model.ball.radius)
        places, colors = self._places(model.ball, data, generator)
        n = len(places)
        with torch.no_grad():
            model.means[:n] = places
            model.colors[:n] = (colors - 0.5) / CONSTANT_HARMONIC
            distance = self.initial_scale * neighbor_distance(places).clamp_min(1e-6)
            model.log_scales[:n] = distance.log()[:, None]
            model.quaternions[:, 0] = 1
            model.opacity_logits[:n] = torch.logit(torch.tensor(self.initial_opacity))
        model.alive.fill_(n)
        return model

    def _places(
        self, ball: Ball, data: Views, generator: torch.Generator
    ) -> tuple[Float[Tensor, "first 3"], Float[Tensor, "first 3"]]:
        """Points and colors of the reconstruction, or gray points at random in the sphere."""
        if data.points is not None and len(data.points) >= FEWEST_POINTS:
            count = min(self.max_gaussians, len(data.points))
            chosen = torch.randperm(len(data.points), generator=generator)[:count]
            points, colors = data.points[chosen], data.point_colors
            return points, torch.full_like(points, 0.5) if colors is None else colors[chosen]
        places = ball.sample(min(self.initial_gaussians, self.max_gaussians), generator)
        return places, torch.full_like(places, 0.5)

    def restore(self, tensors: Mapping[str, Tensor]) -> GaussianSplattingModel:
        model = GaussianSplattingModel(len(tensors["means"]), self.sh_degree)
        # Runs of earlier versions had the radius as the unit of the means' rate.
        model.load_state_dict({"extent": tensors["ball.radius"], **tensors})
        return model

    def optimizer(self, model: GaussianSplattingModel) -> torch.optim.Optimizer:
        rates = {
            model.means: self.mean_learning_rate * float(model.extent),
            model.log_scales: self.scale_learning_rate,
            model.quaternions: self.rotation_learning_rate,
            model.opacity_logits: self.opacity_learning_rate,
            model.colors: self.color_learning_rate,
            model.harmonics: self.color_learning_rate / 20,
        }
        groups = [{"params": [numbers], "lr": rate} for numbers, rate in rates.items()]
        return torch.optim.Adam(groups, eps=1e-15, fused=True)

    def schedule(self, progress: Progress) -> list[float]:
        decays = [self.mean_learning_rate_decay, *[self.learning_rate_decay] * 5]
        return [decay**progress.fraction for decay in decays]

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
            # Over a constant color, a wrong opacity could go unnoticed.
            background = torch.rand(3, generator=generator).to(data.device)
        image = model.draw(data.cameras, index, self._degree(progress)).over(background)
        truth = data[index].over(background)[0]
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
        """Degree of the harmonics, which grows with training."""
        return min(self.sh_degree, int(progress.fraction / self.degree_every))

    @torch.no_grad()
    def after_step(
        self,
        model: GaussianSplattingModel,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
    ) -> None:
        generator, step = torch.Generator().manual_seed(progress.step), progress.step + 1
        self._stir(model, optimizer.param_groups[0]["lr"], generator)
        now = self.relocate_from <= progress.fraction <= self.relocate_until
        if now and step % self.relocate_every == 0:
            self._relocate(model, optimizer, progress, generator)

    def _stir(
        self, model: GaussianSplattingModel, rate: float, generator: torch.Generator
    ) -> None:
        """Add noise to the means of transparent Gaussians, shaped by their covariance."""
        opacity = model.opacity_logits[: int(model.alive)].sigmoid()
        faint = (opacity < MAX_STIRRED_OPACITY).nonzero()[:, 0]
        if not len(faint):
            return
        free = (100 * (LEAST_OPACITY - opacity[faint])).sigmoid()
        noise = torch.randn(len(faint), 3, generator=generator).to(opacity.device)
        scales = model.log_scales[faint].exp()[:, None]
        axes = so3_from_quaternion(model.quaternions[faint]) * scales
        moved = (axes @ (axes.mT @ noise[..., None]))[..., 0]
        model.means[faint] += STIRRED * rate * free[:, None] * moved

    def _relocate(
        self,
        model: GaussianSplattingModel,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        generator: torch.Generator,
    ) -> None:
        """Relocate dead Gaussians, and add new ones, at hosts sampled by opacity."""
        n = int(model.alive)
        opacity = model.opacity_logits[:n].sigmoid().cpu()
        dead = (opacity <= LEAST_OPACITY).nonzero()[:, 0]
        first = min(self.initial_gaussians, self.max_gaussians)
        growth = (self.max_gaussians / first) ** min(1.0, progress.fraction / self.grow_until)
        wanted = max(n, min(self.max_gaussians, int(first * growth)))
        moving = torch.cat([dead, torch.arange(n, wanted)])
        if not len(moving) or not keeps_most(opacity, opacity > LEAST_OPACITY):
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
        """Place Gaussians at their hosts, so that together they look as the host did."""
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
        """Render whole images; differentiable in camera poses that require gradients."""
        with torch.set_grad_enabled(follows(cameras)):
            images = [model.draw(cameras, k, self.sh_degree) for k in range(len(cameras))]
        return Rendering(
            torch.stack([image.color for image in images]),
            torch.stack([image.opacity for image in images]),
            torch.stack([image.depth for image in images]),
        )
