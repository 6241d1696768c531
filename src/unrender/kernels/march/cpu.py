"""Marching on the CPU: each thread walks its share of the rays, skipping empty blocks."""

import math
from itertools import chain
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.jit import jit, num_threads, run_threads, shares
from unrender.kernels.march.grid import BLOCK, LEVELS, MarchGrid, Samples

SHIFT = np.uint32(BLOCK.bit_length() - 1)


@jit
@no_type_check
def _walk(
    origins,
    directions,
    jitter,
    first,
    last,
    half,
    depths,
    blocks,
    bounds,
    step,
    limit,
    max_bins,
    middles,
    counts,
):
    """Fill `middles` ray by ray; returns the first ray that might not fit any more."""
    cells = np.int32(depths.shape[0])
    end = np.float32(cells) - np.float32(0.5)
    to_cell = np.float32(cells) / (np.float32(2) * half)
    per_step = np.float32(1) / (step * to_cell)
    tiny = np.float32(1e-12)
    zero = np.float32(0)
    total = 0
    for r in range(first, last):
        if total + max_bins > middles.shape[0]:
            return r
        ox, oy, oz = origins[r, 0], origins[r, 1], origins[r, 2]
        dx, dy, dz = directions[r, 0], directions[r, 1], directions[r, 2]
        # A ray along an axis would divide by zero; a direction of 1e-12 leaves no cell.
        dx = dx if abs(dx) > tiny else tiny
        dy = dy if abs(dy) > tiny else tiny
        dz = dz if abs(dz) > tiny else tiny
        ix, iy, iz = np.float32(1) / dx, np.float32(1) / dy, np.float32(1) / dz
        ax, bx = (-half - ox) * ix, (half - ox) * ix
        ay, by = (-half - oy) * iy, (half - oy) * iy
        az, bz = (-half - oz) * iz, (half - oz) * iz
        near = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), zero))
        far = min(min(max(ax, bx), max(ay, by)), max(az, bz))
        # Only the part inside the box around all that is occupied needs to be walked.
        ax, bx = (bounds[0, 0] - ox) * ix, (bounds[1, 0] - ox) * ix
        ay, by = (bounds[0, 1] - oy) * iy, (bounds[1, 1] - oy) * iy
        az, bz = (bounds[0, 2] - oz) * iz, (bounds[1, 2] - oz) * iz
        enter = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), near))
        far = min(far, min(min(max(ax, bx), max(ay, by)), max(az, bz)))
        # From here on in cells, where a block's walls are whole numbers.
        ux, uy, uz = (ox + half) * to_cell, (oy + half) * to_cell, (oz + half) * to_cell
        vx, vy, vz = dx * to_cell, dy * to_cell, dz * to_cell
        ahead_x = np.float32(BLOCK) if dx > zero else zero
        ahead_y = np.float32(BLOCK) if dy > zero else zero
        ahead_z = np.float32(BLOCK) if dz > zero else zero
        count = 0
        dark = 0
        start = near + jitter[r] * step
        k = max(0, int((enter - start) / step))
        while count < max_bins:
            t = start + np.float32(k) * step
            if t >= far:
                break
            x, y, z = ux + t * vx, uy + t * vy, uz + t * vz
            cx = np.uint32(np.int32(min(max(x, zero), end)))
            cy = np.uint32(np.int32(min(max(y, zero), end)))
            cz = np.uint32(np.int32(min(max(z, zero), end)))
            kx, ky, kz = cx >> SHIFT, cy >> SHIFT, cz >> SHIFT
            if not blocks[kx, ky, kz]:
                # The distance to where the ray leaves this block, in whole steps.
                leave_x = (np.float32(np.int32(kx << SHIFT)) + ahead_x - x) * ix
                leave_y = (np.float32(np.int32(ky << SHIFT)) + ahead_y - y) * iy
                leave_z = (np.float32(np.int32(kz << SHIFT)) + ahead_z - z) * iz
                leave = min(min(leave_x, leave_y), leave_z)
                k += max(1, int(leave * per_step))
                continue
            k += 1
            depth = np.int64(depths[cx, cy, cz])
            if depth > 0:
                middles[total + count] = t
                count += 1
                dark += depth - 1
                if dark > limit:
                    break
        counts[r] = count
        total += count
    return last


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, "rays"],
    grid: MarchGrid,
    max_optical_depth: float,
) -> Samples:
    rays = [tensor.detach().contiguous().numpy() for tensor in (origins, directions, jitter)]
    cells = [tensor.contiguous().numpy() for tensor in (grid.depth, grid.blocks)]
    num_rays, step = len(origins), grid.step
    counts = np.zeros(num_rays, np.int64)
    max_bins = math.ceil(2 * 3**0.5 * grid.half_width / step) + 1
    bounds = np.array(grid.bounds, np.float32)
    limit = max_optical_depth / grid.max_step_depth * LEVELS
    half_width = np.float32(grid.half_width)

    def walk(share: tuple[int, int]) -> list[np.ndarray]:
        """The share's bins, in as many arrays as they happen to need."""
        first, last = share
        filled: list[np.ndarray] = []
        while first < last:
            middles = np.empty(16 * (last - first) + 4 * max_bins, np.float32)
            stop = _walk(
                *rays,
                first,
                last,
                half_width,
                *cells,
                bounds,
                np.float32(step),
                limit,
                max_bins,
                middles,
                counts,
            )
            filled.append(middles[: counts[first:stop].sum()])
            first = stop
        return filled

    parts = run_threads(walk, shares(num_rays, num_threads()))
    middles = torch.from_numpy(
        np.concatenate([np.empty(0, np.float32), *chain.from_iterable(parts)])
    )
    offsets = torch.zeros(num_rays + 1, dtype=torch.int64)
    torch.cumsum(torch.from_numpy(counts), 0, out=offsets[1:])
    return Samples(middles - step / 2, middles + step / 2, offsets)
