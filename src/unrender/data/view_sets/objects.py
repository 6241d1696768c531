"""Procedural chairs, tables, lamps and cars from random cameras, rendered during training.

The field of view, the distance, how tightly the object is framed and the light are drawn for
each object; the direction of each camera is drawn for each view. The light stays where it is,
so that all views of an object show the same.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import normalize

from unrender.data.builtin.families import FAMILIES, make_shape
from unrender.data.builtin.families.rays import render_shape
from unrender.data.image_shape.framing import framed_cameras, squares_of_points
from unrender.data.view_sets.view_sets import ViewBatch, ViewPool, ViewSets
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import to_bytes
from unrender.kernels.runtime.jit import run_threads

FIELD_OF_VIEW = (math.radians(15), math.radians(60))
ELEVATION = (math.radians(-10), math.radians(65))
DISTANCE = (1.0, 1.3)
"""Distance of cameras that are not framed, relative to the one from which the object's
bounding sphere fills the image."""
FRAMED = 0.5
"""Probability that each view is cropped to the object, and that each crop then is tight."""
LOOSE = (1.0, 1.3)
"""Side of the other crops, relative to the tight one."""
LOOK_AT = 0.03
"""Cameras look at a point this near the object's center."""
SUPERSAMPLE = 3
HELD_OUT = 1 << 62
"""First number of objects that are never trained on."""
AT_ONCE = 64

Made = tuple[UInt8[Tensor, "views height width 4"], Cameras]


def make_object(family: str, number: int, views: int, size: int) -> Made:
    """Images, straight RGBA, and cameras of the object `number` of a family."""
    shape = make_shape(family, number)
    generator = torch.Generator().manual_seed(number)
    random = np.random.default_rng([number, 2])
    corners = torch.from_numpy(shape.vertices).float()
    field = random.uniform(*FIELD_OF_VIEW)
    nearest = float(corners.norm(dim=1).max()) / math.sin(field / 2)
    distance = nearest * random.uniform(*DISTANCE)
    poses = spherical_shell(
        views, (0.95 * distance, 1.05 * distance), generator, ELEVATION, look_at_jitter=LOOK_AT
    )
    cameras = Cameras.from_focal(poses, size / (2 * math.tan(field / 2)), size, size)
    if random.random() < FRAMED:
        squares = squares_of_points(cameras, corners)
        factor = torch.rand(views, 1, generator=generator) * (LOOSE[1] - LOOSE[0]) + LOOSE[0]
        if random.random() < FRAMED:
            factor = torch.ones_like(factor)
        middle = squares[:, :2] + squares[:, 2:] / 2
        side = factor * squares[:, 2:]
        cameras = framed_cameras(cameras, torch.cat([middle - side / 2, side], dim=1), size)
    light = torch.randn(1, 3, generator=generator)
    light[:, 2] = light[:, 2].abs() + 0.3
    light = normalize(light, dim=1).expand(views, 3)
    images = render_shape(shape, cameras, light, SUPERSAMPLE).clamp(0, 1)
    return to_bytes(unpremultiply(images)), cameras


def make_pool(
    families: Sequence[str],
    numbers: Sequence[int],
    views: int,
    size: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> ViewPool:
    """The objects of these numbers, of the families in turn."""
    made: list[Made] = []
    for first in range(0, len(numbers), AT_ONCE):
        made += run_threads(
            lambda number: make_object(families[number % len(families)], number, views, size),
            numbers[first : first + AT_ONCE],
        )
        if on_progress is not None:
            on_progress(len(made), len(numbers))
    return ViewPool(
        torch.stack([images for images, _ in made]),
        torch.stack([cameras.world_from_camera for _, cameras in made]),
        torch.stack([cameras.intrinsics for _, cameras in made]),
    )


class ObjectStream(ViewSets):
    """A pool of objects, some of which are replaced by new ones at each step."""

    def __init__(self, families: Sequence[str], pool: int, fresh: int, views: int, size: int):
        """`pool` objects with `views` images each of `size`² pixels; `fresh` new ones a step.

        The pool of step s holds the objects fresh * s up to fresh * s + pool: a fit that is
        continued sees what it would have seen.
        """
        self.families = tuple(families) or tuple(FAMILIES)
        self.size, self._views, self._fresh, self._count = size, views, fresh, pool
        self._next = 0
        self._pool: ViewPool | None = None

    @property
    def views(self) -> int:
        return self._views

    def draw(self, sets: int, views: int, step: int, generator: torch.Generator) -> ViewBatch:
        self._advance(step)
        assert self._pool is not None
        return self._pool.draw(sets, views, generator)

    def held_out(self, count: int) -> ViewPool:
        """Objects of other numbers, of all families in turn."""
        numbers = range(HELD_OUT, HELD_OUT + count)
        return make_pool(self.families, numbers, self._views, self.size)

    def _advance(self, step: int) -> None:
        last = self._fresh * step + self._count
        first = max(self._next, last - self._count)
        if self._next > last:
            first, self._pool = last - self._count, None
        if first == last:
            return
        numbers = range(first, last)
        made = make_pool(self.families, numbers, self._views, self.size)
        self._next = last
        slots = torch.tensor([number % self._count for number in numbers])
        if self._pool is None:
            order = slots.argsort()
            self._pool = ViewPool(
                made.images[order], made.world_from_camera[order], made.intrinsics[order]
            )
            return
        self._pool.images[slots] = made.images
        self._pool.world_from_camera[slots] = made.world_from_camera
        self._pool.intrinsics[slots] = made.intrinsics
