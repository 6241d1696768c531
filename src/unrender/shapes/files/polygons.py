"""Triangles of the polygons of a mesh file.

Convex polygons become fans around their first corner, and polygons with a single reflex corner
fans around that corner, which sees all others. The rest are cut by ear clipping in the plane
that fits best (Meisters, "Polygons have ears", 1975; normals by Newell's method).
"""

from pathlib import Path
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.runtime.jit import strict_jit
from unrender.notes import note

EPSILON = 1e-9
"""Sine below which a turn of the outline is straight."""
MAX_TESTS = 500_000_000
"""Number of tests of a point in a triangle after which the rest becomes fans."""


def triangulate(
    path: Path,
    vertices: Float[Tensor, "vertices 3"],
    corners: Int[Tensor, "corners"],
    counts: Int[Tensor, "polygons"],
) -> tuple[Int[Tensor, "faces 3"], Int[Tensor, "faces"]]:
    """Triangulate polygons, in their order.

    Takes the vertex of each corner of all polygons, concatenated, and their numbers of corners.
    Returns, for each triangle, three rows of `corners`, and the polygon that it is of.
    Polygons of fewer than three corners have none, which is noted. Vertex rows out of range
    are allowed.
    """
    starts = counts.cumsum(0) - counts
    number = (counts >= 3).nonzero()[:, 0]
    if len(number) < len(counts):
        note(f"{path}: {len(counts) - len(number)} faces of fewer than 3 corners are left out")
    starts, counts = starts[number], counts[number]
    triangles = counts - 2
    first = torch.zeros_like(counts)
    ears = torch.zeros(0, dtype=torch.long)
    flat = torch.zeros(0, 2, dtype=torch.float64)
    if bool((counts > 3).any()):
        first, ears, flat = _reflex(vertices, corners, starts, counts)
        ears = ears[counts[ears] > 3]
    start, shift, size = (x.repeat_interleave(triangles) for x in (starts, first, counts))
    before = (triangles.cumsum(0) - triangles).repeat_interleave(triangles)
    here = torch.arange(len(start)) - before
    fan = torch.stack([torch.zeros_like(here), here + 1, here + 2], dim=1)
    found = start[:, None] + (fan + shift[:, None]) % size[:, None]
    if len(ears):
        clipped = np.zeros((int(triangles[ears].sum()), 3), np.int64)
        left = _clip_ears(flat.numpy(), starts[ears].numpy(), counts[ears].numpy(), clipped)
        if left:
            note(f"{path}: {left} faces have too many corners and became fans: triangulate it")
        mask = torch.zeros(len(counts), dtype=torch.bool)
        mask[ears] = True
        found[mask.repeat_interleave(triangles)] = torch.from_numpy(clipped)
    return found, number.repeat_interleave(triangles)


def _reflex(
    vertices: Float[Tensor, "vertices 3"],
    corners: Int[Tensor, "corners"],
    starts: Int[Tensor, "polygons"],
    counts: Int[Tensor, "polygons"],
) -> tuple[Int[Tensor, "polygons"], Int[Tensor, "concave"], Float[Tensor, "corners 2"]]:
    """The corner that a fan begins at, the polygons with several reflex corners, and all
    corners in the planes of their polygons, which are counterclockwise there.
    """
    owner = torch.arange(len(counts)).repeat_interleave(counts)
    begin = starts.repeat_interleave(counts)
    packed = counts.cumsum(0) - counts
    here = torch.arange(len(owner)) - packed.repeat_interleave(counts)
    size = counts.repeat_interleave(counts)
    rows = begin + here
    flat = torch.zeros(len(corners), 2, dtype=torch.float64)
    nowhere = torch.zeros_like(counts), torch.zeros(0, dtype=torch.long), flat
    if not len(vertices) or not _in_range(corners, len(vertices)):
        return nowhere
    # Relative to the first corner, so that far coordinates keep their digits.
    place = (vertices.double()[corners[rows]] - vertices.double()[corners[begin]]).nan_to_num()
    after = place[packed.repeat_interleave(counts) + (here + 1) % size]
    before = place[packed.repeat_interleave(counts) + (here - 1) % size]
    normal = torch.zeros(len(counts), 3, dtype=torch.float64)
    normal.index_add_(0, owner, torch.linalg.cross(place, after))
    axis = normal.abs().argmax(1)
    across, up = (axis + 1) % 3, (axis + 2) % 3
    turned = normal.gather(1, axis[:, None])[:, 0] < 0
    across, up = torch.where(turned, up, across), torch.where(turned, across, up)
    plane = torch.stack([across, up], dim=1)[owner]
    flat[rows] = place.gather(1, plane)
    a, b = (place - before).gather(1, plane), (after - place).gather(1, plane)
    turn = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    reflex = turn < -EPSILON * a.norm(dim=1) * b.norm(dim=1)
    number = torch.zeros_like(counts).index_add_(0, owner, reflex.long())
    first = torch.zeros_like(counts).scatter_reduce_(0, owner, here * reflex, "amax")
    first[number != 1] = 0
    return first, (number > 1).nonzero()[:, 0], flat


def _in_range(corners: Int[Tensor, "corners"], count: int) -> bool:
    inside: Bool[Tensor, corners] = (corners >= 0) & (corners < count)
    return bool(inside.all())


@strict_jit
@no_type_check
def _area(points, a, b, c):
    """Twice the signed area of a triangle."""
    x, y = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
    return x * (points[c, 1] - points[a, 1]) - y * (points[c, 0] - points[a, 0])


@strict_jit
@no_type_check
def _same_place(points, a, b):
    return points[a, 0] == points[b, 0] and points[a, 1] == points[b, 1]


@strict_jit
@no_type_check
def _clip_ears(points, starts, counts, out):
    """Triangles of polygons, rows of `points`; returns how many became fans by MAX_TESTS."""
    written, tests, fans = 0, 0, 0
    for k in range(len(starts)):
        n, start = counts[k], starts[k]
        after = np.arange(1, n + 1) % n + start
        before = np.arange(n - 1, 2 * n - 1) % n + start
        here, left, tried, relaxed = start, n, 0, False
        fan = tests > MAX_TESTS
        fans += fan
        best, most = start, -np.inf
        while left > 3:
            a, c = before[here - start], after[here - start]
            area = _area(points, a, here, c)
            ear = fan or relaxed or area > 0
            if ear and not fan and not relaxed:
                other = after[c - start]
                while other != a:
                    tests += 1
                    if (
                        _area(points, a, here, other) >= 0
                        and _area(points, here, c, other) >= 0
                        and _area(points, c, a, other) >= 0
                        and not _same_place(points, other, a)
                        and not _same_place(points, other, here)
                        and not _same_place(points, other, c)
                    ):
                        ear = False
                        break
                    other = after[other - start]
            if ear:
                out[written, 0], out[written, 1], out[written, 2] = a, here, c
                written += 1
                after[a - start], before[c - start] = c, a
                # From the next but one: ears from one corner only would be slivers.
                here = c if relaxed or fan else after[c - start]
                left, tried, relaxed, most = left - 1, 0, False, -np.inf
                if not fan and tests > MAX_TESTS:
                    fan, fans = True, fans + 1
                continue
            if area > most:
                best, most = here, area
            here, tried = c, tried + 1
            if tried >= left:
                # An outline that crosses itself may have no ear: the largest corner goes.
                here, relaxed = best, True
        a, c = before[here - start], after[here - start]
        out[written, 0], out[written, 1], out[written, 2] = a, here, c
        written += 1
    return fans
