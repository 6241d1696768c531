"""Rotations and rigid transforms.

A rotation is a 3×3 matrix in SO(3), and a pose is a 3×4 matrix [R | t] in SE(3). Tangent
vectors of SO(3) have three components, axis times angle in radians; those of SE(3) have six,
rotation first and then translation. Formulas: Solà, Deray, Atchuthan, "A micro Lie theory"
(2018).
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

SMALL_ANGLE = 1e-3
"""Below this many radians, Taylor series replace quotients that would be 0/0."""


def hat(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The skew matrix of the cross product: hat(a) b = a × b."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    return rows.unflatten(-1, (3, 3))


def _angle_ratios(
    vector: Float[Tensor, "*batch 3"],
) -> tuple[
    Float[Tensor, "*batch 1 1"], Float[Tensor, "*batch 1 1"], Float[Tensor, "*batch 1 1"]
]:
    """sin θ / θ, (1 − cos θ) / θ² and (θ − sin θ) / θ³ for θ = |vector|."""
    square = vector.square().sum(-1)[..., None, None]
    small = square < SMALL_ANGLE**2
    theta = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(small, 1 - square / 6, theta.sin() / theta)
    half = (theta / 2).sin() / theta
    cosine = torch.where(small, 0.5 - square / 24, 2 * half.square())
    cubic = torch.where(small, 1 / 6 - square / 120, (theta - theta.sin()) / theta**3)
    return sine, cosine, cubic


def so3_exp(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation by |vector| radians about `vector` (Rodrigues), differentiable at 0."""
    sine, cosine, _ = _angle_ratios(vector)
    skew = hat(vector)
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return identity + sine * skew + cosine * (skew @ skew)


def so3_from_quaternion(quaternion: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices of quaternions (w, x, y, z), which need not have unit length."""
    w, x, y, z = normalize(quaternion, dim=1).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def so3_log(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis times angle in [0, π], computed through the quaternion; the inverse of `so3_exp`."""
    m = rotation
    diagonal = m.diagonal(dim1=-2, dim2=-1)
    trace = diagonal.sum(-1)
    # Four formulas for the quaternion (w, x, y, z) up to scale; the largest is most accurate.
    xx, yy, zz = diagonal.unbind(-1)
    wx, wy, wz = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    xy, xz, yz = (
        m[..., 1, 0] + m[..., 0, 1],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 2, 1] + m[..., 1, 2],
    )
    candidates = torch.stack(
        [
            torch.stack([1 + trace, wx, wy, wz], dim=-1),
            torch.stack([wx, 1 + xx - yy - zz, xy, xz], dim=-1),
            torch.stack([wy, xy, 1 - xx + yy - zz, yz], dim=-1),
            torch.stack([wz, xz, yz, 1 - xx - yy + zz], dim=-1),
        ],
        dim=-2,
    )
    best = candidates.detach().square().sum(-1).argmax(-1)
    index = best[..., None, None].expand(*best.shape, 1, 4)
    quaternion = candidates.gather(-2, index)[..., 0, :]
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, axis = quaternion[..., :1], quaternion[..., 1:]
    square = axis.square().sum(-1, keepdim=True)
    small = square < SMALL_ANGLE**2
    sine = torch.where(small, torch.ones_like(square), square).sqrt()
    ratio = torch.where(small, 2 + square / 3, 2 * torch.atan2(sine, w) / sine)
    return ratio * axis


