"""Pictures and figures of docs/cameras_of_datasets.md, from real cameras.

    python benchmarks/camera_conventions.py [--only NAME ...] [--ending svg|png]

Needs the data sets of `../shared/data`; only drawings of their cameras are kept. Takes seconds.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import record
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from unrender.data.formats.idr import idr_cameras, read_idr_matrices
from unrender.data.formats.realestate10k import read_realestate10k
from unrender.data.load import load_dataset
from unrender.data.options import LoadOptions
from unrender.data.views import Views
from unrender.geometry.bounds import focus_point
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly
from unrender.geometry.poses import compose, invert, so3_distance
from unrender.geometry.sizes import ImageSizes
from unrender.geometry.spherical import position_from_spherical, spherical_from_pose
from unrender.geometry.view_conditions import (
    embedding_3dof,
    embedding_6dof,
    fields_of_view,
    norm_scale,
    opengl_poses,
)
from unrender.report.cameras3d import frusta
from unrender.report.inspect import EDGES
from unrender.report.plots import PALETTE, panels

DATA = record.ROOT.parent / "shared/data"
OUT = record.ROOT / "docs/images"
RESULTS = record.ROOT / "benchmarks/results/camera_conventions.json"
IDR_SCENE, IDR_SIZE = "dtu/scan65_400x300", (400, 300)

X, Y, Z = PALETTE[1], PALETTE[2], PALETTE[0]
GREY, LIGHT, INK = "#777777", "#bbbbbb", "#101112"
AXIS_COLORS = dict(zip("xyz", (X, Y, Z), strict=True))

SPACES = {
    "width_ratios": (1.55, 1), "left": 0.01, "right": 0.99, "bottom": 0.02, "top": 0.98,
    "wspace": 0.04,
}  # fmt: skip

# Axes of cameras as columns, in OpenCV's: x right, y down, z forward.
OPENCV = torch.eye(3)
OPENGL = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
LLFF = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
PYTORCH3D = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))


@dataclass(frozen=True)
class Drawn:
    """What one picture shows, in the world frame of the files."""

    cameras: Cameras
    axes: Float[Tensor, "3 3"]
    """Columns: the files' camera axes in OpenCV's."""
    up: Sequence[float]
    """Direction that is up in the drawing."""
    pixels: tuple[str, str]
    """What is written at the image's upper left and lower right corner."""
    note: str
    """Under the image."""
    points: Float[Tensor, "points 3"] | None = None
    ball: tuple[Sequence[float], float] | None = None
    azimuth: float = 35.0
    elevation: float = 22.0
    world: tuple[str, str, str] = ("x", "y", "z")
    shown: int = 14
    highlighted: Sequence[int] = (0,)
    """Cameras whose axes are drawn large, with names."""


# Drawing.


def projector(up: Sequence[float], azimuth: float, elevation: float) -> Float[Tensor, "2 3"]:
    """An orthographic view from this azimuth about `up`, in degrees, and elevation."""
    z = torch.nn.functional.normalize(torch.tensor([*map(float, up)]), dim=0)
    helper = torch.eye(3)[int(z.abs().argmin())]
    x = torch.nn.functional.normalize(helper - (helper @ z) * z, dim=0)
    y = torch.linalg.cross(z, x)
    a, e = math.radians(azimuth), math.radians(elevation)
    right = -math.sin(a) * x + math.cos(a) * y
    above = -math.sin(e) * (math.cos(a) * x + math.sin(a) * y) + math.cos(e) * z
    return torch.stack([right, above])


