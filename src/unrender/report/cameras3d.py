"""3D view of cameras: a static SVG drawing that the page's script makes rotatable.

A frustum is drawn from its apex (the camera center), the four corners of its image, and a tip
above the upper edge that marks the camera's up direction.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.evaluation.renders import ImageEvaluation
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly
from unrender.report.page import Fragment

WIDTH, HEIGHT = 900, 540
"""Size of the drawing in SVG units, and aspect ratio of the canvas."""
AZIMUTH, ELEVATION = math.radians(-60), math.radians(24)
"""Viewpoint of the drawing, and initial viewpoint of the canvas, in radians."""
DISTANCE = 3.4
"""Distance of the eye from the middle of the scene, in extents."""
FILLED, FILLED_ACROSS = 0.9, 1.12
"""Vertical and horizontal size of the true cameras, in heights of the drawing."""
MAX_CAMERAS = 60
MAX_POINTS = 4000
FRUSTUM_SIZE = 0.13
"""Length of a frustum's edges, in extents."""
STROKES = ((0, 1, 2, 0, 3, 4, 0), (2, 3), (4, 1, 5, 2))
"""Polylines through apex 0, corners 1 to 4 (clockwise from the upper left), and tip 5."""

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class CameraSet:
    """Cameras that share a color and a check box; the first set is the ground truth."""

    name: str
    cameras: Cameras


@dataclass(frozen=True)
class PointCloud:
    """Colored points of the scene that the cameras look at."""

    points: Float[Tensor, "points 3"]
    colors: Float[Tensor, "points 3"]
    """RGB in [0, 1]."""


def point_cloud(evaluation: ImageEvaluation, seed: int = 0) -> PointCloud:
    """Colored surface points from rendered depth; empty if the renderer has no depth."""
    drawn = [torch.stack([each.depth, each.opacity]) for each in evaluation.renderings]
    depth, opacity = torch.cat([each.flatten(1).cpu() for each in drawn], dim=1)
    solid = ((opacity > 0.95) & (depth > 0)).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    chosen = solid[torch.randperm(len(solid), generator=generator)[:MAX_POINTS]]
    cameras = evaluation.views.cameras.to("cpu")
    sizes = cameras.sizes.each(len(cameras))
    ends = sizes.prod(1).cumsum(0)
    view = torch.bucketize(chosen, ends, right=True)
    place, width = chosen - (ends - sizes.prod(1))[view], sizes[view, 0]
    rays = cameras.rays(view, torch.stack([place % width, place // width], dim=1) + 0.5)
    points = rays.origins + depth[chosen, None] * rays.directions
    colors = torch.cat([image.cpu().flatten(0, 1) for image in evaluation.rendered])
    return PointCloud(points, colors[chosen])


def frusta(cameras: Cameras, size: float) -> Float[Tensor, "cameras 6 3"]:
    """Apex, corners and tip of each frustum in the world frame, with edges `size` long."""
    corners = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1], [1 / 2, -1 / 3]])
    pixels = corners * cameras.sizes.each(len(cameras))[:, None]
    index = torch.arange(len(cameras))[:, None].expand(-1, 5)
    rays = cameras.to("cpu").rays(index, pixels)
    ends = rays.origins + size * rays.directions
    return torch.cat([rays.origins[:, :1], ends], dim=1)


def camera_view(
    sets: Sequence[CameraSet], cloud: PointCloud | None = None, caption: str = ""
) -> Fragment:
    """Frusta of several sets of cameras, joined by lines to the same cameras of the first.

    At most 60 evenly spaced cameras of each set are drawn. Cameras whose pose is not finite are
    left out. Check boxes hide and show the sets.
    """
    scene = _arranged(sets, cloud)
    data = {
        "view": [AZIMUTH, ELEVATION, DISTANCE, scene.focal, scene.lift],
        "strokes": STROKES,
        "sets": [
            [_rounded(one.reshape(-1)) if np.isfinite(one).all() else None for one in shape]
            for shape in scene.frusta
        ],
        "ground": [_rounded(line.reshape(-1)) for line in scene.ground],
        "points": _rounded(scene.points),
        "colors": scene.colors,
    }
    return Fragment(
        '<figure class="cameras3d">'
        f"{_switches(sets)}"
        f'<div class="stage">{_drawing(scene, (0, 0, WIDTH, HEIGHT))}'
        f'<canvas width="{WIDTH}" height="{HEIGHT}" hidden></canvas></div>'
        f'<script type="application/json">{_json(data)}</script>'
        f"<figcaption>{escape(caption)}"
        '<span class="live-only"> Drag to turn, pinch or hold Ctrl and scroll to zoom, '
        "double-click to return.</span></figcaption></figure>"
    )


