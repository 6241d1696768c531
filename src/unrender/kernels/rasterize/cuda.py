"""Rasterization on a GPU: a program to a tile, whose pixels it holds all at once.

The tiles' lists come from one sort of (tile, face) pairs. A pixel keeps its nearest faces in no
order: a nearer one takes the place of the farthest, and all are sorted in the end.
Multiplications and additions are not fused, so that edges are as exact as on the CPU.
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
"""Pixels by which a face's box is larger than the face: more than rounding takes away."""
OPTIONS = {"num_warps": 4, "enable_fp_fusion": False}


@triton.jit
@no_type_check
def _plane(ax, ay, az, bx, by, bz, sign):
    """The normal of an edge's plane, turned by `sign` to the side where the face lies."""
    return sign * (ay * bz - az * by), sign * (az * bx - ax * bz), sign * (ax * by - ay * bx)


@triton.jit
@no_type_check
def _edge(x, y, z, dx, dy, on_edge):
    """The edge function at pixels, and whether they are on the face's side."""
    edge = x * dx + (y * dy + z)
    owns = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    return edge, edge > tl.where(owns, on_edge, 0.0)


@triton.jit
@no_type_check
def _nearer(side, u, v, nearest, point_u, point_v):
    """The outline's nearest point so far, or this side's."""
    ax, ay, bx, by = tl.load(side), tl.load(side + 1), tl.load(side + 2), tl.load(side + 3)
    x, y = bx - ax, by - ay
    square = x * x + y * y
    along = ((u - ax) * x + (v - ay) * y) / tl.where(square > 0, square, 1.0)
    along = tl.minimum(tl.maximum(along, 0.0), 1.0)
    px, py = ax + along * x, ay + along * y
    distance = (u - px) * (u - px) + (v - py) * (v - py)
    # Not true of the NaN that a side before the near plane is.
    here = distance < nearest
    return (
        tl.where(here, distance, nearest),
        tl.where(here, px, point_u),
        tl.where(here, py, point_v),
    )


@triton.jit
@no_type_check
def _fill(
    triangles, sides, starts, entries, cameras, columns, rows, shears, limits,
    across, down, width, height, faces, depths,
    TILE: tl.constexpr, LAYERS: tl.constexpr, SLOTS: tl.constexpr, BLUR: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    image = tile // (across * down)
    lane = tl.arange(0, TILE * TILE)
    row = tile // across % down * TILE + lane // TILE
    column = tile % across * TILE + lane % TILE
    inside_image = (row < height) & (column < width)
    near, reach, on_edge = tl.load(limits), tl.load(limits + 1), tl.load(limits + 2)
    infinite = tl.load(limits + 3)
    dy = tl.load(rows + image * height + row, mask=inside_image, other=0.0)
    dx = tl.load(columns + image * width + column, mask=inside_image, other=0.0)
    dx -= tl.load(shears + image) * dy
    slot = tl.arange(0, SLOTS)[None, :]
    # Places beyond the layers are never the farthest: nothing comes there.
    held_z = tl.where(slot < LAYERS, infinite, -1.0) + tl.zeros([TILE * TILE, 1], tl.float64)
    held_face = tl.zeros([TILE * TILE, SLOTS], tl.int32) - 1 - slot
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
            nearest = reach * reach + tl.zeros([TILE * TILE], tl.float64)
            point_u, point_v, none = u, v, nearest
            nearest, point_u, point_v = _nearer(side, u, v, nearest, point_u, point_v)
            nearest, point_u, point_v = _nearer(side + 4, u, v, nearest, point_u, point_v)
            nearest, point_u, point_v = _nearer(side + 8, u, v, nearest, point_u, point_v)
            py = (point_v - tl.load(camera + 5)) / tl.load(camera + 4)
            px = point_u - tl.load(camera + 2) - tl.load(camera + 1) * py
            px = px / tl.load(camera)
            total = (x0 * px + y0 * py + z0) + (x1 * px + y1 * py + z1)
            total += x2 * px + y2 * py + z2
            found = (nearest < none) & (total > 0) & (z == infinite)
            z = tl.where(found, size / tl.where(found, total, 1.0), z)
        # In order of rows: of equal depths the first one stays, and the last one goes.
        farthest = tl.max(held_z, axis=1)
        nearer = (z > near) & (z < farthest)
        candidate = held_z == farthest[:, None]
        leaving = tl.max(tl.where(candidate, held_face, -(1 << 30)), axis=1)
        change = nearer[:, None] & candidate & (held_face == leaving[:, None])
        held_z = tl.where(change, z[:, None], held_z)
        held_face = tl.where(change, face, held_face)
        at += 1
    place = ((image * height + row) * width + column).to(tl.int64) * LAYERS
    write = inside_image[:, None] & (slot < LAYERS)
    tl.store(faces + place[:, None] + slot, tl.maximum(held_face, -1), mask=write)
    tl.store(depths + place[:, None] + slot, held_z, mask=write)


def _tile_lists(
    boxes: Int[Tensor, "faces 4"],
    image: Int[Tensor, "faces"],
    across: int,
    down: int,
    tiles: int,
) -> tuple[Int[Tensor, "tiles_plus_one"], Int[Tensor, "entries"]]:
    """Each tile's faces in order: where each list starts, and all of the lists."""
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
    tile, order = ((image[face] * down + v) * across + u).sort(stable=True)
    starts = torch.searchsorted(tile, torch.arange(tiles + 1, device=tile.device))
    return starts, face[order].int()


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
    images, image = len(intrinsics), image_of_face(first_face)
    corners, cameras = triangles.double().contiguous(), intrinsics.double().contiguous()
    sides = outlines(corners, cameras[image], near).contiguous()
    a, b, c = corners.unbind(1)
    determinant = (torch.linalg.cross(b, c) * a).sum(1)
    usable = determinant.isfinite() & (determinant < 0 if cull else determinant != 0)
    ends = sides.view(-1, 6, 2)
    reach = blur + MARGIN
    low = (ends.nan_to_num(torch.inf).amin(1) - reach - 0.5).ceil()
    high = (ends.nan_to_num(-torch.inf).amax(1) + reach - 0.5).floor() + 1
    limit = torch.tensor([width, height], device=corners.device)
    low, high = low.clamp_min(0).minimum(limit), high.clamp_min(0).minimum(limit)
    boxes = torch.stack([low, high], dim=2).flatten(1).nan_to_num(0).long()
    boxes = torch.where(usable[:, None], boxes, 0)
    across, down = -(-width // TILE), -(-height // TILE)
    starts, entries = _tile_lists(boxes, image, across, down, images * across * down)
    shape = images, height, width, layers
    face = torch.full(shape, -1, dtype=torch.int32, device=corners.device)
    depth = torch.full(shape, torch.inf, dtype=torch.float64, device=corners.device)
    # As an array: numbers that a kernel is called with have single precision.
    limits = corners.new_tensor([near, blur, ON_EDGE, torch.inf])
    with torch.cuda.device_of(corners):
        _fill[(images * across * down,)](
            corners, sides, starts, entries, cameras,
            *(each.contiguous() for each in pixel_rays(intrinsics, width, height)), limits,
            across, down, width, height, face, depth,
            TILE, layers, triton.next_power_of_2(layers), blur > 0, **OPTIONS,
        )  # fmt: skip
    if layers > 1:
        face, order = face.sort(stable=True)
        depth, second = depth.gather(3, order).sort(stable=True)
        face = face.gather(3, second)
    return face, depth.to(triangles.dtype)
