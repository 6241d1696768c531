"""Intersections of rays and triangles on the CPU: traversal of the BVH, the nearer child first.

Boxes are intersected by their slabs (Kay and Kajiya, 1986), with the far end enlarged by the
bound on rounding errors (Ize, "Robust BVH Ray Traversal", 2013).
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.ray_mesh.bvh import STACK_SIZE, TriangleBVH
from unrender.kernels.runtime.jit import num_threads, run_threads, shares, strict_jit

ROUNDING = np.float32(1 + 4e-7)
"""Factor by which the far end of a slab is enlarged."""
MIN_COMPONENT = np.float32(1e-20)
"""Smallest component of a direction, so that its inverse stays finite."""
MIN_RAYS = 4096
"""Minimum number of rays for each job of the thread pool."""


@strict_jit
@no_type_check
def _intersect(  # noqa: PLR0912 - the branches are those of one loop
    origins, directions, t_max, corners, boxes, links, stop_at_first, first, last, out, slot
):
    """Fill out, [4, rays], with t and barycentrics, and slot with the BVH's row or −1."""
    stack = np.empty(STACK_SIZE, np.int32)
    entry = np.empty(STACK_SIZE, np.float32)
    zero = np.float32(0)
    for ray in range(first, last):
        ox, oy, oz = origins[0, ray], origins[1, ray], origins[2, ray]
        dx, dy, dz = directions[0, ray], directions[1, ray], directions[2, ray]
        ix = np.float32(1) / (dx if abs(dx) > MIN_COMPONENT else MIN_COMPONENT)
        iy = np.float32(1) / (dy if abs(dy) > MIN_COMPONENT else MIN_COMPONENT)
        iz = np.float32(1) / (dz if abs(dz) > MIN_COMPONENT else MIN_COMPONENT)
        x, y, z = np.float64(ox), np.float64(oy), np.float64(oz)
        vx, vy, vz = np.float64(dx), np.float64(dy), np.float64(dz)
        best, face = t_max[ray], -1
        bu = bv = bw = 0.0
        top = 1
        stack[0], entry[0] = 0, zero
        while top > 0:
            top -= 1
            node = stack[top]
            if entry[top] > best:
                continue
            while node >= 0:
                box = boxes[node]
                near0 = near1 = zero
                far0 = far1 = best
                a, b = (box[0] - ox) * ix, (box[3] - ox) * ix
                near0, far0 = max(near0, min(a, b)), min(far0, max(a, b) * ROUNDING)
                a, b = (box[1] - oy) * iy, (box[4] - oy) * iy
                near0, far0 = max(near0, min(a, b)), min(far0, max(a, b) * ROUNDING)
                a, b = (box[2] - oz) * iz, (box[5] - oz) * iz
                near0, far0 = max(near0, min(a, b)), min(far0, max(a, b) * ROUNDING)
                a, b = (box[6] - ox) * ix, (box[9] - ox) * ix
                near1, far1 = max(near1, min(a, b)), min(far1, max(a, b) * ROUNDING)
                a, b = (box[7] - oy) * iy, (box[10] - oy) * iy
                near1, far1 = max(near1, min(a, b)), min(far1, max(a, b) * ROUNDING)
                a, b = (box[8] - oz) * iz, (box[11] - oz) * iz
                near1, far1 = max(near1, min(a, b)), min(far1, max(a, b) * ROUNDING)
                hit0, hit1 = near0 <= far0, near1 <= far1
                down0 = down1 = -1
                for side in range(2):
                    if not (hit0 if side == 0 else hit1):
                        continue
                    start, count = links[node, 2 * side], links[node, 2 * side + 1]
                    if count == 0:
                        if side == 0:
                            down0 = start
                        else:
                            down1 = start
                        continue
                    for i in range(start, start + count):
                        t = corners[i]
                        ax, ay, az = t[0] - x, t[1] - y, t[2] - z
                        bx, by, bz = t[3] - x, t[4] - y, t[5] - z
                        cx, cy, cz = t[6] - x, t[7] - y, t[8] - z
                        u = (
                            vx * (by * cz - bz * cy)
                            + vy * (bz * cx - bx * cz)
                            + vz * (bx * cy - by * cx)
                        )
                        v = (
                            vx * (cy * az - cz * ay)
                            + vy * (cz * ax - cx * az)
                            + vz * (cx * ay - cy * ax)
                        )
                        if u * v < 0:
                            continue
                        w = (
                            vx * (ay * bz - az * by)
                            + vy * (az * bx - ax * bz)
                            + vz * (ax * by - ay * bx)
                        )
                        if u * w < 0 or v * w < 0:
                            continue
                        total = u + v + w
                        if total == 0:
                            continue
                        px = u * ax + v * bx + w * cx
                        py = u * ay + v * by + w * cy
                        pz = u * az + v * bz + w * cz
                        distance = np.float32(
                            (px * vx + py * vy + pz * vz)
                            / (total * (vx * vx + vy * vy + vz * vz))
                        )
                        if zero < distance < best:
                            best, face = distance, i
                            bu, bv, bw = u / total, v / total, w / total
                if stop_at_first and face >= 0:
                    top = 0
                    break
                if down0 >= 0 and down1 >= 0:
                    if near1 < near0:
                        down0, down1 = down1, down0
                        near0, near1 = near1, near0
                    stack[top], entry[top] = down1, near1
                    top += 1
                    node = down0
                else:
                    node = max(down0, down1)
        out[0, ray], slot[ray] = best, face
        out[1, ray], out[2, ray], out[3, ray] = bu, bv, bw


def _traverse(
    origins: Tensor, directions: Tensor, t_max: Tensor, bvh: TriangleBVH, stop_at_first: bool
) -> tuple[Float[Tensor, "4 rays"], Int[Tensor, "rays"]]:
    # Component by component, as the path tracer stores them, so that nothing is copied here.
    o, d = (each.detach().T.contiguous().numpy() for each in (origins, directions))
    limits = t_max.detach().contiguous().numpy()
    corners, boxes, links = (each.numpy() for each in (bvh.corners, bvh.boxes, bvh.links))
    out, slot = torch.empty(4, len(origins)), torch.empty(len(origins), dtype=torch.int32)
    targets = out.numpy(), slot.numpy()
    parts = min(8 * num_threads(), max(1, len(origins) // MIN_RAYS))
    run_threads(
        lambda share: _intersect(
            o, d, limits, corners, boxes, links, stop_at_first, *share, *targets
        ),
        shares(len(origins), parts),
    )
    return out, slot


def closest_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    t_max: Float[Tensor, "rays"],
    bvh: TriangleBVH,
) -> tuple[Float[Tensor, "rays"], Int[Tensor, "rays"], Float[Tensor, "rays 3"]]:
    out, slot = _traverse(origins, directions, t_max, bvh, False)
    face = torch.where(slot >= 0, bvh.rows[slot.clamp_min(0)], -1)
    return out[0], face, out[1:].T


def any_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    t_max: Float[Tensor, "rays"],
    bvh: TriangleBVH,
) -> Bool[Tensor, "rays"]:
    return _traverse(origins, directions, t_max, bvh, True)[1] >= 0
