"""Light fields: images of a grid of cameras that look one way, whose names say where they are.

The names are those of the Stanford Light Field Archive (http://lightfield.stanford.edu):
`NAME_ROW_COLUMN_V_U`, where u is the camera's position to the right and v that downwards. The
archive's images are rectified: a point of the reference plane is at the same pixel in all.
Names that end in `_LENS_SENSOR`, the focal length and the width of the sensor in one unit, are
of parallel pinhole cameras
(https://github.com/linusmossberg/light-field-renderer).
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.photographs import Photographs
from unrender.data.splits import check_split, hold_out
from unrender.data.validate import check_poses
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import shown
from unrender.geometry.cameras import Cameras
from unrender.geometry.sizes import ImageSizes
from unrender.imaging.files import is_image_file
from unrender.notes import note
from unrender.rendering.plane_sweep import depth_range, least_disagreement, middle_cameras

NUMBER = r"-?\d{1,12}(?:\.\d{1,12})?"
NAME = re.compile(
    rf"(?:.*_)?(\d{{1,6}})_(\d{{1,6}})_({NUMBER})_({NUMBER})(?:_({NUMBER})_({NUMBER}))?_?"
)
FOV = 40.0
"""Horizontal field of view in degrees, where neither names nor options tell one."""
PLANE = 5.0
"""Depth of the reference plane per longer side of the grid, where no option tells it."""
MIRRORED = 0.7
"""Part of the images' disagreement that is left where u is to the left, if it is."""
FOLDERS = (".", "images", "rectified")
"""Where the images are, below the folder that is given."""


@dataclass(frozen=True)
class GridImage:
    """What the name of an image says."""

    path: Path
    row: int
    column: int
    right: float
    """Position of the camera, in the unit of the names."""
    down: float
    lens: tuple[float, float] | None
    """Focal length and width of the sensor."""


def is_light_field_grid(path: Path) -> bool:
    """Whether the names of a folder's images say where they are in a grid.

    Some position must have a decimal point: else the numbers could be dates.
    """
    return _folder(path) is not None


def _folder(path: Path) -> Path | None:
    """The folder of the images: the one given, `images` or `rectified`."""
    if not path.is_dir():
        return None
    for folder in (path / name for name in FOLDERS):
        try:
            names = [each.stem for each in folder.glob("*") if is_image_file(each)]
        except OSError:
            continue
        matches = [match for match in map(NAME.fullmatch, names) if match]
        decimal = any("." in match[3] or "." in match[4] for match in matches)
        if decimal and 2 * len(matches) >= len(names):
            return folder
    return None


def load_light_field_grid(path: Path, options: LoadOptions = DEFAULTS) -> Dataset:
    """The views of a grid, opaque; those between its rows and columns are the test views.

    Without such views, every N-th is held out. The world's x axis is the cameras' right, its z
    axis their up direction, and they look along y; its unit is that of the names. The `ball`
    contains the depths at which neighboring images agree. Raises InputError.
    """
    check_split(str(path), options)
    folder = _folder(path)
    if folder is None:
        raise InputError(f"{path}: has no images named NAME_ROW_COLUMN_V_U: check the path")
    images = grid_images(folder)
    photographs = Photographs.of(str(path), [each.path for each in images])
    names = tuple(each.path.name for each in images)
    cameras = _cameras(str(path), images, photographs.sizes, options)
    store = photographs.read(names, options).with_opaque_alpha()
    views = Views(cameras.with_sizes(store.sizes), store=store, names=names)
    if images[0].lens is None:
        views = _with_u_to_the_right(str(path), views)
    name = path.resolve().name
    between = views_between(images)
    if bool(between.any()):
        data = Dataset(name, views.select(~between), views.select(between))
        inside = [images[k] for k in (~between).nonzero()[:, 0].tolist()]
        _tell_spacing(str(path), inside)
    else:
        _tell_spacing(str(path), images)
        data = hold_out(name, views, options.hold_out if len(views) > 1 else 0)
    ball = _ball(data.train)
    return Dataset(name, replace(data.train, ball=ball), replace(data.test, ball=ball))