def draw_world(axes: Axes, drawn: Drawn) -> None:
    """Cameras with their axes, the world's axes, and the object."""
    view = projector(drawn.up, drawn.azimuth, drawn.elevation)
    highlighted = drawn.highlighted
    chosen = sorted({*evenly(drawn.shown, len(drawn.cameras)), *highlighted})
    cameras = drawn.cameras.select(torch.tensor(chosen))
    spread = float((drawn.cameras.centers - drawn.cameras.centers.mean(0)).norm(dim=1).max())
    size = 0.16 * spread
    if drawn.points is not None:
        axes.scatter(*(drawn.points @ view.T).T.numpy(), s=0.6, color=LIGHT, rasterized=True)
    if drawn.ball is not None:
        center, radius = torch.tensor(list(map(float, drawn.ball[0]))), drawn.ball[1]
        x, y = (view @ center).tolist()
        axes.add_patch(Circle((x, y), radius, color=LIGHT, alpha=0.45, linewidth=0))
    for shape in frusta(cameras, size) @ view.T:
        axes.plot(*shape[list(EDGES)].T.numpy(), color=GREY, linewidth=0.6)
    for k, pose in zip(chosen, cameras.world_from_camera, strict=True):
        strong = k in highlighted
        place = view @ pose[:, 3]
        for column, name in enumerate("xyz"):
            tip = view @ (pose[:, :3] @ drawn.axes[:, column])
            reach = (1.5 if strong else 0.55) * size
            _arrow(axes, place, place + reach * tip, AXIS_COLORS[name], name if strong else "")
    for column, name in enumerate(drawn.world):
        tip = view @ torch.eye(3)[column]
        if name:
            _arrow(axes, torch.zeros(2), 2.2 * size * tip, INK, name)
    if any(drawn.world):
        axes.plot(0, 0, "o", color=INK, markersize=2.5)
    axes.set_aspect("equal", adjustable="datalim")
    axes.axis("off")
    axes.margins(0.06)


def draw_camera(axes: Axes, drawn: Drawn) -> None:
    """The image as the camera sees it, with the camera's axes and the corners' pixels."""
    axes.add_patch(Rectangle((-1.2, -0.8), 2.4, 1.6, fill=False, edgecolor=GREY))
    for column, name in enumerate("xyz"):
        right, down, forward = drawn.axes[:, column].tolist()
        color = AXIS_COLORS[name]
        if abs(forward) < 0.5:
            end = torch.tensor([0.62 * right, -0.52 * down])
            _arrow(axes, torch.zeros(2), end, color, name, 1.6)
        else:
            axes.add_patch(Circle((0, 0), 0.1, facecolor="white", edgecolor=color, zorder=5))
            if forward > 0:  # The feathers of an arrow that flies away.
                for slope in (-1, 1):
                    axes.plot(
                        (-0.07, 0.07), (-0.07 * slope, 0.07 * slope), color=color, zorder=6
                    )
            else:
                axes.plot(0, 0, "o", color=color, markersize=3, zorder=6)
            # In the quarter of the image in which no other axis is drawn.
            others = [other for other in range(3) if other != column]
            right, down = (-float(drawn.axes[k, others].sum()) for k in (0, 1))
            axes.text(
                0.16 * right, -0.16 * down,
                "z, into the scene" if forward > 0 else "z, out of the scene",
                color=color, fontsize=8,
                ha="left" if right > 0 else "right", va="top" if down > 0 else "bottom",
            )  # fmt: skip
    axes.plot(-1.2, 0.8, "o", color=INK, markersize=3)
    axes.text(-1.2, 0.87, drawn.pixels[0], fontsize=8, va="bottom")
    axes.text(1.2, -0.87, drawn.pixels[1], fontsize=8, va="top", ha="right")
    axes.text(0, -1.2, drawn.note, fontsize=8, va="top", ha="center")
    axes.set_xlim(-1.35, 1.35)
    axes.set_ylim(-1.75, 1.1)
    axes.set_aspect("equal")
    axes.axis("off")


def _arrow(
    axes: Axes, start: Tensor, end: Tensor, color: str, name: str = "", width: float = 1.1
) -> None:
    strong = bool(name)
    axes.annotate(
        "", _pair(end), _pair(start),
        arrowprops={
            "arrowstyle": "-|>" if strong else "-", "color": color, "shrinkA": 0, "shrinkB": 0,
            "linewidth": width if strong else 0.8, "mutation_scale": 7,
        },
    )  # fmt: skip
    axes.update_datalim([_pair(end)])
    if strong:
        offset = (end - start) / (end - start).norm().clamp_min(1e-9)
        axes.annotate(
            name, _pair(end), _pair(6 * offset), textcoords="offset points",
            color=color, fontsize=8.5, ha="center", va="center",
        )  # fmt: skip


def _pair(place: Tensor) -> tuple[float, float]:
    return float(place[0]), float(place[1])


def picture(drawn: Drawn) -> Figure:
    with panels(7.6, 3.3, 1, 2, gridspec_kw=SPACES) as (figure, ((world, camera),)):
        draw_world(world, drawn)
        draw_camera(camera, drawn)
        return figure


