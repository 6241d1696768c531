"""Posed images from wherever they are: a built-in scene, a file, a folder of a known layout."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from unrender.data.builtin import NAMES, BuiltInLight, make_scene
from unrender.data.formats.blender import (
    HOLD_OUT_EVERY,
    hold_out,
    load_blender,
    load_blender_views,
)
from unrender.data.formats.co3d import load_co3d
from unrender.data.formats.colmap import find_colmap, load_colmap
from unrender.data.formats.idr import find_idr, load_idr
from unrender.data.formats.llff import POSES, load_llff
from unrender.data.formats.multiscale import FILE, load_multiscale
from unrender.data.formats.npz import load_npz
from unrender.data.masks import cut_out
from unrender.data.validate import Background
from unrender.data.views import Scene, Views
from unrender.errors import InputError


@dataclass(frozen=True)
class Reading:
    """How views are read."""

    background: Background = "auto"
    """Colour behind images without alpha, or opaque for photographs in which all is the scene;
    auto looks at their borders."""
    downscale: int = 1
    """Whole factor by which images are made smaller."""
    hold_out: int = HOLD_OUT_EVERY
    """Every so many-th view is held out, where the data have no test split."""
    masks: str | None = None
    """Folder with an image for each photograph, of its name and size: white where the scene is,
    black where there is nothing."""
    ball: tuple[float, float, float, float] | None = None
    """Centre and radius of the part of space that the scene fills, in the data's units; by
    default what the cameras look at."""
    light: BuiltInLight = "direct"
    """Of a built-in scene: direct, or path for soft shadows and light from surface to surface,
    which takes minutes when it is first asked for."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Reading":
        """What config.json says of it; the defaults where it says nothing."""
        names = [each.name for each in fields(cls)]
        known: dict[str, Any] = {name: content[name] for name in names if name in content}
        if known.get("ball") is not None:
            known["ball"] = tuple(known["ball"])
        return cls(**known)


AS_IT_IS = Reading()


@dataclass(frozen=True)
class Format:
    """A layout of posed images on disk."""

    name: str
    what: str
    """How one tells it: shown where nothing was recognised."""
    recognises: Callable[[Path], bool]
    load: Callable[[Path, Reading], Scene]


def _held_out(load: Callable[[Path], Views]) -> Callable[[Path, Reading], Scene]:
    """Of a capture, whose background is a part of it, and which has no test split."""
    return lambda path, reading: hold_out(path.resolve().name, load(path), reading.hold_out)


def _is_blender(path: Path) -> bool:
    names = ("transforms_train.json", "transforms.json")
    return path.suffix == ".json" or any((path / name).is_file() for name in names)


# Where a folder holds several, the first: LLFF scenes come with the COLMAP model behind them.
FORMATS = (
    Format(
        "npz",
        "an .npz of images, poses and focal",
        lambda path: path.suffix == ".npz",
        lambda path, reading: hold_out(
            path.stem, load_npz(path, reading.background), reading.hold_out
        ),
    ),
    Format(
        "blender",
        "transforms_train.json or transforms.json (Blender, nerfstudio, instant-ngp)",
        _is_blender,
        lambda path, reading: load_blender(path, reading.background, reading.hold_out),
    ),
    Format(
        "multiscale",
        "metadata.json (mip-NeRF's Blender scenes at several sizes)",
        lambda path: (path / FILE).is_file(),
        lambda path, reading: load_multiscale(path, reading.background),
    ),
    Format(
        "llff",
        "poses_bounds.npy (LLFF)",
        lambda path: (path / POSES).is_file(),
        _held_out(load_llff),
    ),
    Format(
        "idr",
        "cameras.npz or cameras_sphere.npz (IDR, NeuS, DTU)",
        lambda path: find_idr(path) is not None,
        _held_out(load_idr),
    ),
    Format(
        "colmap",
        "sparse/0 with cameras, images and points3D (COLMAP)",
        lambda path: find_colmap(path) is not None,
        _held_out(load_colmap),
    ),
    Format(
        "co3d",
        "imgs and poses (CO3D, PyTorch3D)",
        lambda path: (path / "imgs").is_dir() and (path / "poses").is_dir(),
        _held_out(load_co3d),
    ),
)


