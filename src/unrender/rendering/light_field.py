"""Images from a grid of images, without a model of the scene.

Levoy and Hanrahan, "Light Field Rendering", SIGGRAPH 1996; Gortler et al., "The Lumigraph",
SIGGRAPH 1996; Isaksen, McMillan, Gortler, "Dynamically Reparameterized Light Fields", SIGGRAPH
2000. A ray's color is interpolated among the four cameras around the point in which it meets
the cameras' plane, at the pixels in which these see the point where it meets the focal plane:
linear in all four of its coordinates. Things in the focal plane are sharp, others are seen
several times. With an aperture, a ray's color is the mean over a disc around the point in the
cameras' plane, as a lens of this size takes it: what is off the focal plane is blurred.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from unrender.errors import InputError
from unrender.geometry.camera_grid import CameraGrid
from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.two_plane import LEVEL, TwoPlanes
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles

LENS_SAMPLES, FEWER_SAMPLES = 1024, 128
"""Points of a lens, spread evenly over its disc: of one for all rays, and of one for each."""
RAYS_AT_ONCE, LENSES_AT_ONCE = 1 << 18, 1 << 12


@dataclass(frozen=True)
class LightField:
    """Images of a grid of cameras."""

    cameras: Cameras
    image: Callable[[int], Float[Tensor, "height width channels"]]
    """The image of each camera: RGB, or premultiplied RGBA, in [0, 1]."""
    grid: CameraGrid

    def renderer(self, focus: float, aperture: float = 0.0) -> Callable[[Cameras], Rendering]:
        """Render whole images, with the focal plane and the aperture of `render_rays`."""

        def render(cameras: Cameras) -> Rendering:
            return render_in_tiles(
                cameras, RAYS_AT_ONCE, lambda rays: self.render_rays(rays, focus, aperture)
            )

        return render

    def render_rays(self, rays: Rays, focus: float, aperture: float = 0.0) -> Rendering:
        """The colors of rays.

        `focus` is the distance of the focal plane from the plane of the grid's cameras, and
        `aperture` the diameter of the lens, 0 for a pinhole; both in scene units. Where no
        camera sees the point in the focal plane, or it is behind the ray's origin, the opacity
        is 0. InputError for a focus that is not in front of the cameras.
        """
        if not 0 < focus < math.inf:
            raise InputError(f"focus {focus:g}: is not in front of the cameras: give above 0")
        if not 0 <= aperture < math.inf:
            raise InputError(f"aperture {aperture:g}: give a diameter of at least 0")
        forward = self.grid.frame[:, 2]
        ahead = rays.directions @ forward
        toward = ahead.abs() > LEVEL
        level = torch.where(toward[:, None], rays.directions, forward)
        found = TwoPlanes(self.grid.frame, 0.0, focus).coordinates(rays.origins, level)
        distance = (focus - (rays.origins - self.grid.frame[:, 3]) @ forward) / ahead
        seen = toward & (distance > 0)
        points = rays.origins + distance.masked_fill(~seen, 0.0)[:, None] * rays.directions
        color = self._mean(found[:, :2], points, aperture)
        color = color * seen[:, None]
        opacity = color[:, 3]
        return Rendering(color[:, :3], opacity, (distance * (opacity > 0)).nan_to_num(0.0))

    def _mean(
        self,
        places: Float[Tensor, "rays 2"],
        points: Float[Tensor, "rays 3"],
        aperture: float,
    ) -> Float[Tensor, "rays 4"]:
        """Premultiplied RGBA: the cameras' colors at points, by their weights at places."""
        # The rays of a camera in the grid's plane all meet it in one place.
        spread = places.amax(0) - places.amin(0)
        one = bool((spread <= 1e-5 * max(self.grid.extent)).all())
        weights = self.weights(places[:1] if one else places, aperture)
        total = points.new_zeros(len(points), 4)
        share = points.new_zeros(len(points))
        for k in (weights > 0).any(0).nonzero()[:, 0].tolist():
            some = None if one else (weights[:, k] > 0).nonzero()[:, 0]
            colors, inside = self._look_up(k, points if some is None else points[some])
            if some is None:
                weight = weights[0, k] * inside
                total += weight[:, None] * colors
                share += weight
            else:
                weight = weights[some, k] * inside
                total.index_add_(0, some, weight[:, None] * colors)
                share.index_add_(0, some, weight)
        # A camera whose image ends before the point has no say.
        return total / share.clamp_min(1e-6)[:, None] * (share > 1e-6)[:, None]

    def weights(
        self, places: Float[Tensor, "places 2"], aperture: float = 0.0
    ) -> Float[Tensor, "places cameras"]:
        """How much each camera counts for lenses at places in the grid's plane; sums are 1.

        The mean of the bilinear weights over the part of a lens that is inside the grid. Of a
        lens that is wholly outside, the weights of the nearest cameras.
        """
        count = LENS_SAMPLES if len(places) == 1 else FEWER_SAMPLES
        # A lens around the whole grid takes all of it, however large it is.
        radius = min(aperture / 2, math.hypot(*self.grid.extent))
        lens = _disc(count if aperture else 1) * radius
        return torch.cat([self._lenses(some, lens) for some in places.split(LENSES_AT_ONCE)])

    def _lenses(
        self, places: Float[Tensor, "places 2"], lens: Float[Tensor, "samples 2"]
    ) -> Float[Tensor, "places cameras"]:
        each = places[:, None] + lens
        # Of a single row, all points of a lens count, wherever they are above or below it.
        single = torch.tensor([len(self.grid.columns) == 1, len(self.grid.rows) == 1])
        inside = self.grid.contains(each.masked_fill(single, 0.0))
        counted = torch.where(inside.any(1, keepdim=True), inside, ~inside).float()
        counted = counted / counted.sum(1, keepdim=True)
        numbers, shares = self.grid.weights(each)
        found = torch.zeros(len(places), len(self.cameras))
        return found.scatter_add(
            1, numbers.flatten(1), (shares * counted[..., None]).flatten(1)
        )

    def _look_up(
        self, index: int, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, "points 4"], Float[Tensor, "points"]]:
        """RGBA of a camera's image at world points, and 1 where it shows them, else 0."""
        pixels, depth = self.cameras.project(torch.tensor(index).expand(len(points)), points)
        size = torch.tensor(self.cameras.sizes[index])
        place = pixels / size * 2 - 1
        inside = (depth > 0) & (place.abs() <= 1).all(1)
        image = self.image(index)
        found = grid_sample(
            image.movedim(-1, 0)[None],
            place.nan_to_num(0.0)[None, None],
            align_corners=False,
            padding_mode="border",
        )[0, :, 0].T
        if found.shape[1] == 3:
            found = torch.cat([found, torch.ones_like(found[:, :1])], dim=1)
        return found, inside.to(found)


def _disc(count: int) -> Float[Tensor, "{count} 2"]:
    """Points spread evenly over the unit disc (Vogel's spiral); one point is its center."""
    if count == 1:
        return torch.zeros(1, 2)
    index = torch.arange(count)
    radius = ((index + 0.5) / count).sqrt()
    angle = index * math.pi * (3 - 5**0.5)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
