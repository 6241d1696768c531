"""Poses from images by render-and-compare: descent on the photometric error.

iNeRF (Yen-Chen et al., IROS 2021) by Levenberg–Marquardt steps (pose_steps.py) from coarse to
fine images. A level begins with what fits its images better: the poses of the level before, or
the start. What is returned is never worse than the start.
"""

import dataclasses
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras, concatenate
from unrender.imaging.resize import area_average_known
from unrender.inverse.pose_steps import Comparison, descend, world_twists
from unrender.rendering.renderer import Images, PoseEstimate, Renderer

CLUSTERS = 5
"""Cells per side of the grid whose cells count as independent observations."""
COARSE = ((16, False), (32, False), (64, True))
"""Longer sides in pixels of the images of the coarse levels, and whether these compare detail
and change all of the pose. The others compare colors, which tolerates large errors, and change
what moves, turns and scales the image alone: the rest is ill-determined there."""
MEDIUM = 128
"""Longer side of the images of the level between, for models that are not aliased there."""
IN_IMAGE = (0.0, 0.0, 1.0, 1.0, 1.0, 1.0)
"""Components of twists that move, turn and scale the image: all but orbits about its detail."""
FINER = 2
"""The lattice on which results are compared has this many times the pixels per side."""
AT_ONCE = 1 << 18
"""Pixels that are optimized at once, which bounds the memory."""


