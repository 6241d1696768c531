"""The built-in scenes, which need no files.

`bricks`, `chair` and `hotdog` are defined by signed distances and sphere-traced, with direct
light or by path tracing (path_light.py). `lamp` moves (lamp.py). These fit into a ball of
radius 1.4 about the origin. `shiny` is a room with metal, glass and a hologram, seen from one
side and always path-traced (shiny.py). All are rendered on first use, with exact alpha, depth
and normals. z is up.
"""

import math
from functools import cache
from typing import Any, Literal

import numpy as np
import torch

from unrender.data.builtin import tracer
from unrender.data.builtin.cached import cache_folder as cache_folder
from unrender.data.builtin.cached import cached_views, views_of
from unrender.data.builtin.views import render_view, render_view_by_paths
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.paths import spherical_shell
from unrender.kernels.runtime.jit import num_threads, run_threads, shares

NAMES = ("bricks", "chair", "hotdog")
"""Scenes of signed distances, which do not move."""
LAMP, SHINY = "lamp", "shiny"
SCENES = (*NAMES, LAMP, SHINY)
"""All scenes that `unrender.load` knows."""
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


def built_in(name: str, light: BuiltInLight = "direct") -> Dataset:
    """A built-in scene as `unrender.load` gives it, rendered on first use and then cached.

    Raises InputError if `name` is not in `SCENES`, or for a light that the scene does not have.
    """
    if name == SHINY:
        from unrender.data.builtin.shiny import make_shiny, render_shiny  # noqa: PLC0415

        def trace(cameras: Cameras) -> Views:
            how = " by path tracing"
            return cached_views(name, cameras, [], lambda: render_shiny(cameras), how)

        return make_shiny(trace)
    if name != LAMP:
        return make_scene(name, light=light)
    if light != "direct":
        raise InputError(f"--light {light}: the built-in scene {name} has direct light only")
    from unrender.data.builtin.lamp import make_lamp, render_lamp  # noqa: PLC0415 - a mesh

    def render(cameras: Cameras, supersample: int) -> Views:
        settings = [supersample]
        return cached_views(name, cameras, settings, lambda: render_lamp(cameras, supersample))

    return make_lamp(render=render)


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
    scene_index(name)
    views = cached_views(
        name,
        cameras,
        [supersample, *([light, paths] if light == "path" else [])],
        lambda: render_scene(name, cameras, supersample, light, paths),
        " by path tracing" if light == "path" else "",
    )
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
    return views_of(cameras, images, depths, normals)


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
