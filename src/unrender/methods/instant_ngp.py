"""instant-ngp: a scene as a hash grid and two small networks, fitted in seconds.

Müller, Evans, Schied, Keller, "Instant Neural Graphics Primitives with a Multiresolution Hash
Encoding", SIGGRAPH 2022, https://arxiv.org/abs/2201.05989.

Sizes, rates, steps and the occupancy grid of the preset `instant-ngp` are the paper's (sec. 3
to 5, appendix E); the Huber loss, the averages of the parameters and the decay of the rates are
those of the authors' code. What differs: one occupancy grid instead of a cascade, updated as a
whole at steps 16, 64 and 256 instead of at each of the first 16 updates; numbers of 32 bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import huber_loss

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.hash_field import HashField, exponential_density
from unrender.fields.mlps import network_weights
from unrender.fields.occupancy_grid import OccupancyGrid
from unrender.geometry.cameras import Cameras, Rays
from unrender.imaging.color import over
from unrender.kernels.composite import Composited, composite
from unrender.kernels.expand import along_rays
from unrender.kernels.hash_grid import HashGridLayout
from unrender.kernels.march import Samples, march
from unrender.kernels.mlp import mlp
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve
from unrender.training.parameters import MovingAverages
from unrender.training.pixels import pixel_errors

GEOMETRY_FEATURES = 16
"""Outputs of the density network; the first is the logarithm of density."""
SAMPLES_AT_ONCE = 1 << 16
"""Samples per chunk when rendering: enough for throughput, little memory."""


class InstantNGPModel(nn.Module):
    """Density and color at points of the cube [−half_width, half_width]³.

    Its frame is that of the bounding sphere that the cameras look at: lengths are in its radii.
    """

    samples_a_ray: Tensor

    def __init__(
        self,
        options: "InstantNGP",
        generator: torch.Generator,
        further: tuple[int, int] = (0, 0),
    ):
        """`further`: inputs of the density and color networks besides place and direction."""
        super().__init__()
        layout = HashGridLayout(
            options.levels, options.log2_table_size, options.coarsest, options.finest
        )
        self.options = options
        self.ball = Ball()
        self.field = HashField(
            layout, [options.width], GEOMETRY_FEATURES, generator, further[0], options.glorot
        )
        hidden = [options.width] * options.color_layers
        # With He's initialization, colors begin near gray.
        self.color_net = network_weights(
            [16 + further[1] + GEOMETRY_FEATURES, *hidden, 3],
            generator,
            options.glorot,
            1.0 if options.glorot else 0.3,
        )
        updates = options.occupancy_decay, options.occupancy_queries
        self.occupancy = OccupancyGrid(options.half_width, options.occupancy_cells, *updates)
        # Updated by each step; initially that of a ray through a full grid.
        self.register_buffer("samples_a_ray", torch.tensor(256.0))
        self.averages = MovingAverages(self.parameters() if options.average else [])

    def fit_ball(self, data: Views) -> None:
        """Set the bounding sphere; a known one fits into the cube."""
        self.ball.fit_to_cameras(data.cameras, data.ball)
        if data.ball is not None:
            self.ball.radius /= min(self.options.half_width, 1.0)

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density per radius, at points in the frame of the bounding sphere."""
        return exponential_density(self.field(self.to_unit(points)))[0]

    def to_unit(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        """Map points of the cube to [0, 1]³."""
        return (points / self.options.half_width + 1) / 2

    def rays_at_once(self) -> int:
        """Rays with about SAMPLES_AT_ONCE samples, by how full the occupancy grid is."""
        filled = float(self.occupancy.occupied.float().mean())
        bins = 2 * self.options.half_width / self.options.step_size
        return max(1 << 10, int(SAMPLES_AT_ONCE / max(bins * filled, 4.0)))

    def features(
        self, rays: Rays, bins: Samples
    ) -> tuple[Float[Tensor, "samples features"], Float[Tensor, "rays channels"]]:
        """Outputs of the density network at bins, and what the color network sees of rays."""
        width = self.options.half_width
        origins, towards = self.to_unit(self.ball.to_unit(rays.origins)), rays.directions
        points = along_rays(origins, towards / (2 * width), bins.middles, bins.offsets)
        return self.field(points), spherical_harmonics(towards)

    def render_rays(
        self, rays: Rays, jitter: Float[Tensor, "rays"]
    ) -> tuple[Rendering, Composited, Samples]:
        """Render rays; also the weights and the distortion of their bins."""
        options = self.options
        grid = self.occupancy.march_grid(options.step_size, options.growth, options.near)
        origins = self.ball.to_unit(rays.origins)
        bins = march(origins, rays.directions, jitter, grid, options.stop_optical_depth)
        features, head = self.features(rays, bins)
        density, features = exponential_density(features)
        shared = head, bins.offsets
        color = mlp(features, list(self.color_net), "sigmoid", ray_inputs=shared)
        starts, ends = bins.starts, bins.ends
        nearest = options.near if options.growth else 0.0
        if nearest:
            # In a wide scene, distances are measured by 1 − near / t: else the distortion loss
            # would hardly penalize floaters close to the cameras.
            density = density * (ends - starts)
            # The midpoint of the first bin is beyond the near plane, but its start may not be.
            starts = starts.clamp_min(nearest / 2)
            starts, ends = 1 - nearest / starts, 1 - nearest / ends
            density = density / (ends - starts)
        out = composite(density, color, starts, ends, bins.offsets)
        depth = out.distance / out.opacity.clamp_min(1e-6)
        depth = self.ball.radius * (nearest / (1 - depth) if nearest else depth)
        return Rendering(out.color, out.opacity, depth), out, bins


@dataclass(frozen=True)
class InstantNGP(Method[InstantNGPModel, Views]):
    """Hash grid, occupancy grid and two small networks (2022)."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES

    levels: int = 8
    """Levels of the hash grid."""
    log2_table_size: int = 17
    """Base-2 logarithm of the maximum number of entries per level."""
    coarsest: int = 16
    """Cells per side of the coarsest level."""
    finest: int = 400
    """Cells per side of the finest level: about two per pixel of the images."""
    width: int = 32
    """Units of the networks' hidden layers."""
    color_layers: int = 2
    """Hidden layers of the color network."""
    half_width: float = 0.82
    """Half the side of the cube that contains the scene, in radii of the bounding sphere that
    the cameras look at."""
    step_size: float = 0.0082
    """Length of the bins along a ray, in radii of the bounding sphere."""
    growth: float = 0.0
    """Ratio of the length of a bin to its distance, beyond step_size / growth (cone
    marching)."""
    near: float = 0.0
    """Near plane of the rays, in radii of the bounding sphere."""
    occupancy_cells: int = 128
    """Cells per side of the occupancy grid."""
    occupancy_decay: float = 0.8
    """Factor on a cell's old density estimate at each update, every 16 steps."""
    occupancy_queries: int = 1 << 17
    """Cells of the occupancy grid that are updated at once: half of them random, half
    occupied."""
    stop_optical_depth: float = 8.0
    """Optical depth, as estimated by the occupancy grid, at which a ray ends."""
    samples: int = 3 << 14
    """Samples per training step; the number of rays follows from it."""
    max_rays: int = 1 << 15
    """Maximum number of rays per training step."""
    glorot: bool = False
    """Initialize the networks as Glorot and Bengio, not as He et al."""
    huber: float = 0.0
    """Threshold of a Huber loss over a random background per ray; 0: the squared error,
    averaged over all backgrounds."""
    learning_rate: float = 1e-2
    """Initial learning rate of the networks."""
    table_learning_rate: float = 0.1
    """Initial learning rate of the hash grid. The paper uses that of the networks, which suits
    a hundred thousand steps but is slow for a thousand."""
    distortion: float = 3.7e-3
    """Weight of the distortion loss along each ray, which keeps empty space empty (Mip-NeRF
    360, eq. 15; not in instant-ngp)."""
    weight_decay: float = 0.0
    """L2 penalty on the networks' weights."""
    average: float = 0.0
    """Decay of the moving average of all parameters, which is rendered; 0: no average."""
    warm_up: int = 50
    """Steps over which the learning rates increase to their initial values."""
    late_decay: float = 1.0
    """Factor on the learning rates at step 20,000 and every 10,000 steps after it."""
    cooldown: float = 0.5
    """Final fraction of training over which the learning rates decay to zero."""

    def build(self, data: Views, generator: torch.Generator) -> InstantNGPModel:
        model = InstantNGPModel(self, generator)
        model.fit_ball(data)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> InstantNGPModel:
        model = InstantNGPModel(self, torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: InstantNGPModel) -> torch.optim.Optimizer:
        networks, decay = [*model.field.network, *model.color_net], self.weight_decay
        groups = [
            {"params": [model.field.table], "lr": self.table_learning_rate},
            {"params": networks, "lr": self.learning_rate, "weight_decay": decay},
        ]
        return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)

    def schedule(self, progress: Progress) -> float:
        step, remaining = progress.step, 1 - progress.fraction
        up = (step + 1) / self.warm_up if self.warm_up else 1.0
        down = remaining / self.cooldown if self.cooldown else 1.0
        return min(1.0, up, down) * self.late_decay ** max(0, step // 10_000 - 1)

    def losses(
        self,
        model: InstantNGPModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        return self.render_batch(model, data, generator)[0]

    def render_batch(
        self, model: InstantNGPModel, data: Views, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Rays, Samples, Composited]:
        """The losses of a batch of rays, and the rays with their bins."""
        wanted = self.samples / float(model.samples_a_ray)
        num_rays = max(64, int(min(wanted, self.max_rays)) // 64 * 64)
        batch = data.sample_pixels(num_rays, generator)
        jitter = torch.rand(num_rays, generator=generator).to(batch.rgba.device)
        rendering, out, bins = model.render_rays(batch.rays, jitter)
        error = pixel_errors(rendering, batch.rgba, data.background).mean()
        color = error
        if self.huber:
            behind = data.background
            if behind is None:
                behind = torch.rand(num_rays, 3, generator=generator).to(jitter.device)
            truth = over(batch.rgba, behind)
            color = huber_loss(rendering.over(behind), truth, delta=self.huber)
        # At least half of the previous value: the grid may be young, and the next rays differ.
        found = len(bins) / num_rays
        model.samples_a_ray.fill_(max(found, float(model.samples_a_ray) / 2, 1.0))
        losses = {
            "color": color,
            "distortion": self.distortion * out.distortion.mean(),
            "metric/psnr": -10 * error.detach().log10(),
        }
        return losses, batch.rays, bins, out

    def after_step(
        self, model: InstantNGPModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        step = progress.step + 1
        if self.average:
            model.averages.update(model.parameters(), self.average)
        if step % 16 == 0:
            generator = torch.Generator().manual_seed(step)
            everywhere = step in (16, 64, 256)
            model.occupancy.update(model.density, self.step_size, generator, everywhere)

    def finish(self, model: InstantNGPModel, data: Views) -> None:
        """Take the averages, and update the whole occupancy grid, for rendering."""
        if self.average:
            model.averages.copy_to(model.parameters())
        generator = torch.Generator().manual_seed(0)
        model.occupancy.update(model.density, self.step_size, generator, everywhere=True)

    def smaller(self) -> "Method[InstantNGPModel, Views] | None":
        return halve(self, "samples")

    def density_at(
        self, model: InstantNGPModel, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        return model.density(model.ball.to_unit(points)) / model.ball.radius

    def render(self, model: InstantNGPModel, cameras: Cameras) -> Rendering:
        """Render whole images; differentiable in camera poses that require gradients."""

        def tile(rays: Rays) -> Rendering:
            jitter = torch.full_like(rays.pixel_radius, 0.5)
            return model.render_rays(rays, jitter)[0]

        return render_in_tiles(cameras, model.rays_at_once(), tile, own_threads=True)
