"""Marching cubes of a function of space, in memory proportional to the surface.

Marching cubes (Lorensen and Cline, "Marching Cubes: A High Resolution 3D Surface Construction
Algorithm", SIGGRAPH 1987) needs the function only at the vertices of cells that the surface
crosses, a few in a hundred. Here the function is evaluated on a coarse lattice everywhere, and
on the fine lattice only in blocks of cells near the surface, one slab of blocks after another.
Each lattice vertex is evaluated once, so that the surface has no cracks between blocks. Memory
holds one slab of the lattice and the mesh, both of which grow with the square of the
resolution.

`shapes/convert.py` has marching cubes of values that are on a grid already.
"""

import functools
import itertools
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import max_pool3d

from unrender.errors import InputError
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.mesh import Mesh

CHUNK_SIZE = 1 << 18
"""Points at which the function is evaluated at once."""
MIN_BLOCK = 4
"""Minimum number of cells per side of a block."""
MAX_BLOCKS = 64
"""Maximum number of blocks per side of the box; finer lattices have larger blocks."""
MAX_CELLS = 2048
"""Maximum number of cells per side; a larger slab takes more memory than it saves."""

# Corner c of a cell is at (c >> 2 & 1, c >> 1 & 1, c & 1). An edge runs along an axis, from
# its lower corner. The corners of a side are listed counterclockwise, as seen from outside the
# cell.
_CORNERS = tuple(itertools.product((0, 1), repeat=3))
EDGES = tuple(
    (lower, lower | 4 >> axis)
    for axis in range(3)
    for lower in range(8)
    if not lower & 4 >> axis
)
_SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


