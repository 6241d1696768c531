"""Nerfies: a scene that moves as one canonical radiance field and a deformation of space.

Park, Sinha, Barron, Bouaziz, Goldman, Seitz, Martin-Brualla, "Nerfies: Deformable Neural
Radiance Fields", ICCV 2021, https://arxiv.org/abs/2011.12948.

Each moment of the film has a learned code. A network maps a point and this code to a rigid
motion, the exponential map of a screw axis, which takes the point to where it lies in the
canonical scene (sec. 3.2); there, density and color are those of a radiance field, which also
sees the direction and an appearance code. The encoding of the deformation's points is windowed:
its frequencies open one after the other while training (sec. 3.5, coarse to fine). The elastic
loss keeps the deformation's Jacobian near a rotation, robustly, where matter is seen (sec.
3.3); the background loss keeps points that are known to be static in their places (sec. 3.4).

The canonical field of `nerfies` is NeRF, with the sizes and rates of the paper; that of
`nerfies-fast` and `nerfies-capture` is instant-ngp, which two cores can train. Where it differs
from the authors' code: codes between two moments are interpolated, so that every time of the
film can be rendered; codes of appearance belong to moments, too; the motion is one screw
instead of a rotation, a pivot and a translation; and losses decay with the share of training
that is over instead of its steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.fields.deformation import window
from unrender.fields.hash_field import exponential_density
from unrender.geometry.cameras import Rays
from unrender.kernels.expand import along_rays, expand
from unrender.kernels.march import Samples
from unrender.kernels.mlp import mlp
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.methods.instant_ngp import InstantNGP, InstantNGPModel
from unrender.methods.nerf import NeRF, NeRFModel
from unrender.training.deformed_scene import DeformedScene, moments_of, times_of
from unrender.training.method import Progress
from unrender.training.pixels import pixel_errors

FIRST_LEVELS = 3.0
"""Levels of the hash grid that are open from the start, where the others open later."""
FINAL_ROUNDS = 3
"""Updates of the occupancy grid after training, each cell at random moments."""


class NerfiesModel(NeRFModel):
    """A deformation, and a coarse and a fine network in the canonical scene."""

    def __init__(self, options: "Nerfies", times: Tensor, generator: torch.Generator):
        super().__init__(options, generator, (options.density_inputs, options.appearance))
        self.deformation = options.deformation_of(times, generator)

    def inputs(
        self, rays: Rays, points: Float[Tensor, "rays bins 3"]
    ) -> tuple[Float[Tensor, "rays bins inputs"], Float[Tensor, "rays channels"]]:
        times, bins = times_of(rays), points.shape[1]
        offsets = torch.arange(len(points) + 1, device=points.device) * bins
        unit = self.ball.to_unit(points).flatten(0, 1)
        moved = self.deformation(unit, times, offsets)
        places, head = super().inputs(rays, self.ball.from_unit(moved.view_as(points)))
        further = self.deformation.further(unit, times, offsets).unflatten(0, (-1, bins))
        places = torch.cat([places, further], dim=-1)
        return places, torch.cat([head, self.deformation.appearance(times)], dim=-1)

    def further(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points further"]:
        return self.deformation.further_in_the_middle(self.ball.to_unit(points))


class FastNerfiesModel(InstantNGPModel):
    """A deformation, and a hash grid in the canonical scene.

    The occupancy grid is that of all moments together.
    """

    open_levels: Tensor
    """Levels of the hash grid that are open; set by each step."""

    def __init__(
        self,
        options: "FastNerfies",
        times: Float[Tensor, "moments"],
        generator: torch.Generator,
    ):
        super().__init__(options, generator, (options.density_inputs, options.appearance))
        self.deformation = options.deformation_of(times, generator)
        self.register_buffer("open_levels", torch.tensor(float(options.levels)))

    def moved_features(
        self, points: Float[Tensor, "points 3"], times: Tensor, offsets: Tensor
    ) -> Float[Tensor, "points features"]:
        """Outputs of the density network at points of rays, in the bounding sphere's frame."""
        moved = self.deformation(points, times, offsets)
        return self.canonical_features(moved, self.deformation.further(points, times, offsets))

    def canonical_features(
        self, points: Float[Tensor, "points 3"], further: Float[Tensor, "points further"]
    ) -> Float[Tensor, "points features"]:
        """Outputs of the density network at points of the canonical scene."""
        encoded, levels = self.field.encode(self.to_unit(points)), self.options.levels
        if float(self.open_levels) < levels:
            weights = window(float(self.open_levels), levels).to(encoded)
            encoded = encoded * weights.repeat_interleave(encoded.shape[1] // levels)
        if further.shape[1]:
            encoded = torch.cat([further, encoded], dim=1)
        return mlp(encoded, list(self.field.network))

    def features(
        self, rays: Rays, bins: Samples
    ) -> tuple[Float[Tensor, "samples features"], Float[Tensor, "rays channels"]]:
        origins, times = self.ball.to_unit(rays.origins), times_of(rays)
        points = along_rays(origins, rays.directions, bins.middles, bins.offsets)
        head = spherical_harmonics(rays.directions), self.deformation.appearance(times)
        return self.moved_features(points, times, bins.offsets), torch.cat(head, dim=1)

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        further = self.deformation.further_in_the_middle(points)
        return exponential_density(self.canonical_features(points, further))[0]

    def update_occupancy(self, generator: torch.Generator, everywhere: bool) -> None:
        """Update the occupancy grid with densities at random moments."""

        def density(points: Tensor) -> Tensor:
            times = self.deformation.random_times(len(points), generator)
            offsets = torch.arange(len(points) + 1, device=points.device)
            return exponential_density(self.moved_features(points, times, offsets))[0]

        self.occupancy.update(density, self.options.step_size, generator, everywhere)


@dataclass(frozen=True)
class Nerfies(DeformedScene, NeRF):
    """Canonical NeRF and a field of rigid motions (2021)."""

    def build(self, data: Views, generator: torch.Generator) -> NerfiesModel:
        model = NerfiesModel(self, moments_of(data), generator)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> NerfiesModel:
        model = NerfiesModel(self, tensors["deformation.moments.times"], torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def losses(
        self, model: Any, data: Views, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        self.open_window(model.deformation, progress)
        batch = data.sample_pixels(self.rays, generator)
        both = model.look(batch.rays, generator)
        coarse, fine = (
            pixel_errors(bins.rendering, batch.rgba, data.background).mean() for bins in both
        )
        points, weights = both[0].points, both[0].weights
        samples = (
            model.ball.to_unit(points).flatten(0, 1),
            times_of(batch.rays)[:, None].expand_as(weights).flatten(),
            weights.flatten() / self.rays,
        )
        return {
            "coarse": coarse,
            "fine": fine,
            **self.deformation_losses(model, data, progress, samples, generator),
            "metric/psnr": -10 * fine.detach().log10(),
        }


@dataclass(frozen=True)
class FastNerfies(DeformedScene, InstantNGP):
    """Canonical hash grid and a field of rigid motions."""

    deformation_learning_rate: float = 3e-3
    """Initial learning rate of the deformation's network and of all codes."""

    levels_until: float = 0.0
    """Fraction of training at which all levels of the hash grid are open, the coarsest first;
    0: from the start."""
    smooth_codes: bool = True
    """Whether codes begin as waves over the film, not at random as in the paper."""

    def build(self, data: Views, generator: torch.Generator) -> FastNerfiesModel:
        model = FastNerfiesModel(self, moments_of(data), generator)
        model.fit_ball(data)
        if self.smooth_codes:
            model.deformation.moments.begin_smooth()
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> FastNerfiesModel:
        times = tensors["deformation.moments.times"]
        model = FastNerfiesModel(self, times, torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: Any) -> torch.optim.Optimizer:
        optimizer = super().optimizer(model)
        moving = list(model.deformation.parameters())
        optimizer.add_param_group({"params": moving, "lr": self.deformation_learning_rate})
        return optimizer

    def losses(
        self,
        model: Any,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        self.open_window(model.deformation, progress)
        if self.levels_until:
            share = min(1.0, progress.fraction / self.levels_until)
            model.open_levels.fill_(FIRST_LEVELS + (self.levels - FIRST_LEVELS) * share)
        losses, rays, bins, out = self.render_batch(model, data, generator)
        origins = model.ball.to_unit(rays.origins)
        points = along_rays(origins, rays.directions, bins.middles, bins.offsets)
        times = expand(times_of(rays)[:, None], bins.offsets, len(bins))[:, 0]
        samples = points, times, out.weights / len(origins)
        return losses | self.deformation_losses(model, data, progress, samples, generator)

    def after_step(
        self, model: Any, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        step = progress.step + 1
        if step % 16 == 0:
            generator = torch.Generator().manual_seed(step)
            model.update_occupancy(generator, everywhere=step in (16, 64, 256))

    def finish(self, model: Any, data: Views) -> None:
        generator = torch.Generator().manual_seed(0)
        for _ in range(FINAL_ROUNDS):
            model.update_occupancy(generator, everywhere=True)

    def canonical(self, model: Any) -> Any:
        still = super().canonical(model)
        still.occupancy.density.zero_()
        still.update_occupancy(torch.Generator().manual_seed(0), everywhere=True)
        return still
