"""The k-d tree that searches on the CPU share (Friedman, Bentley & Finkel, 1977).

It is complete: node i has the children 2i + 1 and 2i + 2, each half of its points, split across
the longest side of their box. Nothing else decides on its shape, so that points that repeat, or
lie on a line, or far from all others do no harm. Of n points, leaf j of L levels has those that
stand at [n j >> L, n (j + 1) >> L) of the order.
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np

from unrender.kernels.runtime.jit import exact

Array = np.ndarray[Any, np.dtype[Any]]
DEEPEST = 64
"""Nodes that wait while a search goes down: at most one a level."""


@dataclass(frozen=True)
class KDTree:
    """Which points are in which node."""

    levels: int
    """Of inner nodes: there are 2^levels leaves."""
    rows: Array
    """The points' rows, in the order of the leaves."""
    boxes: Array
    """[nodes, 6]: each node's lowest corner and highest."""
    least: Array
    """Each node's lowest row."""


def build(points: Array, bucket: int) -> KDTree:
    """A tree of at least one point, [n, 3], with at most `bucket` of them in a leaf."""
    levels = max(0, int(np.ceil(np.log2(len(points) / bucket))))
    nodes = (2 << levels) - 1
    boxes, least = np.empty((nodes, 6), np.float32), np.empty(nodes, np.int32)
    rows = np.arange(len(points), dtype=np.int32)
    _build(points, levels, boxes, least, rows)
    return KDTree(levels, rows, boxes, least)


@exact
@no_type_check
def _select(keys, rows, middle):
    """Reorder so that the lower `middle` of the keys come first (Hoare's quickselect)."""
    low, high = 0, len(keys) - 1
    while low < high:
        pivot = keys[(low + high) // 2]
        i, j = low, high
        while i <= j:
            # The limits hold even where keys are not numbers and compare with nothing.
            while i < high and keys[i] < pivot:
                i += 1
            while j > low and pivot < keys[j]:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                rows[i], rows[j] = rows[j], rows[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@exact
@no_type_check
def _build(points, levels, boxes, least, rows):
    count = len(points)
    keys = np.empty(count, np.float32)
    for level in range(levels + 1):
        for part in range(1 << level):
            node = (1 << level) - 1 + part
            first, last = (count * part) >> level, (count * (part + 1)) >> level
            box = boxes[node]
            box[:3] = points[rows[first]]
            box[3:] = points[rows[first]]
            lowest = rows[first]
            for i in range(first, last):
                lowest = min(lowest, rows[i])
                for axis in range(3):
                    x = points[rows[i], axis]
                    box[axis] = min(box[axis], x)
                    box[3 + axis] = max(box[3 + axis], x)
            least[node] = lowest
            if level < levels:
                widest = np.argmax(box[3:] - box[:3])
                for i in range(first, last):
                    keys[i] = points[rows[i], widest]
                # The same as the first of its right half has in the level below.
                middle = (count * (2 * part + 1)) >> (level + 1)
                _select(keys[first:last], rows[first:last], middle - first)


@exact
@no_type_check
def box_distance(box, x, y, z):
    """The squared distance from a point to a box, rounded as that to a point is."""
    dx = max(max(box[0] - x, x - box[3]), x - x)
    dy = max(max(box[1] - y, y - box[4]), y - y)
    dz = max(max(box[2] - z, z - box[5]), z - z)
    return dx * dx + dy * dy + dz * dz
