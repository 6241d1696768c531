"""Poses from images by render-and-compare: descent on the photometric error.

iNeRF (Yen-Chen et al., IROS 2021), in two ways. Models whose pixels are rays are rendered on
random lattices of pixels, with gradients by autograd (Adam). Models whose whole images are
cheap and not aliased at any size, such as Gaussians, take Levenberg–Marquardt steps from coarse
to fine images (pose_steps.py), in several ways and from several starts, of which the best is
taken. What is returned is never worse than the start.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.geometry.cameras import Cameras, concatenate
from unrender.imaging.resize import area_average_known
from unrender.inverse.pose_steps import Comparison, descend, huber, moved, world_twists
from unrender.rendering.renderer import Images, PoseEstimate, Renderer

CLUSTERS = 5
"""Cells per side of the grid whose cells count as independent observations."""
WAYS = (
    ((16, False), (32, False)),
    ((32, True),),
    ((16, True), (32, True)),
)
"""Ways from the start to the images where their outcomes are compared: longer sides in pixels
of smaller images, and whether these compare detail and change all of the pose. The others
compare colors, and change what moves, turns and scales the image alone: the rest is
ill-determined there."""
SEARCHED, REACH, GRID, KEPT = 24, 0.12, 7, 2
"""A search for more starts: longer side of its images, how far it moves the image (in images),
places per axis, and how many of the best are kept, to be refined as the others are."""
SHIFTED, COMPARED = 32, 64
"""Longer sides of the images on which these are refined first, and where all are compared."""
FINE = (128, 1 << 16)
"""Longer sides after that, for the best: the last stands for the images themselves."""
IN_IMAGE = (0.0, 0.0, 1.0, 1.0, 1.0, 1.0)
"""Components of twists that move, turn and scale the image: all but orbits about its detail."""
FINER = 4
"""The lattice on which results are compared has this many times the pixels per side."""
AT_ONCE = 1 << 18
"""Pixels that are optimized at once, which bounds the memory."""


@dataclass(frozen=True)
class RenderAndCompare:
    """Options of the optimization. All images are optimized independently."""

    coarse_steps: int = 60
    """Steps at a quarter of the resolution, which tolerates initial errors of many pixels."""
    fine_steps: int = 120
    """Steps at full resolution."""
    pixels: int = 24
    """Pixels per side of the randomly shifted lattice that is rendered at each step."""
    rate: float = 0.02
    """Initial step size, in radians and in shares of the distance of what is seen."""
    final_rate: float = 0.02
    """Final step size relative to `rate`."""
    newton_steps: int = 6
    """Levenberg–Marquardt steps at each level, for models that are not aliased; all the other
    options but the seed are for the rest."""
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
        are averages over pixels, as those of Gaussians. The expected error is a jackknife
        estimate over clusters of neighboring pixels.
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
        group = max(1, AT_ONCE // (start.width * start.height)) if antialiased else len(start)
        parts: list[PoseEstimate] = []
        for first in range(0, len(start), group):
            chosen = slice(first, first + group)
            whole = Comparison(renderer, images[chosen], start.select(chosen), background)
            modes = None if found.modes is None else found.modes.share[chosen] > 0
            poses = (
                start.world_from_camera[chosen, None]
                if found.modes is None
                else found.modes.world_from_camera[chosen]
            )
            parts.append(self._best(whole, poses, modes, antialiased, generator))
        return joined(parts)

    def _best(
        self,
        whole: Comparison,
        modes: Float[Tensor, "cameras modes 3 4"],
        there: Bool[Tensor, "cameras modes"] | None,
        antialiased: bool,
        generator: torch.Generator,
    ) -> PoseEstimate:
        """The best of all modes, refined, and of the start as it is."""
        start = whole.cameras.world_from_camera
        every = torch.arange(len(start), device=start.device)
        batches = [(every, start)]
        for k in range(1, modes.shape[1]):
            index = every if there is None else there[:, k].nonzero()[:, 0]
            if len(index):
                batches.append((index, modes[index, k]))
        candidates: list[tuple[Tensor, Tensor]] = []
        for index, poses in batches:
            begin = whole.select(index).at(poses)
            refined = (
                _by_newton_steps(begin, self.newton_steps)
                if antialiased
                else self._by_gradient(begin, generator)
            )
            candidates.append((index, refined))
        # The start comes last, so that a refined pose that fits as well is preferred.
        candidates.append((every, start))
        judge = whole if antialiased else self._lattices(whole, 1, generator, FINER)[0]
        poses, misfit = start, torch.full_like(start[:, 0, 0], torch.inf)
        for index, found in candidates:
            fits = torch.full_like(misfit, torch.inf)
            fits[index] = judge.select(index).at(found).misfit()
            placed = start.index_copy(0, index, found)
            poses = torch.where((fits < misfit)[:, None, None], placed, poses)
            misfit = torch.minimum(fits, misfit)
        fine = whole if antialiased else self._lattices(whole, 1, generator)[0]
        fine = dataclasses.replace(fine.at(poses), detail=antialiased)
        return _with_expected_error(whole.at(poses).cameras, fine, misfit)

    def _by_gradient(
        self, whole: Comparison, generator: torch.Generator
    ) -> Float[Tensor, "cameras 3 4"]:
        """Poses after the descent at both resolutions."""
        start = poses = whole.cameras.world_from_camera
        quarter = _smaller(whole, max(whole.cameras.width, whole.cameras.height) / 4)
        levels = [(self.coarse_steps, quarter, 1.0), (self.fine_steps, whole, 0.3)]
        for steps, level, share in levels:
            if not steps:
                continue
            # All sampled in advance: nothing in the loop waits for the device.
            first, *lattices = self._lattices(level, steps + 1, generator)
            poses = self._descend(_better(first, poses, start), lattices, share * self.rate)
        return poses

    def _descend(
        self,
        start: Float[Tensor, "cameras 3 4"],
        lattices: list[Comparison],
        rate: float,
    ) -> Float[Tensor, "cameras 3 4"]:
        """Adam on the twist, with a step on each lattice."""
        depth = lattices[0].at(start).depth_of_detail()
        twist = torch.zeros(len(start), 6, device=start.device, requires_grad=True)
        optimizer = torch.optim.Adam([twist], rate, betas=(0.8, 0.95))
        # The last iterate jitters around the optimum; the mean of the last steps does not.
        tail: list[Tensor] = []
        for step, lattice in enumerate(lattices):
            optimizer.param_groups[0]["lr"] = rate * self.final_rate ** (step / len(lattices))
            loss = huber(lattice.residual(moved(start, depth, twist), grad=True)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step >= 0.75 * len(lattices):
                tail.append(twist.detach().clone())
        return moved(start, depth, torch.stack(tail or [twist.detach()]).mean(0))

    def _lattices(
        self, whole: Comparison, count: int, generator: torch.Generator, finer: int = 1
    ) -> list[Comparison]:
        """Random lattices of pixels, as smaller images."""
        cameras = whole.cameras
        stride = max(1, min(cameras.width, cameras.height) // (finer * self.pixels))
        corners = torch.randint(stride, (count, 2), generator=generator).tolist()
        return [
            dataclasses.replace(
                whole,
                images=whole.images[:, y::stride, x::stride],
                cameras=strided(cameras, stride, x, y),
            )
            for x, y in corners
        ]


def _by_newton_steps(whole: Comparison, steps: int) -> Float[Tensor, "cameras 3 4"]:
    """Poses after Levenberg–Marquardt steps from coarse to fine images.

    Coarse images have several minima. They are reached in several ways and from several starts,
    and what fits the detail of larger images best is refined further.
    """
    start = whole.cameras.world_from_camera
    found = [start]
    for levels in WAYS:
        poses = start
        for side, detail in levels:
            poses = _stepped(_smaller(whole, side, detail), poses, steps)
        found.append(poses)
    shifted = _smaller(whole, SHIFTED, detail=True)
    found += [_stepped(shifted, poses, steps) for poses in _searched(whole)]
    compared = _smaller(whole, COMPARED, detail=True)
    found = [_stepped(compared, poses, steps) for poses in found]
    poses = _fitting(compared, [*found, start], 1)[0]
    for side in FINE:
        level = _smaller(whole, side, detail=True)
        # A minimum of smaller images may fit these worse than the start does.
        poses = _stepped(level, _better(level, poses, start), steps)
    return poses


def _stepped(
    level: Comparison, poses: Float[Tensor, "cameras 3 4"], steps: int
) -> Float[Tensor, "cameras 3 4"]:
    """Poses after Levenberg–Marquardt steps on images of one size."""
    begin = level.at(poses)
    free = None if level.detail else torch.tensor(IN_IMAGE).to(poses)
    return descend(begin, begin.depth_of_detail(), steps, free)


def _searched(whole: Comparison) -> list[Float[Tensor, "cameras 3 4"]]:
    """Starts that are moved sideways, so that the detail of small images fits best."""
    start, cameras = whole.cameras.world_from_camera, whole.cameras
    level, depth = _smaller(whole, SEARCHED, detail=True), whole.depth_of_detail()
    # One image sideways is its longer side over the focal length, in depths.
    image = max(cameras.width, cameras.height) / cameras.focal
    places: list[Tensor] = []
    for x, y in product(torch.linspace(-REACH, REACH, GRID).tolist(), repeat=2):
        twist = torch.zeros(len(start), 6, device=start.device)
        twist[:, 3], twist[:, 4] = x * image, y * image
        places.append(moved(start, depth, twist))
    return _fitting(level, places, KEPT)


def _fitting(
    level: Comparison, places: Sequence[Float[Tensor, "cameras 3 4"]], count: int
) -> list[Float[Tensor, "cameras 3 4"]]:
    """For each image the poses that fit it best, the best first."""
    misfits = torch.stack([level.at(poses).misfit() for poses in places])
    every = torch.arange(misfits.shape[1], device=misfits.device)
    best = misfits.topk(count, dim=0, largest=False).indices
    return [torch.stack(list(places))[index, every] for index in best]


def _smaller(whole: Comparison, side: int | float, detail: bool = False) -> Comparison:
    """Images with at most `side` pixels on the longer side, by area averaging."""
    cameras = whole.cameras
    scale = min(1.0, side / max(cameras.width, cameras.height))
    size = max(1, int(cameras.width * scale)), max(1, int(cameras.height * scale))
    images = whole.images if scale == 1 else area_average_known(whole.images, *size)
    resized = cameras if scale == 1 else cameras.resized(*size)
    return dataclasses.replace(whole, images=images, cameras=resized, detail=detail)


def _better(
    level: Comparison, poses: Float[Tensor, "cameras 3 4"], start: Float[Tensor, "cameras 3 4"]
) -> Float[Tensor, "cameras 3 4"]:
    """The poses, or the start where that fits the images of this level better."""
    if poses is start:
        return start
    keep = level.at(poses).misfit() <= level.at(start).misfit()
    return torch.where(keep[:, None, None], poses, start)


@torch.no_grad()
def _with_expected_error(
    cameras: Cameras, fine: Comparison, misfit: Float[Tensor, "cameras"]
) -> PoseEstimate:
    """Expected standard errors of rotation about the camera's axes, and of its center.

    By the jackknife over clusters of neighboring pixels, whose errors are correlated: how much
    a Gauss-Newton step without one cluster moves the pose (Efron, "The Jackknife, the Bootstrap
    and Other Resampling Plans", 1982, chapter 3). Unlike a sandwich estimate from residuals,
    it is not too small where few clusters determine the pose.
    """
    depth = fine.depth_of_detail()
    residual = fine.residual()
    jacobian = fine.jacobian(depth).view(*residual.shape, 6)
    rows, columns = (
        [size * k // CLUSTERS for k in range(CLUSTERS + 1)] for size in residual.shape[1:3]
    )
    curvatures, gradients = list[Tensor](), list[Tensor]()
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            slopes = jacobian[:, top:bottom, left:right].flatten(1, 3).double()
            errors = residual[:, top:bottom, left:right].flatten(1).double()
            curvatures.append(slopes.mT @ slopes)
            gradients.append((slopes.mT @ errors[..., None])[..., 0])
    steps = _steps_without(torch.stack(curvatures, 1), torch.stack(gradients, 1))
    spread = steps - steps.mean(1, keepdim=True)
    covariance = (1 - 1 / steps.shape[1]) * spread.mT @ spread
    turned = world_twists(cameras.world_from_camera.double(), depth.double())
    covariance = turned @ covariance @ turned.mT
    errors_of = errors_of_twists(covariance, cameras.world_from_camera)
    return PoseEstimate(cameras, *errors_of, misfit)


def _steps_without(
    curvatures: Float[Tensor, "cameras clusters 6 6"],
    gradients: Float[Tensor, "cameras clusters 6"],
) -> Float[Tensor, "cameras clusters 6"]:
    """Gauss-Newton steps on all clusters but each one."""
    whole = curvatures.sum(1, keepdim=True)
    # The ridge keeps errors finite in directions that no pixel constrains.
    ridge = 1e-6 * whole.diagonal(dim1=-2, dim2=-1).mean(-1) + 1e-12
    rest = whole - curvatures + ridge[..., None, None] * torch.eye(6).to(whole)
    gradient = gradients.sum(1, keepdim=True) - gradients
    return -torch.linalg.solve(rest, gradient[..., None])[..., 0]


def joined(parts: list[PoseEstimate]) -> PoseEstimate:
    """Estimates with misfits, one after the other."""
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
