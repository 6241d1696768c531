"""Base of methods for scenes that move: a deformation into a canonical scene, and its losses.

Park et al., "Nerfies: Deformable Neural Radiance Fields", ICCV 2021,
https://arxiv.org/abs/2011.12948; see `methods/nerfies.py`.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.fields.deformation import DeformationField, RigidMotions, drawn
from unrender.geometry.cameras import Cameras, Rays
from unrender.rendering.renderer import Rendering
from unrender.training.method import Method, Progress

NO_TIMES = "the model is of a scene that moves: give the cameras times"


@dataclass(frozen=True)
class DeformedScene(Method[Any, Views]):
    """Options of a deformation and its losses, and what all methods with one share."""

    codes: int = 8
    """Numbers in the code of a moment, from which its deformation follows."""
    appearance: int = 2
    """Numbers in the appearance code of a moment, which the colors see."""
    deformation: Literal["rigid", "translation", "none"] = "rigid"
    """Motion of each point: a screw, or a translation (the paper's ablation), or none."""
    conditioned: bool = False
    """Whether the density network sees the moment's code too: with no deformation, the
    baseline of a radiance field with time as an input."""
    deformation_frequencies: int = 8
    """m: octaves of the positional encoding of the deformation's points. Few make smooth
    motions; many make detailed ones, which may tear."""
    deformation_width: int = 128
    """Units per hidden layer of the deformation's network."""
    deformation_depth: int = 6
    """Hidden layers of the deformation's network."""
    deformation_skip: int = 4
    """Layer of it that receives its inputs again (skip connection); 0: none."""
    window_until: float = 0.8
    """Fraction of training at which all frequencies are open; 0: from the start."""
    elastic: float = 1e-3
    """Weight of the elastic loss; it falls to zero over the second half of training."""
    still: float = 0.0
    """Weight of a loss that keeps what is seen in its place, robustly: a motion of a tenth of
    the scene's radius costs nearly as much as any. Not in the paper, where points of a
    reconstruction are known to stand still (`background`)."""
    elastic_samples: int = 0
    """Samples per step that the elastic loss and that of `still` are estimated from, drawn in
    proportion to their rendering weights; 0: all of them."""
    background: float = 1.0
    """Weight of the background loss, if the data come with points, which must be static."""
    background_points: int = 16384
    """Points per step of the background loss."""

    moves: ClassVar[bool] = True

    @property
    def density_inputs(self) -> int:
        """Inputs of the density network besides the encoded place."""
        return self.codes * self.conditioned

    def motions(self, generator: torch.Generator) -> RigidMotions | None:
        """The network of the deformation; None where nothing moves."""
        if self.deformation == "none":
            return None
        return RigidMotions(
            self.codes,
            self.deformation_frequencies,
            self.deformation_width,
            self.deformation_depth,
            self.deformation_skip,
            generator,
            self.deformation == "translation",
        )

    def deformation_of(self, times: Tensor, generator: torch.Generator) -> DeformationField:
        """The deformation of a scene at these moments, before its first step."""
        sizes = self.codes, self.appearance
        motions = self.motions(generator)
        return DeformationField(times, motions, *sizes, generator, self.conditioned)

    def open_window(self, deformation: DeformationField, progress: Progress) -> None:
        """Set how many frequencies are open, at this stage of training."""
        share = progress.fraction / self.window_until if self.window_until else 1.0
        deformation.alpha.fill_(self.deformation_frequencies * min(1.0, share))

    def deformation_losses(
        self,
        model: Any,
        data: Views,
        progress: Progress,
        samples: tuple[Float[Tensor, "samples 3"], Float[Tensor, "samples"], Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The elastic loss of samples (points, times and weights), and the background loss.

        Points are in the frame of the bounding sphere.
        """
        losses: dict[str, Tensor] = {}
        if self.deformation == "none":
            return losses
        if self.elastic or self.still:
            samples = drawn(*samples, self.elastic_samples, generator)
        if self.elastic:
            late = max(0.0, 2 * progress.fraction - 1)
            weight = self.elastic * (1 + math.cos(math.pi * late)) / 2
            loss = model.deformation.elastic_loss(*samples)
            losses["elastic"] = weight * loss
        if self.still:
            losses["still"] = self.still * model.deformation.still_loss(*samples)
        if self.background and data.points is not None and len(data.points):
            index = torch.randint(
                len(data.points), (self.background_points,), generator=generator
            )
            points = model.ball.to_unit(data.points[index.to(data.points.device)])
            loss = model.deformation.background_loss(points, generator)
            losses["background"] = self.background * loss
        return losses

    def render(self, model: Any, cameras: Cameras) -> Rendering:
        """Render whole images, each at its camera's time.

        InputError for cameras without times, and for times outside the film.
        """
        if cameras.times is None:
            raise InputError(NO_TIMES)
        model.deformation.moments.check(cameras.times)
        return super().render(model, cameras)

    def canonical(self, model: Any) -> Any:
        """A copy of the model without its deformation. InputError for `conditioned` ones."""
        if self.conditioned:
            raise InputError(
                "the model's density depends on time, so it has no canonical scene: give a time"
            )
        still = copy.deepcopy(model)
        still.deformation.stop()
        return still

    def deform(
        self,
        model: Any,
        points: Float[Tensor, "points 3"],
        time: float,
    ) -> Float[Tensor, "points 3"]:
        times = points.new_tensor([time])
        model.deformation.moments.check(times)
        offsets = torch.tensor([0, len(points)], device=points.device)
        moved = model.deformation(model.ball.to_unit(points), times, offsets)
        return model.ball.from_unit(moved)

    def time_range(self, model: Any) -> tuple[float, float]:
        return model.deformation.moments.span


def times_of(rays: Rays) -> Float[Tensor, "rays"]:
    """Times of rays. InputError for rays of cameras without times."""
    if rays.times is None:
        raise InputError(NO_TIMES)
    return rays.times


def moments_of(data: Views) -> Float[Tensor, "moments"]:
    """The moments of a film, in order. InputError for views without times, or of one time."""
    times = data.cameras.times
    if times is None:
        raise InputError(
            "the views have no times, which a scene that moves needs: use another method, such "
            "as instant-ngp-fast"
        )
    moments = times.unique()
    if len(moments) < 2:
        raise InputError(
            f"all views were taken at one time, {float(moments[0]):g}: for a scene that does "
            "not move, use another method, such as instant-ngp-fast"
        )
    return moments
