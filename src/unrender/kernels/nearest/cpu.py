"""Nearest neighbors on the CPU, by a k-d tree.

A leaf stores LEAF_SIZE points contiguously, which LLVM processes as vectors. A query descends
to the nearer child first, and visits the other one only if its bounding box is nearer than the
best distance so far. Distances to boxes are rounded like those to points, and so never exceed
them. For ties, a box is visited only if it contains a smaller index; otherwise the whole tree
would be searched for clouds of one repeated point.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.nearest.kd_tree import STACK_SIZE, Array, box_distance, build
from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares, strict_jit

LEAF_SIZE = 16
FAR = np.float32(1e18)
"""Coordinate of the padding points of leaves; its square is still finite."""


@jit
@no_type_check
def _fill(points, rows, levels, leaves):
    """Copy the points to `leaves`, [leaf, 3, LEAF_SIZE]."""
    count = len(points)
    for leaf in range(len(leaves)):
        first, last = (count * leaf) >> levels, (count * (leaf + 1)) >> levels
        for axis in range(3):
            for i in range(first, last):
                leaves[leaf, axis, i - first] = points[rows[i], axis]


@strict_jit
@no_type_check
def _search(
    queries, boxes, min_row, rows, leaves, levels, count, first, last, distance2, index
):
    """Fill distance2 and index, [queries, k], which contain FAR² and −1 at first."""
    inner = (1 << levels) - 1
    k = distance2.shape[1]
    d = np.empty(LEAF_SIZE, np.float32)
    stack = np.empty(STACK_SIZE, np.int32)
    bounds = np.empty(STACK_SIZE, np.float32)
    for q in range(first, last):
        x, y, z = queries[q, 0], queries[q, 1], queries[q, 2]
        near, where = distance2[q], index[q]
        worst, worst_row = near[k - 1], count
        top = 1
        stack[0], bounds[0] = 0, box_distance(boxes[0], x, y, z)
        while top > 0:
            top -= 1
            node, bound = stack[top], bounds[top]
            if bound > worst or (bound == worst and min_row[node] > worst_row):
                continue
            while node < inner:
                a, b = 2 * node + 1, 2 * node + 2
                distance_a = box_distance(boxes[a], x, y, z)
                distance_b = box_distance(boxes[b], x, y, z)
                if distance_b < distance_a or (
                    distance_b == distance_a and min_row[b] < min_row[a]
                ):
                    a, b = b, a
                    distance_a, distance_b = distance_b, distance_a
                if distance_b <= worst:
                    stack[top], bounds[top] = b, distance_b
                    top += 1
                node = a
            leaf = node - inner
            px, py, pz = leaves[leaf, 0], leaves[leaf, 1], leaves[leaf, 2]
            nearest = FAR * FAR
            for i in range(LEAF_SIZE):
                dx, dy, dz = x - px[i], y - py[i], z - pz[i]
                d[i] = dx * dx + dy * dy + dz * dz
                nearest = min(nearest, d[i])
            if nearest > worst:
                continue
            start = (count * leaf) >> levels
            for i in range(((count * (leaf + 1)) >> levels) - start):
                row = rows[start + i]
                if d[i] < worst or (d[i] == worst and row < worst_row):
                    slot = k - 1
                    while slot > 0 and (
                        d[i] < near[slot - 1]
                        or (d[i] == near[slot - 1] and row < where[slot - 1])
                    ):
                        near[slot], where[slot] = near[slot - 1], where[slot - 1]
                        slot -= 1
                    near[slot], where[slot] = d[i], row
                    worst = near[k - 1]
                    worst_row = where[k - 1] if where[k - 1] >= 0 else count


@jit
@no_type_check
def _gradients(queries, points, index, grad_output, first, last, grad_queries, grad_points):
    """Gradients for the clouds [first, last), accumulated in the order of the queries."""
    for cloud in range(first, last):
        for q in range(index.shape[1]):
            row = index[cloud, q]
            if row < 0:
                continue
            factor = 2 * grad_output[cloud, q]
            for axis in range(3):
                gradient = factor * (queries[cloud, q, axis] - points[cloud, row, axis])
                grad_queries[cloud, q, axis] = gradient
                grad_points[cloud, row, axis] -= gradient


Tree = tuple[Array, Array, Array, Array, int, int]


def _tree(points: Array) -> Tree:
    """The arguments of `_search` for a cloud of at least one point."""
    tree = build(points, LEAF_SIZE)
    leaves = np.full((1 << tree.levels, 3, LEAF_SIZE), FAR)
    _fill(points, tree.rows, tree.levels, leaves)
    return tree.boxes, tree.min_row, tree.rows, leaves, tree.levels, len(points)


def k_nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    num_queries: Int[Tensor, "batch"],
    num_points: Int[Tensor, "batch"],
    k: int,
) -> tuple[Float[Tensor, "batch queries k"], Int[Tensor, "batch queries k"]]:
    distance2 = queries.new_full((*queries.shape[:2], k), float(FAR * FAR))
    index = torch.full_like(distance2, -1, dtype=torch.long)
    query_array, point_array = queries.contiguous().numpy(), points.contiguous().numpy()
    near, where = distance2.numpy(), index.numpy()
    clouds: list[tuple[int, int, int]] = [
        (cloud, n, m)
        for cloud, (n, m) in enumerate(
            zip(num_queries.tolist(), num_points.tolist(), strict=True)
        )
        if n > 0 and m > 0
    ]
    trees = run_threads(lambda job: _tree(point_array[job[0], : job[2]]), clouds)
    parts = 1 if len(clouds) >= 4 * num_threads() else 4 * num_threads()
    jobs = [
        (cloud, tree, share)
        for (cloud, n, _), tree in zip(clouds, trees, strict=True)
        for share in shares(n, parts)
    ]

    def search(job: tuple[int, Tree, tuple[int, int]]) -> None:
        cloud, tree, share = job
        _search(query_array[cloud], *tree, *share, near[cloud], where[cloud])

    run_threads(search, jobs)
    return distance2.masked_fill_(index < 0, 0), index


def gradients(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    index: Int[Tensor, "batch queries"],
    grad_output: Float[Tensor, "batch queries"],
) -> tuple[Float[Tensor, "batch queries 3"], Float[Tensor, "batch points 3"]]:
    grad_queries, grad_points = torch.zeros_like(queries), torch.zeros_like(points)
    arrays = queries.detach().numpy(), points.detach().numpy(), index.numpy()
    upstream, out = (
        grad_output.contiguous().numpy(),
        (grad_queries.numpy(), grad_points.numpy()),
    )
    run_threads(
        lambda share: _gradients(*arrays, upstream, *share, *out),
        shares(len(queries), num_threads()),
    )
    return grad_queries, grad_points
