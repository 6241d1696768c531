"""Gradients of functions of space by finite differences.

They are differentiable in the function's parameters with a single backward pass, where autograd
gradients would need double backward, which the fast kernels do not have. With a step as wide as
a grid cell, they also propagate beyond that cell (Li et al., "Neuralangelo", CVPR 2023, sec.
3.2).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.shapes.implicit.sdf import SDF


def central_differences(
    function: SDF, points: Float[Tensor, "points 3"], step: float
) -> Float[Tensor, "points 3"]:
    """The gradient of a function by central differences over ±step along each axis."""
    steps = step * torch.eye(3, device=points.device, dtype=points.dtype)
    around = points[:, None, None] + torch.stack([steps, -steps])
    values = function(around.flatten(0, 2)).view(-1, 2, 3)
    return (values[:, 0] - values[:, 1]) / (2 * step)
