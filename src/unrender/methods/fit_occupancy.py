"""A neural field fitted to the occupancy of a shape.

Mescheder, Oechsle, Niemeyer, Nowozin, Geiger, "Occupancy Networks", CVPR 2019,
https://arxiv.org/abs/1812.03828, sec. 3.2: cross entropy at points in space (eq. 3), and
marching cubes where the probability is ½. The target is soft, the sigmoid of −distance /
softness, whose logit is linear across the surface, so that interpolation between grid corners
locates it precisely.

The preset `occupancy` is ours: only the loss is the paper's. It is one shape, of which no image
or code is given (`image-to-occupancy` is the paper's network). A hash grid (`--field`, sizes in
`training/field_fit.py`) replaces five residual blocks of width 256; targets are soft, not 0 and
1; 16,384 points a step, three quarters of them near the surface, replace 2,048 that are
uniform; rates are those of the hash grid, and decay; and the surface is at ½, where the paper's
code takes 0.2 for shapes from images.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from unrender.data.shape_target import ShapeTarget
from unrender.training.field_fit import FieldFit, FieldModel
from unrender.training.method import Progress


@dataclass(frozen=True)
class OccupancyFit(FieldFit):
    """An occupancy field: the probability of being inside, with the surface at ½."""

    learning_rate: float = 0.2
    softness: float = 0.004
    """Distance from the surface where the probability is 27% or 73%, in sizes of the shape."""
    gain: float = 10.0
    """Factor on the field's output: the magnitude of logits."""

    def values(
        self, model: FieldModel, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        """Logits of the probability of being outside."""
        return self.gain * model(points)

    def probability(
        self, model: FieldModel, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        """Logits of the probability of being inside, at points of the unit frame."""
        return (-self.values(model, points)).sigmoid()

    def losses(
        self,
        model: FieldModel,
        data: ShapeTarget,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        assert data.samples is not None, "prepare gives them"
        places, distances = data.samples.draw(2 * self.batch, generator)
        outside = (distances / self.softness).sigmoid()
        loss = binary_cross_entropy_with_logits(self.values(model, places), outside)
        return {"entropy": loss}