def camera_picture(
    sets: Sequence[CameraSet],
    cloud: PointCloud | None = None,
    caption: str = "",
    paired: bool = True,
) -> Fragment:
    """The same drawing as a static square image without controls.

    With `paired`, camera i of each set is joined to camera i of the first set.
    """
    side = round(1.15 * HEIGHT)
    frame = ((WIDTH - side) // 2, (HEIGHT - side) // 2, side, side)
    drawing = _drawing(_arranged(sets, cloud), frame, paired)
    return Fragment(
        f'<figure class="cameras3d still">{drawing}'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


@dataclass(frozen=True)
class _Arranged:
    """Everything that is drawn, centered at the middle and in units of the extent."""

    frusta: list[Array]
    ground: list[Array]
    points: Array
    colors: list[str]
    focal: float
    """Focal length, in heights of the drawing."""
    lift: float
    """Upward shift of the scene in the drawing, in heights of the drawing."""

    def project(self, points: Array) -> tuple[Array, Array]:
        """Drawing coordinates (x, y) and distance from the eye; cameras.js does the same."""
        seen, distance = _seen(points)
        flat = self.focal * HEIGHT * seen * np.array([1.0, -1.0])
        return flat + np.array([WIDTH / 2, (0.5 - self.lift) * HEIGHT]), distance


def _arranged(sets: Sequence[CameraSet], cloud: PointCloud | None) -> _Arranged:
    picked = [
        CameraSet(
            each.name,
            each.cameras.to("cpu").select(torch.tensor(evenly(MAX_CAMERAS, len(each.cameras)))),
        )
        for each in sets
    ]
    points = torch.zeros(0, 3) if cloud is None else cloud.points
    middle, extent = _bounds(torch.cat([picked[0].cameras.centers, points]))
    shapes: list[Array] = [
        ((frusta(each.cameras, FRUSTUM_SIZE * extent) - middle) / extent).double().numpy()
        for each in picked
    ]
    ground = _ground(middle.double().numpy(), extent, picked[0].cameras)
    cloud_points = ((points - middle) / extent).double().numpy()
    colors = [] if cloud is None else [_hex(color) for color in cloud.colors.tolist()]
    seen, _ = _seen(np.concatenate([shapes[0].reshape(-1, 3), cloud_points]))
    across = 2 * float(np.abs(seen[:, 0]).max())
    low, high = float(seen[:, 1].min()), float(seen[:, 1].max())
    focal = min(FILLED / (high - low), FILLED_ACROSS / across)
    lift = -focal * (low + high) / 2
    return _Arranged(shapes, ground, cloud_points, colors, focal, lift)


def _json(data: object) -> str:
    """JSON that cannot close the HTML element that contains it."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _hex(color: list[float]) -> str:
    return "#" + "".join(f"{round(255 * min(max(value, 0.0), 1.0)):02x}" for value in color)


def _rounded(values: Array) -> list[object]:
    return np.round(values, 3).tolist()


def _bounds(points: Float[Tensor, "points 3"]) -> tuple[Float[Tensor, "3"], float]:
    """Center of the points' bounding box, and distance of the farthest point from it."""
    middle = (points.amin(0) + points.amax(0)) / 2
    extent = (points - middle).norm(dim=-1).max().item()
    return middle, extent if extent > 0 else 1.0


def _ground(middle: Array, extent: float, cameras: Cameras) -> list[Array]:
    """Rings and spokes on the plane z = 0 about the world's origin, in drawing units."""
    radius = cameras.centers.norm(dim=-1).mean().item()
    angle = np.linspace(0, 2 * math.pi, 73)
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    rings = [radius * share * circle for share in (1 / 3, 2 / 3, 1)]
    spokes = [radius * np.stack([circle[i] / 3, circle[i]]) for i in range(0, 72, 6)]
    return [(line - middle) / extent for line in [*rings, *spokes]]


def _seen(points: Array) -> tuple[Array, Array]:
    """Perspective coordinates (right, up), and distance from the eye."""
    cos_a, sin_a = math.cos(AZIMUTH), math.sin(AZIMUTH)
    cos_e, sin_e = math.cos(ELEVATION), math.sin(ELEVATION)
    right = np.array([-sin_a, cos_a, 0.0])
    up = np.array([-sin_e * cos_a, -sin_e * sin_a, cos_e])
    back = np.array([cos_e * cos_a, cos_e * sin_a, sin_e])
    distance = np.maximum(DISTANCE - points @ back, 0.05)
    return np.stack([points @ right, points @ up], axis=-1) / distance[..., None], distance


def _switches(sets: Sequence[CameraSet]) -> str:
    """Check boxes that the style sheet evaluates, so that they work without the script."""
    boxes = "".join(
        f'<label class="set{index}"><input type="checkbox" value="{index}" checked> '
        f"<span>{escape(each.name)}</span></label>"
        for index, each in enumerate(sets)
    )
    return f'<div class="switches">{boxes}</div>'


def _drawing(scene: _Arranged, frame: tuple[int, int, int, int], paired: bool = True) -> str:
    """SVG, back to front: ground, cameras behind the middle, points, cameras in front of it."""
    far: list[str] = []
    near: list[str] = []
    truth = scene.frusta[0]
    for index, shape in enumerate(scene.frusta):
        layers: tuple[list[str], list[str]] = ([], [])
        flat, distance = scene.project(shape)
        partner, _ = scene.project((truth if paired else shape)[:, 0])
        for own, own_distance, other in zip(flat, distance, partner, strict=True):
            if not np.isfinite(own).all():
                continue
            layer = layers[0] if own_distance[0] > DISTANCE else layers[1]
            layer.extend(_path(own[list(stroke)]) for stroke in STROKES)
            if index and paired:
                layer.append(_path(np.stack([own[0], other])))
        for target, paths in zip((far, near), layers, strict=True):
            target.append(f'<path class="set{index}" d="{"".join(paths)}"/>')
    flat, distance = scene.project(scene.points)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{scene.colors[i]}"/>'
        for i, (x, y) in ((i, flat[i]) for i in np.argsort(-distance))
    )
    floor = "".join(_path(scene.project(line)[0]) for line in scene.ground)
    box = " ".join(map(str, frame))
    return (
        f'<svg role="img" viewBox="{box}" aria-label="Cameras around the scene">'
        f'<path class="ground" d="{floor}"/>{"".join(far)}{dots}{"".join(near)}</svg>'
    )


def _path(points: Array) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
