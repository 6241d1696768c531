"""What methods share that train networks on rays drawn from posed images."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from unrender.data.views import Views
from unrender.fields.ball import Ball
from unrender.fields.networks import Trunk
from unrender.geometry.cameras import Cameras, Rays
from unrender.optimizers.muon import Muon
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.training.method import Method, Progress, halve


class RayModel(nn.Module):
    """Networks that render rays, in the ball that the scene's cameras look at."""

    def __init__(self) -> None:
        super().__init__()
        self.ball = Ball()

    @abstractmethod
    def render(self, rays: Rays) -> Rendering:
        """The rays' colours, without randomness."""

    def matrices(self) -> list[nn.Parameter]:
        """The weights between hidden layers, and from the input to the first."""
        trunks = [module for module in self.modules() if isinstance(module, Trunk)]
        return [weight for trunk in trunks for weight in trunk.parameters() if weight.ndim == 2]


AnyRayModel = TypeVar("AnyRayModel", bound=RayModel)


@dataclass(frozen=True)
class RayMethod(Method[AnyRayModel, Views]):
    """Trains networks on rays drawn from all views, in one way for all their kinds."""

    rays: int = 4096
    """Rays of a training step."""
    rate: float = 5e-4
    """Learning rate after the warm-up; it falls exponentially."""
    last_rate: float = 0.1
    """Learning rate at the end, as a share of that at the start."""
    warm_up: int = 1
    """Steps over which the learning rate rises."""
    max_norm: float = 0.0
    """Gradients longer than this are shortened to it, those of Muon apart; 0 shortens none."""
    muon: bool = False
    """Whether Muon updates the matrices of hidden layers, and Adam the rest, instead of Adam
    all: not in the papers, and faster."""

    @abstractmethod
    def model(self, generator: torch.Generator) -> AnyRayModel:
        """Before it is told where the scene is."""

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
        # Without decay of the weights, AdamW is Adam.
        longest = self.max_norm or math.inf
        return Muon(matrices, others, self.rate, 0.0, longest, torch.float32)

    def learning_rate(self, progress: Progress) -> float:
        rise = min(1.0, (progress.step + 1) / self.warm_up)
        return rise * self.last_rate**progress.fraction

    def smaller(self) -> "Method[AnyRayModel, Views] | None":
        return halve(self, "rays")

    def render(self, model: AnyRayModel, cameras: Cameras) -> Rendering:
        """Differentiable in the cameras' poses where these require gradients."""
        return render_in_tiles(cameras, self.rays, model.render)
