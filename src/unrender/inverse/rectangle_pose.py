"""Poses of cameras, and their focal length, from the corners of a rectangle of known size.

Zhang, "A Flexible New Technique for Camera Calibration" (TPAMI 2000): the homography from a
plane to an image constrains the intrinsics by two equations, which are solved here for the
focal length, and gives the pose. Poses and focal length are then refined together, by
Levenberg–Marquardt steps on the distances in pixels. Each plane is seen nearly alike from two
sides (Schweighofer and Pinz, "Robust Pose Estimation from a Planar Target", TPAMI 2006): both
are refined, and the one that fits better is kept.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.poses import compose, invert, project_to_so3, se3_exp, so3_exp

STEPS = 40
"""Levenberg–Marquardt steps at most."""
SHIFT = 1e-6
"""Step of the finite differences: of radians, of the rectangle's width, of the logarithm of the
focal length."""
SLANT = 0.02
"""Photographs from the front tell nothing of the focal length: below this relative difference
that a change of it makes, it is unknown."""


@dataclass(frozen=True)
class RectangleView:
    """Cameras that see a rectangle, which lies around the origin with its normal along z."""

    world_from_camera: Float[Tensor, "images 3 4"]
    focal: float
    """In pixels."""
    errors: Float[Tensor, "images"]
    """Root mean square distance, in pixels, of the corners from where they are projected."""


def rectangle_corners(size: tuple[float, float]) -> Float[Tensor, "4 3"]:
    """Corners in the world: upper left, then clockwise for who sees the front, from z > 0."""
    x, y = size[0] / 2, size[1] / 2
    rows = [[-x, y, 0.0], [x, y, 0.0], [x, -y, 0.0], [-x, -y, 0.0]]
    return torch.tensor(rows, dtype=torch.float64)


def rectangle_poses(
    corners: Float[Tensor, "images 4 2"],
    size: tuple[float, float],
    center: Float[Tensor, "2"],
    focal: float | None = None,
) -> RectangleView:
    """Poses of cameras of one focal length, which is estimated as well unless it is given.

    `corners`, in pixels, are in the order of `rectangle_corners`, for a rectangle of this width
    and height; `center` is the principal point. InputError if the focal length cannot be told.
    """
    # In units of the rectangle's width.
    points = rectangle_corners((1.0, size[1] / size[0])).to(corners.device)
    seen = corners.double() - center.double()
    maps = homographies(points[:, :2], seen)
    first = focal if focal is not None else focal_length(maps, seen)
    if first is None:
        raise InputError(
            "the photographs show the card from the front, or too small, which does not tell "
            "the focal length: take some from aside and from near, or keep their EXIF data"
        )
    poses = _poses(maps, first)
    best: tuple[Tensor, Tensor, Tensor] | None = None
    for start in (poses, _mirrored(poses)):
        found = _refined(start, points, seen, first, focal is None)
        best = found if best is None else _better(best, found)
    assert best is not None
    poses, lengths, _ = best
    # One focal length for all, where the better of two poses had another.
    first = float(lengths.median())
    poses, lengths, errors = _refined(poses, points, seen, first, focal is None)
    poses = poses.clone()
    poses[:, :, 3] *= size[0]
    return RectangleView(invert(poses), float(lengths[0]), errors)


def homographies(
    plane: Float[Tensor, "4 2"], seen: Float[Tensor, "images 4 2"]
) -> Float[Tensor, "images 3 3"]:
    """The projective maps that take four points of a plane to the pixels where they are seen.

    The last entry of each is 1.
    """
    x, y = plane.to(seen).expand_as(seen).unbind(-1)
    u, v = seen.unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = torch.cat(
        [
            torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1),
            torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1),
        ],
        dim=1,
    )
    found = torch.linalg.solve(rows, torch.cat([u, v], dim=1))
    return torch.cat([found, torch.ones_like(found[:, :1])], dim=1).view(-1, 3, 3)


def focal_length(
    maps: Float[Tensor, "images 3 3"], seen: Float[Tensor, "images 4 2"]
) -> float | None:
    """The focal length by which the rectangle's sides are orthogonal and of their lengths.

    Zhang, sec. 3.1, by least squares over all images; None if it has no influence.
    """
    scale = float(seen.abs().amax())
    first, second = maps[:, :, 0].clone(), maps[:, :, 1].clone()
    first[:, :2] /= scale
    second[:, :2] /= scale
    both = torch.stack(
        [
            torch.cat([(first * second)[:, :2].sum(1), _difference(first, second)]),
            torch.cat([-first[:, 2] * second[:, 2], second[:, 2] ** 2 - first[:, 2] ** 2]),
        ]
    )
    known, wanted = both
    if float(wanted.norm()) < SLANT * float(first[:, :2].norm() * second[:, :2].norm()) / len(
        maps
    ):
        return None
    inverse = float((known * wanted).sum() / known.square().sum().clamp_min(1e-30))
    return scale * inverse**-0.5 if inverse > 0 else None


def _difference(first: Tensor, second: Tensor) -> Tensor:
    return first[:, :2].square().sum(1) - second[:, :2].square().sum(1)


def _poses(maps: Float[Tensor, "images 3 3"], focal: float) -> Float[Tensor, "images 3 4"]:
    """camera_from_world of each homography (Zhang, sec. 3.1)."""
    scaled = maps.clone()
    scaled[:, :2] /= focal
    length = (scaled[:, :, 0].norm(dim=1) + scaled[:, :, 1].norm(dim=1)) / 2
    scaled = scaled / length[:, None, None]
    first, second, place = scaled.unbind(2)
    # The world's y points up, that of the camera down; the plane is in front of the camera.
    turn = torch.stack([first, second, torch.linalg.cross(first, second)], dim=2)
    return torch.cat([project_to_so3(turn), place[:, :, None]], dim=2)


def _mirrored(poses: Float[Tensor, "images 3 4"]) -> Float[Tensor, "images 3 4"]:
    """The other pose that a small plane is seen alike from: its slant against the line of sight
    is reversed.
    """
    sight = normalize(poses[:, :, 3], dim=1)
    normal = poses[:, :, 2]
    # The rotation that takes the normal to its reflection at the line of sight.
    other = 2 * (normal * sight).sum(1, keepdim=True) * sight - normal
    axis = torch.linalg.cross(normal, other)
    sine, cosine = axis.norm(dim=1, keepdim=True), (normal * other).sum(1, keepdim=True)
    turn = so3_exp(axis / sine.clamp_min(1e-12) * torch.atan2(sine, cosine))
    return torch.cat([turn @ poses[:, :, :3], poses[:, :, 3:]], dim=2)


def _better(
    one: tuple[Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image the poses, focal lengths and errors that fit better."""
    wins = other[2] < one[2]
    return (
        torch.where(wins[:, None, None], other[0], one[0]),
        torch.where(wins, other[1], one[1]),
        torch.where(wins, other[2], one[2]),
    )


