"""Fusion of depth images on the CPU.

A row of the lattice is projected to an image by three additions a point, and stays in cache
while all images are read.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.depth_fusion import DepthImages
from unrender.kernels.runtime.jit import num_threads, run_threads, shares, strict_jit


@strict_jit
@no_type_check
def _fuse(depth, projections, centers, low, step, truncation, first, last, mean, count):
    num_views, height, width = depth.shape
    _, columns, rows = mean.shape
    for i in range(first, last):
        x = low[0] + np.float32(i) * step
        for j in range(columns):
            y = low[1] + np.float32(j) * step
            for n in range(num_views):
                p = projections[n]
                u0 = p[0, 0] * x + p[0, 1] * y + p[0, 3]
                v0 = p[1, 0] * x + p[1, 1] * y + p[1, 3]
                w0 = p[2, 0] * x + p[2, 1] * y + p[2, 3]
                dx, dy = x - centers[n, 0], y - centers[n, 1]
                across = dx * dx + dy * dy
                for k in range(rows):
                    z = low[2] + np.float32(k) * step
                    w = w0 + p[2, 2] * z
                    if not w > 0:
                        continue
                    u, v = (u0 + p[0, 2] * z) / w, (v0 + p[1, 2] * z) / w
                    if not (u >= 0 and v >= 0 and u < width and v < height):
                        continue
                    found = depth[n, int(v), int(u)]
                    dz = z - centers[n, 2]
                    ahead = (found - np.sqrt(across + dz * dz)) / truncation
                    if found > 0 and ahead > -1:
                        mean[i, j, k] += min(ahead, np.float32(1))
                        count[i, j, k] += 1
            for k in range(rows):
                number = count[i, j, k]
                mean[i, j, k] = mean[i, j, k] / number if number > 0 else 1


@strict_jit
@no_type_check
def _colors(
    depth, projections, centers, rgba, points, normals, tolerance, first, last, out, weights
):
    num_views, height, width = depth.shape
    one = np.float32(1)
    for i in range(first, last):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        r = g = b = a = np.float32(0)
        for n in range(num_views):
            p = projections[n]
            w = p[2, 0] * x + p[2, 1] * y + p[2, 2] * z + p[2, 3]
            if not w > 0:
                continue
            u = (p[0, 0] * x + p[0, 1] * y + p[0, 2] * z + p[0, 3]) / w
            v = (p[1, 0] * x + p[1, 1] * y + p[1, 2] * z + p[1, 3]) / w
            if not (u >= 0 and v >= 0 and u < width and v < height):
                continue
            found = depth[n, int(v), int(u)]
            dx, dy, dz = centers[n, 0] - x, centers[n, 1] - y, centers[n, 2] - z
            distance = np.sqrt(dx * dx + dy * dy + dz * dz)
            near = one - abs(found - distance) / tolerance
            facing = dx * normals[i, 0] + dy * normals[i, 1] + dz * normals[i, 2]
            if not (found > 0 and near > 0 and facing > 0):
                continue
            weight = near * (facing / distance) ** 2
            s = min(max(u - np.float32(0.5), np.float32(0)), np.float32(width - 1))
            t = min(max(v - np.float32(0.5), np.float32(0)), np.float32(height - 1))
            column, row = int(s), int(t)
            right, down = s - np.float32(column), t - np.float32(row)
            next_column, next_row = min(column + 1, width - 1), min(row + 1, height - 1)
            for corner in range(4):
                share = weight * (right if corner & 1 else one - right)
                share *= down if corner & 2 else one - down
                value = rgba[
                    n, next_row if corner & 2 else row, next_column if corner & 1 else column
                ]
                r += share * value[0]
                g += share * value[1]
                b += share * value[2]
                a += share * value[3]
        weights[i] = a
        if a > 0:
            out[i, 0], out[i, 1], out[i, 2] = r / a, g / a, b / a


def fuse_depth(
    images: DepthImages,
    low: Float[Tensor, "3"],
    step: float,
    size: tuple[int, int, int],
    truncation: float,
) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
    mean, count = torch.zeros(size), torch.zeros(size)
    fixed = (*_arrays(images), low.float().numpy(), np.float32(step), np.float32(truncation))
    found = mean.numpy(), count.numpy()
    run_threads(lambda share: _fuse(*fixed, *share, *found), shares(size[0], 4 * num_threads()))
    return mean, count


def fuse_colors(
    images: DepthImages,
    rgba: Float[Tensor, "views height width 4"],
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    tolerance: float,
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points"]]:
    colors, weights = torch.zeros(len(points), 3), torch.zeros(len(points))
    inputs = (rgba, points, normals)
    fixed = (*_arrays(images), *(each.contiguous().numpy() for each in inputs))
    found = colors.numpy(), weights.numpy()
    run_threads(
        lambda share: _colors(*fixed, np.float32(tolerance), *share, *found),
        shares(len(points), 4 * num_threads()),
    )
    return colors, weights


def _arrays(images: DepthImages) -> tuple[object, ...]:
    tensors = images.depth, images.projections, images.centers
    return tuple(tensor.contiguous().numpy() for tensor in tensors)
