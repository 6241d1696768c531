"""Quadrilinear interpolation of a light field: what a method that learns has to outperform."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.renders import render_in_parts
from unrender.geometry.camera_grid import CameraGrid
from unrender.geometry.cameras import Cameras
from unrender.rendering.light_field import LightField
from unrender.rendering.plane_sweep import depth_range, middle_cameras
from unrender.rendering.renderer import Images

TRIED, ROUNDS = 10, 2
"""Depths that are compared at once, and how often those around the best are compared again."""
HELD_OUT = 4
"""Views that depths are judged by, at most."""


def quadrilinear(views: Views, cameras: Cameras, focus: float) -> Images:
    """Premultiplied RGBA of cameras, interpolated between views of a grid: see `LightField`.

    `focus` is the depth of the focal plane; see `best_focus`. InputError if the views' cameras
    are no grid.
    """
    grid = CameraGrid.of("the views", views.cameras)
    field = LightField(views.cameras, views.store.__getitem__, grid)
    return render_in_parts(field.renderer(focus), cameras).rgba


def best_focus(views: Views) -> float:
    """The depth at which every second row and column predict the views between them best.

    By their mean squared error, among depths that are evenly spaced in inverse depth over the
    scene's depths. InputError for a grid without three rows or columns.
    """
    grid = CameraGrid.of("the views", views.cameras)
    kept, between = _halves(grid)
    if not len(between):
        raise InputError(
            f"a grid of {len(grid.rows)} rows and {len(grid.columns)} columns: has no view "
            "between others to choose the focus by: give a focus"
        )
    some = views.select(middle_cameras(views.cameras))
    near, _, far = depth_range(some.images[..., :3], some.cameras)
    low, high = 1 / far, 1 / near
    judges = views.select(between)
    inputs, truth = views.select(kept), judges.images[..., :3]
    best = (low + high) / 2
    for _ in range(ROUNDS):
        tried = torch.linspace(low, high, TRIED, dtype=torch.float64).tolist()
        errors = [
            (quadrilinear(inputs, judges.cameras, 1 / each)[..., :3] - truth).square().mean()
            for each in tried
        ]
        best = tried[int(torch.stack(errors).argmin())]
        step = (high - low) / (TRIED - 1)
        low, high = max(best - step, low), min(best + step, high)
    return 1 / best


def _halves(grid: CameraGrid) -> tuple[Int[Tensor, "kept"], Int[Tensor, "between"]]:
    """Numbers of the cameras in even rows and columns, and of some in odd rows and columns.

    Of a grid with fewer than three rows, all rows are kept, and likewise columns. Those between
    others are the nearest to the grid's middle, and none where nothing is left out.
    """
    rows, row_between = _alternate(len(grid.rows))
    columns, column_between = _alternate(len(grid.columns))
    kept = grid.camera[rows[:, None] & columns & grid.present]
    chosen = row_between[:, None] & column_between & grid.present
    if bool(rows.all() & columns.all()):
        return kept, kept[:0]
    down, across = (
        len(line) // 2 - torch.arange(len(line)) for line in (grid.rows, grid.columns)
    )
    away = (down[:, None].square() + across.square())[chosen]
    return kept, grid.camera[chosen][away.argsort()[:HELD_OUT]]


def _alternate(count: int) -> tuple[Bool[Tensor, "lines"], Bool[Tensor, "lines"]]:
    """Which lines are kept, and which are between those; all of fewer than three are both."""
    line = torch.arange(count)
    if count < 3:
        return line >= 0, line >= 0
    return line % 2 == 0, (line % 2 == 1) & (line < count - 1)
