"""Levenberg–Marquardt steps on camera poses, which lower the misfit of renders.

Marquardt, "An Algorithm for Least-Squares Estimation of Nonlinear Parameters" (1963), with a
Huber loss by iteratively reweighted least squares. The Jacobian is that of finite differences:
six renders without gradients, by whatever renders.

Twists are in the camera's frame about a point on its optical axis, at the depth where the
image has its detail, and that depth is the unit of their translations. Rotations about it and
translations then have nearly independent effects on the image, and neither the origin nor the
unit of the world matters.
"""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, hat, se3_exp
from unrender.rendering.renderer import Images, Renderer, Rendering

SHIFT = 0.1
"""How far the steps of forward differences move the image, in pixels."""
WIDER = 2.5
"""Factor on it for central differences, on which noise of ray marching has less effect then."""
FIRST_DAMPING, LESS, MORE = 1e-2, 0.25, 4.0
"""Initial damping relative to the diagonal, and its factors after good and bad steps."""
RIDGE = 1e-6
"""Damping that is never left out, relative to the mean of the diagonal: it keeps directions
that no pixel constrains where they are."""
HUBER = 0.1
"""Differences of colors beyond which the Huber loss is linear."""


@dataclass(frozen=True)
class Comparison:
    """Images, and how renders are compared with them.

    With `detail`, what is compared is the differences of neighboring pixels. Colors of a model
    are wrong over large areas (light, exposure, blur), and poses would follow these errors;
    differences whiten them.
    """

    renderer: Renderer
    images: Images
    """NaN where a pixel is unknown, which is left out."""
    cameras: Cameras
    """Their poses are where a descent begins."""
    background: Float[Tensor, "3"] | None
    """Color behind images without alpha; None if alpha is compared too."""
    detail: bool = False

    def at(self, poses: Float[Tensor, "cameras 3 4"]) -> "Comparison":
        return dataclasses.replace(self, cameras=self.cameras.with_poses(poses))

    def select(self, index: slice | Tensor) -> "Comparison":
        return dataclasses.replace(
            self, images=self.images[index], cameras=self.cameras.select(index)
        )

    def residual(
        self, poses: Float[Tensor, "cameras 3 4"] | None = None, grad: bool = False
    ) -> Float[Tensor, "cameras height width channels"]:
        """Render minus image, 0 where unknown; differentiable in the poses with `grad`."""
        cameras = self.cameras if poses is None else self.cameras.with_poses(poses)
        with torch.set_grad_enabled(grad):
            return self._compared(self.renderer(cameras))

    def _compared(self, rendering: Rendering) -> Float[Tensor, "cameras height width channels"]:
        if self.background is None:
            error = rendering.rgba - self.images
        else:
            error = rendering.over(self.background) - self.images[..., :3]
        if self.detail:
            right = pad(error[:, :, 1:] - error[:, :, :-1], (0, 0, 0, 1))
            below = pad(error[:, 1:] - error[:, :-1], (0, 0, 0, 0, 0, 1))
            error = torch.cat([right, below], dim=-1)
        return error.nan_to_num(0.0)

    def misfit(self) -> Float[Tensor, "cameras"]:
        """Mean squared difference, of the pixels that are known."""
        _, height, width, _ = self.images.shape
        known = self.images[..., 0].isfinite().sum((1, 2)).clamp_min(1) / (height * width)
        return self.residual().square().mean((1, 2, 3)) / known

    def jacobian(
        self,
        depth: Float[Tensor, "cameras"],
        now: Float[Tensor, "cameras height width channels"] | None = None,
    ) -> Float[Tensor, "cameras values 6"]:
        """Derivatives of the flattened residual by twists, by finite differences.

        They are forward differences from the residual `now`, or central ones at twice the cost.
        """
        widths = self._widths() * (WIDER if now is None else 1)
        columns: list[Tensor] = []
        for step in torch.diag_embed(widths).unbind(1):
            ahead = self.residual(moved(self.cameras.world_from_camera, depth, step))
            if now is None:
                behind = self.residual(moved(self.cameras.world_from_camera, depth, -step))
                columns.append((ahead - behind).flatten(1) / 2)
            else:
                columns.append((ahead - now).flatten(1))
        return torch.stack(columns, dim=-1) / widths[:, None]

    def _widths(self) -> Float[Tensor, "cameras 6"]:
        """Twists along the axes that move the image by about SHIFT pixels."""
        focal = self.cameras.focal
        half = torch.full_like(focal, max(self.cameras.width, self.cameras.height) / 2)
        return SHIFT / torch.stack([half, half, half, focal, focal, half], dim=1)

    def depth_of_detail(self) -> Float[Tensor, "cameras"]:
        """Mean depth of what is rendered, weighted by the squared differences of neighbors.

        The distance to the world's origin where nothing is rendered.
        """
        with torch.no_grad():
            rendering = self.renderer(self.cameras)
        color = rendering.rgba
        right = pad((color[:, :, 1:] - color[:, :, :-1]).square().sum(-1), (0, 1))
        below = pad((color[:, 1:] - color[:, :-1]).square().sum(-1), (0, 0, 0, 1))
        weight = (right + below) * rendering.opacity
        total = weight.sum((1, 2))
        mean = (weight * rendering.depth).sum((1, 2)) / total.clamp_min(1e-12)
        # Depths are along rays; where there is none, any positive length will do.
        fallback = self.cameras.centers.norm(dim=1).clamp_min(1e-3)
        return torch.where((total > 1e-9) & (mean > 0), mean, fallback)


