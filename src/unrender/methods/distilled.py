"""A scene distilled from a model of novel views: one or a few photographs become a 3D scene.

Two ways. *Generated views*, the default: a model of novel views generates views around the
object once, and a radiance field is fitted to the photographs and to these, as in
Wu et al., "ReconFusion", https://arxiv.org/abs/2312.02981, and Gao et al., "CAT3D",
https://arxiv.org/abs/2405.10314, which do it with large models. *Score distillation*: each step
renders the field from random cameras, and a flow of novel views says how to change the images:
SDS (Poole et al., "DreamFusion", https://arxiv.org/abs/2209.14988) or SJC (Wang et al.,
https://arxiv.org/abs/2212.00774), with annealed noise, losses on normals, and the anchors of
Sargent et al., "ZeroNVS", https://arxiv.org/abs/2310.17994.

Any radiance field is distilled into, by the name of its preset; what it minimizes on views, how
it is optimized and how it renders are its own. What differs from ZeroNVS: our flows predict
images and not latents, as published checkpoints do; cameras are those around the object, not
random ones; both losses on normals are computed at the rendered depth, not at all samples of a
ray; weights are relative to means over pixels, or cells of latents.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.data.object_ball import object_ball
from unrender.data.views import Views, joined
from unrender.errors import InputError
from unrender.fields.ball import Ball
from unrender.flows.anchoring import VARIANTS
from unrender.flows.distillation import AnnealedLevels
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import upwards
from unrender.geometry.pixels import pixel_grid
from unrender.methods.presets import find_preset
from unrender.methods.presets.view_models import Kind, open_view_model
from unrender.ranges import Range
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import followed
from unrender.training.data_kinds.few_views import FEW_VIEWS, FewViews
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress
from unrender.training.normal_losses import (
    density_normals,
    orientation_loss,
    smoothness_loss,
)
from unrender.training.options import Device
from unrender.training.score_guidance import ScoreGuidance
from unrender.training.view_rounds import generate_in_rounds, given_views

SPACING = 0.01
"""Half the distance over which densities are differentiated, in radii of the ball."""
HIT = 0.5
"""Opacity from which on a pixel has a normal."""


class DistilledModel(nn.Module):
    """A field, with the views that were generated for it."""

    seed: Tensor
    images: Tensor
    poses: Tensor
    intrinsics: Tensor

    def __init__(self, field: nn.Module, views: int = 0, size: int = 1) -> None:
        super().__init__()
        self.field = field
        self.ball = Ball()
        self.register_buffer("seed", torch.zeros((), dtype=torch.long))
        self.register_buffer("images", torch.zeros(views, size, size, 4))
        self.register_buffer("poses", torch.zeros(views, 3, 4))
        self.register_buffer("intrinsics", torch.zeros(views, 3, 3))

    @property
    def generated(self) -> Views:
        """The generated views, or the anchors of score distillation; none before training."""
        size = self.images.shape[1]
        return Views(Cameras(self.poses, self.intrinsics, size, size), self.images)

    def keep(self, views: Views) -> None:
        """Keep generated views, which become part of checkpoints."""
        self.images = views.images.to(self.images)
        self.poses = views.cameras.world_from_camera.to(self.poses)
        self.intrinsics = views.cameras.intrinsics.to(self.intrinsics)


@dataclass(frozen=True)
class Distilled(Method[DistilledModel, FewViews]):
    """A radiance field from one or a few photographs, by a model of novel views."""

    data: ClassVar[DataKind[Any, Any]] = FEW_VIEWS
    default_minutes: ClassVar[float] = 1.0

    field: str = "instant-ngp-coarse"
    """The preset of the radiance field that is fitted, with its own options."""
    view_model: str = ""
    """Run folder of view-regression or view-flow; by default the weights in the package, of the
    regression to generate views and of the flow to distill scores."""
    guidance_mode: Literal["generated", "sds", "sjc"] = "generated"
    """generated: fit the field to the inputs and to generated views; sds, sjc: score
    distillation by a flow."""
    batch: int = 2
    """Images rendered at each step of score distillation."""
    conditions: Annotated[int, Range(1, 64)] = 4
    """Nearest views on which a view is conditioned, at most."""
    rounds: Annotated[int, Range(1, 64)] = 1
    """Rounds in which views are generated, each conditioned also on those before."""
    input_share: Annotated[float, Range(0, 1)] = 0.8
    """Share of the first steps that fit the inputs; the others fit generated views."""
    last_input_share: Annotated[float, Range(0, 1)] = 0.97
    """The same at the last step; it changes linearly."""
    guidance: Annotated[float, Range(0, 1000)] = 1.5
    """Scale of classifier-free guidance in score distillation; 1 for none."""
    score_weight: Annotated[float, Range(0, 1e6)] = 0.2
    """Weight of score distillation beside the loss on the inputs."""
    normal_weight: float = 0.003
    """Weight of the differences between neighboring normals, in score distillation."""
    orientation: float = 0.01
    """Weight of normals that face away from the camera, in score distillation."""
    least_noise: Annotated[float, Range(0, 1, above=True, below=True)] = 0.6
    """Least share of noise at which the flow is asked, in score distillation."""
    most_noise: Annotated[float, Range(0, 1, above=True, below=True)] = 0.98
    """Greatest share of noise at the first step."""
    last_noise: Annotated[float, Range(0, 1, above=True, below=True)] = 0.8
    """Greatest share of noise at the last step; it changes linearly."""
    anchoring: Literal["off", "paper", "code"] = "off"
    """Views sampled first, on the nearest of which steps of score distillation are conditioned:
    as in ZeroNVS's appendix, as in its code, or none."""
    halvings: Annotated[int, Range(0, 32)] = 0
    """How often the field's own batch is halved, for a GPU that is too small."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_noise > min(self.most_noise, self.last_noise):
            raise InputError(
                f"least_noise {self.least_noise:g}: is above most_noise {self.most_noise:g} or "
                f"last_noise {self.last_noise:g}: give less"
            )

    @property
    def inner(self) -> Method[Any, Views]:
        """The field's method, with its options. InputError for what is no radiance field."""
        return _field_method(self.field, self.halvings)

    def build(self, data: FewViews, generator: torch.Generator) -> DistilledModel:
        # The cameras around the object say where the scene is: a single input does not.
        size = data.targets.width
        blank = Views(data.targets, torch.zeros(len(data.targets), size, size, 4))
        views = joined([dataclasses.replace(data.inputs, ball=None).with_alpha(), blank])
        model = DistilledModel(self.inner.build(views, generator))
        model.ball.fit_to_cameras(data.targets)
        model.seed.copy_(torch.randint(1 << 62, (), generator=generator))
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> DistilledModel:
        begin = "field."
        own = {k.removeprefix(begin): v for k, v in tensors.items() if k.startswith(begin)}
        count, size = tensors["images"].shape[:2]
        model = DistilledModel(self.inner.restore(own), count, size)
        model.load_state_dict(dict(tensors))
        return model

    def prepare(self, model: DistilledModel, data: FewViews) -> FewViews:
        """Generate views or anchors, unless there are some: a run's that is continued."""
        mode, variant = self.guidance_mode, VARIANTS[self.anchoring]
        scored = mode != "generated"
        center = object_ball(data.inputs)[:3].to(data.targets.centers)
        wanted = data.targets
        if scored:
            up = upwards(data.inputs.cameras).to(center)
            first = data.inputs.cameras.world_from_camera[:1]
            wanted = variant.cameras(data.targets[:1].with_poses(first), center, up)
        if data.generated is not None:
            model.keep(data.generated)
        missing = len(wanted) > 0 and not len(model.images)
        guide = None
        if scored or missing:
            kind: Kind = "flow" if scored else "regression"
            device: Device = "cuda" if data.inputs.device.type == "cuda" else "cpu"
            view_model = open_view_model(self.view_model or None, kind, device)
            given = given_views(view_model, data.inputs)
            if missing:
                generator = torch.Generator().manual_seed(int(model.seed))
                how = generator, self.conditions, self.rounds
                model.keep(generate_in_rounds(view_model, given, wanted, *how))
            if mode != "generated":
                guide = ScoreGuidance(
                    view_model, given, model.generated, center, float(model.ball.radius),
                    variant, mode, self.levels, self.guidance, self.conditions,
                )  # fmt: skip
        inputs = self.inner.prepare(model.field, data.inputs.with_alpha())
        generated = None
        if not scored:
            generated = self.inner.prepare(model.field, model.generated)
        return dataclasses.replace(data, inputs=inputs, generated=generated, guide=guide)

    @property
    def levels(self) -> AnnealedLevels:
        """The noise at which the flow is asked."""
        low = self.least_noise
        return AnnealedLevels(low, self.most_noise, low, self.last_noise)

    def optimizer(self, model: DistilledModel) -> torch.optim.Optimizer:
        return self.inner.optimizer(model.field)

    def schedule(self, progress: Progress) -> float | Sequence[float]:
        return self.inner.schedule(progress)

    def losses(
        self,
        model: DistilledModel,
        data: FewViews,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        if data.generated is not None:
            share = torch.tensor(self.input_share).lerp(
                torch.tensor(self.last_input_share), progress.fraction
            )
            of_inputs = bool(torch.rand((), generator=generator) < share)
            views = data.inputs if of_inputs else data.generated
            return self.inner.losses(model.field, views, progress, generator)
        guide = data.guide
        assert guide is not None, "data are prepared"
        losses = dict(self.inner.losses(model.field, data.inputs, progress, generator))
        cameras = guide.cameras(data.targets, self.batch, generator)
        with followed():
            rendering = self.inner.render(model.field, cameras)
        score = guide.loss(rendering, cameras, progress, generator)
        losses["score"] = self.score_weight * score
        if self.normal_weight or self.orientation:
            losses |= self._normal_losses(model, rendering, cameras)
        return losses

    def _normal_losses(
        self, model: DistilledModel, rendering: Rendering, cameras: Cameras
    ) -> dict[str, Tensor]:
        """Losses on the normals at the rendered depth, where something is hit."""
        pixel = pixel_grid(cameras.width, cameras.height, cameras.device)
        index = torch.arange(len(cameras), device=cameras.device)[:, None, None]
        pixel = pixel.expand(len(cameras), -1, -1, -1)
        rays = cameras.rays(index.expand(pixel.shape[:-1]), pixel)
        points = rays.origins + rendering.depth.detach()[..., None] * rays.directions
        opacity = rendering.opacity.detach()
        hit = opacity > HIT

        def density(at: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
            return self.inner.density_at(model.field, at)

        spacing = SPACING * float(model.ball.radius)
        normals = torch.zeros_like(points)
        normals[hit] = density_normals(density, points[hit], spacing)
        facing = orientation_loss(normals, rays.directions, opacity)
        smooth = smoothness_loss(normals, hit)
        return {
            "orientation": self.orientation * facing,
            "normals": self.normal_weight * smooth,
        }

    def after_step(
        self, model: DistilledModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        self.inner.after_step(model.field, optimizer, progress)

    def finish(self, model: DistilledModel, data: FewViews) -> None:
        self.inner.finish(model.field, data.inputs)

    def smaller(self) -> "Method[DistilledModel, FewViews] | None":
        if self.inner.smaller() is None:
            return None
        batch = max(1, self.batch // 2)
        return dataclasses.replace(self, batch=batch, halvings=self.halvings + 1)

    def density_at(
        self, model: DistilledModel, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        return self.inner.density_at(model.field, points)

    def render(self, model: DistilledModel, cameras: Cameras) -> Rendering:
        return self.inner.render(model.field, cameras)


@cache
def _field_method(name: str, halvings: int) -> Method[Any, Views]:
    """A preset's method, with its batch halved. InputError if it is no radiance field."""
    preset = find_preset(name)
    method = preset.method()
    if method.data is not POSED_IMAGES or not (method.makes_images and method.any_size):
        raise InputError(
            f"field {name}: is no radiance field: name one, such as instant-ngp-fast"
        )
    for _ in range(halvings):
        smaller = method.smaller()
        assert smaller is not None, "it is halved as often as it can be"
        method = smaller
    return method
