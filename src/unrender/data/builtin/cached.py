"""The cache of rendered built-in scenes, in the user's cache folder."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unrender.data.builtin.source import version
from unrender.data.views import Views
from unrender.errors import InputError, one_line
from unrender.files.arrays import Array, Header, read_arrays, write_arrays
from unrender.files.streams import stderr
from unrender.geometry.cameras import Cameras


def cache_folder() -> Path | None:
    """$UNRENDER_CACHE, or `unrender` in $XDG_CACHE_HOME or ~/.cache; None without a home."""
    own = os.environ.get("UNRENDER_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    try:
        return (Path(shared) if shared else Path.home() / ".cache") / "unrender"
    except RuntimeError:  # The user has no home folder.
        return None


def cached_views(
    name: str,
    cameras: Cameras,
    settings: list[Any],
    render: Callable[[], Views],
    how: str = "",
) -> Views:
    """Read a scene's images, depths and normals from the cache, or render and cache them.

    `render` gives RGBA views of the `cameras` with depths and normals. `settings` are whatever
    else, besides the name, the cameras and the library's source, the images depend on. `how` is
    added to the message before rendering. Says so if the cache cannot be read or written.
    """
    folder = cache_folder()
    path = folder and folder / _file_name(name, cameras, settings)
    try:
        if path and path.is_file():
            return _read(path, cameras)
    except (OSError, InputError) as error:
        _warn(f"{one_line(error)}; rendering the scene again")
    later = " (cached for later)" if path else ""
    _warn(f"rendering {len(cameras)} views of the built-in scene {name}{how}{later}")
    encoded = _encode(render())
    if path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, encoded, compress=True)
        except (OSError, InputError) as error:
            _warn(f"{one_line(error)}; the scene is not cached")
    return _decode(encoded, cameras)


def views_of(cameras: Cameras, images: Array, depths: Array, normals: Array) -> Views:
    """Views with masks where their depths are above 0."""
    depth = torch.from_numpy(depths)
    return Views(
        cameras,
        torch.from_numpy(images),
        masks=depth > 0,
        depths=depth,
        normals=torch.from_numpy(normals),
    )


def _file_name(name: str, cameras: Cameras, settings: list[Any]) -> str:
    poses = [cameras.world_from_camera.tolist(), cameras.intrinsics.tolist()]
    times = [] if cameras.times is None else [cameras.times.tolist()]
    key = json.dumps([version(), name, poses, cameras.width, cameras.height, *times, settings])
    return f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def _warn(message: str) -> None:
    stderr().write(f"unrender: {message}\n")


def _encode(views: Views) -> dict[str, Array]:
    """Quantize colors and normals to 16 bits: finer than any display, a third of the size."""
    assert views.depths is not None
    assert views.normals is not None
    return {
        "images": (views.images.numpy() * 65535).round().astype(np.uint16),
        "depths": views.depths.numpy(),
        "normals": (views.normals.numpy() * 32767).round().astype(np.int16),
    }


def _decode(arrays: dict[str, Array], cameras: Cameras) -> Views:
    """Undo `_encode`. New renders pass through it too, so that they equal cached ones."""
    normals = arrays["normals"].astype(np.float32)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return views_of(
        cameras,
        arrays["images"].astype(np.float32) / np.float32(65535),
        arrays["depths"],
        normals / np.maximum(length, 1),
    )


def _read(path: Path, cameras: Cameras) -> Views:
    shape = (len(cameras), cameras.height, cameras.width)
    expected = {
        "images": ((*shape, 4), np.dtype(np.uint16)),
        "depths": (shape, np.dtype(np.float32)),
        "normals": ((*shape, 3), np.dtype(np.int16)),
    }

    def check(path: Path, headers: dict[str, Header]) -> None:
        if headers != expected:
            raise InputError(f"{path}: is not the cache of this scene")

    return _decode(read_arrays(path, tuple(expected), check), cameras)