def moved(
    poses: Float[Tensor, "cameras 3 4"],
    depth: Float[Tensor, "cameras"],
    twist: Float[Tensor, "cameras 6"],
) -> Float[Tensor, "cameras 3 4"]:
    """Poses moved by twists (rotation, translation in depths) in their own frames, about the
    point at that depth on their optical axes.
    """
    about = torch.cat([twist[:, :3], twist[:, 3:] * depth[:, None]], dim=1)
    motion = se3_exp(about)
    pivot = pad(depth[:, None], (2, 0))
    rotation = motion[:, :, :3]
    shift = motion[:, :, 3] + pivot - (rotation @ pivot[..., None])[..., 0]
    return compose(poses, torch.cat([rotation, shift[..., None]], dim=2))


def world_twists(
    poses: Float[Tensor, "cameras 3 4"], depth: Float[Tensor, "cameras"]
) -> Float[Tensor, "cameras 6 6"]:
    """Matrices that turn twists of `moved` into twists about the world's origin."""
    axes, zero = poses[:, :, :3], torch.zeros_like(poses[:, :, :3])
    pivot = poses[:, :, 3] + depth[:, None] * poses[:, :, 2]
    turned = torch.cat([axes, zero], dim=2)
    shifted = torch.cat([hat(pivot) @ axes, depth[:, None, None] * axes], dim=2)
    return torch.cat([turned, shifted], dim=1)


def descend(
    comparison: Comparison,
    depth: Float[Tensor, "cameras"],
    steps: int,
    free: Float[Tensor, "6"] | None = None,
) -> Float[Tensor, "cameras 3 4"]:
    """Poses after Levenberg–Marquardt steps: each lowers the loss of its camera, or is undone.

    `free` is 1 for components of the twists that may change, and 0 for the others.
    """
    poses = comparison.cameras.world_from_camera
    damping = torch.full_like(depth, FIRST_DAMPING)
    residual = comparison.residual()
    for _ in range(steps):
        jacobian = comparison.at(poses).jacobian(depth, residual)
        curvature, gradient = _normal_equations(jacobian, residual.flatten(1))
        if free is not None:
            curvature, gradient = curvature * free * free[:, None], gradient * free
        trial = moved(poses, depth, -_solved(curvature, gradient, damping))
        changed = comparison.residual(trial)
        better = huber(changed) < huber(residual)
        poses = torch.where(better[:, None, None], trial, poses)
        residual = torch.where(better[:, None, None, None], changed, residual)
        damping = damping * torch.where(better, LESS, MORE)
    return poses


def _normal_equations(
    jacobian: Float[Tensor, "cameras values 6"], residual: Float[Tensor, "cameras values"]
) -> tuple[Float[Tensor, "cameras 6 6"], Float[Tensor, "cameras 6"]]:
    """JᵀWJ and JᵀWr with the weights of the Huber loss."""
    weight = (HUBER / residual.abs().clamp_min(1e-12)).clamp_max(1.0)
    weighted = jacobian * weight[..., None]
    return weighted.mT @ jacobian, (weighted.mT @ residual[..., None])[..., 0]


def _solved(
    curvature: Float[Tensor, "cameras 6 6"],
    gradient: Float[Tensor, "cameras 6"],
    damping: Float[Tensor, "cameras"],
) -> Float[Tensor, "cameras 6"]:
    """(A + λ diag A)⁻¹ g, scaled by the diagonal, for which single precision suffices."""
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    scale = (diagonal + RIDGE * diagonal.mean(1, keepdim=True) + 1e-12).rsqrt()
    scaled = curvature * scale[:, :, None] * scale[:, None]
    extra = (damping + RIDGE)[:, None].expand_as(scale)
    solution, _ = torch.linalg.solve_ex(scaled + torch.diag_embed(extra), scale * gradient)
    return scale * solution


def huber(residual: Float[Tensor, "cameras *values"]) -> Float[Tensor, "cameras"]:
    """Mean Huber loss of each camera."""
    size = residual.flatten(1).abs()
    linear = (size - HUBER).clamp_min(0)
    return (0.5 * (size - linear).square() + HUBER * linear).mean(1)
