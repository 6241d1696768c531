"""Rasterization on the CPU: tile by tile, a row of a face's pixels at a time.

Faces are handed to the tiles that their boxes touch, in order. What a tile needs of a face is
computed anew from its corners: most faces lie in one tile or two, and to store it for all would
take longer.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.rasterize import ON_EDGE
from unrender.kernels.rasterize.screen import image_of_face, outlines, pixel_rays
from unrender.kernels.runtime.jit import exact, num_threads, run_threads, shares

TILE = 16
MARGIN = 1e-3
"""Pixels by which a face's box is larger than the face: more than rounding takes away."""


@exact
@no_type_check
def _planes(corners, plane, least):
    """The normals of the edges' planes, turned such that the face lies where all are positive.

    Returns the determinant, of either sign; `least` is what the edge functions must exceed.
    """
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        bx, by, bz = (
            np.float64(corners[j, 0]),
            np.float64(corners[j, 1]),
            np.float64(corners[j, 2]),
        )
        cx, cy, cz = (
            np.float64(corners[k, 0]),
            np.float64(corners[k, 1]),
            np.float64(corners[k, 2]),
        )
        plane[i, 0] = by * cz - bz * cy
        plane[i, 1] = bz * cx - bx * cz
        plane[i, 2] = bx * cy - by * cx
    ax, ay, az = np.float64(corners[0, 0]), np.float64(corners[0, 1]), np.float64(corners[0, 2])
    determinant = ax * plane[0, 0] + ay * plane[0, 1] + az * plane[0, 2]
    if determinant < 0:
        for i in range(3):
            for axis in range(3):
                plane[i, axis] = -plane[i, axis]
    for i in range(3):
        x, y, z = plane[i]
        mine = x > 0 or (x == 0 and (y > 0 or (y == 0 and z > 0)))
        least[i] = ON_EDGE if mine else 0.0
    return determinant


@exact
@no_type_check
def _boxes(triangles, image, intrinsics, width, height, near, blur, cull, first, last, out):
    """The columns and rows of pixels that each face can reach, [x0, x1) × [y0, y1)."""
    plane, least = np.empty((3, 3)), np.empty(3)
    for k in range(first, last):
        out[k, :] = 0
        corners = triangles[k]
        determinant = _planes(corners, plane, least)
        # Not true of NaN either.
        if not (abs(determinant) > 0 and abs(determinant) < np.inf) or (
            cull and determinant > 0
        ):
            continue
        left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
        camera = intrinsics[image[k]]
        for i in range(3):
            start, end = corners[i], corners[(i + 1) % 3]
            for turn in range(2):
                # A corner, and where the side that begins there meets the near plane.
                x, y, z = np.float64(start[0]), np.float64(start[1]), np.float64(start[2])
                if turn == 0 and z < near:
                    continue
                if turn == 1:
                    if (start[2] < near) == (end[2] < near):
                        continue
                    share = (near - z) / (np.float64(end[2]) - z)
                    x += share * (np.float64(end[0]) - x)
                    y += share * (np.float64(end[1]) - y)
                    z = near
                u = (camera[0, 0] * x + camera[0, 1] * y) / z + camera[0, 2]
                v = camera[1, 1] * y / z + camera[1, 2]
                left, right = min(left, u), max(right, u)
                top, bottom = min(top, v), max(bottom, v)
        reach = blur + MARGIN
        left, right = np.ceil(left - reach - 0.5), np.floor(right + reach - 0.5) + 1
        top, bottom = np.ceil(top - reach - 0.5), np.floor(bottom + reach - 0.5) + 1
        if left < width and right > 0 and top < height and bottom > 0:
            out[k, 0] = max(left, 0.0)
            out[k, 1] = min(right, np.float64(width))
            out[k, 2] = max(top, 0.0)
            out[k, 3] = min(bottom, np.float64(height))


@exact
@no_type_check
def _count(boxes, image, across, down, counts):
    for k in range(len(boxes)):
        x0, x1, y0, y1 = boxes[k]
        if x1 > x0 and y1 > y0:
            for v in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for u in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    counts[(image[k] * down + v) * across + u] += 1


@exact
@no_type_check
def _hand_out(boxes, image, across, down, places, entries):
    """Each tile's faces, in order; `places` begins at each tile's first."""
    for k in range(len(boxes)):
        x0, x1, y0, y1 = boxes[k]
        if x1 > x0 and y1 > y0:
            for v in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for u in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    tile = (image[k] * down + v) * across + u
                    entries[places[tile]] = k
                    places[tile] += 1


@exact
@no_type_check
def _outline_depth(x, y, sides, plane, determinant, camera, blur):
    """Depth of the outline's point that is nearest to a pixel; inf if it is too far away."""
    nearest, u, v = blur * blur, np.nan, np.nan
    for i in range(3):
        ax, ay, bx, by = sides[i]
        dx, dy = bx - ax, by - ay
        square = dx * dx + dy * dy
        along = ((x - ax) * dx + (y - ay) * dy) / square if square > 0 else 0.0
        along = min(max(along, 0.0), 1.0)
        px, py = ax + along * dx, ay + along * dy
        distance = (x - px) * (x - px) + (y - py) * (y - py)
        # Not true of the NaN that a side before the near plane is.
        if distance < nearest:
            nearest, u, v = distance, px, py
    dy = (v - camera[1, 2]) / camera[1, 1]
    dx = (u - camera[0, 2] - camera[0, 1] * dy) / camera[0, 0]
    total = 0.0
    for i in range(3):
        total += plane[i, 0] * dx + plane[i, 1] * dy + plane[i, 2]
    z = abs(determinant) / total
    return z if z > 0 else np.inf