def grid_images(folder: Path) -> list[GridImage]:
    """The images of a folder by row and column. InputError for two at one place.

    Images whose names have no position are left out, and a note says so.
    """
    found: list[GridImage] = []
    others: list[str] = []
    for file in sorted(each for each in folder.iterdir() if is_image_file(each)):
        match = NAME.fullmatch(file.stem)
        if match is None:
            others.append(file.name)
            continue
        row, column, down, right = (
            int(match[1]),
            int(match[2]),
            float(match[3]),
            float(match[4]),
        )
        lens = None if match[5] is None else (float(match[5]), float(match[6]))
        if lens is not None and not (lens[0] > 0 and lens[1] > 0):
            raise InputError(
                f"{file}: its name has a lens of {lens[0]:g} and a sensor of {lens[1]:g}: give "
                "positive lengths"
            )
        found.append(GridImage(file, row, column, right, down, lens))
    if others:
        note(
            f"{folder}: {len(others)} of {len(others) + len(found)} images are left out: their "
            f"names have no position, such as {shown(others[0])}"
        )
    _check(found)
    return sorted(found, key=lambda each: (each.row, each.column))


def _check(images: list[GridImage]) -> None:
    """InputError for two images in one place, and for lenses that only some names have."""
    by_place: dict[tuple[float, ...], Path] = {}
    for image in images:
        for what, place in (
            ("row and column", (image.row, image.column)),
            ("position", (image.right, image.down, 0)),
        ):
            other = by_place.setdefault(place, image.path)
            if other != image.path:
                raise InputError(
                    f"{image.path}: has the {what} of {other.name}: remove one, or correct its "
                    "name"
                )
    without = [image for image in images if image.lens is None]
    if without and len(without) < len(images):
        raise InputError(
            f"{without[0].path}: its name has no lens and sensor, which others have: add them "
            "as NAME_ROW_COLUMN_V_U_LENS_SENSOR"
        )


def views_between(images: list[GridImage]) -> Bool[Tensor, "views"]:
    """Which views are between the rows and columns of the grid, which most views are in.

    Two views belong to one grid if they share a row or a column, or others connect them in that
    way. Views all over the place are no grid, and then none is between.
    """
    parent: dict[tuple[str, int], tuple[str, int]] = {}

    def root(key: tuple[str, int]) -> tuple[str, int]:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for image in images:
        parent[root(("row", image.row))] = root(("column", image.column))
    roots = [root(("row", image.row)) for image in images]
    largest, count = Counter(roots).most_common(1)[0]
    if 2 * count < len(images):
        return torch.zeros(len(images), dtype=torch.bool)
    return torch.tensor([each != largest for each in roots])


def _tell_spacing(label: str, images: list[GridImage]) -> None:
    """Say if the grid has holes."""
    rows, columns = {each.row for each in images}, {each.column for each in images}
    holes = len(rows) * len(columns) - len(images)
    if holes:
        note(
            f"{label}: a grid of {len(rows)} rows and {len(columns)} columns with {holes} "
            f"{'hole' if holes == 1 else 'holes'}: the {len(images)} images that are there are "
            "used"
        )


