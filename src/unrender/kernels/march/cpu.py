"""Ray marching on the CPU: each thread traverses its share of the rays, skipping empty blocks.

Traversing the blocks takes additions alone (Amanatides and Woo, "A fast voxel traversal
algorithm", 1987). Within a block, branches on occupancy would be unpredictable, so every bin is
written, and an empty one is overwritten by the next.
"""

import math
from itertools import chain
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.march.grid import BLOCK, LEVELS, MarchGrid, Samples, from_stepping_space
from unrender.kernels.runtime.jit import inline, jit, num_threads, run_threads, shares


@inline
@no_type_check
def _first_block(u, v, t, num_blocks):
    """Along one axis: block at distance t, next wall, spacing of walls and direction."""
    block = min(max(np.int64((u + t * v) * np.float32(1 / BLOCK)), 0), num_blocks - 1)
    forward = 1 if v > 0 else 0
    wall = np.float32((block + forward) * BLOCK)
    return block, (wall - u) / v, np.float32(BLOCK) / abs(v), 2 * forward - 1


@inline
@no_type_check
def _to_stepping_space(t, growth_start):
    """See `to_stepping_space` in grid.py."""
    return growth_start * (np.float32(1) + np.log(t / growth_start)) if t > growth_start else t


@inline
@no_type_check
def _from_stepping_space(s, growth_start):
    """See `from_stepping_space` in grid.py."""
    return growth_start * np.exp(s / growth_start - np.float32(1)) if s > growth_start else s


@jit
@no_type_check
def _march(
    origins,
    directions,
    jitter,
    first,
    last,
    half,
    cell_depths,
    blocks,
    bounds,
    step,
    growth_start,
    near_plane,
    max_depth,
    max_bins,
    midpoints,
    counts,
):
    """Fill `midpoints`, in stepping space, ray by ray.

    Returns the first ray whose bins might not fit.
    """
    cells = np.int32(cell_depths.shape[0])
    end = np.float32(cells) - np.float32(0.5)
    to_cell = np.float32(cells) / (np.float32(2) * half)
    num_blocks = blocks.shape[0]
    per_step = np.float32(1) / step
    margin = np.float32(1e-3) * step
    tiny = np.float32(1e-12)
    zero = np.float32(0)
    total = 0
    for r in range(first, last):
        if total + max_bins >= midpoints.shape[0]:
            return r
        ox, oy, oz = origins[r, 0], origins[r, 1], origins[r, 2]
        dx, dy, dz = directions[r, 0], directions[r, 1], directions[r, 2]
        # Avoids division by zero; with a component of 1e-12 a ray stays within its cells.
        dx = dx if abs(dx) > tiny else tiny
        dy = dy if abs(dy) > tiny else tiny
        dz = dz if abs(dz) > tiny else tiny
        ix, iy, iz = np.float32(1) / dx, np.float32(1) / dy, np.float32(1) / dz
        ax, bx = (-half - ox) * ix, (half - ox) * ix
        ay, by = (-half - oy) * iy, (half - oy) * iy
        az, bz = (-half - oz) * iz, (half - oz) * iz
        t_min = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), near_plane))
        t_max = min(min(max(ax, bx), max(ay, by)), max(az, bz))
        # Only the part inside the bounding box of the occupied blocks is traversed.
        ax, bx = (bounds[0, 0] - ox) * ix, (bounds[1, 0] - ox) * ix
        ay, by = (bounds[0, 1] - oy) * iy, (bounds[1, 1] - oy) * iy
        az, bz = (bounds[0, 2] - oz) * iz, (bounds[1, 2] - oz) * iz
        t_enter = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), t_min))
        t_max = min(t_max, min(min(max(ax, bx), max(ay, by)), max(az, bz)))
        # Units are cells from here on. Distances to the walls of blocks grow by constants.
        ux, uy, uz = (ox + half) * to_cell, (oy + half) * to_cell, (oz + half) * to_cell
        vx, vy, vz = dx * to_cell, dy * to_cell, dz * to_cell
        bx, next_x, spacing_x, direction_x = _first_block(ux, vx, t_enter, num_blocks)
        by, next_y, spacing_y, direction_y = _first_block(uy, vy, t_enter, num_blocks)
        bz, next_z, spacing_z, direction_z = _first_block(uz, vz, t_enter, num_blocks)
        count = 0
        optical_depth = 0
        start = _to_stepping_space(t_min, growth_start) + jitter[r] * step
        k = 0
        while t_enter < t_max and optical_depth <= max_depth:
            t_leave = min(min(next_x, next_y), next_z)
            if blocks[bx, by, bz]:
                # A bin at the wall may belong to either block: its cell decides.
                k = max(
                    k,
                    int(
                        np.ceil(
                            (_to_stepping_space(t_enter, growth_start) - margin - start)
                            * per_step
                        )
                    ),
                )
                last_t = min(t_leave + margin, t_max)
                s = start + np.float32(k) * step
                t = _from_stepping_space(s, growth_start)
                while t < last_t and optical_depth <= max_depth:
                    cx = np.uint32(np.int32(min(max(ux + t * vx, zero), end)))
                    cy = np.uint32(np.int32(min(max(uy + t * vy, zero), end)))
                    cz = np.uint32(np.int32(min(max(uz + t * vz, zero), end)))
                    # Every bin is written; the next one overwrites it unless it is kept.
                    depth = np.int64(cell_depths[cx, cy, cz])
                    kept = np.int64(depth != 0)
                    midpoints[total + count] = s
                    count += kept
                    optical_depth += depth - kept
                    k += 1
                    s = start + np.float32(k) * step
                    t = _from_stepping_space(s, growth_start)
            t_enter = t_leave
            if next_x <= t_leave:
                next_x += spacing_x
                bx += direction_x
            if next_y <= t_leave:
                next_y += spacing_y
                by += direction_y
            if next_z <= t_leave:
                next_z += spacing_z
                bz += direction_z
            if min(min(bx, by), bz) < 0 or max(max(bx, by), bz) >= num_blocks:
                break
        counts[r] = count
        total += count
    return last