# Data sets.


def _read(name: str, downscale: int = 4) -> Views:
    return load_dataset(DATA / name, LoadOptions(downscale=downscale, hold_out=0)).train


def _up(cameras: Cameras) -> Sequence[float]:
    return (-cameras.rotations[:, :, 1].mean(0)).tolist()


def blender() -> Figure:
    cameras = _read("nerf_synthetic/lego_200").cameras
    return picture(Drawn(
        cameras, OPENGL, (0, 0, 1), ("(0, 0)", "(w, h)"),
        "transform_matrix: camera-to-world, columns\nright, up, back, position",
        ball=((0, 0, 0), 1.0),
    ))  # fmt: skip


def opencv() -> Figure:
    cameras = _read("nerf_synthetic/lego_200").cameras
    return picture(Drawn(
        cameras, OPENCV, (0, 0, 1), ("OpenCV (−½, −½), here (0, 0)", "(w − ½, h − ½), (w, h)"),
        "the same cameras: only y and z are turned over,\npositions stay",
        ball=((0, 0, 0), 1.0),
    ))  # fmt: skip


def colmap() -> Figure:
    views = _read("real_scenes/mouse_colmap")
    cameras, points = views.cameras, views.points
    assert points is not None
    near = (points - focus_point(cameras)).norm(dim=1)
    reach = float((cameras.centers - focus_point(cameras)).norm(dim=1).median())
    return picture(Drawn(
        cameras, OPENCV, _up(cameras), ("(0, 0)", "(w, h)"),
        "images.bin: qw qx qy qz t, world-to-camera;\ndrawn is its inverse",
        points=points[near < 0.7 * reach], elevation=30,
    ))  # fmt: skip


def llff() -> Figure:
    views = _read("real_scenes/fern_llff", 8)
    return picture(Drawn(
        views.cameras, LLFF, _up(views.cameras), ("(0, 0)", "(w, h)"),
        "poses_bounds.npy: camera-to-world, columns\ndown, right, back, position, (h, w, f)",
        azimuth=-60, shown=20,
    ))  # fmt: skip


def realestate10k() -> Figure:
    cameras, _ = read_realestate10k(DATA / "realestate10k/0bf152ef84195293.txt", 640, 360)
    return picture(Drawn(
        cameras, OPENCV, (0, -1, 0), ("(0, 0)", "(1, 1): fractions of width and height"),
        "a line: [R | t] world-to-camera by rows;\ndrawn is its inverse",
        azimuth=120, elevation=40, shown=8,
    ))  # fmt: skip


def co3d() -> Figure:
    views = _read("co3d/toytruck_160x90", 1)
    cameras = views.cameras
    assert views.points is not None
    return picture(Drawn(
        cameras, PYTORCH3D, _up(cameras), ("(+w/h, +1)", "(−w/h, −1) in NDC, for w > h"),
        "x_camera = x_world R + T for row vectors:\nRᵀ is world-to-camera",
        points=views.points[::3], shown=18,
    ))  # fmt: skip


