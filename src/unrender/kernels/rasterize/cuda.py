"""Rasterization on a GPU, in Triton: one program per tile, which holds all of its pixels.

The lists of faces per tile come from one sort of (tile, face) pairs. A pixel keeps its nearest
faces unsorted, replacing the farthest one whenever a nearer one is found; they are sorted at
the end. Multiplications and additions are not fused, so that edges are as exact as on the CPU.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.rasterize import ON_EDGE
from unrender.kernels.rasterize.screen import image_of_face, outlines, pixel_rays

TILE = 16
MARGIN = 1e-3
"""Pixels by which bounding boxes are enlarged, to be safe against rounding."""
OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}


@triton.jit
@no_type_check
def _plane(ax, ay, az, bx, by, bz, sign):
    """Normal of an edge's plane, oriented by `sign` towards the face."""
    return sign * (ay * bz - az * by), sign * (az * bx - ax * bz), sign * (ax * by - ay * bx)


@triton.jit
@no_type_check
def _edge(x, y, z, dx, dy, on_edge):
    """The edge function at pixels, and whether they are inside this edge."""
    edge = x * dx + (y * dy + z)
    owns = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    return edge, edge > tl.where(owns, on_edge, 0.0)


@triton.jit
@no_type_check
def _update_nearest(side, u, v, nearest, point_u, point_v):
    """Update the outline's nearest point with the nearest point of one side."""
    ax, ay, bx, by = tl.load(side), tl.load(side + 1), tl.load(side + 2), tl.load(side + 3)
    x, y = bx - ax, by - ay
    length2 = x * x + y * y
    along = ((u - ax) * x + (v - ay) * y) / tl.where(length2 > 0, length2, 1.0)
    along = tl.minimum(tl.maximum(along, 0.0), 1.0)
    px, py = ax + along * x, ay + along * y
    distance = (u - px) * (u - px) + (v - py) * (v - py)
    # False for sides in front of the near plane, which are NaN.
    nearer_here = distance < nearest
    return (
        tl.where(nearer_here, distance, nearest),
        tl.where(nearer_here, px, point_u),
        tl.where(nearer_here, py, point_v),
    )