@torch.no_grad()
def zero_level_set(
    function: SDF, half_width: float, cells: int, lipschitz: float | None = None
) -> Mesh:
    """The zero level set of a function, negative inside, in [−half_width, half_width]³.

    The lattice has at least `cells` cells per side, rounded up to whole blocks. The mesh is
    closed, because the box's walls count as outside, and faces outward; it has no faces if the
    function is nowhere negative. The function is evaluated on torch's default device.

    `lipschitz` is the function's Lipschitz constant, 1 for a signed distance; with it, no part
    of the surface is missed. Without it, parts that lie between the corners of blocks, and more
    than a block away from every part that does not, are missed.

    Raises InputError if values are NaN or Inf, or `cells` is out of range.
    """
    if not 2 <= cells <= MAX_CELLS:
        raise InputError(
            f"cannot extract a surface with {cells} cells a side: give 2 to {MAX_CELLS}"
        )
    block = max(MIN_BLOCK, -(-cells // MAX_BLOCKS))
    blocks = -(-cells // block)
    size = 2 * half_width / (blocks * block)
    lattice = _Lattice(function, half_width, size, blocks * block)
    near = _blocks_near_surface(lattice, blocks, block, lipschitz)
    keys: list[Tensor] = []
    positions: list[Tensor] = []
    faces: list[Tensor] = []
    count = 0
    for slab_keys, slab_positions, slab_faces in _slabs(lattice, near, block):
        keys.append(slab_keys)
        positions.append(slab_positions)
        faces.append(slab_faces + count)
        count += len(slab_keys)
    if not keys:
        return Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    # Slabs share the vertices on the plane between them.
    unique, index = torch.cat(keys).unique(return_inverse=True)
    vertices = torch.empty(len(unique), 3)
    vertices[index] = torch.cat(positions)
    return Mesh(vertices, index[torch.cat(faces)])


class _Lattice:
    """The function at the corners of cells; corners on the box's walls count as outside."""

    def __init__(self, function: SDF, half_width: float, size: float, cells: int):
        self.function, self.half_width = function, half_width
        self.size, self.cells = size, cells

    def values(self, corners: Int[Tensor, "corners 3"]) -> Float[Tensor, "corners"]:
        found: list[Tensor] = []
        for part in corners.split(CHUNK_SIZE):
            values = self.function(self.positions(part.float()))
            if not bool(values.isfinite().all()):
                raise InputError(
                    "the values of a field contain NaN or Inf, so it has no surface"
                )
            walls = ((part == 0) | (part == self.cells)).any(1)
            found.append(torch.where(walls, values.abs(), values))
        return torch.cat(found) if found else torch.zeros(0)

    def positions(self, corners: Float[Tensor, "corners 3"]) -> Float[Tensor, "corners 3"]:
        return corners * self.size - self.half_width


def _blocks_near_surface(
    lattice: _Lattice, blocks: int, block: int, lipschitz: float | None
) -> Bool[Tensor, "x y z"]:
    """Which blocks the surface may cross."""
    corner = torch.arange(blocks + 1) * block
    values = lattice.values(torch.cartesian_prod(corner, corner, corner))
    values = values.view(1, blocks + 1, blocks + 1, blocks + 1)
    inside = (values < 0).float()
    some, no_others = max_pool3d(inside, 2, stride=1), -max_pool3d(-inside, 2, stride=1)
    mixed = max_pool3d(some - no_others, 3, stride=1, padding=1)[0] > 0
    if lipschitz is None:
        return mixed
    # Each point of a block is within half a diagonal of one of its corners.
    least = -max_pool3d(-values.abs(), 2, stride=1)[0]
    return mixed | (least <= lipschitz * block * lattice.size * 3**0.5 / 2)


def _slabs(
    lattice: _Lattice, near: Bool[Tensor, "x y z"], block: int
) -> Iterator[
    tuple[Int[Tensor, "vertices"], Float[Tensor, "vertices 3"], Int[Tensor, "faces 3"]]
]:
    """Keys and positions of vertices, and faces as rows of these, for each non-empty slab."""
    side = lattice.cells + 1
    shared = torch.full((side, side), torch.nan)
    for number, here in enumerate(near):
        values = torch.full((block + 1, side, side), torch.nan)
        values[0] = shared
        cells = here.repeat_interleave(block, 0).repeat_interleave(block, 1)
        needed = torch.zeros(side, side, dtype=torch.bool)
        for y, z in itertools.product((0, 1), repeat=2):
            needed[y : side - 1 + y, z : side - 1 + z] |= cells
        queried = (needed & values.isnan()).nonzero()
        queried[:, 0] += number * block
        values[queried[:, 0] - number * block, queried[:, 1], queried[:, 2]] = lattice.values(
            queried
        )
        shared = values[block]
        found = _slab_faces(lattice, values, cells.expand(block, -1, -1), number * block)
        if found is not None:
            yield found


def _slab_faces(
    lattice: _Lattice,
    values: Float[Tensor, "planes side side"],
    cells: Bool[Tensor, "slices cells cells"],
    first: int,
) -> tuple[Int[Tensor, "vertices"], Float[Tensor, "vertices 3"], Int[Tensor, "faces 3"]] | None:
    """Marching cubes in the marked cells of a slab whose first lattice plane is `first`."""
    cell = cells.nonzero()
    side = lattice.cells + 1
    strides = torch.tensor([side * side, side, 1])
    corner = values.flatten()[(cell @ strides)[:, None] + torch.tensor(_CORNERS) @ strides]
    case = ((corner < 0) * (1 << torch.arange(8))).sum(1)
    passed = (case > 0) & (case < 255)
    cell, corner, case = cell[passed], corner[passed], case[passed]
    if len(cell) == 0:
        return None
    cell[:, 0] += first
    edges = triangle_table()[case]
    row, triangle = (edges[:, :, 0] >= 0).nonzero(as_tuple=True)
    edge = edges[row, triangle].flatten()
    row = row.repeat_interleave(3)
    ends = torch.tensor(EDGES)[edge]
    lower = cell[row] + torch.tensor(_CORNERS)[ends[:, 0]]
    axis = edge // 4
    keys, index = ((lower @ strides) * 3 + axis).unique(return_inverse=True)
    # Any row of a vertex will do: all that share it interpolate the same numbers.
    chosen = torch.empty_like(keys)
    chosen[index] = torch.arange(len(index))
    below, above = corner[row[chosen, None], ends[chosen]].unbind(1)
    position = lower[chosen].float()
    position[torch.arange(len(position)), axis[chosen]] += below / (below - above)
    return keys, lattice.positions(position), index.view(-1, 3)


@functools.cache
def triangle_table() -> Int[Tensor, "cases triangles 3"]:
    """The cell edges that the corners of a case's triangles lie on; padded with −1.

    Bit c of a case says that corner c is inside. On each side of a cell, the surface cuts off
    each run of adjacent inside corners; two opposite corners stay separate. Neighboring cells
    treat their shared side alike, so that their surfaces match.
    """
    found = [_case(number) for number in range(256)]
    most = max(len(case) for case in found)
    table = torch.full((256, most, 3), -1)
    for number, case in enumerate(found):
        if case:
            table[number, : len(case)] = torch.tensor(case)
    return table


def _case(number: int) -> list[tuple[int, int, int]]:
    """The triangles of one case."""
    after: dict[int, int] = {}
    for side in _SIDES:
        inside = [bool(number >> corner & 1) for corner in side]
        for k in range(4):
            if inside[k] and not inside[k - 1]:
                last = next(j for j in range(k, k + 4) if not inside[(j + 1) % 4])
                entry = _edge(side[k - 1], side[k])
                after[entry] = _edge(side[last % 4], side[(last + 1) % 4])
    faces: list[tuple[int, int, int]] = []
    while after:
        loop = [next(iter(after))]
        while (edge := after.pop(loop[-1])) != loop[0]:
            loop.append(edge)
        faces += _triangulated(loop)
    return faces


def _edge(a: int, b: int) -> int:
    return EDGES.index((min(a, b), max(a, b)))


def _triangulated(loop: list[int]) -> list[tuple[int, int, int]]:
    """Triangulate a loop of edges with diagonals none of which lies in a side of the cell.

    In a side, the neighboring cell might have the same diagonal, and four triangles would share
    it.
    """
    if len(loop) == 3:
        return [(loop[0], loop[1], loop[2])]
    for k in range(len(loop)):
        a, b, c = loop[k - 2], loop[k - 1], loop[k]
        if not _share_side(a, c):
            rest = [edge for edge in loop if edge != b]
            return [(a, b, c), *_triangulated(rest)]
    raise AssertionError("each loop has such a diagonal")


def _share_side(a: int, b: int) -> bool:
    corners = {*EDGES[a], *EDGES[b]}
    return any(corners <= set(side) for side in _SIDES)