def zero123() -> Figure:
    """Two real cameras of one object, and the four numbers between them."""
    every = _read("single_image_3d/zero123_nerf_wild/taxi", 1).cameras
    found = spherical_from_pose(every.world_from_camera)
    # About as high as a person looks at a thing, and a quarter of a turn from the first.
    turn = (found.azimuth - found.azimuth[0]).abs() % (2 * math.pi)
    second = int(((found.elevation - 0.7).abs() + (turn - 1.2).abs()).argmin())
    cameras = every.select(torch.tensor([0, second]))
    drawn = Drawn(
        cameras, OPENGL, (0, 0, 1), ("(0, 0)", "(w, h)"),
        "NNN.npy: [R | t] world-to-camera, 3×4, in\nOpenGL axes; drawn is its inverse",
        azimuth=50, elevation=20, highlighted=(0, 1), ball=((0, 0, 0), 0.5),
    )  # fmt: skip
    with panels(7.6, 3.3, 1, 2, gridspec_kw=SPACES) as (figure, ((world, camera),)):
        draw_world(world, drawn)
        draw_camera(camera, drawn)
        view = projector(drawn.up, drawn.azimuth, drawn.elevation).double()
        place = spherical_from_pose(cameras.world_from_camera)
        elevations, azimuths, radii = (
            each.tolist() for each in (place.elevation, place.azimuth, place.radius)
        )
        ends = position_from_spherical(elevations, azimuths, radii) @ view.T
        for name, end in zip(("r of the input", "r of the target"), ends, strict=True):
            world.plot(*zip((0, 0), end.tolist(), strict=True), ":", color=GREY, linewidth=0.8)
            _word(world, end / 2, name)
        along = torch.linspace(azimuths[0], azimuths[1], 40, dtype=torch.float64)
        arc = position_from_spherical(elevations[0], along, radii[0]) @ view.T
        world.plot(*arc.T.numpy(), color=PALETTE[3], linewidth=1.2)
        _word(world, arc[20], "Δφ", PALETTE[3])
        along = torch.linspace(elevations[0], elevations[1], 40, dtype=torch.float64)
        arc = position_from_spherical(along, azimuths[1], radii[0]) @ view.T
        world.plot(*arc.T.numpy(), color=PALETTE[3], linewidth=1.2)
        _word(world, arc[20], "−Δθ", PALETTE[3])
        numbers = embedding_3dof(*opengl_poses(cameras)).tolist()
        text = ", ".join(f"{x:.3f}" for x in numbers)
        camera.text(0, -1.62, f"3DoF: {text}", fontsize=8, va="top", ha="center")
        return figure


def zeronvs() -> Figure:
    """Target cameras in the frame of the input camera, and the numbers of one of them."""
    given, _ = read_realestate10k(DATA / "realestate10k/0bf152ef84195293.txt", 640, 360)
    cameras = given.select(torch.tensor([0, 5, 10, 15]))
    relative = compose(invert(cameras.world_from_camera[:1]), cameras.world_from_camera)
    # Both frames in OpenGL axes: those of the input camera become the world's.
    turned = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ relative
    scale = norm_scale(opengl_poses(given))
    drawn = Drawn(
        cameras.with_poses(turned), OPENGL, (0, 1, 0), ("", ""), "",
        azimuth=130, elevation=35, highlighted=(0, 3), world=("", "", ""),
    )  # fmt: skip
    poses, fov = opengl_poses(cameras), fields_of_view(given)[0]
    numbers = embedding_6dof(poses[0], poses[3], fov, scale)
    with panels(7.6, 3.3, 1, 2, gridspec_kw=SPACES) as (figure, ((world, text),)):
        draw_world(world, drawn)
        view = projector(drawn.up, drawn.azimuth, drawn.elevation)
        _word(world, view @ turned[0, :, 3], "input i", INK, (0, -12))
        _word(world, view @ turned[3, :, 3], "target j", INK, (0, -12))
        rows = numbers[:16].reshape(4, 4).tolist()
        lines = ["Eᵢ⁻¹ Eⱼ, translation ÷ norm", ""]
        lines += ["".join(f"{x + 0.0:8.3f}" for x in row) for row in rows]
        lines += [
            "",
            "f, sin f, cos f",
            "",
            "".join(f"{x:8.3f}" for x in numbers[16:].tolist()),
        ]
        text.text(
            0.02, 0.5, "\n".join(lines), family="monospace", fontsize=9, va="center",
            transform=text.transAxes,
        )  # fmt: skip
        text.axis("off")
        return figure


@dataclass(frozen=True)
class Orders:
    """Cameras of an IDR scene, by what they are decomposed from."""

    world: Cameras
    """world_mat alone: the world's frame."""
    sphere: Cameras
    """world_mat @ scale_mat: the frame of the unit sphere."""
    wrong: Cameras
    """scale_mat @ world_mat."""
    scale: Float[Tensor, "4 4"]


def idr_orders() -> Orders:
    file = DATA / IDR_SCENE / "cameras_sphere.npz"
    world, scale = read_idr_matrices(file)
    assert scale is not None
    sizes = ImageSizes.of([IDR_SIZE])

    def cameras(matrices: Float[Tensor, "views 4 4"]) -> Cameras:
        return idr_cameras(file, matrices, None, sizes)

    return Orders(cameras(world), cameras(world @ scale), cameras(scale @ world), scale[0])


