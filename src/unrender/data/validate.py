"""What every loader asks of poses, sizes and backgrounds."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.files import MAX_BYTES

Background = Literal["auto", "black", "white", "opaque"]
"""What is behind images without alpha: a colour, which "auto" looks for at their borders, or
nothing but the scene itself, as in photographs."""

ROTATION_TOLERANCE = 1e-3
"""Largest entry of RᵀR - I that a rotation read from a file may have."""

BACKGROUND_TOLERANCE = 8 / 255
"""Lossy formats move a black or white background by this much."""


def check_poses(
    poses: Float[Tensor, "poses rows 4"], label: Callable[[int], str]
) -> Float[Tensor, "poses 3 4"]:
    """[R | t] in float32 of 3×4 or 4×4 rigid motions; `label` names one of them in messages."""
    single = poses.to(torch.float32)
    for index in (~single.isfinite()).any(-1).any(-1).nonzero()[:1, 0].tolist():
        raise InputError(f"{label(index)}: the pose has NaN or infinite entries; correct it")
    rotation = poses[:, :3, :3].to(torch.float64)
    identity = torch.eye(3, dtype=torch.float64)
    error = (rotation.mT @ rotation - identity).abs().amax((-2, -1))
    for index in (error > ROTATION_TOLERANCE).nonzero()[:1, 0].tolist():
        raise InputError(
            f"{label(index)}: the pose is no rotation: RᵀR is off the identity by "
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
    return single[:, :3]


def check_memory(source: str, num_images: int, width: int, height: int, channels: int) -> None:
    """Refuse a set of float32 images that would not fit, before any is allocated."""
    size = 4 * num_images * width * height * channels
    if size > MAX_BYTES:
        raise InputError(
            f"{source}: {num_images} images of {width}x{height} take {size / 2**30:.1f} GiB, "
            f"more than {MAX_BYTES / 2**30:.0f}; use fewer or smaller ones"
        )


def find_background(
    source: str, images: Float[Tensor, "images height width 3"], background: Background
) -> Float[Tensor, "3"]:
    """Find the constant colour behind RGB images: as told, or of half their border."""
    if background == "black":
        return torch.zeros(3)
    if background == "white":
        return torch.ones(3)
    border = torch.cat(
        [
            images[:, 0].flatten(0, 1),
            images[:, -1].flatten(0, 1),
            images[:, :, 0].flatten(0, 1),
            images[:, :, -1].flatten(0, 1),
        ]
    )
    black = (border <= BACKGROUND_TOLERANCE).all(-1).float().mean().item()
    white = (border >= 1 - BACKGROUND_TOLERANCE).all(-1).float().mean().item()
    if max(black, white) < 0.5:
        raise InputError(
            f"{source}: the images have no alpha, and their borders are neither black "
            f"({black:.0%}) nor white ({white:.0%}); say --background black or white, "
            "or opaque where all that they show is the scene"
        )
    return torch.zeros(3) if black > white else torch.ones(3)
