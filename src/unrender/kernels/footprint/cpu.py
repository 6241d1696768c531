"""Projection on the CPU: a Gaussian at a time, forward and backward in one pass each.

In torch it takes a hundred operations on columns, each too short to be worth its start.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.footprint import BLUR, LEAST_SHARE, MARGIN, NEAREST
from unrender.kernels.runtime.jit import inline, jit, num_threads, run_threads, shares


@inline
@no_type_check
def _rotation(w, x, y, z, out):
    two, one = np.float32(2), np.float32(1)
    out[0, 0], out[0, 1], out[0, 2] = (
        one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)
    )  # fmt: skip
    out[1, 0], out[1, 1], out[1, 2] = (
        two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x)
    )  # fmt: skip
    out[2, 0], out[2, 1], out[2, 2] = (
        two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y)
    )  # fmt: skip


@inline
@no_type_check
def _look(mean, scale, quaternion, pose, lens, local, own, turned, rows):
    """One Gaussian in the camera's frame.

    Sets `local`, its mean; `own` and `turned`, its axes in the world and there, of unit length;
    and `rows`: the ellipse's two, by x and by y, and the slopes, held far outside of the image.
    `lens`: fx, fy, cx, cy and the reaches. Returns x / z, y / z and 1 / z.
    """
    one = np.float32(1)
    for i in range(3):
        local[i] = np.float32(0)
        for j in range(3):
            local[i] += pose[j, i] * (mean[j] - pose[j, 3])
    per_z = one / local[2] if local[2] > np.float32(NEAREST) else one
    x, y = local[0] * per_z, local[1] * per_z
    u, v = min(max(x, -lens[4]), lens[4]), min(max(y, -lens[5]), lens[5])
    w, i, j, k = quaternion
    length = max(np.sqrt(w * w + i * i + j * j + k * k), np.float32(1e-12))
    _rotation(w / length, i / length, j / length, k / length, own)
    for a in range(3):
        for b in range(3):
            turned[a, b] = (
                pose[0, a] * own[0, b] + pose[1, a] * own[1, b] + pose[2, a] * own[2, b]
            )
    for b in range(3):
        size = np.exp(scale[b])
        rows[0, b] = lens[0] * per_z * size * (turned[0, b] - u * turned[2, b])
        rows[1, b] = lens[1] * per_z * size * (turned[1, b] - v * turned[2, b])
    rows[2, 0], rows[2, 1] = u, v
    return x, y, per_z


@inline
@no_type_check
def _products(rows):
    """a, b and c of the ellipse before it is blurred."""
    zero = np.float32(0)
    a, b, c = zero, zero, zero
    for k in range(3):
        a += rows[0, k] * rows[0, k]
        b += rows[0, k] * rows[1, k]
        c += rows[1, k] * rows[1, k]
    return a, b, c


@jit
@no_type_check
def _forward(means, scales, quaternions, pose, lens, first, last, out):
    zero, blur = np.float32(0), np.float32(BLUR)
    local, turned = np.empty(3, np.float32), np.empty((3, 3), np.float32)
    own = np.empty((3, 3), np.float32)
    rows = np.empty((3, 3), np.float32)
    for n in range(first, last):
        x, y, _ = _look(
            means[n], scales[n], quaternions[n], pose, lens, local, own, turned, rows
        )
        a, b, c = _products(rows)
        sharp = max(a * c - b * b, zero)
        a, c = a + blur, c + blur
        determinant = a * c - b * b
        out[n, 0], out[n, 1] = lens[0] * x + lens[2], lens[1] * y + lens[3]
        out[n, 2], out[n, 3], out[n, 4] = c / determinant, -b / determinant, a / determinant
        square = local[0] * local[0] + local[1] * local[1] + local[2] * local[2]
        out[n, 5] = np.sqrt(square)
        out[n, 6] = np.sqrt(max(sharp / determinant, np.float32(LEAST_SHARE)))


@jit
@no_type_check
def _backward(means, scales, quaternions, pose, lens, above, first, last, moved, sized, turn):
    """Derivatives by means, by the scales' logarithms and by quaternions."""
    zero, one, two, half = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
    blur = np.float32(BLUR)
    local, turned = np.empty(3, np.float32), np.empty((3, 3), np.float32)
    own = np.empty((3, 3), np.float32)
    rows, g_axes = np.empty((3, 3), np.float32), np.empty((3, 3), np.float32)
    g_own, g_local = np.empty((3, 3), np.float32), np.empty(3, np.float32)
    for n in range(first, last):
        moved[n, :] = zero
        sized[n, :] = zero
        turn[n, :] = zero
        x, y, per_z = _look(
            means[n], scales[n], quaternions[n], pose, lens, local, own, turned, rows
        )
        if not local[2] > np.float32(NEAREST):
            continue
        u, v = rows[2, 0], rows[2, 1]
        a, b, c = _products(rows)
        sharp = a * c - b * b
        wide_a, wide_c = a + blur, c + blur
        per_area = one / (wide_a * wide_c - b * b)
        g_1, g_2, g_3 = above[n, 2], above[n, 3], above[n, 4]
        by_area = -per_area * per_area * (g_1 * wide_c - g_2 * b + g_3 * wide_a)
        by_sharp = zero
        share = sharp * per_area
        if share > np.float32(LEAST_SHARE):
            by_share = half * above[n, 6] / np.sqrt(share)
            by_sharp = by_share * per_area
            by_area -= by_share * share * per_area
        by_a = g_3 * per_area + wide_c * by_area + c * by_sharp
        by_c = g_1 * per_area + wide_a * by_area + a * by_sharp
        by_b = -g_2 * per_area - two * b * (by_area + by_sharp)
        # The two rows of the ellipse, and through them the axes, the slopes and 1 / z.
        by_u = by_v = by_z = zero
        for k in range(3):
            size = np.exp(scales[n, k])
            g_across = two * by_a * rows[0, k] + by_b * rows[1, k]
            g_down = two * by_c * rows[1, k] + by_b * rows[0, k]
            by_z -= (g_across * rows[0, k] + g_down * rows[1, k]) * per_z
            g_across *= lens[0] * per_z
            g_down *= lens[1] * per_z
            far = size * turned[2, k]
            by_u -= g_across * far
            by_v -= g_down * far
            last_axis = -(g_across * u + g_down * v)
            sized[n, k] = size * (
                g_across * turned[0, k] + g_down * turned[1, k] + last_axis * turned[2, k]
            )
            g_axes[0, k] = g_across * size
            g_axes[1, k] = g_down * size
            g_axes[2, k] = last_axis * size
        by_x, by_y = above[n, 0] * lens[0], above[n, 1] * lens[1]
        if abs(x) <= lens[4]:
            by_x += by_u
        if abs(y) <= lens[5]:
            by_y += by_v
        distance = np.sqrt(local[0] * local[0] + local[1] * local[1] + local[2] * local[2])
        along = above[n, 5] / distance
        g_local[0] = by_x * per_z + along * local[0]
        g_local[1] = by_y * per_z + along * local[1]
        g_local[2] = by_z - (by_x * x + by_y * y) * per_z + along * local[2]
        for j in range(3):
            moved[n, j] = (
                pose[j, 0] * g_local[0] + pose[j, 1] * g_local[1] + pose[j, 2] * g_local[2]
            )
            for k in range(3):
                g_own[j, k] = (
                    pose[j, 0] * g_axes[0, k]
                    + pose[j, 1] * g_axes[1, k]
                    + pose[j, 2] * g_axes[2, k]
                )
        _by_quaternion(quaternions[n], g_own, turn[n])


