"""What methods share that learn a surface, as a signed distance, from posed photographs.

Along a ray, a grid of distances says where matter may be; there the field is looked at coarsely
and without gradients, and from what it finds a method chooses the few bins that are rendered.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.fields.ball import Ball
from unrender.fields.surface_networks import (
    MLPSDF,
    BackgroundField,
    ColorNetwork,
    HashSDF,
    SDFSamples,
)
from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.composite import composite_dense
from unrender.kernels.hash_grid import HashGridLayout
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.rendering.volume.compositing import render_bins
from unrender.rendering.volume.proposals import RayInterval, even_edges
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.implicit.distance_grid import DistanceGrid
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import VertexColors
from unrender.shapes.voxels import VoxelGrid
from unrender.training.method import Method, Progress, halve
from unrender.training.shape_fit import HoldsShape

RAYS_AT_ONCE = 1 << 11
POINTS_AT_ONCE = 1 << 16
WARM_UP_STEPS, WARM_UP = 100, 0.02
"""Steps, or the share of the fit, in which learning rates rise: whatever ends first."""
THIN = 0.7
"""Share of the fit by which the layer is as thin as it must become."""
SLACK = 0.2
"""How far the bound begins above the first width, as a logarithm."""
OUTSIDE_BINS = 24
OUTSIDE_LAYOUT = HashGridLayout(6, 15, 16, 256)
FAR = 1e3
"""Where what lies around the ball ends, in its radii."""


class SurfaceModel(nn.Module):
    """The field, the colours, and how thick a layer stops light.

    Lengths are in radii of the ball that the cameras look at.
    """

    def __init__(self, options: "SurfaceMethod", opaque: bool, generator: torch.Generator):
        """`opaque`: whether photographs show what lies around the ball, too."""
        super().__init__()
        self.ball = Ball()
        features = options.features
        if options.field == "hash":
            layout = HashGridLayout(
                options.levels, options.log2_table_size, options.coarsest, options.finest
            )
            self.field = HashSDF(
                layout, options.first_levels, options.width, features, options.radius, generator
            )
        else:
            self.field = MLPSDF(
                options.width, options.depth, options.frequencies, features, options.radius,
                generator,
            )  # fmt: skip
        self.color = ColorNetwork(
            features, options.color_width, options.color_layers, generator
        )
        # In logarithms, so that steps are shares of it.
        self.log_width = nn.Parameter(torch.tensor(options.first_width).log())
        self.grid = DistanceGrid(options.cells)
        self.outside = BackgroundField(OUTSIDE_LAYOUT, 32, generator) if opaque else None

    @property
    def width(self) -> Float[Tensor, ""]:
        """Of the layer in which light is stopped."""
        return self.log_width.exp()


@dataclass(frozen=True)
class RenderOutput:
    """What rays see, and what training asks of it."""

    rendering: Rendering
    local: SDFSamples
    """At all bins' middles."""


