"""Nearest neighbours on the CPU by a k-d tree.

A leaf is BUCKET points beside each other in memory, of which LLVM takes all at once. A query
goes down to the nearer child first, and to others only if their box is nearer than what it has
found: distances to boxes are rounded as those to points are, and so never exceed them. Where
they are equal, a box counts only if it holds a lower row, or else clouds of one repeated point
would be searched wholly.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.nearest.kd_tree import DEEPEST, Array, box_distance, build
from unrender.kernels.runtime.jit import exact, jit, num_threads, run_threads, shares

BUCKET = 16
FAR = np.float32(1e18)
"""Where leaves that are not full have their other points: its square is still a number."""


@jit
@no_type_check
def _fill(points, rows, levels, leaves):
    """leaves: [leaf, 3, BUCKET]."""
    count = len(points)
    for leaf in range(len(leaves)):
        first, last = (count * leaf) >> levels, (count * (leaf + 1)) >> levels
        for axis in range(3):
            for i in range(first, last):
                leaves[leaf, axis, i - first] = points[rows[i], axis]


@exact
@no_type_check
def _search(queries, boxes, least, rows, leaves, levels, count, first, last, distance2, index):
    """distance2, index: [queries, k], filled with infinity's stand-in and −1."""
    inner = (1 << levels) - 1
    k = distance2.shape[1]
    d = np.empty(BUCKET, np.float32)
    waiting = np.empty(DEEPEST, np.int32)
    bounds = np.empty(DEEPEST, np.float32)
    for q in range(first, last):
        x, y, z = queries[q, 0], queries[q, 1], queries[q, 2]
        near, where = distance2[q], index[q]
        worst, worst_row = near[k - 1], count
        top = 1
        waiting[0], bounds[0] = 0, box_distance(boxes[0], x, y, z)
        while top > 0:
            top -= 1
            node, bound = waiting[top], bounds[top]
            if bound > worst or (bound == worst and least[node] > worst_row):
                continue
            while node < inner:
                a, b = 2 * node + 1, 2 * node + 2
                at_a = box_distance(boxes[a], x, y, z)
                at_b = box_distance(boxes[b], x, y, z)
                if at_b < at_a or (at_b == at_a and least[b] < least[a]):
                    a, b = b, a
                    at_a, at_b = at_b, at_a
                if at_b <= worst:
                    waiting[top], bounds[top] = b, at_b
                    top += 1
                node = a
            leaf = node - inner
            px, py, pz = leaves[leaf, 0], leaves[leaf, 1], leaves[leaf, 2]
            nearest = FAR * FAR
            for i in range(BUCKET):
                dx, dy, dz = x - px[i], y - py[i], z - pz[i]
                d[i] = dx * dx + dy * dy + dz * dz
                nearest = min(nearest, d[i])
            if nearest > worst:
                continue
            start = (count * leaf) >> levels
            for i in range(((count * (leaf + 1)) >> levels) - start):
                row = rows[start + i]
                if d[i] < worst or (d[i] == worst and row < worst_row):
                    place = k - 1
                    while place > 0 and (
                        d[i] < near[place - 1]
                        or (d[i] == near[place - 1] and row < where[place - 1])
                    ):
                        near[place], where[place] = near[place - 1], where[place - 1]
                        place -= 1
                    near[place], where[place] = d[i], row
                    worst = near[k - 1]
                    worst_row = where[k - 1] if where[k - 1] >= 0 else count


@jit
@no_type_check
def _gradients(queries, points, index, above, first, last, by_query, by_point):
    """Of the clouds [first, last), each point's in the order of the queries."""
    for cloud in range(first, last):
        for q in range(index.shape[1]):
            row = index[cloud, q]
            if row < 0:
                continue
            factor = 2 * above[cloud, q]
            for axis in range(3):
                moved = factor * (queries[cloud, q, axis] - points[cloud, row, axis])
                by_query[cloud, q, axis] = moved
                by_point[cloud, row, axis] -= moved


Tree = tuple[Array, Array, Array, Array, int, int]


def _tree(points: Array) -> Tree:
    """What `_search` takes of a cloud of at least one point."""
    tree = build(points, BUCKET)
    leaves = np.full((1 << tree.levels, 3, BUCKET), FAR)
    _fill(points, tree.rows, tree.levels, leaves)
    return tree.boxes, tree.least, tree.rows, leaves, tree.levels, len(points)


def k_nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    num_queries: Int[Tensor, "batch"],
    num_points: Int[Tensor, "batch"],
    k: int,
) -> tuple[Float[Tensor, "batch queries k"], Int[Tensor, "batch queries k"]]:
    distance2 = queries.new_full((*queries.shape[:2], k), float(FAR * FAR))
    index = torch.full_like(distance2, -1, dtype=torch.long)
    from_where, to_where = queries.contiguous().numpy(), points.contiguous().numpy()
    near, where = distance2.numpy(), index.numpy()
    clouds: list[tuple[int, int, int]] = [
        (cloud, n, m)
        for cloud, (n, m) in enumerate(
            zip(num_queries.tolist(), num_points.tolist(), strict=True)
        )
        if n > 0 and m > 0
    ]
    trees = run_threads(lambda job: _tree(to_where[job[0], : job[2]]), clouds)
    parts = 1 if len(clouds) >= 4 * num_threads() else 4 * num_threads()
    jobs = [
        (cloud, tree, share)
        for (cloud, n, _), tree in zip(clouds, trees, strict=True)
        for share in shares(n, parts)
    ]

    def search(job: tuple[int, Tree, tuple[int, int]]) -> None:
        cloud, tree, share = job
        _search(from_where[cloud], *tree, *share, near[cloud], where[cloud])

    run_threads(search, jobs)
    return distance2.masked_fill_(index < 0, 0), index


def gradients(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    index: Int[Tensor, "batch queries"],
    above: Float[Tensor, "batch queries"],
) -> tuple[Float[Tensor, "batch queries 3"], Float[Tensor, "batch points 3"]]:
    by_query, by_point = torch.zeros_like(queries), torch.zeros_like(points)
    arrays = queries.detach().numpy(), points.detach().numpy(), index.numpy()
    given, out = above.contiguous().numpy(), (by_query.numpy(), by_point.numpy())
    run_threads(
        lambda share: _gradients(*arrays, given, *share, *out),
        shares(len(queries), num_threads()),
    )
    return by_query, by_point