def _misfits(
    poses: Float[Tensor, "images 3 4"],
    focal: Float[Tensor, ""],
    points: Float[Tensor, "4 3"],
    seen: Float[Tensor, "images 4 2"],
) -> Float[Tensor, "images 8"]:
    """Differences in pixels between where the corners are projected and where they are seen."""
    inside = points @ poses[:, :, :3].mT + poses[:, None, :, 3]
    depth = inside[..., 2:].clamp_min(1e-3)
    return (focal * inside[..., :2] / depth - seen).flatten(1)


def _refined(
    poses: Float[Tensor, "images 3 4"],
    points: Float[Tensor, "4 3"],
    seen: Float[Tensor, "images 4 2"],
    focal: float,
    free: bool,
) -> tuple[Float[Tensor, "images 3 4"], Float[Tensor, "images"], Float[Tensor, "images"]]:
    """Poses, focal length and root mean square errors after Levenberg–Marquardt steps."""
    length = torch.tensor(focal, dtype=torch.float64, device=seen.device)
    basis = torch.eye(6, dtype=torch.float64, device=seen.device)
    damping = 1e-3
    misfit = _misfits(poses, length, points, seen)
    for _ in range(STEPS):

        def change(step: Tensor, poses: Tensor = poses, length: Tensor = length) -> Tensor:
            moved = compose(se3_exp(step).expand_as(poses), poses)
            return _misfits(moved, length, points, seen)

        by_pose = torch.stack(
            [(change(SHIFT * e) - change(-SHIFT * e)) / (2 * SHIFT) for e in basis], dim=2
        )
        by_length = (
            _misfits(poses, length * (1 + SHIFT), points, seen)
            - _misfits(poses, length * (1 - SHIFT), points, seen)
        )[..., None] / (2 * SHIFT)
        if not free:
            by_length = torch.zeros_like(by_length)
        step, bend = _solved(by_pose, by_length, misfit, damping)
        moved = compose(se3_exp(step), poses)
        longer = length * bend.clamp(-0.5, 0.5).exp()
        found = _misfits(moved, longer, points, seen)
        if float(found.square().sum()) < float(misfit.square().sum()):
            small = float(misfit.square().sum() - found.square().sum())
            poses, length, damping = moved, longer, damping / 4
            ended = small < 1e-9 * float(misfit.square().sum()) + 1e-18
            misfit = found
            if ended:
                break
        else:
            damping *= 8
            if damping > 1e12:
                break
    errors = misfit.view(len(seen), 4, 2).square().sum(2).mean(1).sqrt()
    return poses, length.expand(len(seen)), errors


def _solved(
    by_pose: Float[Tensor, "images 8 6"],
    by_length: Float[Tensor, "images 8 1"],
    misfit: Float[Tensor, "images 8"],
    damping: float,
) -> tuple[Float[Tensor, "images 6"], Float[Tensor, ""]]:
    """Damped steps of the poses and of the one focal length, by its Schur complement."""
    normal = by_pose.mT @ by_pose
    diagonal = torch.diag_embed(normal.diagonal(dim1=1, dim2=2))
    normal = normal + damping * diagonal + 1e-12 * torch.eye(6).to(normal)
    mixed = by_pose.mT @ by_length
    toward = -(by_pose.mT @ misfit[..., None])
    solved = torch.linalg.solve(normal, torch.cat([mixed, toward], dim=2))
    own = by_length.square().sum() * (1 + damping) + 1e-12
    left = own - (mixed.mT @ solved[..., :1]).sum()
    right = -(by_length[..., 0] * misfit).sum() - (mixed.mT @ solved[..., 1:]).sum()
    bend = right / left
    return (solved[..., 1] - solved[..., 0] * bend), bend