@dataclass(frozen=True)
class SurfaceMethod(Method[SurfaceModel, Views], HoldsShape[SurfaceModel]):
    """Options and losses that NeuS and VolSDF have in common."""

    field: Literal["hash", "mlp"] = "hash"
    """A hash grid with a small network, or a large network alone as in the papers."""
    levels: int = 8
    """Levels of the hash grid."""
    first_levels: int = 3
    """Of these, how many are there from the start."""
    detail: float = 0.5
    """Share of the fit by which all levels have come."""
    log2_table_size: int = 17
    """Entries of a level at most, as a power of two."""
    coarsest: int = 16
    """Cells a side of the coarsest level."""
    finest: int = 512
    """Cells a side of the finest level."""
    width: int = 64
    """Units of the field's hidden layers."""
    depth: int = 6
    """Hidden layers of the field without a hash grid."""
    frequencies: int = 6
    """Octaves in which the field without a hash grid sees positions."""
    features: int = 15
    """Numbers that the field tells the colour network about a place."""
    color_width: int = 64
    """Units of the colour network's hidden layers."""
    color_layers: int = 2
    """Hidden layers of the colour network."""
    radius: float = 0.7
    """Of the sphere at the start, in radii of the ball that the cameras look at."""
    first_width: float = 0.05
    """Of the layer in which light is stopped, at the start, in radii of the ball."""
    last_width: float = 0.003
    """Of that layer at most at the end; it is learned, below a bound that falls to this."""
    cells: int = 64
    """Cells a side of the grid that says where the surface may be."""
    update_every: int = 16
    """Steps between updates of that grid."""
    looks: int = 24
    """Bins in which a ray is first looked at."""
    bins: int = 16
    """Bins of a ray that are rendered."""
    rays: int = 1024
    """Rays of a training step."""
    table_rate: float = 0.02
    """Learning rate of the hash grid's table at the start."""
    rate: float = 3e-3
    """Learning rate of the networks at the start."""
    width_rate: float = 5e-3
    """Learning rate of the layer's width, as a share of it."""
    mask_weight: float = 1.0
    """Weight of the opacities' cross-entropy, where the views are cut out."""
    eikonal_weight: float = 0.1
    """Weight of the squared difference of slopes from 1."""
    resolution: int = 192
    """Cells a side of the grid on which the mesh is made."""

    @abstractmethod
    def density(
        self, model: SurfaceModel, distance: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """The most light a place at that distance can absorb, per radius; no gradient flows."""

    @abstractmethod
    def edges(
        self,
        model: SurfaceModel,
        origins: Float[Tensor, "rays 3"],
        directions: Float[Tensor, "rays 3"],
        near: Float[Tensor, "rays"],
        far: Float[Tensor, "rays"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, "rays edges"]:
        """Of the bins to render, by a look at the field; in radii along the ray."""

    @abstractmethod
    def optical_depth(
        self,
        model: SurfaceModel,
        local: SDFSamples,
        directions: Float[Tensor, "points 3"],
        length: Float[Tensor, "points"],
        fraction: float,
    ) -> Float[Tensor, "points"]:
        """Of bins around points, after this share of the fit."""

    def build(self, data: Views, generator: torch.Generator) -> SurfaceModel:
        opaque = not data.has_alpha and data.background is None
        model = SurfaceModel(self, opaque, generator)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        self._update(model)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> SurfaceModel:
        model = SurfaceModel(self, "outside.table" in tensors, torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: SurfaceModel) -> torch.optim.Optimizer:
        named = dict(model.named_parameters())
        width = named.pop("log_width")
        tables = [named.pop(name) for name in list(named) if name.endswith("table")]
        groups = [
            {"params": list(named.values()), "lr": self.rate},
            {"params": [width], "lr": self.width_rate},
            {"params": tables, "lr": self.table_rate},
        ]
        return torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)

    def learning_rate(self, progress: Progress) -> float:
        rise = max((progress.step + 1) / WARM_UP_STEPS, progress.fraction / WARM_UP)
        return min(1.0, rise) * progress.falling(0.05)

    def look(
        self,
        model: SurfaceModel,
        rays: Rays,
        generator: torch.Generator | None,
        fraction: float = 1.0,
    ) -> RenderOutput:
        """What the rays see; with a generator, bins are moved at random."""
        origins, directions = model.ball.to_unit(rays.origins), rays.directions
        near, far = model.grid.ray_intervals(origins, directions)
        hit = (far > near).nonzero()[:, 0]
        origins, towards = origins[hit], directions[hit]
        with torch.no_grad():
            edges = self.edges(
                model, origins.detach(), towards.detach(), near[hit], far[hit], generator
            )
        length, middles = edges.diff(dim=1), (edges[:, 1:] + edges[:, :-1]) / 2
        points = (origins[:, None] + middles[..., None] * towards[:, None]).flatten(0, 1)
        local = model.field.with_gradients(points)
        per_point = towards.repeat_interleave(length.shape[1], 0)
        depth = self.optical_depth(model, local, per_point, length.flatten(), fraction)
        color = model.color(points, local, towards).view(*length.shape, 3)
        density = depth.view(length.shape) / length.clamp_min(1e-7)
        starts, ends = edges[:, :-1].contiguous(), edges[:, 1:].contiguous()
        out = composite_dense(density, color, starts, ends)
        distance = model.ball.radius * out.distance / out.opacity.clamp_min(1e-6)
        normals = None
        if generator is None:
            normal = local.normals.detach().view(*length.shape, 3)
            found = composite_dense(density.detach(), normal, starts, ends).color
            normals = nn.functional.normalize(found, dim=1)
            normals = normals.new_zeros(len(rays.origins), 3).index_copy(0, hit, normals)
        empty = out.color.new_zeros(len(rays.origins), 5)
        values = torch.cat([out.color, out.opacity[:, None], distance[:, None]], dim=1)
        color, opacity, distance = empty.index_copy(0, hit, values).split([3, 1, 1], dim=1)
        rendering = Rendering(color, opacity[:, 0], distance[:, 0], normals)
        if model.outside is not None:
            rendering = self._before(rendering, model, model.outside, rays, generator)
        return RenderOutput(rendering, local)

    def _before(
        self,
        front: Rendering,
        model: SurfaceModel,
        outside: BackgroundField,
        rays: Rays,
        generator: torch.Generator | None,
    ) -> Rendering:
        """The object before what lies around the ball."""
        _, leave = model.ball.intersect(rays, 0.05)
        near = leave / model.ball.radius
        stretch = RayInterval(near, torch.full_like(near, FAR), "disparity")
        edges = even_edges(len(near), OUTSIDE_BINS, generator).to(near.device)
        t = stretch.distance(edges)
        middles = stretch.distance((edges[:, 1:] + edges[:, :-1]) / 2)
        origins = model.ball.to_unit(rays.origins)
        points = origins[:, None] + middles[..., None] * rays.directions[:, None]
        density, color = outside(points, rays.directions)
        back = render_bins(density, color, t)
        through = 1 - front.opacity
        opacity = front.opacity + through * back.opacity
        depth = front.opacity * front.depth
        depth = depth + through * back.opacity * model.ball.radius * back.depth
        return Rendering(
            front.color + through[:, None] * back.color,
            opacity,
            depth / opacity.clamp_min(1e-6),
            front.normals,
        )

    def losses(
        self,
        model: SurfaceModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        model.field.advance(progress.fraction / self.detail)
        self._bound_width(model, progress.fraction)
        batch = data.sample_pixels(self.rays, generator)
        seen = self.look(model, batch.rays, generator, progress.fraction)
        error = seen.rendering.color - batch.rgba[:, :3]
        anywhere = 2 * torch.rand(self.rays // 4, 3, generator=generator) - 1
        around = model.field.with_gradients(anywhere.to(error.device))
        slope = torch.cat([seen.local.gradient, around.gradient]).norm(dim=1)
        losses = {
            "color": error.abs().mean(),
            "eikonal": self.eikonal_weight * (slope - 1).square().mean(),
            "metric/psnr": -10 * error.detach().square().mean().log10(),
            "metric/width": model.width.detach(),
        }
        if model.outside is None:
            opacity = seen.rendering.opacity.clamp(1e-3, 1 - 1e-3)
            entropy = binary_cross_entropy(opacity, batch.rgba[:, 3])
            losses["mask"] = self.mask_weight * entropy
        return losses

    @torch.no_grad()
    def _bound_width(self, model: SurfaceModel, fraction: float) -> None:
        """The layer is at most so wide: from first_width to last_width geometrically.

        Fog explains blurred colours well, and left alone its width may never find the way out.
        """
        share = min(fraction / THIN, 1.0)
        most = self.first_width ** (1 - share) * min(self.last_width, self.first_width) ** share
        model.log_width.clamp_(max=math.log(most) + SLACK * (1 - share))

    def prepare(self, model: SurfaceModel, data: Views) -> Views:
        """What is cut out stands before black; photographs before one colour are cut out."""
        if model.outside is not None:
            return data
        return replace(data, images=data.rgba, background=None)

    def after_step(
        self, model: SurfaceModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        if (progress.step + 1) % self.update_every == 0:
            self._update(model)

    def _update(self, model: SurfaceModel) -> None:
        density = partial(self.density, model)
        model.grid.update(model.field.distance, density)

    def finish(self, model: SurfaceModel, data: Views) -> None:
        """Look once more, so that renders skip all that turned out empty."""
        self._update(model)

    def smaller(self) -> "Method[SurfaceModel, Views] | None":
        return halve(self, "rays")

    @torch.no_grad()
    def shape(self, model: SurfaceModel) -> Mesh:
        """The level set 0 in the ball, with colours as seen head on. InputError if it is empty.

        The field is asked finely only near to where the grid of distances has a surface.
        """
        coarse = model.grid.distances(model.field.distance)
        if not bool((coarse < 0).any()) or not bool((coarse > 0).any()):
            what = "nothing" if float(coarse.max()) > 0 else "all of the ball"
            raise InputError(
                f"{what} is inside of the signed distance, so that it has no surface: fit "
                "longer, or look for wrong poses or masks in the data"
            )
        times = max(1, round(self.resolution / self.cells))
        values = coarse
        for axis in range(3):
            values = values.repeat_interleave(times, axis)
        grid = VoxelGrid.cube(values, 1.0)
        near = values.abs() < 2 * model.grid.cell
        centers = grid.centers()
        parts = centers[near].split(POINTS_AT_ONCE)
        values[near] = torch.cat([model.field.distance(part) for part in parts])
        values = values.maximum(centers.norm(dim=3) - 1)
        mesh = mesh_from_voxels(grid.with_values(-values), 0.0)
        colors: list[Tensor] = []
        for part in mesh.vertices.split(POINTS_AT_ONCE):
            local = model.field.with_gradients(part)
            colors.append(model.color(part, local, -local.normals))
        vertices = model.ball.center + model.ball.radius * mesh.vertices
        return Mesh(vertices, mesh.faces, VertexColors(torch.cat(colors)))

    def render(self, model: SurfaceModel, cameras: Cameras) -> Rendering:
        """Differentiable in the cameras' poses where these require gradients."""

        def tile(rays: Rays) -> Rendering:
            return self.look(model, rays, None).rendering

        return render_in_tiles(cameras, RAYS_AT_ONCE, tile, own_threads=True)
