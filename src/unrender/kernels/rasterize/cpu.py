"""Rasterization on the CPU: tile by tile, one row of a face's pixels at a time.

Faces are binned into the tiles that their bounding boxes overlap, in order. The edge functions
are recomputed in every tile: most faces lie in one or two tiles, and storing them would take
longer.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.rasterize import ON_EDGE
from unrender.kernels.rasterize.screen import image_of_face, outlines, pixel_rays
from unrender.kernels.runtime.jit import num_threads, run_threads, shares, strict_jit

TILE = 16
"""Width and height of a tile in pixels."""
MARGIN = 1e-3
"""Pixels by which bounding boxes are enlarged, to be safe against rounding."""


@strict_jit
@no_type_check
def _planes(corners, plane, threshold):
    """Normals of the edges' planes, oriented so that edge functions are positive in the face.

    Returns the signed determinant; `threshold` is the lower bound of each edge function.
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
        owns_edge = x > 0 or (x == 0 and (y > 0 or (y == 0 and z > 0)))
        threshold[i] = ON_EDGE if owns_edge else 0.0
    return determinant


@strict_jit
@no_type_check
def _boxes(
    triangles,
    image,
    intrinsics,
    width,
    height,
    near,
    blur_radius,
    cull_backfaces,
    first,
    last,
    out,
):
    """Bounding box of each face in pixels, [x0, x1) × [y0, y1)."""
    plane, threshold = np.empty((3, 3)), np.empty(3)
    for k in range(first, last):
        out[k, :] = 0
        corners = triangles[k]
        determinant = _planes(corners, plane, threshold)
        # False for NaN too.
        if not (abs(determinant) > 0 and abs(determinant) < np.inf) or (
            cull_backfaces and determinant > 0
        ):
            continue
        left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
        camera = intrinsics[image[k]]
        for i in range(3):
            start, end = corners[i], corners[(i + 1) % 3]
            for step in range(2):
                # A corner, and the intersection of its outgoing side with the near plane.
                x, y, z = np.float64(start[0]), np.float64(start[1]), np.float64(start[2])
                if step == 0 and z < near:
                    continue
                if step == 1:
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
        margin = blur_radius + MARGIN
        left, right = np.ceil(left - margin - 0.5), np.floor(right + margin - 0.5) + 1
        top, bottom = np.ceil(top - margin - 0.5), np.floor(bottom + margin - 0.5) + 1
        if left < width and right > 0 and top < height and bottom > 0:
            out[k, 0] = max(left, 0.0)
            out[k, 1] = min(right, np.float64(width))
            out[k, 2] = max(top, 0.0)
            out[k, 3] = min(bottom, np.float64(height))


@strict_jit
@no_type_check
def _count(boxes, image, tiles_x, tiles_y, counts):
    for k in range(len(boxes)):
        x0, x1, y0, y1 = boxes[k]
        if x1 > x0 and y1 > y0:
            for v in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for u in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    counts[(image[k] * tiles_y + v) * tiles_x + u] += 1


