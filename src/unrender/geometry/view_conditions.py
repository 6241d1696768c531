"""Cameras as conditions of models that generate views: zero123's 3DoF and ZeroNVS's 6DoF+1.

A condition describes a target camera relative to an input camera. Here, and nowhere else in
the library, poses are 4×4 matrices world_from_camera (camera-to-world) in OpenGL axes, x right,
y up and z backward, as both papers have them: `opengl_poses` makes them of `Cameras`.
Everything is computed in double precision. Arguments are tensors, NumPy arrays or nested
sequences, with any batch axes, which broadcast.

| paper | here |
|---|---|
| 3DoF | `embedding_3dof(input, target)` |
| 6DoF+1 | `embedding_6dof(input, target, fov)` |
| 6DoF+1, norm | `embedding_6dof(input, target, fov, norm_scale(all_poses))` |
| 6DoF+1, agg | `embedding_6dof(input, target, fov, agg_scale(depths_of_all_views))` |
| 6DoF+1, viewer | `embedding_6dof(input, target, fov, viewer_scale(depth_of_the_input))` |

Depth is along the optical axis: `depths_along_axis` converts `Views.depths`. A pixel whose
depth is 0, negative or not finite is a hole. Quantiles are linear between order statistics, as
`numpy.quantile` has them by default: the quantile q of n sorted values is at the position
q (n − 1).

Liu et al., "Zero-1-to-3" (2023); Sargent et al., "ZeroNVS" (2024), section 3.2. Where ZeroNVS's
code does more than the paper says, it is mentioned below.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opengl_from_opencv
from unrender.geometry.spherical import (
    ORIGIN,
    ArrayLike,
    as_doubles,
    doubles,
    spherical_from_pose,
)

RIGID_TOLERANCE = 0.02
"""Largest entry of RᵀR − I of what counts as a rotation, which may have been rounded."""
AGG_VIEW, AGG_SCENE = 0.05, 0.1
"""Quantiles of `agg`: of the depths of a view, and of these over the views."""
VIEWER = 0.2
"""Quantile of `viewer`."""
SATURATION = 10.0
"""Length at which ZeroNVS's code saturates translations."""


def opengl_poses(cameras: Cameras) -> Float64[Tensor, "cameras 4 4"]:
    """world_from_camera of cameras in OpenGL axes, with the row 0 0 0 1.

    >>> import unrender as ur
    >>> opengl_poses(ur.Cameras.look_at((4, 0, 0)))[0, :3, 2:].abs().round(decimals=6).tolist()
    [[1.0, 4.0], [0.0, 0.0], [0.0, 0.0]]
    """
    return _homogeneous(opengl_from_opencv(cameras.world_from_camera.to(torch.float64)))


def fields_of_view(cameras: Cameras) -> Float64[Tensor, "cameras"]:
    """Field of view of the image's shorter side, in radians.

    It is that of the central square, to which zero123 and ZeroNVS crop images; of a square
    image the horizontal one.
    """
    matrix = cameras.intrinsics.to(torch.float64)
    sizes = cameras.sizes.rows.to(matrix).expand(len(cameras), 2)
    start, focal = matrix[:, :2, 2], matrix[:, [0, 1], [0, 1]]
    angles = torch.atan(start / focal) + torch.atan((sizes - start) / focal)
    return torch.where(sizes[:, 0] <= sizes[:, 1], angles[:, 0], angles[:, 1])


def depths_along_axis(cameras: Cameras, depths: ArrayLike) -> Float64[Tensor, "*batch"]:
    """Depths along the optical axis of depths along the rays, as `Views.depths` has them.

    `depths` are [cameras, height, width], of pixels as in the cameras' images. What is no depth
    stays what it is.

    >>> import unrender as ur
    >>> camera = ur.Cameras.from_focal(torch.eye(3, 4)[None], 0.5, 3, 1)
    >>> depths_along_axis(camera, [[[5**0.5, 1.0, 0.0]]]).tolist()
    [[[1.0, 1.0, 0.0]]]
    """
    found = as_doubles("depths", depths)
    shape = (len(cameras), cameras.height, cameras.width)
    if tuple(found.shape) != shape:
        raise InputError(f"depths: have the shape {list(found.shape)}; give {list(shape)}")
    matrix = cameras.intrinsics.to(found)[..., None, None]
    rows, columns = (
        torch.arange(size, device=found.device).to(found) + 0.5 for size in shape[1:]
    )
    y = (rows[:, None] - matrix[:, 1, 2]) / matrix[:, 1, 1]
    x = (columns - matrix[:, 0, 2] - matrix[:, 0, 1] * y) / matrix[:, 0, 0]
    return found / (1 + x.square() + y.square()).sqrt()