@triton.jit
@no_type_check
def _fill(
    triangles, sides, starts, entries, cameras, columns, rows, shears, limits,
    tiles_x, tiles_y, width, height, pix_to_face, zbuf,
    TILE: tl.constexpr, FACES_PER_PIXEL: tl.constexpr, SLOTS: tl.constexpr, BLUR: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    image = tile // (tiles_x * tiles_y)
    lane = tl.arange(0, TILE * TILE)
    row = tile // tiles_x % tiles_y * TILE + lane // TILE
    column = tile % tiles_x * TILE + lane % TILE
    inside_image = (row < height) & (column < width)
    near, radius, on_edge = tl.load(limits), tl.load(limits + 1), tl.load(limits + 2)
    infinite = tl.load(limits + 3)
    dy = tl.load(rows + image * height + row, mask=inside_image, other=0.0)
    dx = tl.load(columns + image * width + column, mask=inside_image, other=0.0)
    dx -= tl.load(shears + image) * dy
    slot = tl.arange(0, SLOTS)[None, :]
    # Padding slots beyond LAYERS are never the farthest, so they stay unused.
    kept_z = tl.where(slot < FACES_PER_PIXEL, infinite, -1.0) + tl.zeros(
        [TILE * TILE, 1], tl.float64
    )
    kept_face = tl.zeros([TILE * TILE, SLOTS], tl.int32) - 1 - slot
    at = tl.load(starts + tile)
    last = tl.load(starts + tile + 1)
    while at < last:
        face = tl.load(entries + at)
        corner = triangles + face.to(tl.int64) * 9
        ax, ay, az = tl.load(corner), tl.load(corner + 1), tl.load(corner + 2)
        bx, by, bz = tl.load(corner + 3), tl.load(corner + 4), tl.load(corner + 5)
        cx, cy, cz = tl.load(corner + 6), tl.load(corner + 7), tl.load(corner + 8)
        size = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
        sign = tl.where(size < 0, -1.0, 1.0)
        x0, y0, z0 = _plane(bx, by, bz, cx, cy, cz, sign)
        x1, y1, z1 = _plane(cx, cy, cz, ax, ay, az, sign)
        x2, y2, z2 = _plane(ax, ay, az, bx, by, bz, sign)
        size = tl.abs(size)
        e0, in0 = _edge(x0, y0, z0, dx, dy, on_edge)
        e1, in1 = _edge(x1, y1, z1, dx, dy, on_edge)
        e2, in2 = _edge(x2, y2, z2, dx, dy, on_edge)
        inside = in0 & in1 & in2
        total = e0 + e1 + e2
        found = inside & (total > 0)
        z = tl.where(found, size / tl.where(found, total, 1.0), infinite)
        if BLUR:
            camera = cameras + image * 9
            u, v = column.to(tl.float64) + 0.5, row.to(tl.float64) + 0.5
            side = sides + face.to(tl.int64) * 12
            nearest = radius * radius + tl.zeros([TILE * TILE], tl.float64)
            point_u, point_v, none = u, v, nearest
            nearest, point_u, point_v = _update_nearest(side, u, v, nearest, point_u, point_v)
            nearest, point_u, point_v = _update_nearest(
                side + 4, u, v, nearest, point_u, point_v
            )
            nearest, point_u, point_v = _update_nearest(
                side + 8, u, v, nearest, point_u, point_v
            )
            py = (point_v - tl.load(camera + 5)) / tl.load(camera + 4)
            px = point_u - tl.load(camera + 2) - tl.load(camera + 1) * py
            px = px / tl.load(camera)
            total = (x0 * px + y0 * py + z0) + (x1 * px + y1 * py + z1)
            total += x2 * px + y2 * py + z2
            found = (nearest < none) & (total > 0) & (z == infinite)
            z = tl.where(found, size / tl.where(found, total, 1.0), z)
        # Faces come in order of rows: ties keep the first and replace the last.
        farthest = tl.max(kept_z, axis=1)
        nearer = (z > near) & (z < farthest)
        candidate = kept_z == farthest[:, None]
        replaced = tl.max(tl.where(candidate, kept_face, -(1 << 30)), axis=1)
        change = nearer[:, None] & candidate & (kept_face == replaced[:, None])
        kept_z = tl.where(change, z[:, None], kept_z)
        kept_face = tl.where(change, face, kept_face)
        at += 1
    target = ((image * height + row) * width + column).to(tl.int64) * FACES_PER_PIXEL
    write = inside_image[:, None] & (slot < FACES_PER_PIXEL)
    tl.store(pix_to_face + target[:, None] + slot, tl.maximum(kept_face, -1), mask=write)
    tl.store(zbuf + target[:, None] + slot, kept_z, mask=write)


def _tile_lists(
    boxes: Int[Tensor, "faces 4"],
    image: Int[Tensor, "faces"],
    tiles_x: int,
    tiles_y: int,
    tiles: int,
) -> tuple[Int[Tensor, "tiles_plus_one"], Int[Tensor, "entries"]]:
    """Faces of each tile, in order: the start of each list, and all lists concatenated."""
    first_u, first_v = boxes[:, 0] // TILE, boxes[:, 2] // TILE
    spans_u = (boxes[:, 1] + TILE - 1) // TILE - first_u
    spans_v = (boxes[:, 3] + TILE - 1) // TILE - first_v
    counts = torch.where(
        (boxes[:, 1] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 2]), spans_u * spans_v, 0
    )
    face = torch.arange(len(boxes), device=boxes.device).repeat_interleave(counts)
    within = torch.arange(len(face), device=face.device)
    within -= (counts.cumsum(0) - counts).repeat_interleave(counts)
    u, v = first_u[face] + within % spans_u[face], first_v[face] + within // spans_u[face]
    tile, order = ((image[face] * tiles_y + v) * tiles_x + u).sort(stable=True)
    starts = torch.searchsorted(tile, torch.arange(tiles + 1, device=tile.device))
    return starts, face[order].int()


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
    images, image = len(intrinsics), image_of_face(first_face)
    corners, cameras = triangles.double().contiguous(), intrinsics.double().contiguous()
    sides = outlines(corners, cameras[image], near).contiguous()
    a, b, c = corners.unbind(1)
    determinant = (torch.linalg.cross(b, c) * a).sum(1)
    usable = determinant.isfinite() & (determinant < 0 if cull_backfaces else determinant != 0)
    ends = sides.view(-1, 6, 2)
    radius = blur_radius + MARGIN
    low = (ends.nan_to_num(torch.inf).amin(1) - radius - 0.5).ceil()
    high = (ends.nan_to_num(-torch.inf).amax(1) + radius - 0.5).floor() + 1
    limit = torch.tensor([width, height], device=corners.device)
    low, high = low.clamp_min(0).minimum(limit), high.clamp_min(0).minimum(limit)
    boxes = torch.stack([low, high], dim=2).flatten(1).nan_to_num(0).long()
    boxes = torch.where(usable[:, None], boxes, 0)
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    starts, entries = _tile_lists(boxes, image, tiles_x, tiles_y, images * tiles_x * tiles_y)
    shape = images, height, width, faces_per_pixel
    pix_to_face = torch.full(shape, -1, dtype=torch.int32, device=corners.device)
    zbuf = torch.full(shape, torch.inf, dtype=torch.float64, device=corners.device)
    # Passed as an array, because scalar arguments of Triton kernels are single precision.
    limits = corners.new_tensor([near, blur_radius, ON_EDGE, torch.inf])
    with torch.cuda.device_of(corners):
        _fill[(images * tiles_x * tiles_y,)](
            corners, sides, starts, entries, cameras,
            *(each.contiguous() for each in pixel_rays(intrinsics, width, height)), limits,
            tiles_x, tiles_y, width, height, pix_to_face, zbuf,
            TILE, faces_per_pixel, triton.next_power_of_2(faces_per_pixel), blur_radius > 0,
            **OPTIONS,
        )  # fmt: skip
    if faces_per_pixel > 1:
        pix_to_face, order = pix_to_face.sort(stable=True)
        zbuf, second = zbuf.gather(3, order).sort(stable=True)
        pix_to_face = pix_to_face.gather(3, second)
    return pix_to_face, zbuf.to(triangles.dtype)
