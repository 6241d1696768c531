"""A bounding volume hierarchy by the surface area heuristic, in bins (Wald, "On Fast
Construction of SAH-based Bounding Volume Hierarchies", 2007).

A node is cut where the faces on both sides, each times the surface of their box, are fewest: as
often as a ray meets the box, so often it asks all faces in it.
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.runtime.jit import exact

Array = np.ndarray[Any, np.dtype[Any]]
BINS = 16
LEAF = 4
"""Faces of a leaf at most, unless their centres are all in one place."""
DEEPEST = 96
"""Nodes that wait while a search goes down. Deeper nodes would be cut in halves."""
LONGEST_PATH = 48
"""Beyond this depth nodes are cut in halves, which adds at most 32 levels more."""


@dataclass(frozen=True)
class TriangleTree:
    """Faces sorted into boxes: a bounding volume hierarchy, made once and asked often."""

    corners: Float[Tensor, "faces 9"]
    """Of each face the three corners, in the order of the leaves."""
    rows: Int[Tensor, "faces"]
    """The mesh's row of each of these faces."""
    boxes: Float[Tensor, "nodes 12"]
    """The lowest and highest corner of each node's left child, then of its right."""
    links: Int[Tensor, "nodes 4"]
    """(first, count) of the left child and of the right: of a leaf the faces [first, first +
    count); of another node its row, and 0."""

    @classmethod
    @torch.no_grad()
    def of(
        cls, vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"]
    ) -> "TriangleTree":
        """A tree of at least one face. InputError without faces, or if a corner is not finite.

        No gradients flow.
        """
        if len(faces) == 0:
            raise InputError("a mesh without faces meets no ray: add faces")
        corners = vertices.detach().float()[faces].flatten(1)
        if not bool(corners.isfinite().all()):
            raise InputError("a mesh has corners that are not finite: correct its vertices")
        rows, boxes, links = _nodes(corners.cpu().numpy())
        arrays = (torch.from_numpy(each).to(vertices.device) for each in (rows, boxes, links))
        rows, boxes, links = arrays
        return cls(corners[rows], rows, boxes, links)


def _nodes(corners: Array) -> tuple[Array, Array, Array]:
    """The order of at least one face, [faces, 9], and the boxes and links of the nodes."""
    count = len(corners)
    points = corners.reshape(count, 3, 3)
    low, high = points.min(1), points.max(1)
    rows = np.arange(count, dtype=np.int64)
    boxes = np.empty((max(count - 1, 1), 12), np.float32)
    links = np.zeros((max(count - 1, 1), 4), np.int32)
    if count == 1:
        # Both children are the same face: a ray may ask it twice, which does no harm.
        boxes[0] = np.concatenate([low[0], high[0], low[0], high[0]])
        links[0] = (0, 1, 0, 1)
        return rows, boxes, links
    nodes = _build(low, high, (low + high) / 2, rows, boxes, links)
    return rows, boxes[:nodes].copy(), links[:nodes].copy()


@exact
@no_type_check
def _cut(low, high, centers, rows, first, last):
    """The axis, bin and bounds of the best cut of faces [first, last); axis −1 if none is."""
    least, best_axis, best_bin = np.inf, -1, 0
    best_start = best_scale = 0.0
    count = np.empty(BINS, np.int64)
    box = np.empty((BINS, 6))
    right = np.empty(BINS)
    for axis in range(3):
        start, end = np.inf, -np.inf
        for i in range(first, last):
            center = np.float64(centers[rows[i], axis])
            start, end = min(start, center), max(end, center)
        if not end > start:
            continue
        scale = BINS / (end - start)
        count[:] = 0
        box[:, :3] = np.inf
        box[:, 3:] = -np.inf
        for i in range(first, last):
            row = rows[i]
            k = min(int((centers[row, axis] - start) * scale), BINS - 1)
            count[k] += 1
            for j in range(3):
                box[k, j] = min(box[k, j], low[row, j])
                box[k, 3 + j] = max(box[k, 3 + j], high[row, j])
        # From the right: what the bins from k on cost together.
        total = 0
        merged = np.array([np.inf, np.inf, np.inf, -np.inf, -np.inf, -np.inf])
        for k in range(BINS - 1, 0, -1):
            total += count[k]
            _merge(merged, box[k])
            right[k] = total * _half_surface(merged) if total > 0 else np.inf
        total = 0
        merged[:3] = np.inf
        merged[3:] = -np.inf
        for k in range(BINS - 1):
            total += count[k]
            _merge(merged, box[k])
            if total > 0:
                cost = total * _half_surface(merged) + right[k + 1]
                if cost < least:
                    least, best_axis, best_bin = cost, axis, k
                    best_start, best_scale = start, scale
    return best_axis, best_bin, best_start, best_scale


@exact
@no_type_check
def _merge(box, other):
    for j in range(3):
        box[j] = min(box[j], other[j])
        box[3 + j] = max(box[3 + j], other[3 + j])


@exact
@no_type_check
def _half_surface(box):
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    return x * y + y * z + z * x


@exact
@no_type_check
def _build(low, high, centers, rows, boxes, links):
    """Fill the nodes, the root first; returns how many there are."""
    # What waits: a range of faces, and where its box and link belong.
    waiting = np.empty((2 * DEEPEST, 5), np.int64)
    waiting[0] = (0, len(rows), -1, 0, 0)
    top, nodes = 1, 0
    while top > 0:
        top -= 1
        first, last, parent, side, depth = waiting[top]
        if parent >= 0:
            box = boxes[parent, 6 * side : 6 * side + 6]
            box[:3] = np.inf
            box[3:] = -np.inf
            for i in range(first, last):
                for j in range(3):
                    box[j] = min(box[j], low[rows[i], j])
                    box[3 + j] = max(box[3 + j], high[rows[i], j])
            if last - first <= LEAF:
                links[parent, 2 * side] = first
                links[parent, 2 * side + 1] = last - first
                continue
            links[parent, 2 * side] = nodes
        node = nodes
        nodes += 1
        axis = -1
        if depth < LONGEST_PATH:
            axis, cut, start, scale = _cut(low, high, centers, rows, first, last)
        middle = (first + last) // 2
        if axis >= 0:
            i, j = first, last - 1
            while i <= j:
                if min(int((centers[rows[i], axis] - start) * scale), BINS - 1) <= cut:
                    i += 1
                else:
                    rows[i], rows[j] = rows[j], rows[i]
                    j -= 1
            middle = i
        waiting[top] = (middle, last, node, 1, depth + 1)
        waiting[top + 1] = (first, middle, node, 0, depth + 1)
        top += 2
    return nodes