@dataclass(frozen=True)
class RenderAndCompare:
    """Options of the optimization. All images are optimized independently."""

    coarse_steps: int = 6
    """Steps at each level of coarse images, which tolerate initial errors of many pixels."""
    fine_steps: int = 4
    """Steps at full resolution."""
    pixels: int = 64
    """Least pixels per side of the random lattice that is compared at full resolution,
    by models whose pixels are points; others compare whole images."""
    detail: bool = True
    """Compare differences of neighboring pixels at finer levels: models of captures are wrong
    about light and exposure, which would shift the pose. Without, colors themselves."""
    seed: int = 0
    """Seed of the random lattices."""

    def estimate(
        self,
        renderer: Renderer,
        images: Images,
        start: Cameras,
        background: Float[Tensor, "3"] | None = None,
        antialiased: bool = False,
    ) -> PoseEstimate:
        """Refine `start`, whose intrinsics and size are those of the images.

        Color and opacity are compared or, with a `background` for images without alpha, colors
        over it; pixels that are NaN are left out. `antialiased`: smaller images by the renderer
        are averages over pixels, as those of Gaussians. The expected error is a sandwich
        estimate from the curvature of the loss and the scatter of its gradients over clusters
        of neighboring pixels.
        """
        unknown = torch.full((len(start),), torch.nan, device=start.device)
        begin = PoseEstimate.isotropic(start, unknown, unknown)
        return self.estimate_from_modes(renderer, images, begin, background, antialiased)

    def estimate_from_modes(
        self,
        renderer: Renderer,
        images: Images,
        found: PoseEstimate,
        background: Float[Tensor, "3"] | None = None,
        antialiased: bool = False,
    ) -> PoseEstimate:
        """Refine all modes of an estimate, and keep the one that fits each image best, or the
        estimate itself where the refined ones fit worse.
        """
        start = found.cameras
        assert images.shape[1:3] == (start.height, start.width), "images of another size"
        generator = torch.Generator().manual_seed(self.seed)
        side = max(start.width, start.height) if antialiased else self.pixels
        group = max(1, AT_ONCE // min(start.width * start.height, 2 * side**2))
        parts: list[PoseEstimate] = []
        for first in range(0, len(start), group):
            chosen = slice(first, first + group)
            whole = Comparison(renderer, images[chosen], start.select(chosen), background)
            modes = [start.world_from_camera[chosen]]
            if found.modes is not None:
                modes += found.modes.world_from_camera[chosen, 1:].unbind(1)
            parts.append(self._best(whole, modes, antialiased, generator))
        return _joined(parts)

    def _best(
        self,
        whole: Comparison,
        modes: list[Float[Tensor, "cameras 3 4"]],
        antialiased: bool,
        generator: torch.Generator,
    ) -> PoseEstimate:
        """The best of all modes, refined, and of the first one as it is."""
        # The start comes last, so that a refined pose that fits as well is preferred.
        candidates = [self._refined(whole.at(m), antialiased, generator) for m in modes]
        candidates.append(modes[0])
        judge, fine = whole, whole
        if not antialiased:
            (judge,) = _lattices(whole, FINER * self.pixels, 1, generator)
            (fine,) = _lattices(whole, self.pixels, 1, generator)
        misfits = torch.stack([judge.at(poses).misfit() for poses in candidates])
        misfit, best = misfits.min(0)
        index = torch.arange(len(best), device=best.device)
        poses = torch.stack(candidates)[best, index]
        fine = dataclasses.replace(fine.at(poses), detail=self.detail)
        return _with_expected_error(whole.at(poses).cameras, fine, misfit)

    def _refined(
        self, whole: Comparison, antialiased: bool, generator: torch.Generator
    ) -> Float[Tensor, "cameras 3 4"]:
        """Poses after the descent at all levels."""
        start = poses = whole.cameras.world_from_camera
        coarse = [*COARSE, (MEDIUM, True)] if antialiased else COARSE
        for side, all_of_it in coarse:
            if side < max(whole.cameras.width, whole.cameras.height) and self.coarse_steps:
                level = _smaller(whole, side, self.detail and all_of_it)
                free = None if all_of_it else IN_IMAGE
                poses = _level(level, start, poses, self.coarse_steps, free)
        whole = dataclasses.replace(whole, detail=self.detail)
        if antialiased:
            return _level(whole, start, poses, self.fine_steps)
        # All lattices are drawn in advance: no step waits for the device.
        first, *others = _lattices(whole, self.pixels, max(1, self.fine_steps), generator)
        poses = _level(first, start, poses, min(1, self.fine_steps))
        for lattice in others:
            level = lattice.at(poses)
            poses = descend(level, level.depth_of_detail(), 1)
        return poses


def _lattices(
    whole: Comparison, pixels: int, count: int, generator: torch.Generator
) -> list[Comparison]:
    """Random lattices of pixels, with at least that many per side, as smaller images."""
    cameras = whole.cameras
    stride = max(1, min(cameras.width, cameras.height) // pixels)
    corners = torch.randint(stride, (count, 2), generator=generator).tolist()
    return [
        dataclasses.replace(
            whole,
            images=whole.images[:, y::stride, x::stride],
            cameras=strided(cameras, stride, x, y),
        )
        for x, y in corners
    ]


def _smaller(whole: Comparison, side: int, detail: bool) -> Comparison:
    """Images with `side` pixels on the longer side, by area averaging."""
    cameras = whole.cameras
    scale = side / max(cameras.width, cameras.height)
    size = max(1, round(cameras.width * scale)), max(1, round(cameras.height * scale))
    return dataclasses.replace(
        whole,
        images=area_average_known(whole.images, *size),
        cameras=cameras.resized(*size),
        detail=detail,
    )


def _level(
    level: Comparison,
    start: Float[Tensor, "cameras 3 4"],
    poses: Float[Tensor, "cameras 3 4"],
    steps: int,
    free: tuple[float, ...] | None = None,
) -> Float[Tensor, "cameras 3 4"]:
    """Steps from the poses or from the start, whichever fits this level's images better."""
    if not steps:
        return poses
    better = level.at(poses).misfit() <= level.at(start).misfit()
    begin = level.at(torch.where(better[:, None, None], poses, start))
    mask = None if free is None else torch.tensor(free).to(poses)
    return descend(begin, begin.depth_of_detail(), steps, mask)


@torch.no_grad()
def _with_expected_error(
    cameras: Cameras, fine: Comparison, misfit: Float[Tensor, "cameras"]
) -> PoseEstimate:
    """Expected standard errors of rotation about the camera's axes, and of its center.

    The covariance is H⁻¹ (Σ g gᵀ) H⁻¹ with H = Σ JᵀJ and g the gradient of one cluster of
    pixels, since errors of neighboring pixels are correlated.
    """
    depth = fine.depth_of_detail()
    residual = fine.residual()
    jacobian = fine.jacobian(depth).view(*residual.shape, 6)
    gradient = jacobian * residual[..., None]
    rows, columns = (
        [size * k // CLUSTERS for k in range(CLUSTERS + 1)] for size in residual.shape[1:3]
    )
    sums = [
        gradient[:, top:bottom, left:right].sum((1, 2, 3))
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]
    scores = torch.stack(sums, dim=1).double()
    flat = jacobian.flatten(1, 3).double()
    curvature = flat.mT @ flat
    # The ridge keeps errors finite in directions that no pixel constrains.
    ridge = 1e-6 * curvature.diagonal(dim1=1, dim2=2).mean(-1) + 1e-12
    inverse = torch.linalg.inv(curvature + ridge[:, None, None] * torch.eye(6).to(curvature))
    turned = world_twists(cameras.world_from_camera.double(), depth.double())
    covariance = turned @ inverse @ (scores.mT @ scores) @ inverse @ turned.mT
    errors = errors_of_twists(covariance, cameras.world_from_camera)
    return PoseEstimate(cameras, *errors, misfit)


def _joined(parts: list[PoseEstimate]) -> PoseEstimate:
    return PoseEstimate(
        concatenate([part.cameras for part in parts]),
        torch.cat([part.axis_errors for part in parts]),
        torch.cat([part.translation_error for part in parts]),
        torch.cat([part.misfit for part in parts if part.misfit is not None]),
    )


def errors_of_twists(
    covariance: Float[Tensor, "cameras 6 6"], world_from_camera: Float[Tensor, "cameras 3 4"]
) -> tuple[Float[Tensor, "cameras 3"], Float[Tensor, "cameras"]]:
    """Root mean square errors of poses whose twists have this covariance.

    Returns the errors about the cameras' axes and of their centers. Twists (rotation,
    translation) are about the world's origin: a rotation also moves the center, by ω × c.
    """
    pose = world_from_camera.to(covariance)
    axes, centers = pose[:, :, :3], pose[:, :, 3]
    from_turn = -torch.linalg.cross(
        torch.eye(3).to(covariance).expand(len(centers), 3, 3),
        centers[:, None].expand(-1, 3, 3),
        dim=-1,
    ).mT
    to_center = torch.cat(
        [-from_turn, torch.eye(3).to(covariance).expand_as(from_turn)], dim=-1
    )
    center = to_center @ covariance @ to_center.mT

    turn = axes.mT @ covariance[:, :3, :3] @ axes
    variances = (matrix.diagonal(dim1=1, dim2=2).clamp_min(0) for matrix in (turn, center))
    about_axes, of_center = variances
    return about_axes.sqrt().float(), of_center.sum(-1).sqrt().float()


def strided(cameras: Cameras, stride: int, x: int, y: int) -> Cameras:
    """Cameras whose pixels are every `stride`-th of these, starting at column x and row y."""
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, :2] /= stride
    # The center of the new pixel i is that of the old pixel i stride + x.
    for row, first in enumerate((x, y)):
        intrinsics[:, row, 2] = (cameras.intrinsics[:, row, 2] - first - 0.5) / stride + 0.5
    return dataclasses.replace(
        cameras,
        intrinsics=intrinsics,
        width=len(range(x, cameras.width, stride)),
        height=len(range(y, cameras.height, stride)),
    )