def _cameras(
    label: str, images: list[GridImage], sizes: ImageSizes, options: LoadOptions
) -> Cameras:
    """Parallel cameras, of rectified images with principal points that are off the center."""
    position = torch.tensor([(each.right, each.down) for each in images], dtype=torch.float64)
    # The cameras' axes: right is x, down is −z, and forward is y.
    rotation = torch.tensor([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)
    centers = torch.stack(
        [position[:, 0], torch.zeros(len(images), dtype=torch.float64), -position[:, 1]], dim=1
    )
    poses = torch.cat([rotation.expand(len(images), 3, 3), centers[..., None]], dim=2)
    poses = check_poses(poses, lambda k: str(images[k].path))
    width = sizes.each(len(images))[:, 0].double()
    lenses = [each.lens for each in images if each.lens is not None]
    if lenses:
        for name, value in (("fov", options.fov), ("reference-plane", options.reference_plane)):
            if value is not None:
                raise InputError(
                    f"--{name} {value:g}: the names of {label} have a lens and a sensor: leave "
                    "the option out"
                )
        focal = width * torch.tensor([lens / sensor for lens, sensor in lenses])
        return Cameras.from_focal(poses, focal.float(), sizes=sizes)
    fov, plane = _assumed(label, position, options)
    focal = width / 2 / math.tan(math.radians(fov) / 2)
    cameras = Cameras.from_focal(poses, focal.float(), sizes=sizes)
    if plane:
        intrinsics = cameras.intrinsics.double()
        middle = (position.amin(0) + position.amax(0)) / 2
        intrinsics[:, :2, 2] += focal[:, None] * (position - middle) / plane
        cameras = Cameras(cameras.world_from_camera, intrinsics.float(), sizes=sizes)
    return cameras


def _assumed(
    label: str, position: Float[Tensor, "views 2"], options: LoadOptions
) -> tuple[float, float]:
    """Field of view in degrees, and depth of the reference plane, 0 for none. Says so."""
    fov, plane = options.fov, options.reference_plane
    assumed: list[str] = []
    if plane is None:
        plane = PLANE * float((position.amax(0) - position.amin(0)).max())
        if plane:
            assumed.append(f"rectified to a reference plane at depth {plane:.4g}")
    if fov is None:
        fov = FOV
        assumed.append(f"seen at {FOV:g}° from side to side")
    if assumed:
        note(
            f"{label}: names without lens and sensor: the images are taken as "
            f"{' and '.join(assumed)}; --fov DEGREES and --reference-plane DEPTH tell otherwise"
        )
    return fov, plane


def _with_u_to_the_right(label: str, views: Views) -> Views:
    """The views, mirrored if their images agree better so: some names have u to the left."""
    chosen = middle_cameras(views.cameras)
    some = views.select(chosen)
    spread = some.cameras.centers.amax(0) - some.cameras.centers.amin(0)
    if some.cameras.sizes.mixed or not bool(spread[[0, 2]].all()):
        return views
    poses, intrinsics = (
        views.cameras.world_from_camera.clone(),
        views.cameras.intrinsics.clone(),
    )
    poses[:, 0, 3] *= -1
    intrinsics[:, 0, 2] = views.cameras.sizes.rows[:, 0] - intrinsics[:, 0, 2]
    mirrored = Cameras(poses, intrinsics, sizes=views.cameras.sizes)
    images = some.images[..., :3]
    as_named = least_disagreement(images, some.cameras)
    if not least_disagreement(images, mirrored.select(chosen)) < MIRRORED * as_named:
        return views
    note(f"{label}: the images agree if u is to the left: their positions are read so")
    return replace(views, cameras=mirrored)


def _ball(views: Views) -> Float[Tensor, "4"] | None:
    """A ball about the middle depth of the scene, as wide as the images are there.

    None for one view, or views of several sizes.
    """
    chosen = middle_cameras(views.cameras)
    if views.cameras.sizes.mixed or len(chosen) < 2:
        return None
    some = views.select(chosen)
    near, depth, _ = depth_range(some.images[..., :3], some.cameras)
    width, height = some.cameras.sizes[0]
    half_diagonal = math.hypot(width, height) / 2 / float(some.cameras.focal[0])
    center = views.cameras.centers.mean(0) + depth * some.cameras.rotations[0, :, 2]
    return torch.tensor([*center.tolist(), max(depth - near, depth * half_diagonal)])