def _march_rays(
    rays: list[np.ndarray], first: int, last: int, settings: tuple[Any, ...], counts: np.ndarray
) -> list[np.ndarray]:
    """Midpoints of the bins of rays first to last, in one or more arrays."""
    filled: list[np.ndarray] = []
    while first < last:
        midpoints = np.empty(16 * (last - first) + 4 * settings[-1], np.float32)
        stop = _march(*rays, first, last, *settings, midpoints, counts)
        filled.append(midpoints[: counts[first:stop].sum()])
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
    cells = [tensor.contiguous().numpy() for tensor in (grid.optical_depth, grid.blocks)]
    num_rays, step = len(origins), grid.step
    counts = np.zeros(num_rays, np.int64)
    bounds = np.array(grid.bounds, np.float32)
    max_depth = max_optical_depth / grid.max_step_optical_depth * LEVELS
    max_bins = math.ceil(2 * 3**0.5 * grid.half_width / step) + 2
    lengths = [np.float32(length) for length in (step, grid.growth_start, grid.near)]
    settings = np.float32(grid.half_width), *cells, bounds, *lengths, max_depth, max_bins
    parts = run_threads(
        lambda share: _march_rays(rays, *share, settings, counts),
        shares(num_rays, num_threads()),
    )
    midpoints = torch.from_numpy(
        np.concatenate([np.empty(0, np.float32), *chain.from_iterable(parts)])
    )
    offsets = torch.zeros(num_rays + 1, dtype=torch.int64)
    torch.cumsum(torch.from_numpy(counts), 0, out=offsets[1:])
    starts, ends = (
        from_stepping_space(midpoints + side * step / 2, grid.growth_start) for side in (-1, 1)
    )
    return Samples(starts, ends, offsets)
