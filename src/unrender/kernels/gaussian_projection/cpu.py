"""Projection of Gaussians on the CPU: one Gaussian at a time, in one forward and one backward
pass.

In PyTorch it takes about a hundred operations on arrays too short to be worth their overhead.
"""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.gaussian_projection import BLUR, MIN_RATIO, NEAR, ratio_limits
from unrender.kernels.runtime.function import Gradients, Saved, differentiable
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
def _project(mean, scale, quaternion, pose, camera, local, world_axes, axes, rows):
    """One Gaussian in the camera frame.

    Sets `local`, its mean; `world_axes` and `axes`, its unit axes in the world and camera
    frames; and `rows`: the rows of J W R S for x and y, and the clamped x / z and y / z.
    `camera` has fx, fy, cx, cy and the least and largest x / z, and y / z. Returns x / z, y / z
    and 1 / z.
    """
    one = np.float32(1)
    for i in range(3):
        local[i] = np.float32(0)
        for j in range(3):
            local[i] += pose[j, i] * (mean[j] - pose[j, 3])
    per_z = one / local[2] if local[2] > np.float32(NEAR) else one
    x, y = local[0] * per_z, local[1] * per_z
    u, v = min(max(x, camera[4]), camera[5]), min(max(y, camera[6]), camera[7])
    w, i, j, k = quaternion
    length = max(np.sqrt(w * w + i * i + j * j + k * k), np.float32(1e-12))
    _rotation(w / length, i / length, j / length, k / length, world_axes)
    for a in range(3):
        for b in range(3):
            axes[a, b] = (
                pose[0, a] * world_axes[0, b]
                + pose[1, a] * world_axes[1, b]
                + pose[2, a] * world_axes[2, b]
            )
    for b in range(3):
        size = np.exp(scale[b])
        rows[0, b] = camera[0] * per_z * size * (axes[0, b] - u * axes[2, b])
        rows[1, b] = camera[1] * per_z * size * (axes[1, b] - v * axes[2, b])
    rows[2, 0], rows[2, 1] = u, v
    return x, y, per_z


@inline
@no_type_check
def _products(rows):
    """Entries a, b and c of the 2D covariance, before the blur is added."""
    zero = np.float32(0)
    a, b, c = zero, zero, zero
    for k in range(3):
        a += rows[0, k] * rows[0, k]
        b += rows[0, k] * rows[1, k]
        c += rows[1, k] * rows[1, k]
    return a, b, c


@jit
@no_type_check
def _forward(means, scales, quaternions, pose, camera, first, last, out):
    zero, blur = np.float32(0), np.float32(BLUR)
    local, axes = np.empty(3, np.float32), np.empty((3, 3), np.float32)
    world_axes = np.empty((3, 3), np.float32)
    rows = np.empty((3, 3), np.float32)
    for n in range(first, last):
        x, y, _ = _project(
            means[n], scales[n], quaternions[n], pose, camera, local, world_axes, axes, rows
        )
        a, b, c = _products(rows)
        sharp_determinant = max(a * c - b * b, zero)
        a, c = a + blur, c + blur
        determinant = a * c - b * b
        out[n, 0], out[n, 1] = camera[0] * x + camera[2], camera[1] * y + camera[3]
        out[n, 2], out[n, 3], out[n, 4] = c / determinant, -b / determinant, a / determinant
        square = local[0] * local[0] + local[1] * local[1] + local[2] * local[2]
        out[n, 5] = np.sqrt(square)
        out[n, 6] = np.sqrt(max(sharp_determinant / determinant, np.float32(MIN_RATIO)))


