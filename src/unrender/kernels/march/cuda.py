"""Marching on a GPU: every ray is walked twice, to count its bins and then to fill them in.

A program, one warp, walks 32 rays, one to a lane, until the last of them has ended; empty
blocks are skipped as in `cpu.py`. Between the two walks the host reads the number of all bins,
to make room for them: the only time that it waits for the GPU. Multiplications and additions
are not fused, so that both walks round alike whatever the compiler makes of each.
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

from unrender.kernels.march import grid as cells
from unrender.kernels.march.grid import MarchGrid, Samples

LANES = 32
SKIP = tl.constexpr(cells.BLOCK)
TINY = tl.constexpr(1e-12)


@triton.jit
@no_type_check
def _load_axis(origins, directions, axis: tl.constexpr, ray, inside):
    """Origin, direction and 1 / direction along an axis."""
    origin = tl.load(origins + 3 * ray + axis, mask=inside, other=0.0)
    direction = tl.load(directions + 3 * ray + axis, mask=inside, other=1.0)
    # A ray along an axis would divide by zero; a direction of 1e-12 leaves no cell.
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
    """The distance to where the ray leaves its block along an axis."""
    wall = (block + (direction > 0).to(tl.int32)).to(tl.float32) * block_width - half
    return (wall - position) * inverse


@triton.jit
@no_type_check
def _even(t, knee):
    """As `even` in grid.py."""
    return tl.where(t > knee, knee * (1 + tl.log(tl.maximum(t / knee, 1.0))), t)


@triton.jit
@no_type_check
def _distance(s, knee):
    """As `distance` in grid.py."""
    return tl.where(s > knee, knee * tl.exp(tl.maximum(s / knee - 1, 0.0)), s)


@triton.jit
@no_type_check
def _walk(
    origins,
    directions,
    jitter,
    num_rays,
    depths,
    blocks,
    num_cells,
    half,
    step,
    knee,
    nearest,
    limit,
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
    """Writes `counts`, or, to FILL, reads `offsets` and writes `starts` and `ends`."""
    ray = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    inside = ray < num_rays
    ox, dx, ix = _load_axis(origins, directions, 0, ray, inside)
    oy, dy, iy = _load_axis(origins, directions, 1, ray, inside)
    oz, dz, iz = _load_axis(origins, directions, 2, ray, inside)
    shift = tl.load(jitter + ray, mask=inside, other=0.0)
    near_x, far_x = _slab(ox, ix, -half, half)
    near_y, far_y = _slab(oy, iy, -half, half)
    near_z, far_z = _slab(oz, iz, -half, half)
    near = tl.maximum(tl.maximum(near_x, near_y), tl.maximum(near_z, nearest))
    far = tl.minimum(tl.minimum(far_x, far_y), far_z)
    # Only the part inside the box around all that is occupied needs to be walked.
    near_x, far_x = _slab(ox, ix, low_x, high_x)
    near_y, far_y = _slab(oy, iy, low_y, high_y)
    near_z, far_z = _slab(oz, iz, low_z, high_z)
    enter = tl.maximum(tl.maximum(near_x, near_y), tl.maximum(near_z, near))
    far = tl.minimum(far, tl.minimum(tl.minimum(far_x, far_y), far_z))
    active = inside & (enter < far)

    to_cell = num_cells / (2 * half)
    block_width = SKIP / to_cell
    num_blocks = num_cells // SKIP
    first = _even(near, knee)
    ahead = (_even(enter, knee) - first) / step - shift
    k = tl.where(active, tl.maximum(ahead, 0.0), 0.0).to(tl.int32)
    at = tl.zeros([LANES], tl.int64)
    if FILL:
        at += tl.load(offsets + ray, mask=inside, other=0)
    dark = tl.zeros([LANES], tl.int32)
    running = tl.max(active.to(tl.int32), axis=0)
    while running > 0:
        s = first + (k.to(tl.float32) + shift) * step
        t = _distance(s, knee)
        active = active & (t < far)
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        cell_x = _cell(x, half, to_cell, num_cells)
        cell_y = _cell(y, half, to_cell, num_cells)
        cell_z = _cell(z, half, to_cell, num_cells)
        block_x, block_y, block_z = cell_x // SKIP, cell_y // SKIP, cell_z // SKIP
        block = (block_x * num_blocks + block_y) * num_blocks + block_z
        empty = active & (tl.load(blocks + block, mask=active, other=1) == 0)
        # Whole steps to where the ray leaves the block.
        leave = tl.minimum(
            tl.minimum(
                _to_wall(block_x, dx, ix, x, half, block_width),
                _to_wall(block_y, dy, iy, y, half, block_width),
            ),
            _to_wall(block_z, dz, iz, z, half, block_width),
        )
        ahead = (_even(t + leave, knee) - s) / step
        skipped = tl.where(empty, tl.maximum(ahead, 1.0), 1.0).to(tl.int32)
        cell = (cell_x * num_cells + cell_y).to(tl.int64) * num_cells + cell_z
        depth = tl.load(depths + cell, mask=active & (empty == 0), other=0).to(tl.int32)
        kept = depth > 0
        if FILL:
            tl.store(starts + at, _distance(s - step * 0.5, knee), mask=kept)
            tl.store(ends + at, _distance(s + step * 0.5, knee), mask=kept)
        at += kept.to(tl.int64)
        dark += tl.where(kept, depth - 1, 0)
        active = active & (dark.to(tl.float32) <= limit)
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
        grid.depth.contiguous(),
        grid.blocks.contiguous().view(torch.uint8),
        len(grid.depth),
        *map(float, (grid.half_width, grid.step, grid.knee, grid.nearest)),
        float(max_optical_depth / grid.max_step_depth * cells.LEVELS),
        *map(float, (*grid.bounds[0], *grid.bounds[1])),
        counts,
        offsets,
    )
    programs = (triton.cdiv(num_rays, LANES),)
    options = {"num_warps": 1, "enable_fp_fusion": False}
    with torch.cuda.device_of(origins):
        _walk[programs](*inputs, counts, counts, FILL=False, LANES=LANES, **options)
        torch.cumsum(counts, 0, out=offsets[1:])
        total = int(offsets[-1])
        starts, ends = origins.new_empty(2, total).unbind()
        if total:
            _walk[programs](*inputs, starts, ends, FILL=True, LANES=LANES, **options)
    return Samples(starts, ends, offsets)
