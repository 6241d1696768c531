"""Ray marching on a GPU, in Triton: rays are traversed twice, to count their bins and to write
them.

A program, one warp, traverses 32 rays, one per lane, until the last of them has ended; empty
blocks are skipped as in `cpu.py`. Between the two passes the host reads the total number of
bins to allocate the arrays, which is the only synchronization with the GPU. Multiplications and
additions are not fused, so that both passes round in the same way.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.march import grid as march_grid
from unrender.kernels.march.grid import MarchGrid, Samples

LANES = 32
BLOCK_CELLS = tl.constexpr(march_grid.BLOCK)
TINY = tl.constexpr(1e-12)


@triton.jit
@no_type_check
def _load_axis(origins, directions, axis: tl.constexpr, ray, inside):
    """Origin, direction and 1 / direction along an axis."""
    origin = tl.load(origins + 3 * ray + axis, mask=inside, other=0.0)
    direction = tl.load(directions + 3 * ray + axis, mask=inside, other=1.0)
    # Avoids division by zero; with a component of 1e-12 a ray stays within its cells.
    direction = tl.where(tl.abs(direction) > TINY, direction, TINY)
    return origin, direction, 1 / direction


@triton.jit
@no_type_check
def _slab(origin, inverse, low, high):
    """Distances at which a ray enters and leaves the space between two planes."""
    a, b = (low - origin) * inverse, (high - origin) * inverse
    return tl.minimum(a, b), tl.maximum(a, b)


@triton.jit
@no_type_check
def _cell(position, half, to_cell, num_cells):
    inside = tl.minimum(tl.maximum((position + half) * to_cell, 0.0), num_cells - 1.0)
    return inside.to(tl.int32)


@triton.jit
@no_type_check
def _to_wall(block, direction, inverse, position, half, block_width):
    """Distance at which the ray leaves its block along an axis."""
    wall = (block + (direction > 0).to(tl.int32)).to(tl.float32) * block_width - half
    return (wall - position) * inverse


@triton.jit
@no_type_check
def _to_stepping_space(t, growth_start):
    """See `to_stepping_space` in grid.py."""
    return tl.where(
        t > growth_start, growth_start * (1 + tl.log(tl.maximum(t / growth_start, 1.0))), t
    )


@triton.jit
@no_type_check
def _from_stepping_space(s, growth_start):
    """See `from_stepping_space` in grid.py."""
    return tl.where(
        s > growth_start, growth_start * tl.exp(tl.maximum(s / growth_start - 1, 0.0)), s
    )


@triton.jit
@no_type_check
def _march(
    origins,
    directions,
    jitter,
    num_rays,
    cell_depths,
    blocks,
    num_cells,
    half,
    step,
    growth_start,
    near_plane,
    max_depth,
    low_x,
    low_y,
    low_z,
    high_x,
    high_y,
    high_z,
    counts,
    offsets,
    starts,
    ends,
    FILL: tl.constexpr,
    LANES: tl.constexpr,
):
    """Write `counts`; or, with FILL, read `offsets` and write `starts` and `ends`."""
    ray = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    inside = ray < num_rays
    ox, dx, ix = _load_axis(origins, directions, 0, ray, inside)
    oy, dy, iy = _load_axis(origins, directions, 1, ray, inside)
    oz, dz, iz = _load_axis(origins, directions, 2, ray, inside)
    shift = tl.load(jitter + ray, mask=inside, other=0.0)
    near_x, far_x = _slab(ox, ix, -half, half)
    near_y, far_y = _slab(oy, iy, -half, half)
    near_z, far_z = _slab(oz, iz, -half, half)
    t_min = tl.maximum(tl.maximum(near_x, near_y), tl.maximum(near_z, near_plane))
    t_max = tl.minimum(tl.minimum(far_x, far_y), far_z)
    # Only the part inside the bounding box of the occupied blocks is traversed.
    near_x, far_x = _slab(ox, ix, low_x, high_x)
    near_y, far_y = _slab(oy, iy, low_y, high_y)
    near_z, far_z = _slab(oz, iz, low_z, high_z)
    enter = tl.maximum(tl.maximum(near_x, near_y), tl.maximum(near_z, t_min))
    t_max = tl.minimum(t_max, tl.minimum(tl.minimum(far_x, far_y), far_z))
    active = inside & (enter < t_max)

    to_cell = num_cells / (2 * half)
    block_width = BLOCK_CELLS / to_cell
    num_blocks = num_cells // BLOCK_CELLS
    first = _to_stepping_space(t_min, growth_start)
    ahead = (_to_stepping_space(enter, growth_start) - first) / step - shift
    k = tl.where(active, tl.maximum(ahead, 0.0), 0.0).to(tl.int32)
    at = tl.zeros([LANES], tl.int64)
    if FILL:
        at += tl.load(offsets + ray, mask=inside, other=0)
    optical_depth = tl.zeros([LANES], tl.int32)
    running = tl.max(active.to(tl.int32), axis=0)
    while running > 0:
        s = first + (k.to(tl.float32) + shift) * step
        t = _from_stepping_space(s, growth_start)
        active = active & (t < t_max)
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        cell_x = _cell(x, half, to_cell, num_cells)
        cell_y = _cell(y, half, to_cell, num_cells)
        cell_z = _cell(z, half, to_cell, num_cells)
        block_x, block_y, block_z = (
            cell_x // BLOCK_CELLS,
            cell_y // BLOCK_CELLS,
            cell_z // BLOCK_CELLS,
        )
        block = (block_x * num_blocks + block_y) * num_blocks + block_z
        empty = active & (tl.load(blocks + block, mask=active, other=1) == 0)
        # Number of whole steps until the ray leaves the block.
        leave = tl.minimum(
            tl.minimum(
                _to_wall(block_x, dx, ix, x, half, block_width),
                _to_wall(block_y, dy, iy, y, half, block_width),
            ),
            _to_wall(block_z, dz, iz, z, half, block_width),
        )
        ahead = (_to_stepping_space(t + leave, growth_start) - s) / step
        skipped = tl.where(empty, tl.maximum(ahead, 1.0), 1.0).to(tl.int32)
        cell = (cell_x * num_cells + cell_y).to(tl.int64) * num_cells + cell_z
        depth = tl.load(cell_depths + cell, mask=active & (empty == 0), other=0).to(tl.int32)
        kept = depth > 0
        if FILL:
            tl.store(starts + at, _from_stepping_space(s - step * 0.5, growth_start), mask=kept)
            tl.store(ends + at, _from_stepping_space(s + step * 0.5, growth_start), mask=kept)
        at += kept.to(tl.int64)
        optical_depth += tl.where(kept, depth - 1, 0)
        active = active & (optical_depth.to(tl.float32) <= max_depth)
        k += skipped
        running = tl.max(active.to(tl.int32), axis=0)
    if not FILL:
        tl.store(counts + ray, at, mask=inside)


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, "rays"],
    grid: MarchGrid,
    max_optical_depth: float,
) -> Samples:
    num_rays = len(origins)
    offsets = torch.zeros(num_rays + 1, dtype=torch.int64, device=origins.device)
    if num_rays == 0:
        return Samples(origins.new_empty(0), origins.new_empty(0), offsets)
    counts = torch.empty_like(offsets[1:])
    inputs = (
        *(tensor.detach().contiguous() for tensor in (origins, directions, jitter)),
        num_rays,
        grid.optical_depth.contiguous(),
        grid.blocks.contiguous().view(torch.uint8),
        len(grid.optical_depth),
        *map(float, (grid.half_width, grid.step, grid.growth_start, grid.near)),
        float(max_optical_depth / grid.max_step_optical_depth * march_grid.LEVELS),
        *map(float, (*grid.bounds[0], *grid.bounds[1])),
        counts,
        offsets,
    )
    programs = (triton.cdiv(num_rays, LANES),)
    options = {"num_warps": 1, "enable_fp_fusion": False}
    with torch.cuda.device_of(origins):
        _march[programs](*inputs, counts, counts, FILL=False, LANES=LANES, **options)
        torch.cumsum(counts, 0, out=offsets[1:])
        total = int(offsets[-1])
        starts, ends = origins.new_empty(2, total).unbind()
        if total:
            _march[programs](*inputs, starts, ends, FILL=True, LANES=LANES, **options)
    return Samples(starts, ends, offsets)
