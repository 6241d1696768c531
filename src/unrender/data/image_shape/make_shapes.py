"""Datasets of procedural shapes: images from random cameras, points, voxels, occupancy."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import normalize

from unrender.data.builtin.families import make_shape
from unrender.data.builtin.families.rays import render_shape
from unrender.data.builtin.families.solids import Union
from unrender.data.image_shape.framing import framed_cameras, squares_of_points
from unrender.data.image_shape.pairs import ImageShapePairs
from unrender.errors import InputError
from unrender.files.arrays import Array
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.paths import spherical_shell
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import to_bytes
from unrender.kernels.runtime.jit import run_threads

DISTANCE = 2.2
"""Distance of the cameras from the cube's center: with 3D-R2N2's field of view, any unit cube
is inside the image."""
FOCAL = 35 / 32
"""Focal length of 3D-R2N2's cameras, in image widths."""
ELEVATION = (0.0, math.radians(40))
SUPERSAMPLE = 3
POINTS, QUERIES, CELLS = 4096, 4096, 32
SPREAD = 0.55
"""Half of the queries are uniform in a cube of this half side, the others near the surface."""
NEAR = 0.03
"""Standard deviation of the distance from the surface of the latter."""
SHAPES_AT_ONCE = 64


@dataclass(frozen=True)
class _Made:
    """The data of one shape."""

    images: Tensor
    cameras: Cameras
    points: Array
    normals: Array
    voxels: Array
    queries: Array
    occupied: Array


def make_shapes(
    family: str,
    count: int,
    views: int,
    size: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[ImageShapePairs, Bool[Tensor, "shapes"]]:
    """Make `count` shapes of a family with `views` images each, and the mask of held-out ones.

    Every tenth shape is held out. Images have `size`×`size` pixels, cropped to the shape, from
    cameras at random azimuths and elevations of 0° to 40° that look at it. `on_progress`
    receives the number of shapes made and the total. Raises InputError if `count`, `views` or
    `size` is too small.
    """
    for name, value, least in (("count", count, 2), ("views", views, 1), ("size", size, 8)):
        if value < least:
            raise InputError(f"--{name} {value}: give at least {least}")
    # Shape numbers that no other seed uses.
    numbers = [seed * 1_000_003 + k for k in range(count)]
    made: list[_Made] = []
    for start in range(0, count, SHAPES_AT_ONCE):
        part = numbers[start : start + SHAPES_AT_ONCE]
        made += run_threads(lambda number: _make(family, number, views, size), part)
        if on_progress is not None:
            on_progress(len(made), count)
    every = min(10, count)
    held_out = torch.arange(count) % every == every - 1

    def stack(arrays: list[Array]) -> Tensor:
        return torch.from_numpy(np.stack(arrays))

    shapes = ImageShapePairs(
        torch.cat([each.images for each in made]),
        concatenate([each.cameras for each in made]),
        torch.arange(count).repeat_interleave(views),
        stack([each.points for each in made]),
        stack([each.normals for each in made]),
        stack([each.voxels for each in made]),
        stack([each.queries for each in made]),
        stack([each.occupied for each in made]),
        tuple(f"{family}-{number}" for number in numbers),
    )
    return shapes, held_out


def _make(family: str, number: int, views: int, size: int) -> _Made:
    shape = make_shape(family, number)
    random = np.random.default_rng([number, 1])
    generator = torch.Generator().manual_seed(number)
    cameras = _cameras(shape, views, size, generator)
    # The light comes from the camera's side and above, as in product photography.
    ahead = -cameras.rotations[:, :, 2]
    light = normalize(
        ahead + torch.tensor([0, 0, 0.6]) + 0.5 * torch.randn(views, 3, generator=generator),
        dim=1,
    )
    images = render_shape(shape, cameras, light, SUPERSAMPLE).clamp(0, 1)
    points, normals = shape.surface(POINTS, random)
    queries = np.concatenate(
        [
            random.uniform(-SPREAD, SPREAD, (QUERIES // 2, 3)),
            points[: QUERIES // 2] + random.normal(0, NEAR, (QUERIES // 2, 3)),
        ]
    ).astype(np.float16)
    return _Made(
        to_bytes(unpremultiply(images)),
        cameras,
        points.astype(np.float16),
        (normals * 127).round().astype(np.int8),
        np.packbits(shape.voxels(CELLS)),
        queries,
        np.packbits(shape.occupied(queries.astype(np.float64))),
    )


def _cameras(shape: Union, views: int, size: int, generator: torch.Generator) -> Cameras:
    poses = spherical_shell(views, (DISTANCE, DISTANCE), generator, elevation=ELEVATION)
    cameras = Cameras.from_focal(poses, FOCAL * size, size, size)
    squares = squares_of_points(cameras, torch.from_numpy(shape.vertices).float())
    return framed_cameras(cameras, squares, size)
