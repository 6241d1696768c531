"""Base of methods that learn a signed distance from posed images: NeuS and VolSDF.

What both papers have in common: a network for the distance and one for the color, in a ball
that the cameras look at, and a mesh at the end. What a paper is about, its samples, weights and
losses, is in its own file. Ours are the hash grid, the grid of distances that tells which part
of a ray may contain the surface, and the bound on the width of the absorbing layer.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from unrender.data.views import PixelBatch, Views
from unrender.fields.ball import Ball
from unrender.fields.surface_networks import (
    MLPSDF,
    BackgroundField,
    ColorNetwork,
    HashSDF,
    IDRColor,
    SDFField,
    SDFSamples,
)
from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.composite import composite_dense
from unrender.kernels.hash_grid import HashGridLayout
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.rendering.volume.background import over_background
from unrender.rendering.volume.proposals import RayInterval, even_edges
from unrender.shapes.implicit.distance_grid import DistanceGrid, mesh_from_distance
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import VertexColors
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve

RAYS_AT_ONCE = 1 << 11
POINTS_AT_ONCE = 1 << 16
NEAR = 0.05
"""Near plane of rays without a distance grid, in radii of the bounding sphere."""
WARM_UP_STEPS, WARM_UP = 100, 0.02
"""Steps, or the fraction of training, of the warm-up: whichever is shorter."""
THIN = 0.7
"""Fraction of training after which the bound on the layer's width has reached its minimum."""
SLACK = 0.2
"""Logarithm of the ratio of the initial bound to the initial width."""
OUTSIDE_LAYOUT = HashGridLayout(6, 15, 16, 256)


class SurfaceModel(nn.Module):
    """Signed distance, color, and the width of the layer around the surface that absorbs light.

    Lengths are in radii of the bounding sphere that the cameras look at.
    """

    def __init__(self, options: "SurfaceMethod", opaque: bool, generator: torch.Generator):
        """`opaque`: whether the images also show a background around the bounding sphere."""
        super().__init__()
        self.ball = Ball()
        features = options.features
        if options.field == "hash":
            layout = HashGridLayout(
                options.levels, options.log2_table_size, options.coarsest, options.finest
            )
            self.field = HashSDF(
                layout,
                options.initial_levels,
                options.width,
                features,
                options.radius,
                generator,
            )
        else:
            self.field = MLPSDF(
                options.width, options.depth, options.frequencies, features, options.radius,
                generator,
            )  # fmt: skip
        colors = ColorNetwork if options.field == "hash" else IDRColor
        self.color = colors(features, options.color_width, options.color_layers, generator)
        # Stored as a logarithm, so that steps are relative.
        self.log_width = nn.Parameter(torch.tensor(options.initial_width).log())
        self.grid = DistanceGrid(options.cells)
        self.outside = BackgroundField(OUTSIDE_LAYOUT, 32, generator) if opaque else None

    @property
    def width(self) -> Float[Tensor, ""]:
        """Width of the layer around the surface that absorbs light."""
        return self.log_width.exp()


@dataclass(frozen=True)
class SampledRays:
    """Rays in the frame of the unit ball, and the interval of each that is sampled."""

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    near: Float[Tensor, "rays"]
    far: Float[Tensor, "rays"]

    def even_edges(
        self, count: int, generator: torch.Generator | None
    ) -> Float[Tensor, "rays edges"]:
        """Edges of `count` even bins of the intervals; with a generator, they are jittered."""
        edges = even_edges(len(self.near), count, generator).to(self.near.device)
        return RayInterval(self.near, self.far).distance(edges)

    def signed_distances(
        self, field: SDFField, t: Float[Tensor, "rays samples"]
    ) -> Float[Tensor, "rays samples"]:
        """The field at distances t along the rays."""
        points = self.origins[:, None] + t[..., None] * self.directions[:, None]
        return field.distance(points.view(-1, 3)).view(t.shape)


@dataclass(frozen=True)
class SurfaceBins:
    """The rendered bins of all rays, one after the other."""

    local: SDFSamples
    """Field values at their midpoints."""
    directions: Float[Tensor, "points 3"]
    length: Float[Tensor, "points"]


@dataclass(frozen=True)
class RenderOutput:
    """Rendered rays, and what the losses need of them."""

    rendering: Rendering
    local: SDFSamples
    """Field values at the midpoints of all bins."""
    bins_per_ray: int


