"""Scenes of rectangles and balls, for specular.py: their description, and their light."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from unrender.data.builtin.specular import MATTE, Surfaces
from unrender.data.builtin.specular_views import gather
from unrender.files.arrays import Array
from unrender.kernels.runtime.jit import run_threads, shares
from unrender.rendering.light.grating import LONGEST, SHORTEST, rgb_response

GATHER_SAMPLES = (32, 32, 32, 32, 256)
"""Directions from which each texel of the light map gathers light, in each pass: each adds one
reflection between matte surfaces."""
WAVELENGTHS = 600
"""Of the table of `rgb_response`."""
Vector = Array | Sequence[float | int]
"""Three numbers."""


@dataclass(frozen=True)
class Quad:
    """A rectangle; only the side toward `first` × `second` is not black."""

    corner: Vector
    first: Vector
    second: Vector
    kind: int
    color: Vector = (0.0, 0.0, 0.0)
    """Reflectance of a mirror or grating, radiance of a lamp."""
    albedo: Array | None = None
    """Linear RGB [rows, columns, 3] of a matte surface."""
    repeat: tuple[int, int] = (1, 1)
    texels: tuple[int, int] = (1, 1)
    """Size of the light map."""


@dataclass(frozen=True)
class Ball:
    center: Vector
    radius: float
    color: Vector
    index: float = 0.0
    """Index of refraction of glass; 0 for metal."""


def checker(one: Vector, other: Vector, texels: int = 32) -> Array:
    """Two fields by two, in linear RGB, as an albedo that is repeated."""
    odd = np.add.outer(np.arange(2), np.arange(2)) % 2
    tile = np.where(odd[..., None] == 1, one, other)
    return tile.repeat(texels // 2, 0).repeat(texels // 2, 1)


def box(
    low: Vector,
    high: Vector,
    turn: float,
    kind: int,
    inward: bool = False,
    **look: Any,
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
            quads.append(Quad(corner, first, second, kind, **look))
    return quads


@dataclass(frozen=True)
class Hologram:
    """Cells with gratings, on all rectangles of kind GRATING."""

    cells: Array
    """Rows, from the corner, and columns of cells, each an index into `gratings`."""
    gratings: Array
    """Direction across the lines, along the first and second side, and period in nanometers."""
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
        np.array([(*quad.color, *quad.repeat) for quad in quads], np.float64),
        np.array(
            [(*ball.center, ball.radius, *ball.color, ball.index) for ball in balls], np.float64
        ).reshape(-1, 8),
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
    direct = np.zeros_like(scene.light)
    for samples in (0, *GATHER_SAMPLES):
        light = np.zeros_like(scene.light)
        run_threads(partial(_fill, scene, samples, direct, light), jobs)
        scene = scene._replace(light=light)
        direct = light if samples == 0 else direct
    return scene


def _fill(
    scene: Surfaces, samples: int, direct: Array, light: Array, job: tuple[int, tuple[int, int]]
) -> None:
    quad, rows = job
    gather(scene, quad, rows, samples, 0, direct, light)
