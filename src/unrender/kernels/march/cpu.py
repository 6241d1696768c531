"""Marching on the CPU: each thread walks its share of the rays, skipping empty blocks.

From block to block a ray goes by additions alone (Amanatides and Woo, "A fast voxel traversal
algorithm", 1987). Within a block, whether a cell is occupied is nothing that a processor could
foresee, so no branch asks for it: a bin is written in any case, and overwritten by the next if
it was empty.
"""

import math
from itertools import chain
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.march.grid import BLOCK, LEVELS, MarchGrid, Samples, distance
from unrender.kernels.runtime.jit import inline, jit, num_threads, run_threads, shares


@inline
@no_type_check
def _first_block(u, v, t, num_blocks):
    """Along one axis: the block at distance t, where the next begins, and how they go on."""
    block = min(max(np.int64((u + t * v) * np.float32(1 / BLOCK)), 0), num_blocks - 1)
    ahead = 1 if v > 0 else 0
    wall = np.float32((block + ahead) * BLOCK)
    return block, (wall - u) / v, np.float32(BLOCK) / abs(v), 2 * ahead - 1


@inline
@no_type_check
def _even(t, knee):
    """As `even` in grid.py."""
    return knee * (np.float32(1) + np.log(t / knee)) if t > knee else t


@inline
@no_type_check
def _distance(s, knee):
    """As `distance` in grid.py."""
    return knee * np.exp(s / knee - np.float32(1)) if s > knee else s


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
    knee,
    nearest,
    limit,
    max_bins,
    middles,
    counts,
):
    """Fill `middles`, by the coordinate `even`, ray by ray.

    Returns the first ray that might not fit any more.
    """
    cells = np.int32(depths.shape[0])
    end = np.float32(cells) - np.float32(0.5)
    to_cell = np.float32(cells) / (np.float32(2) * half)
    num_blocks = blocks.shape[0]
    per_step = np.float32(1) / step
    margin = np.float32(1e-3) * step
    tiny = np.float32(1e-12)
    zero = np.float32(0)
    total = 0
    for r in range(first, last):
        if total + max_bins >= middles.shape[0]:
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
        near = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), nearest))
        far = min(min(max(ax, bx), max(ay, by)), max(az, bz))
        # Only the part inside the box around all that is occupied needs to be walked.
        ax, bx = (bounds[0, 0] - ox) * ix, (bounds[1, 0] - ox) * ix
        ay, by = (bounds[0, 1] - oy) * iy, (bounds[1, 1] - oy) * iy
        az, bz = (bounds[0, 2] - oz) * iz, (bounds[1, 2] - oz) * iz
        enter = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), near))
        far = min(far, min(min(max(ax, bx), max(ay, by)), max(az, bz)))
        # From here on in cells. The distances to the walls of blocks grow by fixed amounts.
        ux, uy, uz = (ox + half) * to_cell, (oy + half) * to_cell, (oz + half) * to_cell
        vx, vy, vz = dx * to_cell, dy * to_cell, dz * to_cell
        bx, next_x, apart_x, turn_x = _first_block(ux, vx, enter, num_blocks)
        by, next_y, apart_y, turn_y = _first_block(uy, vy, enter, num_blocks)
        bz, next_z, apart_z, turn_z = _first_block(uz, vz, enter, num_blocks)
        count = 0
        dark = 0
        start = _even(near, knee) + jitter[r] * step
        k = 0
        while enter < far and dark <= limit:
            leave = min(min(next_x, next_y), next_z)
            if blocks[bx, by, bz]:
                # A bin at the wall belongs to both blocks: its own cell decides.
                k = max(k, int(np.ceil((_even(enter, knee) - margin - start) * per_step)))
                last_t = min(leave + margin, far)
                s = start + np.float32(k) * step
                t = _distance(s, knee)
                while t < last_t and dark <= limit:
                    cx = np.uint32(np.int32(min(max(ux + t * vx, zero), end)))
                    cy = np.uint32(np.int32(min(max(uy + t * vy, zero), end)))
                    cz = np.uint32(np.int32(min(max(uz + t * vz, zero), end)))
                    # Every bin is written, and the next one over it unless it is kept.
                    depth = np.int64(depths[cx, cy, cz])
                    kept = np.int64(depth != 0)
                    middles[total + count] = s
                    count += kept
                    dark += depth - kept
                    k += 1
                    s = start + np.float32(k) * step
                    t = _distance(s, knee)
            enter = leave
            if next_x <= leave:
                next_x += apart_x
                bx += turn_x
            if next_y <= leave:
                next_y += apart_y
                by += turn_y
            if next_z <= leave:
                next_z += apart_z
                bz += turn_z
            if min(min(bx, by), bz) < 0 or max(max(bx, by), bz) >= num_blocks:
                break
        counts[r] = count
        total += count
    return last


def _walked(
    rays: list[np.ndarray], first: int, last: int, place: tuple[Any, ...], counts: np.ndarray
) -> list[np.ndarray]:
    """The bins of rays first to last, in as many arrays as they happen to need."""
    filled: list[np.ndarray] = []
    while first < last:
        middles = np.empty(16 * (last - first) + 4 * place[-1], np.float32)
        stop = _walk(*rays, first, last, *place, middles, counts)
        filled.append(middles[: counts[first:stop].sum()])
        first = stop
    return filled


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
    bounds = np.array(grid.bounds, np.float32)
    limit = max_optical_depth / grid.max_step_depth * LEVELS
    most_bins = math.ceil(2 * 3**0.5 * grid.half_width / step) + 2
    lengths = [np.float32(length) for length in (step, grid.knee, grid.nearest)]
    place = np.float32(grid.half_width), *cells, bounds, *lengths, limit, most_bins
    parts = run_threads(
        lambda share: _walked(rays, *share, place, counts), shares(num_rays, num_threads())
    )
    middles = torch.from_numpy(
        np.concatenate([np.empty(0, np.float32), *chain.from_iterable(parts)])
    )
    offsets = torch.zeros(num_rays + 1, dtype=torch.int64)
    torch.cumsum(torch.from_numpy(counts), 0, out=offsets[1:])
    starts, ends = (distance(middles + side * step / 2, grid.knee) for side in (-1, 1))
    return Samples(starts, ends, offsets)