@dataclass(frozen=True)
class SurfaceMethod(Method[SurfaceModel, Views]):
    """Options and losses shared by NeuS and VolSDF."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES
    has_shape: ClassVar[bool] = True

    field: Literal["hash", "mlp"] = "hash"
    """hash: a hash grid with a small network; mlp: the papers' networks."""
    levels: int = 8
    """Levels of the hash grid."""
    initial_levels: int = 3
    """Levels that are active from the start (coarse to fine, as in Neuralangelo)."""
    detail: float = 0.5
    """Fraction of training after which all levels are active."""
    log2_table_size: int = 17
    """Base-2 logarithm of the maximum number of entries per level."""
    coarsest: int = 16
    """Cells per side of the coarsest level."""
    finest: int = 512
    """Cells per side of the finest level."""
    width: int = 64
    """Units of the field's hidden layers."""
    depth: int = 6
    """Hidden layers of the field without a hash grid."""
    frequencies: int = 6
    """Octaves of the positional encoding, without a hash grid."""
    features: int = 15
    """Features per point that the distance network passes to the color network."""
    color_width: int = 64
    """Units of the color network's hidden layers."""
    color_layers: int = 2
    """Hidden layers of the color network."""
    radius: float = 0.7
    """Radius of the initial sphere, in radii of the bounding sphere."""
    initial_width: float = 0.05
    """Initial width of the layer that absorbs light, in radii of the bounding sphere."""
    final_width: float = 0.003
    """Upper bound on that width at the end of training; below it, the width is learned. 0 for
    no bound, as in the papers."""
    skip_empty: bool = True
    """Skip parts of rays that a grid of distances marks as empty; the papers sample all of the
    bounding sphere."""
    cells: int = 64
    """Cells per side of that grid."""
    update_every: int = 16
    """Steps between updates of that grid."""
    rays: int = 1024
    """Rays per training step."""
    table_learning_rate: float = 0.02
    """Initial learning rate of the hash grid."""
    learning_rate: float = 3e-3
    """Initial learning rate of the networks."""
    width_learning_rate: float = 5e-3
    """Learning rate of the logarithm of the layer's width."""
    beta2: float = 0.99
    """Adam's decay rate of the second moment."""
    mask_weight: float = 1.0
    """Weight of the cross entropy between opacity and mask, for images with alpha."""
    eikonal_weight: float = 0.1
    """Weight of the eikonal loss, (‖∇f‖ − 1)²."""
    resolution: int = 192
    """Cells per side of the grid for extracting the mesh."""

    @abstractmethod
    def density(
        self, model: SurfaceModel, distance: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """Upper bound on the density at that distance, per radius; no gradient flows."""

    @abstractmethod
    def edges(
        self, model: SurfaceModel, rays: SampledRays, generator: torch.Generator | None
    ) -> Float[Tensor, "rays edges"]:
        """Edges of the bins to render, chosen from coarse samples; in radii along the ray."""

    @abstractmethod
    def optical_depth(
        self, model: SurfaceModel, bins: SurfaceBins, fraction: float
    ) -> Float[Tensor, "points"]:
        """Optical depths of bins, at this fraction of training."""

    def build(self, data: Views, generator: torch.Generator) -> SurfaceModel:
        opaque = not data.has_alpha and data.background is None
        model = SurfaceModel(self, opaque, generator)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        self._update(model)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> SurfaceModel:
        model = SurfaceModel(self, "outside.field.table" in tensors, torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: SurfaceModel) -> torch.optim.Optimizer:
        named = dict(model.named_parameters())
        width = named.pop("log_width")
        tables = [named.pop(name) for name in list(named) if name.endswith("table")]
        groups = [
            {"params": list(named.values()), "lr": self.learning_rate},
            {"params": [width], "lr": self.width_learning_rate},
            {"params": tables, "lr": self.table_learning_rate},
        ]
        return torch.optim.Adam(groups, betas=(0.9, self.beta2), eps=1e-15, fused=True)

    def schedule(self, progress: Progress) -> float:
        rise = max((progress.step + 1) / WARM_UP_STEPS, progress.fraction / WARM_UP)
        return min(1.0, rise) * progress.falling(0.05)

    def look(
        self,
        model: SurfaceModel,
        rays: Rays,
        generator: torch.Generator | None,
        fraction: float = 1.0,
    ) -> RenderOutput:
        """Render rays; with a generator, bins are jittered."""
        origins, directions = model.ball.to_unit(rays.origins), rays.directions
        near, far = self._interval(model, rays)
        hit = (far > near).nonzero()[:, 0]
        origins, towards = origins[hit], directions[hit]
        with torch.no_grad():
            sampled = SampledRays(origins.detach(), towards.detach(), near[hit], far[hit])
            edges = self.edges(model, sampled, generator)
        length, middles = edges.diff(dim=1), (edges[:, 1:] + edges[:, :-1]) / 2
        points = (origins[:, None] + middles[..., None] * towards[:, None]).flatten(0, 1)
        local = model.field.with_gradients(points)
        per_point = towards.repeat_interleave(length.shape[1], 0)
        bins = SurfaceBins(local, per_point, length.flatten())
        depth = self.optical_depth(model, bins, fraction)
        color = model.color(points, local, towards).view(*length.shape, 3)
        density = depth.view(length.shape) / length.clamp_min(1e-7)
        out = composite_dense(density, color, edges)
        distance = model.ball.radius * out.mean_distance
        normals = None
        if generator is None:
            normal = local.normals.detach().view(*length.shape, 3)
            found = composite_dense(density.detach(), normal, edges).color
            normals = nn.functional.normalize(found, dim=1)
            normals = normals.new_zeros(len(rays.origins), 3).index_copy(0, hit, normals)
        empty = out.color.new_zeros(len(rays.origins), 5)
        values = torch.cat([out.color, out.opacity[:, None], distance[:, None]], dim=1)
        color, opacity, distance = empty.index_copy(0, hit, values).split([3, 1, 1], dim=1)
        rendering = Rendering(color, opacity[:, 0], distance[:, 0], normals)
        if model.outside is not None:
            rendering = over_background(rendering, model.outside, model.ball, rays, generator)
        return RenderOutput(rendering, local, length.shape[1])

    def _interval(
        self, model: SurfaceModel, rays: Rays
    ) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
        """Where rays are sampled, in radii; near = far where they are not."""
        if self.skip_empty:
            return model.grid.ray_intervals(model.ball.to_unit(rays.origins), rays.directions)
        near, far = model.ball.intersect(rays, NEAR)
        return near / model.ball.radius, far / model.ball.radius

    def render_batch(
        self, model: SurfaceModel, data: Views, progress: Progress, generator: torch.Generator
    ) -> tuple[PixelBatch, RenderOutput]:
        """Begin a step: the levels and the width of this fraction of training, and a batch."""
        model.field.advance(progress.fraction / self.detail)
        self._bound_width(model, progress.fraction)
        batch = data.sample_pixels(self.rays, generator)
        return batch, self.look(model, batch.rays, generator, progress.fraction)

    def mask_losses(
        self, model: SurfaceModel, rendering: Rendering, alpha: Float[Tensor, "rays"]
    ) -> dict[str, Tensor]:
        """Cross entropy of opacity and mask, for images with alpha."""
        if model.outside is not None:
            return {}
        opacity = rendering.opacity.clamp(1e-3, 1 - 1e-3)
        return {"mask": self.mask_weight * binary_cross_entropy(opacity, alpha)}

    @torch.no_grad()
    def _bound_width(self, model: SurfaceModel, fraction: float) -> None:
        """Bound the layer's width, which falls geometrically from initial_width to final_width.

        A wide layer (fog) explains blurred colors well, and its width may never shrink by
        itself. Not in the papers.
        """
        if self.final_width == 0:
            return
        share = min(fraction / THIN, 1.0)
        most = (
            self.initial_width ** (1 - share)
            * min(self.final_width, self.initial_width) ** share
        )
        model.log_width.clamp_(max=math.log(most) + SLACK * (1 - share))

    def prepare(self, model: SurfaceModel, data: Views) -> Views:
        """Put objects with alpha over black; cut out objects on a constant background."""
        if model.outside is not None:
            return data
        return data.with_alpha()

    def after_step(
        self, model: SurfaceModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        if self.skip_empty and (progress.step + 1) % self.update_every == 0:
            self._update(model)

    def _update(self, model: SurfaceModel) -> None:
        if self.skip_empty:
            model.grid.update(model.field.distance, partial(self.density, model))

    def finish(self, model: SurfaceModel, data: Views) -> None:
        """Update the distance grid once more, so that rendering skips all empty space."""
        self._update(model)

    def smaller(self) -> "Method[SurfaceModel, Views] | None":
        return halve(self, "rays")

    @torch.no_grad()
    def shape(self, model: SurfaceModel) -> Mesh:
        """The zero level set in the bounding sphere, with colors as seen along the normal.

        InputError if the level set is empty.
        """
        mesh = mesh_from_distance(model.field.distance, model.grid, self.resolution)
        colors: list[Tensor] = []
        for part in mesh.vertices.split(POINTS_AT_ONCE):
            local = model.field.with_gradients(part)
            colors.append(model.color(part, local, -local.normals))
        vertices = model.ball.center + model.ball.radius * mesh.vertices
        return Mesh(vertices, mesh.faces, VertexColors(torch.cat(colors)))

    def render(self, model: SurfaceModel, cameras: Cameras) -> Rendering:
        """Render whole images; differentiable in camera poses that require gradients."""

        def tile(rays: Rays) -> Rendering:
            return self.look(model, rays, None).rendering

        return render_in_tiles(cameras, RAYS_AT_ONCE, tile, own_threads=True)


def random_gradients(
    model: SurfaceModel, count: int, generator: torch.Generator
) -> Float[Tensor, "count 3"]:
    """Gradients of the field at random points of the cube [−1, 1]³."""
    points = 2 * torch.rand(count, 3, generator=generator) - 1
    return model.field.with_gradients(points.to(model.log_width.device)).gradient


def eikonal_loss(gradients: Float[Tensor, "points 3"]) -> Float[Tensor, ""]:
    """Mean of (‖∇f‖ − 1)² (Gropp et al., IGR, 2020, eq. 2); 0 without points.

    There are none if no ray of a batch meets the bounding sphere.
    """
    if not len(gradients):
        return gradients.sum()
    return (gradients.norm(dim=1) - 1).square().mean()