@strict_jit
@no_type_check
def _bin_faces(boxes, image, tiles_x, tiles_y, cursor, entries):
    """Write each tile's faces in order; `cursor` starts at the first entry of each tile."""
    for k in range(len(boxes)):
        x0, x1, y0, y1 = boxes[k]
        if x1 > x0 and y1 > y0:
            for v in range(y0 // TILE, (y1 - 1) // TILE + 1):
                for u in range(x0 // TILE, (x1 - 1) // TILE + 1):
                    tile = (image[k] * tiles_y + v) * tiles_x + u
                    entries[cursor[tile]] = k
                    cursor[tile] += 1


@strict_jit
@no_type_check
def _outline_depth(x, y, sides, plane, determinant, camera, blur_radius):
    """Depth of the outline's point nearest to a pixel; inf if it is beyond the blur radius."""
    nearest, u, v = blur_radius * blur_radius, np.nan, np.nan
    for i in range(3):
        ax, ay, bx, by = sides[i]
        dx, dy = bx - ax, by - ay
        length2 = dx * dx + dy * dy
        along = ((x - ax) * dx + (y - ay) * dy) / length2 if length2 > 0 else 0.0
        along = min(max(along, 0.0), 1.0)
        px, py = ax + along * dx, ay + along * dy
        distance = (x - px) * (x - px) + (y - py) * (y - py)
        # False for sides in front of the near plane, which are NaN.
        if distance < nearest:
            nearest, u, v = distance, px, py
    dy = (v - camera[1, 2]) / camera[1, 1]
    dx = (u - camera[0, 2] - camera[0, 1] * dy) / camera[0, 0]
    total = 0.0
    for i in range(3):
        total += plane[i, 0] * dx + plane[i, 1] * dy + plane[i, 2]
    z = abs(determinant) / total
    return z if z > 0 else np.inf


@strict_jit
@no_type_check
def _row(plane, threshold, determinant_abs, columns, shift, dy, z):
    """Depths of a face at the pixels of a row; inf where it does not cover them."""
    r0 = plane[0, 1] * dy + plane[0, 2]
    r1 = plane[1, 1] * dy + plane[1, 2]
    r2 = plane[2, 1] * dy + plane[2, 2]
    for i in range(len(z)):
        dx = columns[i] - shift
        e0 = plane[0, 0] * dx + r0
        e1 = plane[1, 0] * dx + r1
        e2 = plane[2, 0] * dx + r2
        inside = (e0 > threshold[0]) & (e1 > threshold[1]) & (e2 > threshold[2])
        z[i] = determinant_abs / (e0 + e1 + e2) if inside else np.inf


@strict_jit
@no_type_check
def _insert(near_z, near_face, z, face):
    """Insert a face into a pixel's sorted list, after faces of the same depth and lower row."""
    layer = len(near_z) - 1
    while layer > 0 and z < near_z[layer - 1]:
        near_z[layer] = near_z[layer - 1]
        near_face[layer] = near_face[layer - 1]
        layer -= 1
    near_z[layer] = z
    near_face[layer] = face


@strict_jit
@no_type_check
def _fill(
    triangles, sides, boxes, starts, entries, intrinsics, columns, rows, shear, near,
    blur_radius, first, last, pix_to_face, zbuf,
):  # fmt: skip
    """Fill pix_to_face and zbuf, [images, height, width, faces_per_pixel], of some tiles."""
    _, height, width, faces_per_pixel = pix_to_face.shape
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    plane, threshold = np.empty((3, 3)), np.empty(3)
    z = np.empty(TILE)
    near_z = np.empty((TILE, TILE, faces_per_pixel))
    near_face = np.empty((TILE, TILE, faces_per_pixel), np.int32)
    for tile in range(first, last):
        if starts[tile] == starts[tile + 1]:
            continue
        image = tile // (tiles_x * tiles_y)
        row = tile // tiles_x % tiles_y * TILE
        column = tile % tiles_x * TILE
        near_z[:] = np.inf
        near_face[:] = -1
        for at in range(starts[tile], starts[tile + 1]):
            k = entries[at]
            determinant = _planes(triangles[k], plane, threshold)
            determinant_abs = abs(determinant)
            x0, x1 = max(boxes[k, 0] - column, 0), min(boxes[k, 1] - column, TILE)
            for j in range(max(boxes[k, 2] - row, 0), min(boxes[k, 3] - row, TILE)):
                dy = rows[image, row + j]
                row_columns = columns[image, column + x0 : column + x1]
                _row(
                    plane,
                    threshold,
                    determinant_abs,
                    row_columns,
                    shear[image] * dy,
                    dy,
                    z[x0:x1],
                )
                if blur_radius > 0:
                    for i in range(x0, x1):
                        if z[i] == np.inf:
                            z[i] = _outline_depth(
                                column + i + 0.5, row + j + 0.5, sides[k], plane,
                                determinant, intrinsics[image], blur_radius,
                            )  # fmt: skip
                for i in range(x0, x1):
                    if z[i] > near and z[i] < near_z[j, i, faces_per_pixel - 1]:
                        _insert(near_z[j, i], near_face[j, i], z[i], k)
        for j in range(min(TILE, height - row)):
            for i in range(min(TILE, width - column)):
                for layer in range(faces_per_pixel):
                    pix_to_face[image, row + j, column + i, layer] = near_face[j, i, layer]
                    zbuf[image, row + j, column + i, layer] = near_z[j, i, layer]


def rasterize(
    triangles: Float[Tensor, "faces 3 3"],
    first_face: Int[Tensor, "offsets"],
    intrinsics: Float[Tensor, "images 3 3"],
    width: int,
    height: int,
    faces_per_pixel: int,
    near: float,
    blur_radius: float,
    cull_backfaces: bool,
) -> tuple[
    Int[Tensor, "images {height} {width} {faces_per_pixel}"],
    Float[Tensor, "images {height} {width} {faces_per_pixel}"],
]:
    images = len(intrinsics)
    corners = triangles.contiguous().numpy()
    face_image = image_of_face(first_face)
    image = face_image.numpy()
    cameras = intrinsics.double().contiguous().numpy()
    boxes = np.empty((len(corners), 4), np.int32)
    run_threads(
        lambda share: _boxes(
            corners,
            image,
            cameras,
            width,
            height,
            near,
            blur_radius,
            cull_backfaces,
            *share,
            boxes,
        ),
        shares(len(corners), num_threads()),
    )
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    starts = np.zeros(images * tiles_x * tiles_y + 1, np.int64)
    _count(boxes, image, tiles_x, tiles_y, starts[1:])
    starts = starts.cumsum()
    entries = np.empty(starts[-1], np.int32)
    _bin_faces(boxes, image, tiles_x, tiles_y, starts[:-1].copy(), entries)
    # Outlines are needed only for blurring.
    chosen = slice(None if blur_radius else 0)
    sides = outlines(triangles[chosen], intrinsics[face_image[chosen]], near).numpy()
    rays = [each.numpy() for each in pixel_rays(intrinsics, width, height)]
    shape = images, height, width, faces_per_pixel
    pix_to_face = torch.full(shape, -1, dtype=torch.int32)
    zbuf = torch.full(shape, torch.inf, dtype=triangles.dtype)
    arrays = corners, sides, boxes, starts, entries, cameras, *rays, near, blur_radius
    targets = pix_to_face.numpy(), zbuf.numpy()
    # More parts than threads, because tiles differ in their number of faces.
    run_threads(
        lambda share: _fill(*arrays, *share, *targets),
        shares(len(starts) - 1, 8 * num_threads()),
    )
    return pix_to_face, zbuf
