"""Marching on the CPU: each thread walks its share of the rays, skipping empty blocks."""

import math
from itertools import chain
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.jit import jit, num_threads, run_threads, shares
from unrender.kernels.march.grid import BLOCK, MarchGrid, Samples


@jit
@no_type_check
def _walk(
    origins,
    directions,
    jitter,
    first,
    last,
    half,
    occupied,
    blocks,
    density,
    bounds,
    step,
    max_depth,
    max_step_depth,
    max_bins,
    middles,
    counts,
):
    """Fill `middles` ray by ray; returns the first ray that might not fit any more."""
    cells = occupied.shape[0]
    to_cell = np.float32(cells) / (np.float32(2) * half)
    block_width = np.float32(BLOCK) / to_cell
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
        count = 0
        depth = zero
        k = max(0, int((enter - near) / step - jitter[r]))
        while True:
            t = near + (np.float32(k) + jitter[r]) * step
            if t >= far or count >= max_bins:
                break
            x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
            cx = min(max(int((x + half) * to_cell), 0), cells - 1)
            cy = min(max(int((y + half) * to_cell), 0), cells - 1)
            cz = min(max(int((z + half) * to_cell), 0), cells - 1)
            kx, ky, kz = cx // BLOCK, cy // BLOCK, cz // BLOCK
            if not blocks[kx, ky, kz]:
                # The distance to where the ray leaves this block, in whole steps.
                wall_x = np.float32(kx + (1 if dx > zero else 0)) * block_width - half
                wall_y = np.float32(ky + (1 if dy > zero else 0)) * block_width - half
                wall_z = np.float32(kz + (1 if dz > zero else 0)) * block_width - half
                leave = min(min((wall_x - x) * ix, (wall_y - y) * iy), (wall_z - z) * iz)
                k += max(1, int(leave / step))
                continue
            k += 1
            if occupied[cx, cy, cz]:
                middles[total + count] = t
                count += 1
                depth += min(density[cx, cy, cz] * step, max_step_depth)
                if depth > max_depth:
                    break
        counts[r] = count
        total += count
    return last


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, "rays"],
    grid: MarchGrid,
    step: float,
    max_optical_depth: float,
    max_step_depth: float,
) -> Samples:
    rays = [tensor.detach().contiguous().numpy() for tensor in (origins, directions, jitter)]
    cells = [
        tensor.contiguous().numpy() for tensor in (grid.occupied, grid.blocks, grid.density)
    ]
    num_rays = len(origins)
    counts = np.zeros(num_rays, np.int64)
    max_bins = math.ceil(2 * 3**0.5 * grid.half_width / step) + 1
    bounds = np.array(grid.bounds, np.float32)
    limits = [np.float32(value) for value in (step, max_optical_depth, max_step_depth)]
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
                *limits,
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
