"""A neural field fitted to the signed distance of a shape.

Distances at points in space are supervised by a relative error, which weights points near the
surface more strongly (Müller et al., "Instant Neural Graphics Primitives", SIGGRAPH 2022, sec.
5.2, https://arxiv.org/abs/2201.05989). A normal loss supervises the gradient on the surface and
an eikonal loss (‖∇f‖ = 1) everywhere (Gropp et al., "Implicit Geometric Regularization for
Learning Shapes", ICML 2020, eq. 2, https://arxiv.org/abs/2002.10099; Sitzmann et al., 2020,
sec. 4.2). Gradients are central differences over a grid cell (Li et al., "Neuralangelo", CVPR
2023, sec. 3.2), which suit every kind of field. The field predicts the difference from the
distance to a sphere, so that from the first step it has one inside and one outside (Atzmon and
Lipman, "SAL", CVPR 2020, sec. 4).

The preset `sdf` is ours, for a minute on two cores: a hash grid of 6 levels of 2^17 entries and
up to 128 cells (`training/field_fit.py`), and 8,192 points a step. Where it differs from Müller
et al.: they have 16 levels of 2^19 and 2 × 64 units, no eikonal, normal or sphere, 0.01 for
`near`, a rate of 1e-4, and other samples: ours are a quarter uniform, and the others at three
scales around the surface (`data/space_samples.py`). Where it differs from Gropp et al.: they
know points alone, so that |f| on the surface takes the place of all distances; the normal loss
is not squared and has weight 1; gradients are exact, of an MLP of 8 × 512 softplus units that
begins as a sphere; and samples for the eikonal loss, of weight 0.1 as here, are also near the
surface.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.shape_target import ShapeTarget
from unrender.evaluation.solids import eikonal_rms
from unrender.shapes.implicit.differences import central_differences
from unrender.training.field_fit import HALF_WIDTH, FieldFit, FieldModel
from unrender.training.method import Progress

BALL = 0.35
"""Radius of the initial sphere."""


@dataclass(frozen=True)
class SDFFit(FieldFit):
    """A signed distance field: negative inside, 0 on the surface."""

    slope: ClassVar[float | None] = 1.5
    """Bound on the learned SDF's Lipschitz constant used for sphere tracing."""

    learning_rate: float = 0.6
    gain: float = 0.1
    """Factor on the field's output, which is of order 1, whereas distances are smaller."""
    near: float = 0.02
    """Distance at which errors have half their weight on the surface, in sizes of the shape."""
    normal_weight: float = 0.1
    """Weight of the normal loss: squared differences of gradients and normals on the
    surface."""
    eikonal_weight: float = 0.1
    """Weight of the eikonal loss, (‖∇f‖ − 1)²."""
    gradient_share: float = 0.125
    """Fraction of `batch` for gradients: points on the surface, and as many anywhere."""
    step_size: float = 0.005
    """Step of the central differences, in sizes of the shape."""

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
        return {"eikonal_rms": self.eikonal(model, count, generator)}

    @torch.no_grad()
    def eikonal(self, model: FieldModel, count: int, generator: torch.Generator) -> float:
        """`eikonal_rms` at random points in the box."""
        reach = HALF_WIDTH - self.step_size
        points = reach * (2 * torch.rand(count, 3, generator=generator) - 1)
        return eikonal_rms(
            central_differences(
                partial(self.values, model), points.to(model.center.device), self.step_size
            )
        )
