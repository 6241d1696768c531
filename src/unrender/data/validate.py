"""Checks of poses, sizes and backgrounds that all loaders share."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.images import ImageStore, as_floats
from unrender.data.origin import recentred_cameras
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files.arrays import check_numbers
from unrender.geometry.cameras import Cameras
from unrender.notes import note

Background = Literal["auto", "black", "white", "opaque"]
"""Background of images without alpha: a color, which "auto" detects at the borders of the
images, or opaque, where the background is part of the scene, as in photographs."""

ROTATION_TOLERANCE = 1e-3
"""Largest absolute entry of RᵀR - I of a rotation that is used as it is."""
ROUNDED_TOLERANCE = 0.02
"""The same of a rotation that was rounded, to two decimals or more, and is made orthonormal."""

BACKGROUND_TOLERANCE = 8 / 255
"""Deviation from black or white that is accepted, because of lossy image formats."""


def check_poses(
    poses: Float[Tensor, "poses rows 4"],
    label: Callable[[int], str],
    camera_from_world: bool = False,
) -> Float[Tensor, "poses 3 4"]:
    """[R | t] in float32 of 3×4 or 4×4 rigid motions; `label` names a pose in messages.

    They are world-from-camera unless `camera_from_world`, and are recentred before they are
    rounded where they are far from the origin: see `unrender.data.origin`. Rotations that were
    rounded are replaced by the nearest ones, with a note.
    """
    poses = recentred_cameras(poses, camera_from_world)
    single = poses.to(torch.float32)
    for index in (~single.isfinite()).any(-1).any(-1).nonzero()[:1, 0].tolist():
        raise InputError(f"{label(index)}: the pose has NaN or infinite entries; correct it")
    rotation = poses[:, :3, :3].to(torch.float64)
    identity = torch.eye(3, dtype=torch.float64)
    error = (rotation.mT @ rotation - identity).abs().amax((-2, -1))
    for index in (error > ROUNDED_TOLERANCE).nonzero()[:1, 0].tolist():
        raise InputError(
            f"{label(index)}: the pose is not a rotation: RᵀR deviates from the identity by "
            f"{error[index].item():.3g}; remove scale and shear"
        )
    for index in (torch.linalg.det(rotation) < 0).nonzero()[:1, 0].tolist():
        raise InputError(
            f"{label(index)}: the pose is a reflection (determinant -1), not a rotation; "
            "correct the sign of one axis"
        )
    if poses.shape[1] == 4:
        bottom = (single[:, 3] - torch.tensor([0.0, 0.0, 0.0, 1.0])).abs().amax(-1)
        for index in (bottom > ROTATION_TOLERANCE).nonzero()[:1, 0].tolist():
            raise InputError(
                f"{label(index)}: the pose's last row is {single[index, 3].tolist()}, "
                "not 0 0 0 1; correct it"
            )
    rounded = error > ROTATION_TOLERANCE
    if bool(rounded.any()):
        worst = int(error.argmax())
        note(
            f"{label(worst)}: RᵀR deviates from the identity by {error[worst].item():.2g}, as "
            f"of rounded numbers: {int(rounded.sum())} of {len(poses)} rotations are replaced "
            "by the nearest orthonormal ones"
        )
        u, _, v = torch.linalg.svd(rotation[rounded])
        single = single.clone()
        single[rounded, :3, :3] = (u @ v).float()
    return single[:, :3]


MAX_POSITION = 1e9
"""Largest coordinate of a camera: squares of distances stay far from overflow."""


def check_cameras(label: str, cameras: Cameras) -> None:
    """Raise InputError unless all numbers of the cameras are sane in single precision.

    Positions up to 1e9, focal lengths above 0, principal points near the images.
    """
    remedy = "correct the cameras"
    check_numbers(label, remedy, **{"camera poses": cameras.world_from_camera})
    check_numbers(label, remedy, **{"camera intrinsics": cameras.intrinsics})
    far = cameras.centers.abs().max() if len(cameras) else torch.zeros(())
    if float(far) > MAX_POSITION:
        raise InputError(
            f"{label}: a camera is at a coordinate of {float(far):.3g}: correct it, or use "
            "another unit or origin"
        )
    lens = cameras.intrinsics[:, [0, 1], [0, 1]] / cameras.sizes.rows.to(cameras.intrinsics)
    for k in (~((lens > 1e-6) & (lens < 1e6))).any(1).nonzero()[:1, 0].tolist():
        focal = ", ".join(f"{x:.3g}" for x in cameras.intrinsics[k, [0, 1], [0, 1]].tolist())
        width, height = cameras.sizes[k]
        raise InputError(
            f"{label}: camera {k} has a focal length of {focal} pixels for an image of "
            f"{width}x{height}: correct it"
        )
    center = cameras.intrinsics[:, :2, 2] / cameras.sizes.rows.to(cameras.intrinsics)
    for k in (center.abs() > 1e6).any(1).nonzero()[:1, 0].tolist():
        x, y = cameras.intrinsics[k, :2, 2].tolist()
        raise InputError(
            f"{label}: camera {k} has a principal point of {x:.3g}, {y:.3g} pixels: correct it"
        )


def check_views(label: str, views: Views) -> None:
    """Raise InputError unless all numbers of the views are finite and sane."""
    check_cameras(label, views.cameras)
    named = {
        "image values": views.store.pixels,
        "background colors": views.background,
        "depths": views.depths,
        "normals": views.normals,
        "points": views.points,
        "point colors": views.point_colors,
        "bounding spheres": views.ball,
    }
    check_numbers(label, "correct them", **named)


def with_background(
    images: ImageStore, background: Background
) -> tuple[ImageStore, Float[Tensor, "3"] | None]:
    """The images, and the color that is behind those without alpha.

    For "auto" the color is black or white if at least half of the border pixels are. Else, and
    for "opaque", the background belongs to the scene: the images get an alpha of 1.
    """
    if images.channels == 4 and background != "opaque":
        return images, None
    if background in ("black", "white"):
        return images, torch.full((3,), float(background == "white"))
    if background == "auto":
        black, white = border_share(images, 0.0), border_share(images, 1.0)
        if max(black, white) >= 0.5:
            return images, torch.full((3,), float(white >= black))
    return images.with_opaque_alpha(), None


def border_share(images: ImageStore, gray: float) -> float:
    """Share of the border pixels that have this gray value, black 0 or white 1."""
    every = (images.stored(k) for k in range(len(images)))
    sides = [side for each in every for side in (each[0], each[-1], each[:, 0], each[:, -1])]
    border = as_floats(torch.cat(sides))
    return ((border - gray).abs() <= BACKGROUND_TOLERANCE).all(-1).float().mean().item()
