"""The narrow waist: what every renderer returns, and what every pose estimator returns."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.geometry.cameras import Cameras


@dataclass(frozen=True)
class Rendering:
    """What every renderer returns, for pixels of any layout."""

    color: Float[Tensor, "*batch 3"]
    """Display-referred RGB in [0, 1], premultiplied: over black, before any background."""
    opacity: Float[Tensor, "*batch"]
    """Share of the pixel that the scene covers, in [0, 1]."""
    depth: Float[Tensor, "*batch"]
    """Mean distance along the ray in scene units; 0 where nothing is hit."""
    normals: Float[Tensor, "*batch 3"] | None = None
    """Unit length, in the world frame."""

    def to(self, device: torch.device | str) -> "Rendering":
        normals = None if self.normals is None else self.normals.to(device)
        return Rendering(
            self.color.to(device), self.opacity.to(device), self.depth.to(device), normals
        )

    @property
    def rgba(self) -> Float[Tensor, "*batch 4"]:
        """Premultiplied."""
        return torch.cat([self.color, self.opacity[..., None]], dim=-1)

    def over(self, background: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
        return self.color + (1 - self.opacity[..., None]) * background


def concatenated(parts: Sequence[Rendering]) -> Rendering:
    """All of them, one after the other; with normals if each has some."""
    normals = [part.normals for part in parts if part.normals is not None]
    return Rendering(
        torch.cat([part.color for part in parts]),
        torch.cat([part.opacity for part in parts]),
        torch.cat([part.depth for part in parts]),
        torch.cat(normals) if len(normals) == len(parts) else None,
    )


@dataclass(frozen=True)
class PoseModes:
    """Where each camera may be: the best mode of the posterior first."""

    world_from_camera: Float[Tensor, "cameras modes 3 4"]
    share: Float[Tensor, "cameras modes"]
    """Of the posterior; the shares of a camera sum to 1, and a mode that it lacks has 0."""


@dataclass(frozen=True)
class PoseEstimate:
    """Cameras recovered from images, each with the error it is expected to have."""

    cameras: Cameras
    axis_errors: Float[Tensor, "cameras 3"]
    """Root mean square error about each of the camera's own axes, as expected, in radians."""
    translation_error: Float[Tensor, "cameras"]
    """Root mean square error of the camera's centre, as expected, in scene units."""
    misfit: Float[Tensor, "cameras"] | None = None
    """Mean square of what the image at the pose differs by from the image that was given."""
    modes: PoseModes | None = None
    """Where the estimator sees all of the poses; the first mode is the estimate."""

    @classmethod
    def isotropic(
        cls,
        cameras: Cameras,
        rotation_error: Float[Tensor, "cameras"],
        translation_error: Float[Tensor, "cameras"],
    ) -> "PoseEstimate":
        """The error about every axis is the same."""
        return cls(cameras, (rotation_error / 3**0.5)[:, None].expand(-1, 3), translation_error)

    @property
    def rotation_error(self) -> Float[Tensor, "cameras"]:
        """Root mean square angle of the error, as expected, in radians."""
        return self.axis_errors.norm(dim=1)

    def or_better(self, others: "PoseEstimate", image: Int[Tensor, "others"]) -> "PoseEstimate":
        """These estimates, but the other ones of the same images where their misfit is less.

        `image` says of which image each of the others is; both know their misfits.
        """
        assert self.misfit is not None, "estimates are compared by their misfit"
        assert others.misfit is not None, "estimates are compared by their misfit"
        misfit = torch.cat([self.misfit, others.misfit])
        index = torch.cat([torch.arange(len(self.cameras), device=image.device), image])
        order = misfit.argsort(descending=True)
        best = torch.empty_like(index[: len(self.cameras)])
        # Of several that are written to one place, the last one remains: that which fits best.
        for each in order.tolist():
            best[index[each]] = each
        poses = [each.cameras.world_from_camera for each in (self, others)]
        return PoseEstimate(
            self.cameras.with_poses(torch.cat(poses)[best]),
            torch.cat([self.axis_errors, others.axis_errors])[best],
            torch.cat([self.translation_error, others.translation_error])[best],
            misfit[best],
        )

    def to(self, device: torch.device | str) -> "PoseEstimate":
        modes = self.modes
        if modes is not None:
            modes = PoseModes(modes.world_from_camera.to(device), modes.share.to(device))
        return PoseEstimate(
            self.cameras.to(device),
            self.axis_errors.to(device),
            self.translation_error.to(device),
            None if self.misfit is None else self.misfit.to(device),
            modes,
        )


Images = Float[Tensor, "images height width 4"]
"""RGBA, premultiplied, in [0, 1]."""

Renderer = Callable[[Cameras], Rendering]
PoseEstimator = Callable[[Images], PoseEstimate]


def supersampled(renderer: Renderer, factor: int) -> Renderer:
    """Render with `factor`² rays a pixel and average: the box filter that cameras have.

    One ray a pixel aliases when the scene has detail below the pixel.
    """

    def render(cameras: Cameras) -> Rendering:
        fine = renderer(cameras.resized(cameras.width * factor, cameras.height * factor))
        opacity = _box(fine.opacity[..., None], factor)[..., 0]
        # Depth is a mean over what was hit, so it averages with opacity as its weight.
        weighted = _box((fine.depth * fine.opacity)[..., None], factor)[..., 0]
        depth = torch.where(opacity > 0, weighted / opacity.clamp_min(1e-8), 0.0)
        return Rendering(_box(fine.color, factor), opacity, depth)

    return renderer if factor == 1 else render


def _box(
    image: Float[Tensor, "cameras fine_height fine_width channels"], factor: int
) -> Float[Tensor, "cameras height width channels"]:
    blocks = image.unflatten(2, (-1, factor)).unflatten(1, (-1, factor))
    return blocks.mean((2, 4))


def pixel_grid(width: int, height: int) -> Float[Tensor, "height width 2"]:
    """(x, y) of every pixel's centre."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1)


def camera_batches(cameras: Cameras, pixels_at_once: int) -> list[Cameras]:
    """The cameras in groups of at most that many pixels, but at least one camera."""
    group = max(1, math.floor(pixels_at_once / (cameras.width * cameras.height)))
    starts = range(0, len(cameras), group)
    return [cameras.select(slice(start, start + group)) for start in starts]
