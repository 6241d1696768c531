"""First and second derivatives: of fields by autograd, of images by finite differences."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

ScalarField = Callable[[Float[Tensor, "points dimensions"]], Float[Tensor, "points"]]
"""One number at every point, each depending on its own point alone."""


def gradient(
    function: ScalarField, points: Float[Tensor, "points dimensions"]
) -> Float[Tensor, "points dimensions"]:
    """The gradient ∂f/∂x at points."""
    with torch.enable_grad():
        at = points.detach().requires_grad_()
        (found,) = torch.autograd.grad(function(at).sum(), at)
    return found.detach()


def second_derivatives(
    function: ScalarField, points: Float[Tensor, "points dimensions"]
) -> Float[Tensor, "points dimensions"]:
    """The second derivatives ∂²f/∂x² along each axis; their sum is the Laplacian.

    Fields with creases, made by ReLUs and grids, are not twice differentiable there, and this
    does not account for the creases: for a ReLU network on plain coordinates, the result is 0.
    """
    with torch.enable_grad():
        at = points.detach().requires_grad_()
        (first,) = torch.autograd.grad(function(at).sum(), at, create_graph=True)
        found = [
            torch.autograd.grad(first[:, axis].sum(), at, retain_graph=True)[0][:, axis]
            for axis in range(at.shape[1])
        ]
    return torch.stack(found, dim=1).detach()


def jacobian(
    function: Callable[[Float[Tensor, "points dimensions"]], Float[Tensor, "points outputs"]],
    points: Float[Tensor, "points dimensions"],
) -> Float[Tensor, "points outputs dimensions"]:
    """The Jacobian ∂f_i/∂x_j at points, each output depending on its own point alone.

    It is differentiable in all that the function depends on besides the points.
    """
    with torch.enable_grad():
        at = points.detach().requires_grad_()
        found = function(at)
        rows = [
            torch.autograd.grad(found[:, row].sum(), at, create_graph=True)[0]
            for row in range(found.shape[1])
        ]
    return torch.stack(rows, dim=1)


def pixel_gradient(image: Float[Tensor, "height width"]) -> Float[Tensor, "2 height width"]:
    """∂/∂x and ∂/∂y per pixel, by central differences with a replicated border."""
    wide = pad(image[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    by_x = (wide[1:-1, 2:] - wide[1:-1, :-2]) / 2
    by_y = (wide[2:, 1:-1] - wide[:-2, 1:-1]) / 2
    return torch.stack([by_x, by_y])


def pixel_laplacian(image: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """∂²/∂x² + ∂²/∂y² per pixel, by the five-point stencil with a replicated border."""
    wide = pad(image[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    around = wide[1:-1, 2:] + wide[1:-1, :-2] + wide[2:, 1:-1] + wide[:-2, 1:-1]
    return around - 4 * image