@inline
@no_type_check
def _by_quaternion(quaternion, g, out):
    """Through the rotation matrix and the quaternion's length."""
    two = np.float32(2)
    w, x, y, z = quaternion
    length = max(np.sqrt(w * w + x * x + y * y + z * z), np.float32(1e-12))
    w, x, y, z = w / length, x / length, y / length, z / length
    by_w = two * (x * (g[2, 1] - g[1, 2]) + y * (g[0, 2] - g[2, 0]) + z * (g[1, 0] - g[0, 1]))
    by_x = two * (
        y * (g[0, 1] + g[1, 0]) + z * (g[0, 2] + g[2, 0]) + w * (g[2, 1] - g[1, 2])
        - two * x * (g[1, 1] + g[2, 2])
    )  # fmt: skip
    by_y = two * (
        x * (g[0, 1] + g[1, 0]) + z * (g[1, 2] + g[2, 1]) + w * (g[0, 2] - g[2, 0])
        - two * y * (g[0, 0] + g[2, 2])
    )  # fmt: skip
    by_z = two * (
        x * (g[0, 2] + g[2, 0]) + y * (g[1, 2] + g[2, 1]) + w * (g[1, 0] - g[0, 1])
        - two * z * (g[0, 0] + g[1, 1])
    )  # fmt: skip
    along = w * by_w + x * by_x + y * by_y + z * by_z
    out[0], out[1] = (by_w - w * along) / length, (by_x - x * along) / length
    out[2], out[3] = (by_y - y * along) / length, (by_z - z * along) / length


def footprints(
    means: Float[Tensor, "splats 3"],
    log_scales: Float[Tensor, "splats 3"],
    quaternions: Float[Tensor, "splats 4"],
    world_from_camera: Float[Tensor, "3 4"],
    intrinsics: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> Float[Tensor, "splats 7"]:
    fx, fy = float(intrinsics[0, 0]), float(intrinsics[1, 1])
    cx, cy = float(intrinsics[0, 2]), float(intrinsics[1, 2])
    reaches = MARGIN * width / (2 * fx), MARGIN * height / (2 * fy)
    lens = np.array([fx, fy, cx, cy, *reaches], np.float32)
    pose = world_from_camera.detach().contiguous().numpy()
    return _Footprints.apply(means, log_scales, quaternions, pose, lens)  # pyright: ignore[reportReturnType]


class _Footprints(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, scales: Tensor, quaternions: Tensor, pose: Any, lens: Any
    ) -> Tensor:
        tensors = [each.detach().contiguous() for each in (means, scales, quaternions)]
        arrays = [each.numpy() for each in tensors]
        out = means.new_empty(len(means), 7)
        target = out.numpy()
        run_threads(
            lambda share: _forward(*arrays, pose, lens, *share, target),
            shares(len(means), num_threads()),
        )
        ctx.save_for_backward(*tensors)
        ctx.camera = pose, lens
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        arrays = [each.numpy() for each in tensors]
        above = gradients[0].contiguous().numpy()
        found = [torch.empty_like(each) for each in tensors]
        targets = [each.numpy() for each in found]
        run_threads(
            lambda share: _backward(*arrays, *ctx.camera, above, *share, *targets),
            shares(len(above), num_threads()),
        )
        return *found, None, None
