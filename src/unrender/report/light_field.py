"""A light field, drawn: where its cameras stand, and what moves between their images."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from unrender.data.light_field import depths_of, epipolar_plane_image, in_digits
from unrender.data.views import Views
from unrender.geometry.camera_grid import CameraGrid
from unrender.geometry.cameras import Cameras
from unrender.report.plots import PALETTE, panels

LINES = (0.25, 0.5, 0.75)
"""Where epipolar-plane images are taken, as shares of the image's height and width."""
HOLE = "#bbbbbb"


def draw_light_field(views: Views, grid: CameraGrid, held_out: Cameras) -> Figure:
    """Positions of the cameras, the middle view, and epipolar-plane images through it.

    `held_out` are the cameras of views that are held out. Dashed lines have the slopes of the
    nearest, the median and the farthest depth.
    """
    depths = depths_of(views)
    assert depths is not None, "give images of one size"
    width, height = views.cameras.sizes.one
    rows, columns = ([int(share * side) for share in LINES] for side in (height, width))
    with panels(11, 11, 4, 2, height_ratios=(1.4, 1, 1, 1)) as (figure, places):
        _draw_positions(places[0][0], grid, held_out)
        _draw_middle(places[0][1], views, grid, rows, columns)
        for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
            for axes, pixel, vertical in (
                (places[k + 1][0], row, False), (places[k + 1][1], column, True),
            ):  # fmt: skip
                _draw_planes(axes, views, grid, pixel, vertical, depths, first=k == 0)
        return figure


def _draw_positions(axes: Axes, grid: CameraGrid, held_out: Cameras) -> None:
    across, down = (
        each.flatten() for each in torch.meshgrid(grid.columns, grid.rows, indexing="xy")
    )
    there = grid.present.flatten()
    axes.scatter(across[there], down[there], s=14, color=PALETTE[0], label="views")
    if grid.num_holes:
        axes.scatter(
            across[~there], down[~there], s=20, color=PALETTE[1], marker="x", label="missing"
        )
    if len(held_out):
        local = (held_out.centers - grid.frame[:, 3]) @ grid.frame[:, :3]
        axes.scatter(
            local[:, 0], local[:, 1], s=14, color=PALETTE[4], marker="s", label="held out"
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_yaxis()
    axes.set(title="cameras, as seen from behind", xlabel="u, to the right", ylabel="v, down")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _draw_middle(
    axes: Axes, views: Views, grid: CameraGrid, rows: list[int], columns: list[int]
) -> None:
    axes.imshow(_image(views.store[grid.middle]))
    for row in rows:
        axes.axhline(row + 0.5, color=PALETTE[4], linewidth=1)
    for column in columns:
        axes.axvline(column + 0.5, color=PALETTE[5], linewidth=1)
    axes.set(title="the middle view", xticks=[], yticks=[])


def _draw_planes(
    axes: Axes,
    views: Views,
    grid: CameraGrid,
    pixel: int,
    vertical: bool,
    depths: tuple[float, float, float],
    first: bool,
) -> None:
    """One epipolar-plane image, with the slopes of three depths at its middle."""
    lines = (grid.columns, grid.rows)
    middle = len(lines[0 if vertical else 1]) // 2
    planes = epipolar_plane_image(views, grid, middle, pixel, vertical)
    side, count = planes.shape[1], len(planes)
    edges = (0, side, count - 0.5, -0.5)
    axes.imshow(_image(planes), aspect="auto", extent=edges, interpolation="nearest")
    numbers = grid.camera[:, middle] if vertical else grid.camera[middle]
    there = (grid.present[:, middle] if vertical else grid.present[middle]).nonzero()[:, 0]
    width, height = views.cameras.sizes.one
    place = torch.tensor(
        [[pixel + 0.5, height / 2]] if vertical else [[width / 2, pixel + 0.5]]
    )
    for depth, color, name in zip(
        depths, (PALETTE[1], PALETTE[4], PALETTE[2]), ("nearest", "median", "farthest"),
        strict=True,
    ):  # fmt: skip
        rays = views.cameras.rays(torch.tensor([grid.middle]), place)
        ahead = float(rays.directions[0] @ grid.frame[:, 2])
        point = rays.origins + depth / ahead * rays.directions
        pixels, _ = views.cameras.project(numbers[there], point.expand(len(there), 3))
        axes.plot(
            pixels[:, int(vertical)], there, "--", color=color, linewidth=1.4,
            label=f"{name} depth, {in_digits(depth)}",
        )  # fmt: skip
    axes.set_xlim(0, side)
    axes.set_ylim(count - 0.5, -0.5)
    axes.grid(visible=False)
    what, along = ("column", "rows") if vertical else ("row", "columns")
    axes.set(title=f"{what} {pixel} of the images in all {along} of the grid")
    axes.set_ylabel(along)
    if first:
        axes.legend(
            loc="upper left", fontsize=8, facecolor="white", frameon=True, framealpha=0.8
        )


def _image(image: Float[Tensor, "height width channels"]) -> "np.ndarray[Any, Any]":
    """For matplotlib: gray where it is unknown."""
    color = image[..., :3]
    gray = torch.full_like(color, int(HOLE[1:3], 16) / 255)
    return torch.where(color.isnan(), gray, color).clamp(0, 1).numpy()