def embedding_3dof(
    input_pose: ArrayLike, target_pose: ArrayLike, center: ArrayLike = ORIGIN
) -> Float64[Tensor, "*batch 4"]:
    """zero123's condition [Δθ, sin Δφ, cos Δφ, Δr], target minus input.

    Of the positions about `center`, with z up, θ = arccos(z / r) is the polar angle (0 straight
    above, so that it is π/2 minus the elevation), φ = atan2(y, x) the azimuth and r the
    distance. Δθ is in radians, and Δr in the unit of the poses, which zero123 has so that r is
    1.5 to 2.2. At the poles φ is 0. How the cameras are turned does not count: the model takes
    them to look at the center, upright. InputError if a camera is at the center.

    >>> from unrender.geometry.spherical import pose_from_spherical
    >>> above, aside = (opengl_from_opencv(pose_from_spherical(e, a, r)) for e, a, r in
    ...     ((0.5, 0.0, 2.0), (0.2, torch.pi / 2, 1.5)))
    >>> embedding_3dof(above, aside).round(decimals=9).tolist()
    [0.3, 1.0, 0.0, -0.5]
    """
    before = spherical_from_pose(_poses("input pose", input_pose), center)
    after = spherical_from_pose(_poses("target pose", target_pose), center)
    polar, turn = before.elevation - after.elevation, after.azimuth - before.azimuth
    polar, turn, away = torch.broadcast_tensors(polar, turn, after.radius - before.radius)
    return torch.stack([polar, turn.sin(), turn.cos(), away], dim=-1)


def embedding_6dof(
    input_pose: ArrayLike,
    target_pose: ArrayLike,
    fov: ArrayLike,
    scale: ArrayLike = 1.0,
    saturate: bool = False,
) -> Float64[Tensor, "*batch 19"]:
    """ZeroNVS's 6DoF+1: the relative pose, 16 numbers by rows, then fov, sin fov, cos fov.

    The relative pose is input⁻¹ target, the target camera in the input camera's frame, whose
    translation is divided by `scale`: 1, or what `norm_scale`, `agg_scale` or `viewer_scale`
    gives. `fov` is the field of view in radians. With `saturate`, each component t of the
    scaled translation becomes 5 tanh(t / 10), as in the code of the published model, which was
    trained with `viewer` and this (and halves small translations). InputError if a pose is not
    rigid, or if `fov` is not in (0, π) or `scale` not above 0.

    >>> turned = torch.eye(4)
    >>> turned[0, 3] = 3.0
    >>> embedding_6dof(torch.eye(4), turned, 1.0, scale=2.0)[:8].tolist()
    [1.0, 0.0, 0.0, 1.5, 0.0, 1.0, 0.0, 0.0]
    """
    before, after = _poses("input pose", input_pose), _poses("target pose", target_pose)
    angle, length = doubles("fov", fov), doubles("scale", scale)
    if bool(((angle <= 0) | (angle >= torch.pi)).any()):
        raise InputError(f"fov {float(angle.max()):g}: give radians between 0 and pi")
    if bool((length <= 0).any()):
        raise InputError(f"scale {float(length.min()):g}: give a length above 0")
    batch = torch.broadcast_shapes(
        before.shape[:-2], after.shape[:-2], angle.shape, length.shape
    )
    relative = torch.linalg.solve(*torch.broadcast_tensors(before, after)).expand(*batch, 4, 4)
    translation = relative[..., :3, 3] / length[..., None]
    if saturate:
        translation = SATURATION / 2 * torch.tanh(translation / SATURATION)
    top = torch.cat([relative[..., :3, :3], translation[..., None]], dim=-1)
    angle = angle.expand(batch)
    lens = torch.stack([angle, angle.sin(), angle.cos()], dim=-1)
    return torch.cat([_homogeneous(top).flatten(-2), lens], dim=-1)


def norm_scale(poses: ArrayLike) -> Float64[Tensor, "*batch"]:
    """`norm`: the mean distance of a scene's cameras [..., views, 4, 4] from their centroid.

    It cannot tell how far away what the cameras see is. InputError if all cameras are at one
    place. The code uses at least 0.01.
    """
    found = _poses("poses", poses)
    if found.ndim < 3:
        raise InputError(f"poses: have the shape {list(found.shape)}; give [..., views, 4, 4]")
    centers = found[..., :3, 3]
    apart = (centers - centers.mean(-2, keepdim=True)).norm(dim=-1).mean(-1)
    if not bool((apart > 0).all()):
        raise InputError(
            "poses: all cameras are at one place, and their mean distance from it is 0: give "
            "several places, or another scale"
        )
    return apart


