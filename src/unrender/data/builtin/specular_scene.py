"""Scenes of rectangles and balls, for specular.py: their description, and their light."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from unrender.data.builtin.specular import MATTE, Surfaces
from unrender.data.builtin.specular_views import gather
from unrender.files.arrays import Array
from unrender.kernels.runtime.jit import run_threads, shares
from unrender.rendering.light.grating import LONGEST, SHORTEST, rgb_response

GATHER_SAMPLES = (64, 64, 256)
"""Directions from which each texel of the light map gathers light, in each pass: the first is
direct light, the others add reflections between matte surfaces."""
WAVELENGTHS = 600
"""Of the table of `rgb_response`."""


@dataclass(frozen=True)
class Quad:
    """A rectangle; only the side toward `first` × `second` is not black."""

    corner: tuple[float, float, float]
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    kind: int
    color: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Reflectance of a mirror or grating, radiance of a lamp."""
    albedo: Array | None = None
    """Linear RGB [rows, columns, 3] of a matte surface."""
    repeat: tuple[float, float] = (1.0, 1.0)
    texels: tuple[int, int] = (1, 1)
    """Size of the light map."""


@dataclass(frozen=True)
class Ball:
    center: tuple[float, float, float]
    radius: float
    color: tuple[float, float, float]
    index: float = 0.0
    """Index of refraction of glass; 0 for metal."""


def checker(
    one: tuple[float, float, float], other: tuple[float, float, float], texels: int = 32
) -> Array:
    odd = np.add.outer(np.arange(2), np.arange(2)) % 2
    tile = np.where(odd[..., None] == 1, one, other)
    return tile.repeat(texels // 2, 0).repeat(texels // 2, 1)


def box(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    turn: float,
    kind: int,
    inward: bool = False,
    **look: object,
) -> list[Quad]:
    """The six sides of a box between two corners, turned about its vertical axis."""
    low_, high_ = np.array(low), np.array(high)
    center, sides = (low_ + high_) / 2, high_ - low_
    c, s = math.cos(turn), math.sin(turn)
    axes = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    quads: list[Quad] = []
    for axis in range(3):
        for sign in (-1, 1):
            one, two = (axis + 1) % 3, (axis + 2) % 3
            if (sign < 0) != inward:
                one, two = two, one
            first, second = axes[one] * sides[one], axes[two] * sides[two]
            middle = center + 0.5 * sign * sides[axis] * axes[axis]
            corner = middle - 0.5 * first - 0.5 * second
            quads.append(
                Quad(tuple(corner), tuple(first), tuple(second), kind, **look)  # pyright: ignore
            )
    return quads


@dataclass(frozen=True)
class Hologram:
    """What is on rectangles of kind GRATING: cells with gratings."""

    cells: Array
    """Rows, from the corner, and columns of cells, each an index into `gratings`."""
    gratings: Array
    """Direction, in units of the rectangle's two sides, and period in nanometers."""
    efficiency: tuple[float, float, float]
    """Share of the light in orders 0, ±1 and ±2."""


def packed(
    groups: Sequence[Sequence[Quad]], balls: Sequence[Ball], hologram: Hologram
) -> Surfaces:
    """The scene as arrays, without light on matte surfaces.

    `groups`: rectangles that are near each other. In the arrays they are one after the other.
    """
    quads = [quad for group in groups for quad in group]
    maps = np.zeros((len(quads), 6), np.int64)
    albedo: list[Array] = []
    texels = 0
    for k, quad in enumerate(quads):
        if quad.albedo is None:
            continue
        maps[k] = (sum(map(len, albedo)), *quad.albedo.shape[:2], texels, *quad.texels)
        albedo.append(quad.albedo.reshape(-1, 3))
        texels += quad.texels[0] * quad.texels[1]
    sides = np.array([(quad.first, quad.second) for quad in quads])
    scaled = sides / np.square(sides).sum(-1, keepdims=True)
    corners = np.array([quad.corner for quad in quads])
    normals = np.cross(sides[:, 0], sides[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    heights = (corners * normals).sum(1, keepdims=True)
    around: list[tuple[float, ...]] = []
    first = 0
    for group in groups:
        own = slice(first, first + len(group))
        ends = [
            corners[own] + i * sides[own, 0] + j * sides[own, 1] for i in (0, 1) for j in (0, 1)
        ]
        points = np.concatenate(ends)
        center = points.mean(0)
        square = 1.001 * np.square(points - center).sum(1).max()
        around.append((*center, square, own.start, own.stop))
        first = own.stop
    step = (LONGEST - SHORTEST) / WAVELENGTHS
    middles = SHORTEST + step * (torch.arange(WAVELENGTHS, dtype=torch.float64) + 0.5)
    return Surfaces(
        np.concatenate([corners, scaled.reshape(-1, 6), normals, heights], axis=1),
        np.array(around),
        np.array([quad.kind for quad in quads]),
        maps,
        np.array([(*quad.color, *quad.repeat) for quad in quads]),
        np.array([(*ball.center, ball.radius, *ball.color, ball.index) for ball in balls]),
        np.concatenate(albedo),
        np.zeros((texels, 3)),
        hologram.cells,
        hologram.gratings,
        np.array(hologram.efficiency),
        rgb_response(middles).numpy(),
    )


def lit(scene: Surfaces) -> Surfaces:
    """The scene with light on its matte surfaces."""
    jobs = [
        (k, rows)
        for k in np.flatnonzero(scene.kinds == MATTE).tolist()
        for rows in shares(int(scene.maps[k, 4]), 8)
    ]
    for samples in GATHER_SAMPLES:
        light = np.zeros_like(scene.light)
        run_threads(partial(_fill, scene, samples, light), jobs)
        scene = scene._replace(light=light)
    return scene


def _fill(
    scene: Surfaces, samples: int, light: Array, job: tuple[int, tuple[int, int]]
) -> None:
    quad, rows = job
    gather(scene, quad, rows, samples, 0, light)
