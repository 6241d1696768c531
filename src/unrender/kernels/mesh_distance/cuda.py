"""Distances and winding numbers on a GPU, in Triton: one block of points against every face.

Faces stay in cache, since all blocks visit them in the same order.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

import math
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

POINTS = 128
FLAT = 1e-6
"""Like triangle.py's, for single precision; the distance is recomputed in double later."""
OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}


@triton.jit
@no_type_check
def _face(corners, face, x, y, z):
    """Offsets of points from a face's first corner, and its two sides from there."""
    at = corners + face * 9
    ax, ay, az = tl.load(at), tl.load(at + 1), tl.load(at + 2)
    bx, by, bz = tl.load(at + 3) - ax, tl.load(at + 4) - ay, tl.load(at + 5) - az
    cx, cy, cz = tl.load(at + 6) - ax, tl.load(at + 7) - ay, tl.load(at + 8) - az
    return x - ax, y - ay, z - az, bx, by, bz, cx, cy, cz


@triton.jit
@no_type_check
def _segment_distance(x, y, z, dx, dy, dz):
    length2 = dx * dx + dy * dy + dz * dz
    along = (x * dx + y * dy + z * dz) / tl.where(length2 > 0, length2, 1.0)
    along = tl.minimum(tl.maximum(along, 0.0), 1.0)
    x, y, z = x - along * dx, y - along * dy, z - along * dz
    return x * x + y * y + z * z


@triton.jit
@no_type_check
def _nearest(
    points, corners, num_points, num_faces, out, POINTS: tl.constexpr, FLAT: tl.constexpr
):
    query = tl.program_id(0) * POINTS + tl.arange(0, POINTS)
    valid = query < num_points
    qx = tl.load(points + query * 3, mask=valid, other=0.0)
    qy = tl.load(points + query * 3 + 1, mask=valid, other=0.0)
    qz = tl.load(points + query * 3 + 2, mask=valid, other=0.0)
    best = tl.full([POINTS], float("inf"), tl.float32)
    nearest = tl.zeros([POINTS], tl.int32)
    for face in range(num_faces):
        x, y, z, bx, by, bz, cx, cy, cz = _face(corners, face, qx, qy, qz)
        bb, cc = bx * bx + by * by + bz * bz, cx * cx + cy * cy + cz * cz
        bc = bx * cx + by * cy + bz * cz
        pb, pc = x * bx + y * by + z * bz, x * cx + y * cy + z * cz
        area = bb * cc - bc * bc + tl.zeros_like(x)
        v, w = cc * pb - bc * pc, bb * pc - bc * pb
        inside = (area > FLAT * bb * cc) & (v >= 0) & (w >= 0) & (v + w <= area)
        v, w = v / tl.where(inside, area, 1.0), w / tl.where(inside, area, 1.0)
        mx, my, mz = x - v * bx - w * cx, y - v * by - w * cy, z - v * bz - w * cz
        middle = mx * mx + my * my + mz * mz
        to_b = _segment_distance(x, y, z, bx, by, bz)
        to_c = _segment_distance(x, y, z, cx, cy, cz)
        between = _segment_distance(x - bx, y - by, z - bz, cx - bx, cy - by, cz - bz)
        sides = tl.minimum(tl.minimum(to_b, to_c), between)
        distance2 = tl.where(inside, middle, sides)
        nearest = tl.where(distance2 < best, face, nearest)
        best = tl.minimum(best, distance2)
    tl.store(out + query, nearest.to(tl.int64), mask=valid)


@triton.jit
@no_type_check
def _angle(y, x):
    """atan2(y, x) to within 2e-7, by a polynomial in min(|x|, |y|) / max(|x|, |y|).

    arctan z = z P(z²) on [0, 1] (Abramowitz & Stegun 4.4.49, with more digits).
    """
    large, small = tl.maximum(tl.abs(x), tl.abs(y)), tl.minimum(tl.abs(x), tl.abs(y))
    z = small / tl.where(large > 0, large, 1.0)
    s = z * z
    p = 0.0028662257 * s - 0.0161657367
    p = p * s + 0.0429096138
    p = p * s - 0.0752896400
    p = p * s + 0.1065626393
    p = p * s - 0.1420889944
    p = p * s + 0.1999355085
    p = p * s - 0.3333314528
    p = (p * s + 1.0) * z
    p = tl.where(tl.abs(y) > tl.abs(x), 1.5707963268 - p, p)
    p = tl.where(x < 0, 3.1415926536 - p, p)
    return tl.where(y < 0, -p, p)


@triton.jit
@no_type_check
def _winding(points, corners, num_points, num_faces, out, POINTS: tl.constexpr):
    query = tl.program_id(0) * POINTS + tl.arange(0, POINTS)
    valid = query < num_points
    qx = tl.load(points + query * 3, mask=valid, other=0.0)
    qy = tl.load(points + query * 3 + 1, mask=valid, other=0.0)
    qz = tl.load(points + query * 3 + 2, mask=valid, other=0.0)
    total = tl.zeros([POINTS], tl.float32)
    for face in range(num_faces):
        x, y, z, bx, by, bz, cx, cy, cz = _face(corners, face, qx, qy, qz)
        volume = x * (bz * cy - by * cz) + y * (bx * cz - bz * cx) + z * (by * cx - bx * cy)
        ax, ay, az = -x, -y, -z
        bx, by, bz, cx, cy, cz = bx - x, by - y, bz - z, cx - x, cy - y, cz - z
        la, lb = tl.sqrt(ax * ax + ay * ay + az * az), tl.sqrt(bx * bx + by * by + bz * bz)
        lc = tl.sqrt(cx * cx + cy * cy + cz * cz)
        ab, bc = ax * bx + ay * by + az * bz, bx * cx + by * cy + bz * cz
        ca = cx * ax + cy * ay + cz * az
        half = _angle(volume, la * lb * lc + ab * lc + bc * la + ca * lb)
        total += tl.where(volume == 0, 0.0, half)
    tl.store(out + query, total, mask=valid)


def nearest_face(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
) -> Int[Tensor, "points"]:
    out = torch.empty(len(points), dtype=torch.long, device=points.device)
    if len(points) > 0:
        corners = vertices[faces].contiguous()
        inputs = points.contiguous(), corners, len(points), len(faces), out
        with torch.cuda.device_of(points):
            _nearest[(triton.cdiv(len(points), POINTS),)](*inputs, POINTS, FLAT, **OPTIONS)
    return out


def winding_number(
    points: Float[Tensor, "points 3"],
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
) -> Float[Tensor, "points"]:
    out = torch.empty_like(points[:, 0]).contiguous()
    if len(points) > 0:
        corners = vertices[faces].contiguous()
        inputs = points.contiguous(), corners, len(points), len(faces), out
        with torch.cuda.device_of(points):
            _winding[(triton.cdiv(len(points), POINTS),)](*inputs, POINTS, **OPTIONS)
    return out / (2 * math.pi)
