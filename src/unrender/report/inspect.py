"""HTML page and plot of a dataset: its cameras, warnings and some of its images."""

from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D
from torch import Tensor

from unrender.data.light_field import find_grid
from unrender.data.summary import Summary
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.geometry.bounds import are_parallel, visible_ball
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly
from unrender.report.camera_times import add_time_scale, draw_times, time_colors
from unrender.report.cameras3d import CameraSet, PointCloud, camera_view, frusta
from unrender.report.light_field import draw_light_field
from unrender.report.page import Cell, Fragment, Page, image_grid, paragraph, section, table
from unrender.report.pictures import write_figure
from unrender.report.plots import PALETTE, panels, svg
from unrender.report.sections import view_labels

SHOWN_VIEWS, SHOWN_CAMERAS, SHOWN_POINTS = 6, 120, 4000
EDGES = (0, 1, 2, 0, 3, 4, 0, 3, 2, 1, 4)
"""A polyline along all edges of a frustum with apex 0 and corners 1 to 4."""
FRUSTUM = 0.12
"""Length of a frustum's edges, relative to the median distance from the focus."""


def write_inspection(
    folder: Path,
    title: str,
    summary: Summary,
    cameras: Cameras,
    views: Views | None,
    ids: ViewIds | None = None,
    held_out: int = 0,
) -> list[Path]:
    """Write cameras.png and index.html into the folder, atomically; returns their paths.

    Cameras with times are colored by them, and times.png shows when each took its images. Of a
    light field, light_field.png shows the grid and epipolar-plane images. The last `held_out`
    cameras are held out for testing.
    """
    picture, page = folder / "cameras.png", folder / "index.html"
    cloud = _cloud(views)
    drawing = draw_cameras(cameras, cloud, None if views is None else views.ball)
    write_figure(picture, drawing, 110)
    rows: list[tuple[Cell, ...]] = [(name, value) for name, value in summary.facts.items()]
    files = [picture]
    timeline: list[Fragment] = []
    if cameras.times is not None:
        over_time = draw_times(cameras, ids, held_out)
        files.append(folder / "times.png")
        write_figure(files[-1], over_time, 110)
        timeline = [section("Times", svg(over_time))]
    field: list[Fragment] = []
    found = None if views is None else find_grid(views, held_out)
    if found is not None and not found[0].cameras.sizes.mixed:
        planes = draw_light_field(*found, cameras[len(cameras) - held_out :])
        files.append(folder / "light_field.png")
        write_figure(files[-1], planes, 110)
        field = [section("Light field", svg(planes))]
    pieces: list[Fragment] = [
        section("Summary", table(("", ""), rows)),
        section(
            "Warnings",
            *map(paragraph, summary.notes),
            *map(paragraph, summary.warnings or ("No problems found.",)),
        ),
        section("Cameras", camera_view((CameraSet("cameras", cameras),), cloud, "Cameras.")),
        *timeline,
        *field,
    ]
    if views is not None:
        chosen = evenly(SHOWN_VIEWS, len(views))
        images = [views[k].over("white")[0] for k in chosen]
        shown = image_grid([("images", images)], view_labels(views, chosen))
        pieces.append(section("Images", shown))
    Page(title, f"{len(cameras)} cameras", tuple(pieces)).write(page)
    return [*files, page]


def _cloud(views: Views | None) -> PointCloud | None:
    if views is None or views.points is None or not len(views.points):
        return None
    every = max(1, len(views.points) // SHOWN_POINTS)
    points = views.points[::every]
    if views.point_colors is None:
        return PointCloud(points, torch.full_like(points, 0.5))
    return PointCloud(points, views.point_colors[::every])


def draw_cameras(
    cameras: Cameras, cloud: PointCloud | None, ball: Float[Tensor, "4"] | None = None
) -> Figure:
    """Cameras, points and the ball that all cameras see, from the side and from above.

    Of parallel cameras, which see no ball in common, the known `ball`. Cameras with times are
    colored by them.
    """
    center, radius = visible_ball(cameras)
    if ball is not None and are_parallel(cameras):
        center, radius = ball[:3], float(ball[3])
    reach = float((cameras.centers - center).norm(dim=1).median())
    chosen = evenly(SHOWN_CAMERAS, len(cameras))
    shapes = frusta(cameras.select(torch.tensor(chosen)), FRUSTUM * reach)
    # One polyline for all frusta: NaN breaks it between them.
    gap = torch.full((len(shapes), 1, 3), torch.nan)
    lines = torch.cat([shapes[:, list(EDGES)], gap], dim=1).numpy()
    scale, colors = None, []
    if cameras.times is not None:
        scale, colors = time_colors(cameras)
    names = ((15, -60, "side view"), (90, -90, "top view"))
    with panels(11, 5.2, 1, 2, subplot_kw={"projection": "3d"}) as (figure, (grid,)):
        for axes, (elevation, azimuth, name) in zip(grid, names, strict=True):
            assert isinstance(axes, Axes3D)
            if cloud is not None:
                near = (cloud.points - center).norm(dim=1) < 2 * (reach + radius)
                axes.scatter(
                    *cloud.points[near].T.numpy(), c=cloud.colors[near].numpy(), s=1, alpha=0.6
                )
            if scale is None:
                axes.plot(*lines.reshape(-1, 3).T, color=PALETTE[0], linewidth=0.8)
            else:
                for k, line in zip(chosen, lines, strict=True):
                    axes.plot(*line.T, color=colors[k], linewidth=0.8)
            angle = torch.linspace(0, 2 * torch.pi, 60)
            ring = radius * torch.stack([angle.cos(), angle.sin(), 0 * angle]).numpy()
            for order in ((0, 1, 2), (0, 2, 1), (2, 0, 1)):
                turned = ring[list(order)] + center.numpy()[:, None]
                axes.plot(*turned, color=PALETTE[1], linewidth=1)
            axes.view_init(elevation, azimuth)
            axes.set_aspect("equal")
            axes.set(title=name, xlabel="x", ylabel="y", zlabel="z")
        if scale is not None:
            add_time_scale(figure, scale, list(grid))
        return figure