def idr() -> Figure:
    orders = idr_orders()
    center, radius = orders.scale[:3, 3].tolist(), float(orders.scale[0, 0])
    kinds = (
        ("world_mat: world, millimetres", orders.world, (center, radius)),
        ("world_mat @ scale_mat: unit sphere", orders.sphere, ((0, 0, 0), 1.0)),
        ("scale_mat @ world_mat: wrong", orders.wrong, ((0, 0, 0), 1.0)),
    )
    spaces = {"left": 0.01, "right": 0.99, "bottom": 0.02, "top": 0.9, "wspace": 0.02}
    with panels(7.6, 3.0, 1, 3, gridspec_kw=spaces) as (figure, (row,)):
        for axes, (title, cameras, ball) in zip(row, kinds, strict=True):
            drawn = Drawn(
                cameras, OPENCV, _up(cameras), ("", ""), "", ball=ball, azimuth=70,
                elevation=20, shown=16,
            )  # fmt: skip
            draw_world(axes, drawn)
            axes.set_title(title, fontsize=9)
        row[2].text(
            1, 0.47, "The unit sphere is\nat the origin, and\nsmaller than its dot.",
            transform=row[2].transAxes, fontsize=8, ha="right",
        )  # fmt: skip
        return figure


def measure_idr() -> record.Figures:
    """What the wrong order of the two matrices does to the cameras."""
    orders = idr_orders()
    count = len(orders.sphere)
    lens = (orders.wrong.intrinsics - orders.sphere.intrinsics).abs().max()
    turn = so3_distance(orders.wrong.rotations, orders.sphere.rotations).rad2deg().max()
    seen = [_sees_origin(cameras) for cameras in (orders.sphere, orders.wrong)]
    named: dict[str, tuple[float, str]] = {
        "idr_radius": (float(orders.scale[0, 0]), "mm"),
        "idr_distance": (float(orders.sphere.centers.norm(dim=1).median()), "radii"),
        "idr_wrong_distance": (float(orders.wrong.centers.norm(dim=1).median()), "radii"),
        "idr_wrong_focal_change": (float(lens), "pixels"),
        "idr_wrong_rotation_change": (float(turn), "degrees"),
        "idr_sees_center": (seen[0], f"of {count} cameras"),
        "idr_wrong_sees_center": (seen[1], f"of {count} cameras"),
    }
    kinds = (("world_", orders.world), ("", orders.sphere), ("wrong_", orders.wrong))
    for name, cameras in kinds:
        unit = "mm" if name == "world_" else "radii"
        for axis, value in zip("xyz", cameras.centers[0].tolist(), strict=True):
            named[f"idr_{name}camera_0_{axis}"] = value, unit
    return {name: record.figure(round(x, 4), unit) for name, (x, unit) in named.items()}


def _sees_origin(cameras: Cameras) -> int:
    """How many cameras have the origin in their image."""
    count = len(cameras)
    pixel, depth = cameras.project(torch.arange(count), torch.zeros(count, 3))
    inside = (pixel >= 0) & (pixel <= cameras.sizes.rows)
    return int((inside.all(1) & (depth > 0)).sum())


def _word(
    axes: Axes,
    place: Tensor,
    word: str,
    color: str = GREY,
    offset: tuple[float, float] = (0, 6),
) -> None:
    axes.annotate(
        word, _pair(place), offset, textcoords="offset points", color=color, fontsize=8,
        ha="center", va="center", zorder=7,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
    )  # fmt: skip


PICTURES: dict[str, Callable[[], Figure]] = {
    "blender": blender, "opencv": opencv, "colmap": colmap, "llff": llff,
    "idr": idr, "realestate10k": realestate10k, "co3d": co3d, "zero123": zero123,
    "zeronvs": zeronvs,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PICTURES), default=list(PICTURES))
    parser.add_argument("--ending", choices=("svg", "png"), default="svg")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    began = time.perf_counter()
    for name in given.only:
        figure = PICTURES[name]()
        path = given.out / f"cameras_{name}.{given.ending}"
        with mpl.rc_context({"svg.hashsalt": "unrender"}):
            metadata = {"Date": None} if given.ending == "svg" else None
            figure.savefig(path, dpi=150, facecolor="white", metadata=metadata)
    if given.out == OUT:
        figures = measure_idr()
        record.show(figures)
        record.write(RESULTS, 0, time.perf_counter() - began, figures)


if __name__ == "__main__":
    main()
