"""Three built-in scenes that need no files: `bricks`, `chair` and `hotdog`.

They are defined by signed distances and sphere-traced on first use, with exact alpha, depth and
normals. z is up; each scene fits into a ball of radius 1.4 about the origin. They are rendered
with direct light or by path tracing (path_light.py).
"""

import hashlib
import json
import math
import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from unrender.data.builtin import tracer
from unrender.data.builtin.source import version
from unrender.data.builtin.views import render_view, render_view_by_paths
from unrender.data.dataset import Dataset
from unrender.data.formats.npz import Array
from unrender.data.views import Views
from unrender.errors import InputError, one_line
from unrender.files.arrays import Header, read_arrays, write_arrays
from unrender.files.streams import stderr
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.paths import spherical_shell
from unrender.kernels.runtime.jit import num_threads, run_threads, shares

NAMES = ("bricks", "chair", "hotdog")
BuiltInLight = Literal["direct", "path"]
"""`path` is slower, with soft shadows and indirect light."""
PATHS = 4
"""Default number of light paths per ray."""

RADIUS = 4.0
"""Distance of the cameras from the origin."""
FIELD_OF_VIEW = 0.6911112
"""Horizontal, in radians, as in NeRF's synthetic scenes."""
ELEVATION = (0.0, math.radians(85))
TRAIN_SEED, TEST_SEED = 1, 2


def make_scene(
    name: str,
    size: int = 160,
    num_train: int = 100,
    num_test: int = 50,
    supersample: int = 3,
    light: BuiltInLight = "direct",
    paths: int = PATHS,
) -> Dataset:
    """Render a built-in scene's training and test views, or read them from the cache.

    Cameras are uniformly distributed over a spherical band and look at the origin. `light` and
    `paths` are those of `render_scene`. Raises InputError if `name` is not in `NAMES`.
    """
    cameras = concatenate(
        [_shell(num_train, size, TRAIN_SEED), _shell(num_test, size, TEST_SEED)]
    )
    views = _cached(name, cameras, supersample, light, paths)
    first = torch.arange(len(views)) < num_train
    return Dataset(name, views.select(first), views.select(~first))


def render_scene(
    name: str,
    cameras: Cameras,
    supersample: int = 3,
    light: BuiltInLight = "direct",
    paths: int = PATHS,
) -> Views:
    """Render a built-in scene from any cameras outside its ball.

    Images are RGBA, averaged over `supersample`² rays per pixel. Masks, depths and normals are
    those of the ray through each pixel's center and, like alpha, do not depend on the light.
    With `light="path"`, each ray is shaded by `paths` random light paths, so images are noisy.
    Raises InputError if `name` is not in `NAMES` or `paths` is below 1.
    """
    if paths < 1:
        raise InputError(f"paths {paths}: give at least 1")
    scene = scene_index(name)
    grid = _distance_grid(scene)
    num, height, width = len(cameras), cameras.height, cameras.width
    images = np.zeros((num, height, width, 4), np.float32)
    depths = np.zeros((num, height, width), np.float32)
    normals = np.zeros((num, height, width, 3), np.float32)
    poses = cameras.world_from_camera.detach().cpu().double().numpy()
    intrinsics = cameras.intrinsics.detach().cpu().double().numpy()

    def render(index: int) -> None:
        camera = poses[index], intrinsics[index]
        arrays = images[index], depths[index], normals[index]
        draw = render_view if light == "direct" else render_view_by_paths
        draw(scene, grid, *camera, supersample, paths, *arrays)

    run_threads(render, range(num))
    return _views(cameras, images, depths, normals)


def _views(cameras: Cameras, images: Array, depths: Array, normals: Array) -> Views:
    depth = torch.from_numpy(depths)
    return Views(
        cameras,
        torch.from_numpy(images),
        masks=depth > 0,
        depths=depth,
        normals=torch.from_numpy(normals),
    )


def scene_index(name: str) -> int:
    """The index of a scene in `NAMES`. Raises InputError for another name."""
    if name not in NAMES:
        raise InputError(f"{name}: no such built-in scene; choose from {', '.join(NAMES)}")
    return NAMES.index(name)


@cache
def _distance_grid(scene: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    grid = np.empty((tracer.GRID,) * 3, np.float32)

    def fill(share: tuple[int, int]) -> None:
        tracer.fill_grid(scene, grid, *share)

    run_threads(fill, shares(tracer.GRID, num_threads()))
    return grid


def _shell(count: int, size: int, seed: int) -> Cameras:
    generator = torch.Generator().manual_seed(seed)
    poses = spherical_shell(count, (RADIUS, RADIUS), generator, elevation=ELEVATION)
    return Cameras.from_focal(poses, 0.5 * size / math.tan(FIELD_OF_VIEW / 2), size, size)


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


def _cache_name(
    name: str, cameras: Cameras, supersample: int, light: BuiltInLight, paths: int
) -> str:
    poses = [cameras.world_from_camera.tolist(), cameras.intrinsics.tolist()]
    shape = [cameras.width, cameras.height, supersample]
    lit = [light, paths] if light == "path" else []
    key = json.dumps([version(), name, poses, shape, *lit])
    return f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def _cached(
    name: str, cameras: Cameras, supersample: int, light: BuiltInLight, paths: int
) -> Views:
    """Read the views from the cache, or render and cache them; warn if that fails."""
    scene_index(name)
    folder = cache_folder()
    path = folder and folder / _cache_name(name, cameras, supersample, light, paths)
    try:
        if path and path.is_file():
            return _read(path, cameras)
    except (OSError, InputError) as error:
        _warn(f"{one_line(error)}; rendering the scene again")
    by = " by path tracing" if light == "path" else ""
    later = " (cached for later)" if path else ""
    _warn(f"rendering {len(cameras)} views of the built-in scene {name}{by}{later}")
    encoded = _encode(render_scene(name, cameras, supersample, light, paths))
    if path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, encoded, compress=True)
        except (OSError, InputError) as error:
            _warn(f"{one_line(error)}; the scene is not cached")
    return _decode(encoded, cameras)


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
    return _views(
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
