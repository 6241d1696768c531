"""Expansion of rows of rays to rows of samples on the CPU, channel by channel."""

from typing import no_type_check

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares


@jit
@no_type_check
def _forward(values, offsets, first, last, out):
    for c in range(values.shape[1]):
        for r in range(first, last):
            value = values[r, c]
            part = out[c, offsets[r] : offsets[r + 1]]
            for i in range(len(part)):
                part[i] = value


@jit
@no_type_check
def _backward(gradient, offsets, first, last, out):
    for c in range(gradient.shape[0]):
        for r in range(first, last):
            total = gradient.dtype.type(0)
            part = gradient[c, offsets[r] : offsets[r + 1]]
            for i in range(len(part)):
                total += part[i]
            out[r, c] = total


def expand_forward(values: Tensor, offsets: Tensor, num_samples: int | None) -> Saved:
    source, offset_array = values.detach().contiguous().numpy(), offsets.numpy()
    out = values.new_empty(values.shape[1], int(offset_array[-1]))
    target = out.numpy()
    run_threads(
        lambda share: _forward(source, offset_array, *share, target),
        shares(len(source), num_threads()),
    )
    return out.T, (offsets,), ()


def expand_backward(gradient: Tensor, needed: tuple[bool, ...], offsets: Tensor) -> Gradients:
    return (sum_along_rays(gradient, offsets),)


def sum_along_rays(
    values: Float[Tensor, "samples channels"], offsets: Int[Tensor, "rays_plus_one"]
) -> Float[Tensor, "rays channels"]:
    """Sum of the rows of each ray's samples; not differentiable."""
    source = values.detach().T.contiguous().numpy()
    out = values.new_empty(len(offsets) - 1, len(source))
    offset_array, target = offsets.contiguous().numpy(), out.numpy()
    run_threads(
        lambda share: _backward(source, offset_array, *share, target),
        shares(len(target), num_threads()),
    )
    return out


@jit
@no_type_check
def _points(origins, directions, distances, offsets, first, last, out):
    for r in range(first, last):
        for c in range(3):
            origin, direction = origins[r, c], directions[r, c]
            part = out[c, offsets[r] : offsets[r + 1]]
            distance = distances[offsets[r] : offsets[r + 1]]
            for i in range(len(part)):
                part[i] = origin + distance[i] * direction


def along_rays_forward(
    origins: Tensor, directions: Tensor, distances: Tensor, offsets: Tensor
) -> Saved:
    inputs = (origins, directions, distances, offsets)
    arrays = [tensor.detach().contiguous().numpy() for tensor in inputs]
    out = origins.new_empty(3, len(distances))
    target = out.numpy()
    run_threads(
        lambda share: _points(*arrays, *share, target),
        shares(len(origins), num_threads()),
    )
    return out.T, (distances, offsets), ()


def along_rays_backward(
    gradient: Tensor, needed: tuple[bool, ...], distances: Tensor, offsets: Tensor
) -> Gradients:
    grad_direction = (gradient.T * distances).T
    return sum_along_rays(gradient, offsets), sum_along_rays(grad_direction, offsets)
