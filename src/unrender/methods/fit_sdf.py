"""A field that is the signed distance to a shape.

At places in space it is told the distance, the more exactly the nearer the surface is (relative
errors, as Müller et al., SIGGRAPH 2022, sec. 5.2, do it). On the surface it is told the normal,
and anywhere that its gradient has length 1: the eikonal equation of every distance (Gropp et
al., "Implicit Geometric Regularization for Learning Shapes", ICML 2020, eq. 2; Sitzmann et al.,
2020, sec. 4.2). Both are told by differences over a cell of a grid (Li et al., "Neuralangelo",
CVPR 2023, sec. 3.2), which serve every kind of field.

What is learned is the difference from the distance to a sphere: from its first step, whatever
the field, it has one inside and one outside (Atzmon and Lipman, "SAL", CVPR 2020, sec. 4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.shape_target import ShapeTarget
from unrender.evaluation.solids import eikonal_residual
from unrender.shapes.implicit.differences import central_differences
from unrender.training.field_fit import HALF_WIDTH, FieldFit, FieldModel
from unrender.training.method import Progress

BALL = 0.35
"""Radius of the sphere from which a field begins."""


@dataclass(frozen=True)
class SDFFit(FieldFit):
    """A signed distance, negative inside; 0 is the surface."""

    slope: ClassVar[float | None] = 1.5
    """That of a distance is 1, of one that is learned a little more."""

    learning_rate: float = 0.6
    gain: float = 0.1
    """Factor of the field's numbers, which are of the size of 1: distances are smaller."""
    near: float = 0.02
    """Distance at which errors weigh half as much as at the surface, in sizes of the shape."""
    normal_weight: float = 0.1
    """Weight of the squared difference of gradients on the surface from its normals."""
    eikonal_weight: float = 0.1
    """Weight of the squared difference of gradients' lengths from 1."""
    gradient_share: float = 0.125
    """Of `batch`: points on the surface, and as many anywhere, whose gradients are taken."""
    step_size: float = 0.005
    """Over which gradients are differences, to each side, in sizes of the shape."""

    def values(
        self, model: FieldModel, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        return points.norm(dim=1) - BALL + self.gain * model(points)

    def losses(
        self,
        model: FieldModel,
        data: ShapeTarget,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        assert data.samples is not None, "prepare gives them"
        places, true = data.samples.draw(self.batch, generator)
        error = (self.values(model, places) - true).abs()
        count = int(self.gradient_share * self.batch)
        surface, normals = data.sample(count, generator)
        assert normals is not None, "prepare gives them"
        anywhere = HALF_WIDTH * (2 * torch.rand(count, 3, generator=generator) - 1)
        gradients = central_differences(
            partial(self.values, model),
            torch.cat([surface, anywhere.to(surface)]),
            self.step_size,
        )
        turned = (gradients[:count] - normals).square().sum(1)
        length = gradients[count:].norm(dim=1)
        return {
            "distance": (error / (true.abs() + self.near)).mean(),
            "normals": self.normal_weight * turned.mean(),
            "eikonal": self.eikonal_weight * (length - 1).square().mean(),
        }

    def score(
        self, model: FieldModel, count: int, generator: torch.Generator
    ) -> dict[str, float]:
        return {"eikonal_residual": self.residual(model, count, generator)}

    def residual(self, model: FieldModel, count: int, generator: torch.Generator) -> float:
        """Mean difference of the gradient's length from 1, at points anywhere in the box."""
        reach = HALF_WIDTH - self.step_size
        points = reach * (2 * torch.rand(count, 3, generator=generator) - 1)
        return eikonal_residual(
            partial(self.values, model), points.to(model.center.device), self.step_size
        )
