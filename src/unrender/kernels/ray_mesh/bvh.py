"""A bounding volume hierarchy by the binned surface area heuristic (Wald, "On Fast Construction
of SAH-based Bounding Volume Hierarchies", 2007).

A node is split where the sum over both sides of number of faces × surface area of their box is
smallest: rays hit a box in proportion to its area, and then test all faces in it.
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.runtime.jit import strict_jit

Array = np.ndarray[Any, np.dtype[Any]]
BINS = 16
LEAF_SIZE = 4
"""Maximum number of faces in a leaf."""
STACK_SIZE = 96
"""Size of the traversal stack, which bounds the depth of the tree."""
MAX_SAH_DEPTH = 48
"""Nodes deeper than this are split into halves, which adds at most 32 more levels."""


@dataclass(frozen=True)
class TriangleBVH:
    """A bounding volume hierarchy of triangles."""

    corners: Float[Tensor, "faces 9"]
    """The three corners of each face, in the order of the leaves."""
    rows: Int[Tensor, "faces"]
    """The mesh's row of each of these faces."""
    boxes: Float[Tensor, "nodes 12"]
    """Minimum and maximum corner of the box of each node's left child, then its right one."""
    links: Int[Tensor, "nodes 4"]
    """(first, count) of the left child and of the right one: a leaf has the faces [first, first
    + count); an inner node has its row, and count 0."""

    @classmethod
    @torch.no_grad()
    def build(
        cls, vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"]
    ) -> "TriangleBVH":
        """Build the hierarchy of a mesh; not differentiable.

        InputError if the mesh has no faces or a corner is not finite.
        """
        if len(faces) == 0:
            raise InputError("a mesh without faces cannot be ray traced: add faces")
        corners = vertices.detach().float()[faces].flatten(1)
        if not bool(corners.isfinite().all()):
            raise InputError("the mesh has vertices that are not finite: correct them")
        rows, boxes, links = _nodes(corners.cpu().numpy())
        arrays = (torch.from_numpy(each).to(vertices.device) for each in (rows, boxes, links))
        rows, boxes, links = arrays
        return cls(corners[rows], rows, boxes, links)


def _nodes(corners: Array) -> tuple[Array, Array, Array]:
    """Order of the faces, boxes and links of the nodes, for at least one face, [faces, 9]."""
    count = len(corners)
    points = corners.reshape(count, 3, 3)
    low, high = points.min(1), points.max(1)
    rows = np.arange(count, dtype=np.int64)
    boxes = np.empty((max(count - 1, 1), 12), np.float32)
    links = np.zeros((max(count - 1, 1), 4), np.int32)
    if count == 1:
        # Both children are the same face, which rays may test twice without harm.
        boxes[0] = np.concatenate([low[0], high[0], low[0], high[0]])
        links[0] = (0, 1, 0, 1)
        return rows, boxes, links
    nodes = _build(low, high, (low + high) / 2, rows, boxes, links)
    return rows, boxes[:nodes].copy(), links[:nodes].copy()


@strict_jit
@no_type_check
def _best_split(low, high, centers, rows, first, last):
    """Axis, bin, start and scale of the best split of faces [first, last), or axis −1."""
    min_cost, best_axis, best_bin = np.inf, -1, 0
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
        # Cost of all bins from k on, accumulated from the right.
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
                if cost < min_cost:
                    min_cost, best_axis, best_bin = cost, axis, k
                    best_start, best_scale = start, scale
    return best_axis, best_bin, best_start, best_scale


@strict_jit
@no_type_check
def _merge(box, other):
    for j in range(3):
        box[j] = min(box[j], other[j])
        box[3 + j] = max(box[3 + j], other[3 + j])


@strict_jit
@no_type_check
def _half_surface(box):
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    return x * y + y * z + z * x


@strict_jit
@no_type_check
def _build(low, high, centers, rows, boxes, links):
    """Fill the nodes, starting with the root; returns their number."""
    # Stack entries: a range of faces, its parent, its side and its depth.
    stack = np.empty((2 * STACK_SIZE, 5), np.int64)
    stack[0] = (0, len(rows), -1, 0, 0)
    top, nodes = 1, 0
    while top > 0:
        top -= 1
        first, last, parent, side, depth = stack[top]
        if parent >= 0:
            box = boxes[parent, 6 * side : 6 * side + 6]
            box[:3] = np.inf
            box[3:] = -np.inf
            for i in range(first, last):
                for j in range(3):
                    box[j] = min(box[j], low[rows[i], j])
                    box[3 + j] = max(box[3 + j], high[rows[i], j])
            if last - first <= LEAF_SIZE:
                links[parent, 2 * side] = first
                links[parent, 2 * side + 1] = last - first
                continue
            links[parent, 2 * side] = nodes
        node = nodes
        nodes += 1
        axis = -1
        if depth < MAX_SAH_DEPTH:
            axis, split_bin, start, scale = _best_split(low, high, centers, rows, first, last)
        middle = (first + last) // 2
        if axis >= 0:
            i, j = first, last - 1
            while i <= j:
                if min(int((centers[rows[i], axis] - start) * scale), BINS - 1) <= split_bin:
                    i += 1
                else:
                    rows[i], rows[j] = rows[j], rows[i]
                    j -= 1
            middle = i
        stack[top] = (middle, last, node, 1, depth + 1)
        stack[top + 1] = (first, middle, node, 0, depth + 1)
        top += 2
    return nodes
