"""Convex solids, and shapes that are unions of them.

A solid is a loft: a stack of rings with equal numbers of points, whose corresponding sides are
parallel, so that all faces are flat. Because solids are convex, they are intersections of the
half-spaces of their planes, and queries of a union are exact: which points are inside, which
parts of the surface are visible, which voxels are occupied.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from unrender.kernels.runtime.jit import inline, jit
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import VertexColors

Color = tuple[float, float, float]
Point = Sequence[float | int]

CLEAR = 1e-4
"""A point of a face is hidden if the point this far in front of it is inside another solid."""
FINE = 4
"""A voxel is occupied if one of this number cubed of points in it is inside."""


@dataclass(frozen=True)
class Solid:
    """One loft, with rings in counterclockwise order as seen from the last ring."""

    rings: Float[np.ndarray, "rings sides 3"]
    color: Color


@dataclass(frozen=True)
class Union:
    """A shape made of several convex solids."""

    vertices: Float[np.ndarray, "vertices 3"]
    first_vertex: Int[np.ndarray, "offsets"]
    """Solid k owns the vertices [first_vertex[k], first_vertex[k + 1])."""
    colors: Float[np.ndarray, "solids 3"]
    """RGB in [0, 1]."""
    faces: Int[np.ndarray, "faces 3"]
    planes: Float[np.ndarray, "planes 4"]
    """a, b, c, d, where a x + b y + c z + d is the height of a point above a face."""
    first_plane: Int[np.ndarray, "offsets"]
    """Solid k owns the planes [first_plane[k], first_plane[k + 1])."""
    boxes: Float[np.ndarray, "solids 2 3"]
    """Minimum and maximum corner of each solid's bounding box."""

    @classmethod
    def of(cls, solids: Sequence[Solid]) -> "Union":
        """The union, its bounding box scaled to a longest side of 1 and centered at 0."""
        flat = [solid.rings.reshape(-1, 3) for solid in solids]
        vertices = np.concatenate(flat)
        low, high = vertices.min(0), vertices.max(0)
        vertices = (vertices - (low + high) / 2) / (high - low).max()
        start = np.cumsum([0, *map(len, flat)])
        layouts = [_layout(*solid.rings.shape[:2]) for solid in solids]
        pairs = list(zip(layouts, start, strict=False))
        corners = np.concatenate([sides + first for (_, sides), first in pairs])
        a, b, c = (vertices[corners[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return cls(
            vertices,
            start,
            np.array([solid.color for solid in solids], np.float64),
            np.concatenate([faces + first for (faces, _), first in pairs]),
            np.concatenate([normal, -(normal * a).sum(1, keepdims=True)], axis=1),
            np.cumsum([0, *(len(sides) for _, sides in layouts)]),
            np.stack(
                [
                    np.minimum.reduceat(vertices, start[:-1]),
                    np.maximum.reduceat(vertices, start[:-1]),
                ],
                axis=1,
            ),
        )

    def mesh(self) -> Mesh:
        """The closed surfaces of all solids as one mesh with vertex colors."""
        colors = np.repeat(self.colors, np.diff(self.first_vertex), axis=0)
        return Mesh(
            torch.from_numpy(self.vertices).float(),
            torch.from_numpy(self.faces),
            VertexColors(torch.from_numpy(colors).float()),
        )

    def occupied(self, points: Float[np.ndarray, "points 3"]) -> Bool[np.ndarray, "points"]:
        """Whether each point is inside the shape."""
        found = np.zeros(len(points), np.bool_)
        _occupied(points.astype(np.float64), self.planes, self.first_plane, self.boxes, found)
        return found

    def surface(
        self, count: int, random: np.random.Generator
    ) -> tuple[Float[np.ndarray, "{count} 3"], Float[np.ndarray, "{count} 3"]]:
        """Uniform random points on the surface, and their outward normals.

        Faces inside the union, where solids overlap, are not part of its surface.
        """
        corners = self.vertices[self.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(cross, axis=1)
        normals = cross / np.maximum(area, 1e-30)[:, None]
        bounds = np.cumsum(area)
        points, outward, found = [], [], 0
        while found < count:
            at = random.random(2 * count) * bounds[-1]
            face = np.minimum(np.searchsorted(bounds, at, side="right"), len(area) - 1)
            u, v = random.random((2, 2 * count, 1))
            u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
            a, b, c = (corners[face, k] for k in range(3))
            point, normal = a + u * (b - a) + v * (c - a), normals[face]
            seen = ~self.occupied(point + CLEAR * normal)
            points.append(point[seen])
            outward.append(normal[seen])
            found += int(seen.sum())
        return np.concatenate(points)[:count], np.concatenate(outward)[:count]

    def voxels(self, cells: int) -> Bool[np.ndarray, "{cells} {cells} {cells}"]:
        """Occupancy of the cells of [-0.5, 0.5]³, indexed by x, y and z.

        A cell is occupied if any of `FINE`³ regularly spaced points in it is inside.
        """
        found = np.zeros((cells,) * 3, np.bool_)
        _touched(self.planes, self.first_plane, self.boxes, FINE, found)
        return found


@cache
def _layout(
    rings: int, sides: int
) -> tuple[Int[np.ndarray, "triangles 3"], Int[np.ndarray, "flat 3"]]:
    """The triangles of a loft, and three vertices of each of its flat faces."""
    i, k = np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    i, k, after = i.ravel(), k.ravel(), ((k + 1) % sides).ravel()
    a, b = i * sides + k, i * sides + after
    c, d = b + sides, a + sides
    fan = np.arange(1, sides - 1)
    floor = np.stack([np.zeros_like(fan), fan + 1, fan], 1)
    roof = np.stack([np.zeros_like(fan), fan, fan + 1], 1) + (rings - 1) * sides
    walls = np.stack([a, b, c], 1)
    triangles = np.concatenate([walls, np.stack([a, c, d], 1), floor, roof])
    # Vertices far apart determine a cap's plane most accurately.
    third = [0, sides // 3, 2 * sides // 3]
    caps = np.array([third[::-1], [(rings - 1) * sides + corner for corner in third]])
    return triangles, np.concatenate([walls, caps])


@inline
@no_type_check
def _within(x, y, z, planes, start, stop):
    for plane in range(start, stop):
        height = planes[plane, 0] * x + planes[plane, 1] * y + planes[plane, 2] * z
        if height + planes[plane, 3] > 0:
            return False
    return True


@jit
@no_type_check
def _occupied(points, planes, first, boxes, found):
    for number in range(points.shape[0]):
        x, y, z = points[number]
        for solid in range(boxes.shape[0]):
            low, high = boxes[solid, 0], boxes[solid, 1]
            if (
                low[0] <= x <= high[0]
                and low[1] <= y <= high[1]
                and low[2] <= z <= high[2]
                and _within(x, y, z, planes, first[solid], first[solid + 1])
            ):
                found[number] = True
                break


@jit
@no_type_check
def _touched(planes, first, boxes, fine, found):
    cells = found.shape[0]
    points = fine * cells
    for solid in range(boxes.shape[0]):
        low, high = boxes[solid, 0], boxes[solid, 1]
        start = [
            min(max(math.ceil((low[k] + 0.5) * points - 0.5), 0), points) for k in range(3)
        ]
        stop = [
            min(max(math.floor((high[k] + 0.5) * points - 0.5) + 1, 0), points)
            for k in range(3)
        ]
        for i in range(start[0], stop[0]):
            x = (i + 0.5) / points - 0.5
            for j in range(start[1], stop[1]):
                y = (j + 0.5) / points - 0.5
                for k in range(start[2], stop[2]):
                    z = (k + 0.5) / points - 0.5
                    if not found[i // fine, j // fine, k // fine] and _within(
                        x, y, z, planes, first[solid], first[solid + 1]
                    ):
                        found[i // fine, j // fine, k // fine] = True


def closed_surfaces(
    solids: Sequence[Solid],
) -> tuple[
    Float[np.ndarray, "vertices 3"], Int[np.ndarray, "faces 3"], Int[np.ndarray, "faces"]
]:
    """Vertices and triangles of all solids, where they are, and the solid of each triangle."""
    flat = [solid.rings.reshape(-1, 3) for solid in solids]
    start = np.cumsum([0, *map(len, flat)])
    faces = [_layout(*solid.rings.shape[:2])[0] for solid in solids]
    return (
        np.concatenate(flat),
        np.concatenate([each + first for each, first in zip(faces, start, strict=False)]),
        np.repeat(np.arange(len(solids)), [len(each) for each in faces]),
    )


def loft(rings: Sequence[Sequence[Point]], color: Color) -> Solid:
    """A solid through rings of points."""
    return Solid(np.array(rings, np.float64), color)


def slab(
    low: Point,
    high: Point,
    color: Color,
    shift: tuple[float, float] = (0.0, 0.0),
    top: tuple[float, float] = (1.0, 1.0),
    bevel: float = 0.0,
) -> Solid:
    """A box between two opposite corners.

    Its upper face is moved by `shift` and scaled by `top`, in x and y; `bevel` cuts its edges.
    """
    size = np.array(high, np.float64)[:2] - np.array(low, np.float64)[:2]
    middle = (np.array(high, np.float64)[:2] + np.array(low, np.float64)[:2]) / 2
    bevel = min(bevel, 0.3 * float(size.min()), 0.3 * (high[2] - low[2]))

    def ring(share: float, inset: float) -> Float[np.ndarray, "sides 3"]:
        x, y = size / 2 * (1 + (np.array(top) - 1) * share) - inset
        if bevel:
            a, b = x - bevel, y - bevel
            flat = [(x, -b), (x, b), (a, y), (-a, y), (-x, b), (-x, -b), (-a, -y), (a, -y)]
        else:
            flat = [(x, -y), (x, y), (-x, y), (-x, -y)]
        at = np.array(flat) + middle + share * np.array(shift)
        return np.column_stack([at, np.full(len(at), low[2] + share * (high[2] - low[2]))])

    if not bevel:
        return Solid(np.stack([ring(0.0, 0.0), ring(1.0, 0.0)]), color)
    part = bevel / (high[2] - low[2])
    steps = [(0.0, bevel), (part, 0.0), (1 - part, 0.0), (1.0, bevel)]
    return Solid(np.stack([ring(share, inset) for share, inset in steps]), color)


def lathe(
    profile: Sequence[tuple[float, float]],
    center: tuple[float, float],
    color: Color,
    sides: int = 14,
    squash: float = 1.0,
) -> list[Solid]:
    """A surface of revolution about a vertical axis; `profile` has (radius, z) from below.

    `squash` scales it in y.
    """
    turn = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    circle = np.stack([np.cos(turn), squash * np.sin(turn)], 1)
    rings = [
        np.column_stack([radius * circle + np.array(center), np.full(sides, z)])
        for radius, z in profile
    ]
    # One solid per segment, since the profile need not be convex.
    return [Solid(np.stack(pair), color) for pair in pairwise(rings)]


def ball(
    center: Point, radius: float, color: Color, squash: float = 1.0, sides: int = 14
) -> Solid:
    """A ball, flattened by `squash` in z."""
    up = np.linspace(-0.46 * np.pi, 0.46 * np.pi, 7)
    turn = 2 * np.pi * np.arange(sides) / sides
    rings = radius * np.stack(
        [
            np.cos(up)[:, None] * np.cos(turn),
            np.cos(up)[:, None] * np.sin(turn),
            squash * np.sin(up)[:, None] + 0 * turn,
        ],
        -1,
    )
    return Solid(rings + np.array(center), color)


def stick(
    a: Point,
    b: Point,
    radius: tuple[float, float] | float,
    color: Color,
    sides: int = 8,
    flat: float = 1.0,
) -> Solid:
    """A stick from a to b with one radius, or one for each end; square if it has four sides.

    `flat` scales its cross-section in one direction.
    """
    begin, stop = radius if isinstance(radius, tuple) else (radius, radius)
    start, end = np.array(a, np.float64), np.array(b, np.float64)
    along = (end - start) / np.linalg.norm(end - start)
    aside = np.array([1.0, 0, 0]) if abs(along[0]) < 0.7 else np.array([0, 1.0, 0])
    across = np.cross(along, aside)
    across /= np.linalg.norm(across)
    aside = np.cross(across, along)
    turn = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    # The radius of a square is half its side, not half its diagonal.
    grow = math.sqrt(2) if sides == 4 else 1.0
    circle = np.cos(turn)[:, None] * flat * aside + np.sin(turn)[:, None] * across
    rings = [place + grow * r * circle for place, r in ((start, begin), (end, stop))]
    return Solid(np.stack(rings), color)