def so3_distance(
    a: Float[Tensor, "*#batch 3 3"], b: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*#batch"]:
    """Geodesic distance in radians, in [0, π], accurate at both ends; inputs broadcast."""
    # The antisymmetric part of aᵀb contains sin θ. Since aᵀa is symmetric, b can be replaced by
    # b − a, which avoids cancellation and gives exactly 0 for equal rotations.
    skew = a.mT @ (b - a)
    skew = (skew - skew.mT).flatten(-2)
    sine = skew.norm(dim=-1) / 8**0.5
    cosine = ((a * b).sum((-2, -1)) - 1) / 2
    return torch.atan2(sine, cosine)


def project_to_so3(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The nearest rotation in the Frobenius norm (orthogonal Procrustes, by SVD)."""
    u, _, vh = torch.linalg.svd(matrix)
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.linalg.det(u @ vh).sign()
    return (u * sign[..., None, :]) @ vh


def se3_exp(tangent: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 4"]:
    """The exponential map of a twist (rotation, translation)."""
    omega, rho = tangent[..., :3], tangent[..., 3:]
    translation = _left_jacobian(omega) @ rho[..., None]
    return torch.cat([so3_exp(omega), translation], dim=-1)


def se3_move(
    tangent: Float[Tensor, "*batch 6"], points: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """The points moved by the exponential maps of twists (rotation, translation).

    As `se3_exp`, without matrices: x + s + b ω × s + c ω × (ω × s) with s = ω × x + ρ, where b
    is (1 − cos θ) / θ² and c is (θ − sin θ) / θ³.
    """
    omega, rho = tangent[..., :3], tangent[..., 3:]
    _, cosine, cubic = (ratio[..., 0] for ratio in _angle_ratios(omega))
    first = torch.linalg.cross(omega, points) + rho
    second = torch.linalg.cross(omega, first)
    third = torch.linalg.cross(omega, second)
    return points + first + cosine * second + cubic * third


def se3_log(pose: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 6"]:
    """The inverse of `se3_exp`, for rotation angles below π."""
    omega = so3_log(pose[..., :3])
    rho = torch.linalg.solve(_left_jacobian(omega), pose[..., 3:])
    return torch.cat([omega, rho[..., 0]], dim=-1)


def _left_jacobian(omega: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    _, cosine, cubic = _angle_ratios(omega)
    skew = hat(omega)
    identity = torch.eye(3, dtype=omega.dtype, device=omega.device)
    return identity + cosine * skew + cubic * (skew @ skew)


def compose(
    a: Float[Tensor, "*batch 3 4"], b: Float[Tensor, "*batch 3 4"]
) -> Float[Tensor, "*batch 3 4"]:
    """The composition that applies `b` first and then `a`."""
    rotation = a[..., :3] @ b[..., :3]
    translation = a[..., :3] @ b[..., 3:] + a[..., 3:]
    return torch.cat([rotation, translation], dim=-1)


def invert(pose: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 3 4"]:
    """The inverse of a pose."""
    rotation = pose[..., :3].mT
    return torch.cat([rotation, -rotation @ pose[..., 3:]], dim=-1)


def look_at(
    eye: Float[Tensor, "*batch 3"],
    target: Float[Tensor, "*batch 3"],
    up: Float[Tensor, "3"],
    roll: Float[Tensor, "*batch"] | None = None,
) -> Float[Tensor, "*batch 3 4"]:
    """world_from_camera of cameras at `eye` with `target` at the center of the image.

    The image's up direction is as close to `up` as possible. `roll`, in radians, then rotates
    the camera about its optical axis, clockwise from the camera's point of view, so that the
    image content rotates counterclockwise. If the viewing direction is parallel to `up`, the
    world's x or y axis is used instead. `eye` and `target` must differ.
    """
    forward = normalize(target - eye, dim=-1)
    up = normalize(up, dim=-1).expand_as(forward)
    parallel = torch.linalg.cross(forward, up).norm(dim=-1, keepdim=True) < 1e-6
    x, y, _ = torch.eye(3).to(up)
    up = torch.where(parallel, torch.where(up[..., :1].abs() < 0.9, x, y), up)
    right = normalize(torch.linalg.cross(forward, up), dim=-1)
    down = normalize(torch.linalg.cross(forward, right), dim=-1)
    # Near the poles the first cross product is inaccurate, and this one is not.
    right = torch.linalg.cross(down, forward)
    rotation = torch.stack([right, down, forward], dim=-1)
    if roll is not None:
        turn = torch.zeros_like(eye)
        turn[..., 2] = roll
        rotation = rotation @ so3_exp(turn)
    return torch.cat([rotation, eye[..., None]], dim=-1)