@jit
@no_type_check
def _backward(
    means,
    scales,
    quaternions,
    pose,
    camera,
    grad_output,
    first,
    last,
    grad_means,
    grad_scales,
    grad_quaternions,
):
    """Gradients with respect to means, log scales and quaternions."""
    zero, one, two, half = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
    blur = np.float32(BLUR)
    local, axes = np.empty(3, np.float32), np.empty((3, 3), np.float32)
    world_axes = np.empty((3, 3), np.float32)
    rows, grad_axes = np.empty((3, 3), np.float32), np.empty((3, 3), np.float32)
    grad_world_axes, grad_local = np.empty((3, 3), np.float32), np.empty(3, np.float32)
    for n in range(first, last):
        grad_means[n, :] = zero
        grad_scales[n, :] = zero
        grad_quaternions[n, :] = zero
        x, y, per_z = _project(
            means[n], scales[n], quaternions[n], pose, camera, local, world_axes, axes, rows
        )
        if not local[2] > np.float32(NEAR):
            continue
        u, v = rows[2, 0], rows[2, 1]
        a, b, c = _products(rows)
        sharp_determinant = a * c - b * b
        blurred_a, blurred_c = a + blur, c + blur
        inverse_determinant = one / (blurred_a * blurred_c - b * b)
        g_1, g_2, g_3 = grad_output[n, 2], grad_output[n, 3], grad_output[n, 4]
        grad_determinant = (
            -inverse_determinant
            * inverse_determinant
            * (g_1 * blurred_c - g_2 * b + g_3 * blurred_a)
        )
        grad_sharp = zero
        ratio = sharp_determinant * inverse_determinant
        if ratio > np.float32(MIN_RATIO):
            grad_ratio = half * grad_output[n, 6] / np.sqrt(ratio)
            grad_sharp = grad_ratio * inverse_determinant
            grad_determinant -= grad_ratio * ratio * inverse_determinant
        grad_a = g_3 * inverse_determinant + blurred_c * grad_determinant + c * grad_sharp
        grad_c = g_1 * inverse_determinant + blurred_a * grad_determinant + a * grad_sharp
        grad_b = -g_2 * inverse_determinant - two * b * (grad_determinant + grad_sharp)
        # Gradients of the rows, and through them of the axes, x / z, y / z and 1 / z.
        grad_u = grad_v = grad_z = zero
        for k in range(3):
            size = np.exp(scales[n, k])
            grad_row_x = two * grad_a * rows[0, k] + grad_b * rows[1, k]
            grad_row_y = two * grad_c * rows[1, k] + grad_b * rows[0, k]
            grad_z -= (grad_row_x * rows[0, k] + grad_row_y * rows[1, k]) * per_z
            grad_row_x *= camera[0] * per_z
            grad_row_y *= camera[1] * per_z
            far = size * axes[2, k]
            grad_u -= grad_row_x * far
            grad_v -= grad_row_y * far
            last_axis = -(grad_row_x * u + grad_row_y * v)
            grad_scales[n, k] = size * (
                grad_row_x * axes[0, k] + grad_row_y * axes[1, k] + last_axis * axes[2, k]
            )
            grad_axes[0, k] = grad_row_x * size
            grad_axes[1, k] = grad_row_y * size
            grad_axes[2, k] = last_axis * size
        grad_x, grad_y = grad_output[n, 0] * camera[0], grad_output[n, 1] * camera[1]
        if camera[4] <= x <= camera[5]:
            grad_x += grad_u
        if camera[6] <= y <= camera[7]:
            grad_y += grad_v
        distance = np.sqrt(local[0] * local[0] + local[1] * local[1] + local[2] * local[2])
        along = grad_output[n, 5] / distance
        grad_local[0] = grad_x * per_z + along * local[0]
        grad_local[1] = grad_y * per_z + along * local[1]
        grad_local[2] = grad_z - (grad_x * x + grad_y * y) * per_z + along * local[2]
        for j in range(3):
            grad_means[n, j] = (
                pose[j, 0] * grad_local[0]
                + pose[j, 1] * grad_local[1]
                + pose[j, 2] * grad_local[2]
            )
            for k in range(3):
                grad_world_axes[j, k] = (
                    pose[j, 0] * grad_axes[0, k]
                    + pose[j, 1] * grad_axes[1, k]
                    + pose[j, 2] * grad_axes[2, k]
                )
        _quaternion_gradient(quaternions[n], grad_world_axes, grad_quaternions[n])


@inline
@no_type_check
def _quaternion_gradient(quaternion, g, out):
    """Backpropagate through the rotation matrix and the normalization of the quaternion."""
    two = np.float32(2)
    w, x, y, z = quaternion
    length = max(np.sqrt(w * w + x * x + y * y + z * z), np.float32(1e-12))
    w, x, y, z = w / length, x / length, y / length, z / length
    grad_w = two * (x * (g[2, 1] - g[1, 2]) + y * (g[0, 2] - g[2, 0]) + z * (g[1, 0] - g[0, 1]))
    grad_x = two * (
        y * (g[0, 1] + g[1, 0]) + z * (g[0, 2] + g[2, 0]) + w * (g[2, 1] - g[1, 2])
        - two * x * (g[1, 1] + g[2, 2])
    )  # fmt: skip
    grad_y = two * (
        x * (g[0, 1] + g[1, 0]) + z * (g[1, 2] + g[2, 1]) + w * (g[0, 2] - g[2, 0])
        - two * y * (g[0, 0] + g[2, 2])
    )  # fmt: skip
    grad_z = two * (
        x * (g[0, 2] + g[2, 0]) + y * (g[1, 2] + g[2, 1]) + w * (g[1, 0] - g[0, 1])
        - two * z * (g[0, 0] + g[1, 1])
    )  # fmt: skip
    along = w * grad_w + x * grad_x + y * grad_y + z * grad_z
    out[0], out[1] = (grad_w - w * along) / length, (grad_x - x * along) / length
    out[2], out[3] = (grad_y - y * along) / length, (grad_z - z * along) / length


def project_gaussians(
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
    limits = *ratio_limits(fx, cx, width), *ratio_limits(fy, cy, height)
    camera = np.array([fx, fy, cx, cy, *limits], np.float32)
    pose = world_from_camera.detach().contiguous().numpy()
    inputs = means, log_scales, quaternions, pose, camera
    return differentiable(_project_forward, _project_backward, *inputs)


def _project_forward(
    means: Tensor, scales: Tensor, quaternions: Tensor, pose: Any, camera: Any
) -> Saved:
    tensors = [each.detach().contiguous() for each in (means, scales, quaternions)]
    arrays = [each.numpy() for each in tensors]
    out = means.new_empty(len(means), 7)
    target = out.numpy()
    run_threads(
        lambda share: _forward(*arrays, pose, camera, *share, target),
        shares(len(means), num_threads()),
    )
    return out, tensors, (pose, camera)


def _project_backward(
    gradient: Tensor, needed: tuple[bool, ...], pose: Any, camera: Any, *tensors: Tensor
) -> Gradients:
    arrays = [each.numpy() for each in tensors]
    grad_output = gradient.contiguous().numpy()
    outputs = [torch.empty_like(each) for each in tensors]
    targets = [each.numpy() for each in outputs]
    run_threads(
        lambda share: _backward(*arrays, pose, camera, grad_output, *share, *targets),
        shares(len(grad_output), num_threads()),
    )
    return tuple(outputs)
