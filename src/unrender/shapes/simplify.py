"""Simplification of meshes by edge collapses with quadric error metrics.

Garland and Heckbert, "Surface Simplification Using Quadric Error Metrics" (SIGGRAPH 1997): each
vertex keeps the sum of squared distances to the planes of the faces around it, weighted by
their areas, and an edge is contracted to the point where the sum of both is least. Planes at
right angles to the faces along open edges keep the mesh's border.

Edges are not taken from a heap one by one but in rounds: of the cheapest third of all edges,
those that are not next to one another, the cheapest first. So each round is a few passes over
arrays.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.nearest import nearest
from unrender.kernels.runtime.jit import num_threads, run_threads, shares, strict_jit
from unrender.shapes.components import without_unused_vertices
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import VertexColors

BORDER = 10.0
"""Weight of the planes along open edges, relative to those of faces."""
CALM = 1e-3
"""Weight of the squared distance to an edge's middle, relative to the faces around it: it makes
the best point unique on planes, and prefers short edges there."""
CHEAPEST = 1 / 3
"""Share of all edges that a round considers."""
FOLD = 0.2
"""Smallest cosine of the angle by which a collapse may turn a face."""


def simplify(
    mesh: Mesh, faces: int, on_progress: Callable[[int, int], None] | None = None
) -> Mesh:
    """The mesh with at most so many faces; one that has no more is returned as it is.

    Holes stay open, and what is closed stays closed, as long as that is possible with so few
    faces. Vertex colors are those of the nearest vertex before. Raises InputError for textures
    other than vertex colors.
    """
    if len(mesh.faces) <= faces:
        return mesh
    if not (mesh.texture is None or isinstance(mesh.texture, VertexColors)):
        raise InputError(
            f"a mesh with {mesh.texture.kind} cannot be simplified: keep its {len(mesh.faces)} "
            "faces, or drop its texture"
        )
    positions, rows = _simplified(
        mesh.vertices.detach().cpu(), mesh.faces.cpu(), faces, on_progress
    )
    positions, rows = positions.to(mesh.vertices), rows.to(mesh.faces)
    texture = mesh.texture
    if isinstance(texture, VertexColors):
        index = nearest(positions[None], mesh.vertices.detach()[None]).index[0]
        texture = VertexColors(texture.colors[index])
    return without_unused_vertices(Mesh(positions, rows, texture, unlit=mesh.unlit))


def _simplified(
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    target: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[Float[Tensor, "fewer 3"], Int[Tensor, "least 3"]]:
    # Centered, so that quadrics do not cancel.
    middle = vertices.double().mean(0)
    places = (vertices.double() - middle).numpy().copy()
    rows = faces.numpy().astype(np.int64)
    quadrics = np.zeros((len(places), 10))
    _add_quadrics(places, rows, *_edges(rows, len(places)), BORDER, quadrics)
    total, share, forced = len(rows), CHEAPEST, False
    while len(rows) > target:
        before = len(rows)
        into = _round(places, quadrics, rows, target, share, forced)
        rows = into[rows]
        different = (rows != np.roll(rows, 1, axis=1)).all(1)
        used, flat = np.unique(rows[different], return_inverse=True)
        places, quadrics, rows = places[used], quadrics[used], flat.reshape(-1, 3)
        if len(rows) == before:
            # No edge can go without folding the surface, or joining what is not joined.
            share, forced = 1.0, share == 1.0
        if on_progress is not None:
            on_progress(total - max(len(rows), target), total - target)
    return torch.from_numpy(places) + middle, torch.from_numpy(rows)


def _edges(faces: Any, count: int) -> tuple[Any, Any]:
    """Each edge once, and the number of its faces."""
    sides = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    keys, number = np.unique(sides[:, 0] * count + sides[:, 1], return_counts=True)
    return np.stack([keys // count, keys % count], axis=1), number


def _round(
    places: Any, quadrics: Any, faces: Any, target: int, share: float, forced: bool
) -> Any:
    """Collapse edges in place; returns the vertex that each vertex has become."""
    count = len(places)
    edges, number = _edges(faces, count)
    best, costs = np.empty((len(edges), 3)), np.empty(len(edges))
    run_threads(
        lambda part: _costs(places, quadrics, edges, CALM, *part, best, costs),
        shares(len(edges), 4 * num_threads()),
    )
    considered = max(1, int(share * len(edges)))
    order = np.argpartition(costs, considered - 1)[:considered]
    order = order[np.argsort(costs[order], kind="stable")]
    border = np.zeros(count, dtype=np.bool_)
    border[edges[number == 1]] = True
    incident = np.argsort(faces.reshape(-1), kind="stable") // 3
    start = np.concatenate([[0], np.cumsum(np.bincount(faces.reshape(-1), minlength=count))])
    into = np.arange(count)
    state = (places, quadrics, faces, start, incident, edges, number, best, border)
    _collapse(*state, order, len(faces) - target, FOLD, forced, into)
    return into


@strict_jit
@no_type_check
def _add_plane(quadrics, vertex, normal, point, weight):
    """Add the squared distance to a plane, as the upper half of a symmetric 4×4 matrix."""
    x, y, z = normal
    d = -(x * point[0] + y * point[1] + z * point[2])
    products = (x * x, x * y, x * z, x * d, y * y, y * z, y * d, z * z, z * d, d * d)
    for k in range(10):
        quadrics[vertex, k] += weight * products[k]


@strict_jit
@no_type_check
def _difference(places, a, b):
    return places[a, 0] - places[b, 0], places[a, 1] - places[b, 1], places[a, 2] - places[b, 2]


@strict_jit
@no_type_check
def _cross(a, b):
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


@strict_jit
@no_type_check
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@strict_jit
@no_type_check
def _row(edges, count, a, b):
    """The row of an edge: they are sorted by their first vertex, and then by their second."""
    key = min(a, b) * count + max(a, b)
    begin, end = 0, len(edges)
    while begin < end:
        middle = (begin + end) // 2
        if edges[middle, 0] * count + edges[middle, 1] < key:
            begin = middle + 1
        else:
            end = middle
    return begin


@strict_jit
@no_type_check
def _add_quadrics(places, faces, edges, number, border, quadrics):
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        x, y, z = _cross(_difference(places, b, a), _difference(places, c, a))
        length = np.sqrt(x * x + y * y + z * z)
        if length == 0:
            continue
        normal = (x / length, y / length, z / length)
        for corner in range(3):
            _add_plane(quadrics, faces[f, corner], normal, places[a], length / 2)
        for corner in range(3):
            first, second = faces[f, corner], faces[f, (corner + 1) % 3]
            if number[_row(edges, len(places), first, second)] != 1:
                continue
            x, y, z = _cross(_difference(places, second, first), normal)
            size2 = x * x + y * y + z * z
            if size2 > 0:
                size = np.sqrt(size2)
                aside = (x / size, y / size, z / size)
                _add_plane(quadrics, first, aside, places[first], border * size2)
                _add_plane(quadrics, second, aside, places[first], border * size2)


@strict_jit
@no_type_check
def _costs(places, quadrics, edges, calm, first, last, best, costs):
    q = np.empty(10)
    for e in range(first, last):
        i, j = edges[e, 0], edges[e, 1]
        for k in range(10):
            q[k] = quadrics[i, k] + quadrics[j, k]
        more = calm * (q[0] + q[4] + q[7]) + 1e-300
        mx = (places[i, 0] + places[j, 0]) / 2
        my = (places[i, 1] + places[j, 1]) / 2
        mz = (places[i, 2] + places[j, 2]) / 2
        # The least of the quadric and `more` times the squared distance to the middle.
        a00, a01, a02, a11, a12, a22 = q[0] + more, q[1], q[2], q[4] + more, q[5], q[7] + more
        b0, b1, b2 = more * mx - q[3], more * my - q[6], more * mz - q[8]
        c00, c01, c02 = a11 * a22 - a12 * a12, a02 * a12 - a01 * a22, a01 * a12 - a02 * a11
        c11, c12, c22 = a00 * a22 - a02 * a02, a01 * a02 - a00 * a12, a00 * a11 - a01 * a01
        det = a00 * c00 + a01 * c01 + a02 * c02
        x, y, z = mx, my, mz
        if det > 0:
            x = (c00 * b0 + c01 * b1 + c02 * b2) / det
            y = (c01 * b0 + c11 * b1 + c12 * b2) / det
            z = (c02 * b0 + c12 * b1 + c22 * b2) / det
        best[e, 0], best[e, 1], best[e, 2] = x, y, z
        error = q[0] * x * x + q[4] * y * y + q[7] * z * z + q[9]
        error += 2 * (q[1] * x * y + q[2] * x * z + q[5] * y * z)
        error += 2 * (q[3] * x + q[6] * y + q[8] * z)
        side = _difference(places, i, j)
        costs[e] = max(error, 0.0) + more * _dot(side, side)


@strict_jit
@no_type_check
def _folds(places, faces, f, vertex, point, least):
    """Whether a face turns too far when one of its corners moves to the point."""
    corner = 0
    while faces[f, corner] != vertex:
        corner += 1
    b, c = faces[f, (corner + 1) % 3], faces[f, (corner + 2) % 3]
    side = _difference(places, c, b)
    before = _cross(side, _difference(places, vertex, b))
    moved = point[0] - places[b, 0], point[1] - places[b, 1], point[2] - places[b, 2]
    after = _cross(side, moved)
    return _dot(before, after) <= least * np.sqrt(_dot(before, before) * _dot(after, after))


@strict_jit
@no_type_check
def _turns(places, faces, start, incident, vertex, other, point, least):
    """Whether a face of the vertex that stays turns too far when the vertex moves."""
    for n in range(start[vertex], start[vertex + 1]):
        f = incident[n]
        if faces[f, 0] == other or faces[f, 1] == other or faces[f, 2] == other:
            continue
        if _folds(places, faces, f, vertex, point, least):
            return True
    return False


@strict_jit
@no_type_check
def _common(faces, start, incident, a, b, e, beside_a, beside_b):
    """Number of vertices next to both ends of edge e."""
    for n in range(start[a], start[a + 1]):
        for corner in range(3):
            beside_a[faces[incident[n], corner]] = e
    found = 0
    for n in range(start[b], start[b + 1]):
        for corner in range(3):
            vertex = faces[incident[n], corner]
            if beside_a[vertex] == e and beside_b[vertex] != e:
                found += 1
            beside_b[vertex] = e
    # Both ends are corners of these faces too.
    return found - 2


@strict_jit
@no_type_check
def _collapse(
    places, quadrics, faces, start, incident, edges, number, best, border,
    order, excess, least, forced, into,
):  # fmt: skip
    locked = np.zeros(len(places), dtype=np.bool_)
    beside_a = np.full(len(places), -1)
    beside_b = np.full(len(places), -1)
    around = (places, faces, start, incident)
    removed = 0
    for e in order:
        if removed >= excess:
            break
        a, b = edges[e, 0], edges[e, 1]
        if locked[a] or locked[b]:
            continue
        if not forced:
            # Two borders would touch, or parts that meet in other points.
            if number[e] != 1 and (number[e] > 2 or (border[a] and border[b])):
                continue
            if _common(faces, start, incident, a, b, e, beside_a, beside_b) != number[e]:
                continue
            if _turns(*around, a, b, best[e], least) or _turns(*around, b, a, best[e], least):
                continue
        for vertex in (a, b):
            for n in range(start[vertex], start[vertex + 1]):
                for corner in range(3):
                    locked[faces[incident[n], corner]] = True
        for k in range(3):
            places[a, k] = best[e, k]
        for k in range(10):
            quadrics[a, k] += quadrics[b, k]
        into[b] = a
        removed += number[e]