@exact
@no_type_check
def _row(plane, least, size, columns, shift, dy, z):
    """Depths of a face at pixels of a row; inf where it is not."""
    r0 = plane[0, 1] * dy + plane[0, 2]
    r1 = plane[1, 1] * dy + plane[1, 2]
    r2 = plane[2, 1] * dy + plane[2, 2]
    for i in range(len(z)):
        dx = columns[i] - shift
        e0 = plane[0, 0] * dx + r0
        e1 = plane[1, 0] * dx + r1
        e2 = plane[2, 0] * dx + r2
        inside = (e0 > least[0]) & (e1 > least[1]) & (e2 > least[2])
        z[i] = size / (e0 + e1 + e2) if inside else np.inf


@exact
@no_type_check
def _insert(near_z, near_face, z, face):
    """A face among a pixel's nearest; after those of the same depth, whose rows are lower."""
    layer = len(near_z) - 1
    while layer > 0 and z < near_z[layer - 1]:
        near_z[layer] = near_z[layer - 1]
        near_face[layer] = near_face[layer - 1]
        layer -= 1
    near_z[layer] = z
    near_face[layer] = face


@exact
@no_type_check
def _fill(
    triangles, sides, boxes, starts, entries, intrinsics, columns, rows, shear, near, blur,
    first, last, faces, depths,
):  # fmt: skip
    """faces, depths: [images, height, width, layers]."""
    _, height, width, layers = faces.shape
    across, down = -(-width // TILE), -(-height // TILE)
    plane, least = np.empty((3, 3)), np.empty(3)
    z = np.empty(TILE)
    near_z = np.empty((TILE, TILE, layers))
    near_face = np.empty((TILE, TILE, layers), np.int32)
    for tile in range(first, last):
        if starts[tile] == starts[tile + 1]:
            continue
        image = tile // (across * down)
        row = tile // across % down * TILE
        column = tile % across * TILE
        near_z[:] = np.inf
        near_face[:] = -1
        for at in range(starts[tile], starts[tile + 1]):
            k = entries[at]
            determinant = _planes(triangles[k], plane, least)
            size = abs(determinant)
            x0, x1 = max(boxes[k, 0] - column, 0), min(boxes[k, 1] - column, TILE)
            for j in range(max(boxes[k, 2] - row, 0), min(boxes[k, 3] - row, TILE)):
                dy = rows[image, row + j]
                seen_from = columns[image, column + x0 : column + x1]
                _row(plane, least, size, seen_from, shear[image] * dy, dy, z[x0:x1])
                if blur > 0:
                    for i in range(x0, x1):
                        if z[i] == np.inf:
                            z[i] = _outline_depth(
                                column + i + 0.5, row + j + 0.5, sides[k], plane,
                                determinant, intrinsics[image], blur,
                            )  # fmt: skip
                for i in range(x0, x1):
                    if z[i] > near and z[i] < near_z[j, i, layers - 1]:
                        _insert(near_z[j, i], near_face[j, i], z[i], k)
        for j in range(min(TILE, height - row)):
            for i in range(min(TILE, width - column)):
                for layer in range(layers):
                    faces[image, row + j, column + i, layer] = near_face[j, i, layer]
                    depths[image, row + j, column + i, layer] = near_z[j, i, layer]


def rasterize(
    triangles: Float[Tensor, "faces 3 3"],
    first_face: Int[Tensor, "offsets"],
    intrinsics: Float[Tensor, "images 3 3"],
    width: int,
    height: int,
    layers: int,
    near: float,
    blur: float,
    cull: bool,
) -> tuple[
    Int[Tensor, "images {height} {width} {layers}"],
    Float[Tensor, "images {height} {width} {layers}"],
]:
    images = len(intrinsics)
    corners = triangles.contiguous().numpy()
    owner = image_of_face(first_face)
    image = owner.numpy()
    cameras = intrinsics.double().contiguous().numpy()
    boxes = np.empty((len(corners), 4), np.int32)
    run_threads(
        lambda share: _boxes(
            corners, image, cameras, width, height, near, blur, cull, *share, boxes
        ),
        shares(len(corners), num_threads()),
    )
    across, down = -(-width // TILE), -(-height // TILE)
    starts = np.zeros(images * across * down + 1, np.int64)
    _count(boxes, image, across, down, starts[1:])
    starts = starts.cumsum()
    entries = np.empty(starts[-1], np.int32)
    _hand_out(boxes, image, across, down, starts[:-1].copy(), entries)
    # Only blurring needs them.
    some = slice(None if blur else 0)
    sides = outlines(triangles[some], intrinsics[owner[some]], near).numpy()
    rays = [each.numpy() for each in pixel_rays(intrinsics, width, height)]
    shape = images, height, width, layers
    face = torch.full(shape, -1, dtype=torch.int32)
    depth = torch.full(shape, torch.inf, dtype=triangles.dtype)
    arrays = corners, sides, boxes, starts, entries, cameras, *rays, near, blur
    targets = face.numpy(), depth.numpy()
    # More shares than threads: tiles differ in what they hold.
    run_threads(
        lambda share: _fill(*arrays, *share, *targets),
        shares(len(starts) - 1, 8 * num_threads()),
    )
    return face, depth
