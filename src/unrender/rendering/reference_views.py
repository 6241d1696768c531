"""Posed images kept in a model, whose colors are looked up where rays appear in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pad

from unrender.geometry.bounds import focus_point
from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.epipolar import EpipolarLines, epipolar_lines, inside_images
from unrender.geometry.nearest_views import nearest_views
from unrender.geometry.sizes import ImageSizes

BORDER = 2
"""Pixels around a position that bicubic interpolation reads."""

EXTREMES_AT_ONCE = 16
"""Points whose coordinates are next to one another in a reduction: one of two alone is slow."""


@dataclass(frozen=True)
class ReferencePatches:
    """Square parts of references."""

    views: Int[Tensor, "patches"]
    corners: Int[Tensor, "patches 2"]
    """Their first pixels (x, y)."""
    side: int
    colors: Float[Tensor, "patches pixels channels"]
    """In [0, 1], row by row."""


class ReferenceViews(nn.Module):
    """Images of 8 bits and their cameras, in buffers, so that a checkpoint holds them."""

    pixels: UInt8[Tensor, "views channels height width"]
    """RGB or premultiplied RGBA. Images smaller than the largest go on with their last row and
    column."""
    world_from_camera: Float[Tensor, "views 3 4"]
    intrinsics: Float[Tensor, "views 3 3"]
    sizes: Int[Tensor, "views 2"]
    """Widths and heights."""
    neighbors: Int[Tensor, "views nearest"]
    """The references nearest to each, the nearest first, without itself."""
    center: Float[Tensor, "3"]
    """The point whose distance is the unit of distances between cameras."""
    spacing: Float[Tensor, ""]
    """Mean distance of a camera from the next, in scene units."""

    def __init__(self, shape: Sequence[int], nearest: int):
        """Black images of this shape, [views, channels, height, width]."""
        super().__init__()
        views, _, height, width = shape
        self.register_buffer("pixels", torch.zeros(*shape, dtype=torch.uint8))
        self.register_buffer("world_from_camera", torch.eye(3, 4).repeat(views, 1, 1))
        self.register_buffer("intrinsics", torch.eye(3).repeat(views, 1, 1))
        self.register_buffer("sizes", torch.tensor([[width, height]]).repeat(views, 1))
        self.register_buffer("neighbors", torch.zeros(views, nearest, dtype=torch.long))
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("spacing", torch.ones(()))

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def channels(self) -> int:
        """3 for RGB, 4 for RGBA."""
        return self.pixels.shape[1]

    @property
    def cameras(self) -> Cameras:
        sizes = ImageSizes(self.sizes.cpu())
        return Cameras(self.world_from_camera, self.intrinsics, sizes=sizes)

    def put_cameras(self, cameras: Cameras) -> None:
        """Set the cameras, and what follows from where they are."""
        self.world_from_camera.copy_(cameras.world_from_camera)
        self.intrinsics.copy_(cameras.intrinsics)
        self.sizes.copy_(cameras.sizes.rows.expand(len(self), 2))
        self.center.copy_(focus_point(cameras))
        views, nearest = self.neighbors.shape
        order = self.nearest(cameras, nearest + 1)
        others = order != torch.arange(views, device=order.device)[:, None]
        # Another view from the same place may come before a view itself.
        others[:, -1] &= ~others.all(1)
        self.neighbors.copy_(order[others].view(views, nearest))
        next_one = cameras.centers[self.neighbors[:, 0]]
        step = (next_one - cameras.centers).norm(dim=1).mean()
        if step > 0:
            self.spacing.copy_(step)

    def put_image(self, index: int, image: UInt8[Tensor, "high wide channels"]) -> None:
        """Set one image, of the size of its camera."""
        height, width = self.pixels.shape[2:]
        margin = (0, width - image.shape[1], 0, height - image.shape[0])
        shown = pad(image.movedim(-1, 0)[None].float(), margin, mode="replicate")[0]
        self.pixels[index].copy_(shown)

    def sample_patches(
        self, count: int, side: int, generator: torch.Generator
    ) -> "ReferencePatches":
        """Square patches of random references, of at most `side` pixels a side."""
        device = self.pixels.device
        side = min(side, *self.sizes.amin(0).tolist())
        views = torch.randint(len(self), (count,), generator=generator)
        room = self.sizes.cpu()[views] - side + 1
        corners = (torch.rand(count, 2, generator=generator) * room).long()
        parts = [
            self.pixels[view, :, y : y + side, x : x + side]
            for view, (x, y) in zip(views.tolist(), corners.tolist(), strict=True)
        ]
        colors = torch.stack(parts).flatten(2).mT.float() / 255
        return ReferencePatches(views.to(device), corners.to(device), side, colors)

    def nearest(self, cameras: Cameras, count: int) -> Int[Tensor, "cameras {count}"]:
        """The references nearest to cameras, nearest first. InputError if there are fewer."""
        return nearest_views(cameras, self.cameras, self.center, count)

    def offsets(
        self, targets: Cameras, chosen: Int[Tensor, "targets views"]
    ) -> Float[Tensor, "targets views 3"]:
        """The references' centers in the targets' frames, in spacings between cameras."""
        apart = self.world_from_camera[chosen][..., 3] - targets.centers[:, None]
        return apart @ targets.rotations / self.spacing

    def lines(self, rays: Rays, chosen: Int[Tensor, "groups views"]) -> EpipolarLines:
        """The images of groups of rays, [groups, rays], in the references chosen for each."""
        return epipolar_lines(rays, self.cameras, chosen)

    def along(
        self,
        lines: EpipolarLines,
        chosen: Int[Tensor, "groups views"],
        inverse: Float[Tensor, "... points"],
        mode: Literal["bilinear", "bicubic"],
    ) -> tuple[
        Float[Tensor, "groups views channels rays points"],
        Bool[Tensor, "groups views rays points"],
    ]:
        """Colors at points of the lines of the references chosen for each group.

        `inverse` are the points' inverse distances along the rays, for all rays or for each.
        Also whether the points are in front of the cameras and in the images.
        """
        pixels, ahead = lines.pixels(inverse)
        flat = pixels.flatten(2, 3)
        inside = inside_images(flat, self.sizes[chosen].to(flat)).view_as(ahead)
        colors = self.look_up(chosen, flat, mode).unflatten(3, ahead.shape[2:])
        return colors, ahead & inside

    def look_up(
        self,
        chosen: Int[Tensor, "groups views"],
        pixels: Float[Tensor, "groups views points 2"],
        mode: Literal["bilinear", "bicubic"],
    ) -> Float[Tensor, "groups views channels points"]:
        """Interpolated colors in [0, 1] at pixels of the images chosen for each group.

        Outside an image, those of its border. Differentiable in the pixels.
        """
        size = self.sizes[chosen].to(pixels)[:, :, None]
        places = torch.minimum(pixels.clamp_min(0.5), size - 0.5)
        # Only the parts of the images that are read are converted to floats.
        low, high = _extremes(places.detach())
        start = (low.long() - BORDER).clamp_min(0)
        end = high.long() + BORDER + 1
        height, width = self.pixels.shape[2:]
        across, down = (end - start).flatten(0, 1).amax(0).tolist()
        across, down = min(across, width), min(down, height)
        start = torch.minimum(start, torch.tensor([width - across, height - down]).to(start))
        parts = [
            self.pixels[view, :, y : y + down, x : x + across]
            for view, (x, y) in zip(
                chosen.flatten().tolist(), start.flatten(0, 1).tolist(), strict=True
            )
        ]
        # From the pixels of a part to [−1, 1].
        scale = 2 / torch.tensor([across, down]).to(places)
        grid = places * scale - (start[:, :, None] * scale + 1)
        shown = grid_sample(
            torch.stack(parts).float() / 255,
            grid.flatten(0, 1)[:, None],
            mode=mode,
            padding_mode="border",
            align_corners=False,
        )
        return shown[:, :, 0].unflatten(0, chosen.shape)


def _extremes(x: Float[Tensor, "a b points 2"]) -> tuple[Tensor, Tensor]:
    """Least and greatest coordinates: x.amin(2) and x.amax(2), fifty times as fast."""
    rest = -x.shape[2] % EXTREMES_AT_ONCE
    x = torch.cat([x, x[:, :, :1].expand(-1, -1, rest, -1)], dim=2) if rest else x
    many = x.unflatten(2, (-1, EXTREMES_AT_ONCE)).flatten(3)
    low, high = many.amin(2), many.amax(2)
    shape = (EXTREMES_AT_ONCE, 2)
    return low.unflatten(2, shape).amin(2), high.unflatten(2, shape).amax(2)
