"""Poses from images by render-and-compare: gradient descent on the photometric error.

iNeRF (Yen-Chen et al., IROS 2021) with the tangent space of poses at the world's origin, where
rotations of the object and translations of the camera have nearly independent effects on the
image.
"""

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.poses import compose, se3_exp
from unrender.imaging.resize import area_average
from unrender.rendering.renderer import Images, PoseEstimate, Renderer

CLUSTERS = 5
"""Cells per side of the grid whose cells count as independent observations."""


@dataclass(frozen=True)
class RenderAndCompare:
    """Options of the optimization. All images are optimized at once, independently."""

    coarse_steps: int = 60
    """Steps at a quarter of the resolution, which tolerates initial errors of many pixels."""
    fine_steps: int = 120
    """Steps at full resolution."""
    pixels: int = 24
    """Pixels per side of the randomly shifted lattice that is rendered at each step."""
    rate: float = 0.02
    """Initial step size, in radians and in scene units."""
    final_rate: float = 0.02
    """Final step size relative to `rate`."""
    seed: int = 0
    """Seed of the random lattices."""

    def estimate(
        self,
        renderer: Renderer,
        images: Images,
        start: Cameras,
        background: Float[Tensor, "3"] | None = None,
    ) -> PoseEstimate:
        """Refine `start`, whose intrinsics and size are those of the images.

        Color and opacity are compared or, with a `background` for images without alpha, colors
        over it. The expected error is a sandwich estimate from the curvature of the loss and
        the scatter of its gradients over clusters of neighboring pixels.
        """
        generator = torch.Generator().manual_seed(self.seed)
        found = self._refined(renderer, images, start, background, generator)
        lattice = self._offsets(found, 1, generator)[0]
        target = self._target(images, lattice)
        with torch.no_grad():
            residual = _residuals(renderer, strided(found, *lattice), target, background)
        return self._with_expected_error(renderer, target, found, background, lattice, residual)

    def estimate_from_modes(
        self,
        renderer: Renderer,
        images: Images,
        found: PoseEstimate,
        background: Float[Tensor, "3"] | None = None,
    ) -> PoseEstimate:
        """Refine all modes of an estimate, and keep the one that fits each image best, or the
        estimate itself where the refined ones fit worse.
        """
        image = torch.arange(len(found), device=images.device)
        batches = [(image, found.cameras)]
        if found.modes is not None:
            others, mode = (found.modes.share[:, 1:] > 0).nonzero(as_tuple=True)
            if len(others):
                poses = found.modes.world_from_camera[others, mode + 1]
                batches.append((others, found.cameras.select(others).with_poses(poses)))
        generator = torch.Generator().manual_seed(self.seed)
        candidates = [
            self._refined(renderer, images[index], start, background, generator)
            for index, start in batches
        ]
        # The start comes last, so that a refined pose that fits as well is preferred.
        cameras = concatenate([*candidates, found.cameras])
        index = torch.cat([*(index for index, _ in batches), image])
        lattice = self._offsets(cameras, 1, generator)[0]
        target = self._target(images, lattice)
        with torch.no_grad():
            residual = _residuals(
                renderer, strided(cameras, *lattice), target[index], background
            )
        misfit = residual.square().mean((1, 2, 3))
        unlike = index != image[:, None]
        best = misfit.expand(len(found), -1).masked_fill(unlike, math.inf).argmin(1)
        return self._with_expected_error(
            renderer, target, cameras.select(best), background, lattice, residual[best]
        )

    def _refined(
        self,
        renderer: Renderer,
        images: Images,
        start: Cameras,
        background: Float[Tensor, "3"] | None,
        generator: torch.Generator,
    ) -> Cameras:
        """The cameras after the descent at both resolutions."""
        assert images.shape[1:3] == (start.height, start.width), "images of another size"
        poses = start.world_from_camera
        quarter = (max(start.width // 4, 1), max(start.height // 4, 1))
        levels = [
            (self.coarse_steps, start.resized(*quarter), area_average(images, *quarter), 1.0),
            (self.fine_steps, start, images, 0.3),
        ]
        for steps, cameras, pictures, share in levels:
            poses = self._descend(
                renderer,
                pictures,
                cameras.with_poses(poses),
                background,
                generator,
                steps,
                share * self.rate,
            )
        return start.with_poses(poses)

    def _descend(
        self,
        renderer: Renderer,
        images: Images,
        start: Cameras,
        background: Float[Tensor, "3"] | None,
        generator: torch.Generator,
        steps: int,
        rate: float,
    ) -> Float[Tensor, "cameras 3 4"]:
        tangent = torch.zeros(len(start), 6, device=start.device, requires_grad=True)
        optimizer = torch.optim.Adam([tangent], rate, betas=(0.8, 0.95))
        # The last iterate jitters around the optimum; the mean of the last steps does not.
        tail: list[Tensor] = []
        # All sampled in advance: nothing in the loop waits for the device.
        for step, lattice in enumerate(self._offsets(start, steps, generator)):
            optimizer.param_groups[0]["lr"] = rate * self.final_rate ** (step / steps)
            poses = compose(se3_exp(tangent), start.world_from_camera)
            cameras = strided(start.with_poses(poses), *lattice)
            error = _residuals(renderer, cameras, self._target(images, lattice), background)
            # Huber loss: robust to what the scene cannot explain.
            loss = torch.nn.functional.huber_loss(
                error, torch.zeros_like(error), delta=0.1, reduction="none"
            )
            optimizer.zero_grad()
            loss.mean((1, 2, 3)).sum().backward()
            optimizer.step()
            if step >= 0.75 * steps:
                tail.append(tangent.detach().clone())
        mean = torch.stack(tail).mean(0) if tail else tangent.detach()
        return compose(se3_exp(mean), start.world_from_camera)

    def _offsets(
        self, cameras: Cameras, count: int, generator: torch.Generator
    ) -> list[tuple[int, int, int]]:
        """Random lattices of pixels: the stride, and the column and row of the first pixel."""
        stride = max(1, min(cameras.width, cameras.height) // self.pixels)
        corners = torch.randint(stride, (count, 2), generator=generator).tolist()
        return [(stride, x, y) for x, y in corners]

    def _target(
        self, images: Images, lattice: tuple[int, int, int]
    ) -> Float[Tensor, "images rows columns 4"]:
        """The pixels of a lattice, as images of a lower resolution."""
        stride, x, y = lattice
        return images[:, y::stride, x::stride]

    @torch.no_grad()
    def _with_expected_error(
        self,
        renderer: Renderer,
        target: Images,
        cameras: Cameras,
        background: Float[Tensor, "3"] | None,
        lattice: tuple[int, int, int],
        residual: Float[Tensor, "cameras rows columns channels"],
    ) -> PoseEstimate:
        """Expected standard errors of rotation about the camera's axes, and of its center.

        `target` has the pixels of the lattice, and `residual` the errors there.

        The covariance is H⁻¹ (Σ g gᵀ) H⁻¹ with H = Σ JᵀJ and g the gradient of one cluster of
        pixels, since errors of neighboring pixels are correlated. J is computed by central
        differences.
        """
        view, width = strided(cameras, *lattice), 1e-3
        columns: list[Tensor] = []
        for axis in range(6):
            step = torch.zeros(len(view), 6, device=view.device)
            step[:, axis] = width
            ends = [
                _residuals(
                    renderer,
                    view.with_poses(compose(se3_exp(sign * step), view.world_from_camera)),
                    target,
                    background,
                )
                for sign in (1, -1)
            ]
            columns.append((ends[0] - ends[1]) / (2 * width))
        jacobian = torch.stack(columns, dim=-1)
        gradient = jacobian * residual[..., None]
        height_edges = [view.height * k // CLUSTERS for k in range(CLUSTERS + 1)]
        width_edges = [view.width * k // CLUSTERS for k in range(CLUSTERS + 1)]
        sums = [
            gradient[:, top:bottom, left:right].sum((1, 2, 3))
            for top, bottom in pairwise(height_edges)
            for left, right in pairwise(width_edges)
        ]
        scatter = torch.stack(sums, dim=1).mT @ torch.stack(sums, dim=1)
        flat = jacobian.flatten(1, 3).double()
        curvature = flat.mT @ flat
        # The ridge keeps errors finite in directions that no pixel constrains.
        ridge = 1e-6 * curvature.diagonal(dim1=1, dim2=2).mean(-1) + 1e-12
        inverse = torch.linalg.inv(
            curvature + ridge[:, None, None] * torch.eye(6).to(curvature)
        )
        covariance = inverse @ scatter.double() @ inverse
        errors = errors_of_twists(covariance, cameras.world_from_camera)
        return PoseEstimate(cameras, *errors, residual.square().mean((1, 2, 3)))


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


def _residuals(
    renderer: Renderer,
    cameras: Cameras,
    target: Images,
    background: Float[Tensor, "3"] | None,
) -> Float[Tensor, "cameras height width channels"]:
    rendering = renderer(cameras)
    if background is None:
        return rendering.rgba - target
    return rendering.over(background) - target[..., :3]
