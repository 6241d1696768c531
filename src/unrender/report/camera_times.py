"""When each camera of a moving scene took its images."""

from collections.abc import Sequence

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from unrender.data.view_ids import ViewIds
from unrender.geometry.cameras import Cameras
from unrender.report.plots import PALETTE, panels

COLORS = colormaps["viridis"]
MAX_ROWS = 16
"""With more cameras than this, a row shows all of a split."""


def time_colors(cameras: Cameras) -> tuple[ScalarMappable, list[tuple[float, ...]]]:
    """A color scale of the cameras' times, and the color of each camera."""
    assert cameras.times is not None, "give cameras with times"
    times = cameras.times.double().tolist()
    scale = ScalarMappable(Normalize(min(times), max(times)), COLORS)
    return scale, [tuple(map(float, scale.to_rgba(time))) for time in times]


def add_time_scale(figure: Figure, scale: ScalarMappable, axes: Sequence[Axes]) -> None:
    """A bar beside the axes that says which color is which time."""
    bar = figure.colorbar(scale, ax=list(axes), shrink=0.7, pad=0.02)
    bar.set_label("time")


def draw_times(cameras: Cameras, ids: ViewIds | None, held_out: int) -> Figure:
    """A row of dots for each split and camera: its views over time.

    The last `held_out` views are held out for testing.
    """
    assert cameras.times is not None, "give cameras with times"
    count = len(cameras)
    split = (torch.arange(count) >= count - held_out).long()
    device = torch.zeros_like(split) if ids is None else ids.camera.cpu()
    rows, row = torch.stack([split, device], 1).unique(dim=0, return_inverse=True)
    if len(rows) > MAX_ROWS:
        rows, row = torch.stack([split, 0 * split], 1).unique(dim=0, return_inverse=True)
    several = len(rows[:, 1].unique()) > 1
    labels: list[str] = []
    with panels(9, 1.1 + 0.35 * len(rows)) as (figure, grid):
        axes: Axes = grid[0, 0]
        for k, (kind, number) in enumerate(rows.tolist()):
            times = cameras.times[row == k].tolist()
            axes.plot(times, [k] * len(times), "o", color=PALETTE[kind], alpha=0.6, ms=4)
            of = f", camera {number}" if several else ""
            labels.append(f"{('training', 'held out')[kind]}{of}: {len(times)}")
        axes.set_yticks(range(len(rows)), labels)
        axes.set(xlabel="time", ylim=(len(rows) - 0.5, -0.5))
        return figure
