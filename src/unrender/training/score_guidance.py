"""Guidance of a rendered scene by a flow of novel views: score distillation and its anchors."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unrender.data.views import Views
from unrender.flows.anchoring import Anchoring
from unrender.flows.distillation import (
    AnnealedLevels,
    Distillation,
    distillation_gradient,
    injected_loss,
)
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Rendering
from unrender.training.method import Fitted, Progress
from unrender.training.view_rounds import conditions_of


@dataclass(frozen=True)
class ScoreGuidance:
    """What a flow of novel views says of renderings, as a loss."""

    view_model: Fitted[Any]
    inputs: Views
    """As the flow is given them."""
    anchors: Views
    """Views that were sampled first; none without anchoring."""
    center: Float[Tensor, "3"]
    radius: float
    """Of the scene's ball, the unit of the anchors' least depth."""
    anchoring: Anchoring
    kind: Distillation
    levels: AnnealedLevels
    scale: float
    """Of classifier-free guidance."""
    conditions: int
    """Inputs on which a rendering is conditioned, at most: the nearest."""

    def cameras(self, targets: Cameras, count: int, generator: torch.Generator) -> Cameras:
        """Random ones of the cameras around the scene, with images of the flow's size."""
        size = self.inputs.cameras.width
        chosen = torch.randperm(len(targets), generator=generator)[:count]
        return targets.select(chosen.to(targets.device)).resized(size, size)

    def loss(
        self,
        rendering: Rendering,
        cameras: Cameras,
        progress: Progress,
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """The injected gradient of SDS or SJC, a mean over cells of the flow's data space.

        Cells are pixels, or those of latents, through whose autoencoder the gradient goes on to
        the renderings. InputError for models that are no flows.
        """
        space = self.view_model.method.view_space(self.view_model.model)
        codes = space.encode(rendering.rgba)
        count = len(cameras)
        t = self.levels.sample(count, progress.fraction, generator).to(codes)
        chosen = self.anchoring.choose(
            cameras, self.anchors.cameras, self.center, progress.fraction, generator
        )
        gradient = torch.zeros_like(codes)
        for members, given in self._groups(cameras, chosen):
            part = torch.tensor(members, device=codes.device)
            denoiser = self.view_model.method.denoiser(
                self.view_model.model, given, cameras.select(part), self.scale
            )
            gradient[part] = distillation_gradient(
                self.kind, denoiser, codes.detach()[part], t[part], generator
            )
        counts = self.anchoring.counts(rendering.depth.detach(), chosen, self.radius)
        gradient *= avg_pool2d(counts[:, None].to(gradient), space.scale)
        rows, columns = codes.shape[-2:]
        return injected_loss(codes, gradient) / (count * rows * columns)

    def _groups(self, cameras: Cameras, chosen: Tensor) -> "list[tuple[list[int], Views]]":
        """Renderings that are conditioned on the same views, with these."""
        sets = conditions_of(
            cameras, self.inputs.cameras, len(self.inputs), self.conditions, self.center
        ).tolist()
        groups: dict[tuple[int, ...], list[int]] = {}
        for k, anchor in enumerate(chosen.tolist()):
            key = tuple(sets[k]) if anchor < 0 else (-1 - anchor,)
            groups.setdefault(key, []).append(k)
        return [(members, self._given(key)) for key, members in groups.items()]

    def _given(self, key: tuple[int, ...]) -> Views:
        if key[0] < 0:
            # A single camera does not say where the object is.
            return replace(self.anchors[-1 - key[0]], ball=self.inputs.ball)
        return self.inputs.select(torch.tensor(key))
