"""Drawings of a camera's pixel grid, and of its rays in 3D with their samples.

Pixels are colored by their position (red increases with x, green with y) in both drawings, so
that they can be read side by side.
"""

import torch
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from mpl_toolkits.mplot3d.axes3d import Axes3D
from torch import Tensor

from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.pixels import pixel_grid
from unrender.report.plots import PALETTE, STYLE

EDGES = [(a, b) for a in range(8) for b in range(a) if a ^ b in (1, 2, 4)]
"""Edges of a box: pairs of corners, numbered in binary, that differ along one axis."""


def place_colors(
    pixels: Float[Tensor, "*batch 2"], width: int, height: int
) -> Float[Tensor, "*batch 3"]:
    """RGB in [0, 1] of pixel positions: red increases with x, green with y."""
    share = pixels / torch.tensor([width, height])
    return torch.cat([share, torch.full_like(share[..., :1], 0.35)], dim=-1)


def draw_pixel_grid(axes: Axes, width: int, height: int) -> None:
    """Draw an image's pixels colored by position, their centers, and the axes x and y."""
    centers = pixel_grid(width, height)
    colors = place_colors(centers, width, height)
    axes.imshow(colors.numpy(), extent=(0, width, height, 0), interpolation="nearest")
    axes.scatter(*centers.flatten(0, 1).T.numpy(), color="white", s=6, linewidths=0)
    axes.set_xticks(range(width + 1), minor=True)
    axes.set_yticks(range(height + 1), minor=True)
    axes.grid(visible=False)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.set(xlabel="x (pixels)", ylabel="y (pixels)", title="pixels, with centers at +0.5")


def draw_image_plane(axes: Axes3D, camera: Cameras, size: float) -> None:
    """Draw the same grid in 3D, at depth `size` in front of the single camera."""
    width, height = camera.width, camera.height
    corners = torch.cartesian_prod(torch.arange(width + 1.0), torch.arange(height + 1.0))
    plane = _on_plane(camera, corners, size).view(width + 1, height + 1, 3)
    faces = torch.stack([plane[:-1, :-1], plane[1:, :-1], plane[1:, 1:], plane[:-1, 1:]], dim=2)
    colors = place_colors(pixel_grid(width, height).transpose(0, 1), width, height)
    axes.add_collection3d(
        Poly3DCollection(
            list(faces.flatten(0, 1).numpy()),
            facecolors=colors.flatten(0, 1).numpy(),
            edgecolors="white",
            linewidths=0.4,
            alpha=0.85,
        )
    )
    frame = corners.new_tensor([[0, 0], [width, 0], [width, height], [0, height]])
    for corner in _on_plane(camera, frame, size):
        _line(axes, torch.stack([camera.centers[0], corner]), "#666666", 0.8)


def draw_rays(
    axes: Axes3D,
    rays: Rays,
    colors: Float[Tensor, "rays 3"],
    edges: Float[Tensor, "rays edges"],
    samples: Float[Tensor, "rays samples 3"],
) -> None:
    """Draw rays from their origins to their last edge, and the samples on them."""
    ends = rays.origins + edges[:, -1:] * rays.directions
    for origin, end, color in zip(rays.origins, ends, colors, strict=True):
        _line(axes, torch.stack([origin, end]), color.tolist(), 0.9)
    for places, color in zip(samples, colors, strict=True):
        axes.scatter(*places.T.numpy(), color=color.tolist(), s=9, depthshade=False)


def draw_box(
    axes: Axes3D,
    center: Float[Tensor, "3"],
    sides: Float[Tensor, "3"],
    color: str = PALETTE[0],
    name: str = "",
) -> None:
    """Draw the twelve edges of an axis-aligned box."""
    signs = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 3)
    corners = center + signs * sides
    for number, pair in enumerate(EDGES):
        _line(axes, corners[list(pair)], color, 1.6, name if number == 0 else "")


def space(figure: Figure, place: tuple[int, int, int]) -> Axes3D:
    """3D axes at `place`, (rows, columns, index) as in `Figure.add_subplot`."""
    with rc_context(STYLE):
        axes = figure.add_subplot(*place, projection="3d")
    assert isinstance(axes, Axes3D)
    axes.set(xlabel="x", ylabel="y", zlabel="z")
    axes.tick_params(labelsize=7, pad=-2)
    return axes


def _on_plane(
    camera: Cameras, pixels: Float[Tensor, "pixels 2"], size: float
) -> Float[Tensor, "pixels 3"]:
    """Points of pixels in the plane at depth `size` in front of the camera."""
    rays = camera.rays(torch.zeros(len(pixels), dtype=torch.long), pixels)
    along = rays.directions @ camera.rotations[0, :, 2]
    return rays.origins + size / along[:, None] * rays.directions


def _line(
    axes: Axes3D,
    points: Float[Tensor, "points 3"],
    color: str | list[float],
    width: float,
    name: str = "",
) -> None:
    axes.plot(*points.T.numpy(), color=color, linewidth=width, label=name or None)