def recognise(path: Path) -> Format:
    """The layout of a file or folder. InputError if it is none that is known."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    for known in FORMATS:
        if known.recognises(path):
            return known
    raise InputError(
        f"{path}: is no scene that is known; give {'; '.join(known.what for known in FORMATS)}"
    )


def load_scene(source: str, reading: Reading = AS_IT_IS) -> Scene:
    """Load the views to train on and to test on.

    `source` is a built-in scene's name or a path, which comes before a name. Raises InputError.
    """
    path = _path(source)
    if path is None:
        scene = make_scene(source, light=reading.light)
    elif reading.light != "direct":
        raise InputError(
            f"--light {reading.light}: {source} has the light it was taken in: leave it out or "
            f"name a built-in scene, {', '.join(NAMES)}"
        )
    else:
        scene = recognise(path).load(path, reading)
    _check_distinct(source, scene)
    if reading.masks is not None:
        folder = Path(reading.masks)
        train, test = (cut_out(views, folder) for views in (scene.train, scene.test))
        scene = replace(scene, train=train, test=test)
    if reading.ball is not None:
        train, test = (_within(views, reading.ball) for views in (scene.train, scene.test))
        scene = replace(scene, train=train, test=test)
    return scene if reading.downscale == 1 else _smaller(scene, reading.downscale)


def _check_distinct(source: str, scene: Scene) -> None:
    """InputError if two views have one pose: then one of them has another's, or is its copy."""
    both = (scene.train, scene.test)
    poses = torch.cat([views.cameras.world_from_camera for views in both]).flatten(1)
    names = [
        f"{views.names[k]!r}" if views.names else f"{kind} {k}"
        for kind, views in zip(("training view", "test view"), both, strict=True)
        for k in range(len(views))
    ]
    _, group, count = torch.unique(poses, dim=0, return_inverse=True, return_counts=True)
    for k in (count[group] > 1).nonzero()[:1, 0].tolist():
        same = [names[j] for j in (group == group[k]).nonzero()[:, 0].tolist()]
        raise InputError(
            f"{source}: {same[0]} and {same[1]} have the very same pose: correct one of them "
            "or remove it"
        )


def _smaller(scene: Scene, downscale: int) -> Scene:
    width, height = scene.train.cameras.width, scene.train.cameras.height
    if not 1 <= downscale <= min(width, height):
        raise InputError(
            f"--downscale {downscale}: images are {width}x{height}: give a factor from 1 to "
            f"{min(width, height)}"
        )
    size = width // downscale, height // downscale
    return replace(scene, train=scene.train.resized(*size), test=scene.test.resized(*size))


def _within(views: Views, ball: tuple[float, float, float, float]) -> Views:
    """The views of a scene whose place is known. InputError if no camera looks there."""
    center, radius = torch.tensor(ball[:3]), ball[3]
    if not (bool(center.isfinite().all()) and 0 < radius < math.inf):
        raise InputError(f"--ball {ball}: give three finite numbers and a radius above 0")
    cameras = views.cameras
    count = len(cameras)
    pixel, depth = cameras.project(torch.arange(count), center.expand(count, 3))
    # How far the ball reaches in each image, and whether it is in front of the camera.
    reach = cameras.focal * radius / depth.clamp_min(1e-6)
    size = torch.tensor([cameras.width, cameras.height])
    off = torch.maximum(-pixel, pixel - size).amax(1)
    inside = (cameras.centers - center).norm(dim=1) <= radius
    if not bool((inside | ((depth > 0) & (off <= reach))).any()):
        raise InputError(f"--ball {ball}: no camera sees any of it: check its place and unit")
    return replace(views, ball=torch.tensor(ball))


def load_views(source: str, background: Background = "auto") -> Views:
    """Load all views of an .npz, or the training views of anything else. Raises InputError."""
    path = _path(source)
    if path is None:
        return make_scene(source).train
    if path.suffix == ".npz":
        return load_npz(path, background)
    if _is_blender(path):
        return load_blender_views(path, background)
    return recognise(path).load(path, Reading(background)).train


def _path(source: str) -> Path | None:
    """None for a built-in scene."""
    path = Path(source)
    if path.exists():
        return path
    if source in NAMES:
        return None
    raise InputError(
        f"{source}: is neither a file or folder nor a built-in scene; "
        f"give a path or one of {', '.join(NAMES)}"
    )