def agg_scale(depths: ArrayLike) -> Float64[Tensor, "*batch"]:
    """`agg`: the quantile 0.1 over a scene's views of the quantile 0.05 of each view's depths.

    `depths` are [..., views, height, width], or a sequence of maps of several sizes. Holes are
    left out, and so are views without any depth. InputError if no view of a scene has one. The
    code uses 0.1 to 100, and clips the condition to ±20.
    """
    if isinstance(depths, Sequence):
        each = [
            quantile(_with_nan(as_doubles("depths", d)).flatten(-2), AGG_VIEW) for d in depths
        ]
        views = torch.stack(each)
    else:
        views = quantile(_with_nan(as_doubles("depths", depths)).flatten(-2), AGG_VIEW)
    found = quantile(views, AGG_SCENE)
    if bool(found.isnan().any()):
        raise InputError("depths: no view has a pixel with a depth; give another scale")
    return found


def viewer_scale(depth: ArrayLike) -> Float64[Tensor, "*batch"]:
    """`viewer`: the quantile 0.2 of the depths [..., height, width] of the input view.

    Holes are filled first by `fill_holes`; depths that an estimator filled have none. The code
    samples every fourth pixel of 256×256, which is left out here.
    """
    return quantile(fill_holes(depth).flatten(-2), VIEWER)


def fill_holes(depth: ArrayLike) -> Float64[Tensor, "*batch height width"]:
    """Depths [..., height, width] with the nearest pixel's depth in each hole.

    Nearest is by Euclidean distance in pixels. InputError if a map has no depth at all.

    >>> fill_holes([[0.0, 0.0, 3.0, 4.0]]).tolist()
    [[3.0, 3.0, 3.0, 4.0]]
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to import

    known = _with_nan(as_doubles("depth", depth))
    filled: list[Tensor] = []
    for each in known.reshape(-1, *known.shape[-2:]):
        holes = each.isnan()
        if bool(holes.all()):
            raise InputError("depth: no pixel has a depth; give another scale")
        # Places of the nearest pixels that are no holes.
        index = distance_transform_edt(
            holes.cpu().numpy(), return_distances=False, return_indices=True
        )
        rows, columns = torch.as_tensor(index, dtype=torch.long, device=each.device)
        filled.append(each[rows, columns])
    return torch.stack(filled).reshape(known.shape)


def quantile(values: ArrayLike, share: float) -> Float64[Tensor, "*batch"]:
    """The quantile `share`, in [0, 1], of the last axis, without NaN; NaN where all are.

    >>> float(quantile([4.0, 1.0, float("nan"), 2.0], 0.25))
    1.5
    """
    ordered = as_doubles("values", values).sort(dim=-1).values  # NaN comes last.
    count = (~ordered.isnan()).sum(-1, keepdim=True)
    position = share * (count - 1).clamp_min(0).to(ordered)
    low = position.floor().long()
    high = torch.minimum(low + 1, (count - 1).clamp_min(0))
    below, above = ordered.gather(-1, low), ordered.gather(-1, high)
    return torch.lerp(below, above, position - low)[..., 0]


def _with_nan(depth: Float64[Tensor, "*batch"]) -> Float64[Tensor, "*batch"]:
    """Depths [..., height, width] with NaN in holes. InputError for fewer than two axes."""
    if depth.ndim < 2 or 0 in depth.shape:
        raise InputError(f"depth: has the shape {list(depth.shape)}; give [..., height, width]")
    holes = ~depth.isfinite() | (depth <= 0)
    return torch.where(holes, torch.full_like(depth, torch.nan), depth)


def _poses(name: str, values: ArrayLike) -> Float64[Tensor, "*batch 4 4"]:
    """Rigid motions [..., 4, 4], or [..., 3, 4] without their last row. InputError."""
    found = doubles(name, values)
    if found.ndim < 2 or tuple(found.shape[-2:]) not in {(3, 4), (4, 4)}:
        raise InputError(f"{name}: has the shape {list(found.shape)}; give [..., 4, 4]")
    last = found.new_tensor([0.0, 0.0, 0.0, 1.0])
    if found.shape[-2] == 4 and bool(((found[..., 3, :] - last).abs() > 1e-6).any()):
        raise InputError(
            f"{name}: the last row is not 0 0 0 1: give camera-to-world matrices whose last "
            "column is the position"
        )
    rotation = found[..., :3, :3]
    off = (rotation.mT @ rotation - torch.eye(3).to(found)).abs()
    if bool((off > RIGID_TOLERANCE).any()) or bool((torch.linalg.det(rotation) < 0).any()):
        raise InputError(
            f"{name}: is not a rotation and a translation: give camera-to-world matrices in "
            "OpenGL axes, without scale or reflection"
        )
    return _homogeneous(found[..., :3, :])


def _homogeneous(pose: Float64[Tensor, "*batch 3 4"]) -> Float64[Tensor, "*batch 4 4"]:
    last = pose.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*pose.shape[:-2], 1, 4)
    return torch.cat([pose, last], dim=-2)
