"""Base of methods that train networks on rays sampled from posed images: NeRF and its kin."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.networks import Trunk
from unrender.geometry.cameras import Cameras, Rays
from unrender.optimizers.muon import Muon
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve


class RayModel(nn.Module):
    """Networks that render rays, inside the bounding sphere that the cameras look at."""

    def __init__(self) -> None:
        super().__init__()
        self.ball = Ball()

    @abstractmethod
    def render(self, rays: Rays) -> Rendering:
        """Render rays without randomness."""

    def matrices(self) -> list[nn.Parameter]:
        """Weight matrices of the hidden layers, which Muon can update."""
        trunks = [module for module in self.modules() if isinstance(module, Trunk)]
        return [weight for trunk in trunks for weight in trunk.parameters() if weight.ndim == 2]


AnyRayModel = TypeVar("AnyRayModel", bound=RayModel)


@dataclass(frozen=True)
class RayMethod(Method[AnyRayModel, Views]):
    """Options and optimization shared by methods that train networks on random rays."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES

    rays: int = 4096
    """Rays per training step."""
    learning_rate: float = 5e-4
    """Learning rate after the warm-up; it decays exponentially."""
    learning_rate_decay: float = 0.1
    """Final learning rate, as a fraction of the initial one."""
    warm_up: int = 1
    """Steps over which the learning rate rises."""
    beta2: float = 0.999
    """Adam's decay rate of the second moment."""
    max_norm: float = 0.0
    """Maximum gradient norm, except for Muon's matrices; 0 disables clipping."""
    muon: bool = False
    """Whether Muon updates the matrices of hidden layers and Adam the rest; the papers use Adam
    throughout, which is slower."""

    @abstractmethod
    def model(self, generator: torch.Generator) -> AnyRayModel:
        """The untrained model, before its bounding sphere is set."""

    def build(self, data: Views, generator: torch.Generator) -> AnyRayModel:
        model = self.model(generator)
        model.ball.fit_to_cameras(data.cameras, data.ball)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> AnyRayModel:
        model = self.model(torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: AnyRayModel) -> torch.optim.Optimizer:
        matrices = model.matrices() if self.muon else []
        chosen = {id(matrix) for matrix in matrices}
        others = [weight for weight in model.parameters() if id(weight) not in chosen]
        # Without weight decay, AdamW is Adam.
        rate, longest = self.learning_rate, self.max_norm
        return Muon(matrices, others, rate, 0.0, longest, torch.float32, self.beta2)

    def schedule(self, progress: Progress) -> float:
        return progress.rising(self.warm_up) * self.learning_rate_decay**progress.fraction

    def smaller(self) -> "Method[AnyRayModel, Views] | None":
        return halve(self, "rays")

    def render(self, model: AnyRayModel, cameras: Cameras) -> Rendering:
        """Render whole images; differentiable in camera poses that require gradients."""
        return render_in_tiles(cameras, self.rays, model.render)
