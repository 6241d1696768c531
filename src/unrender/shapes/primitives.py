"""Simple shapes as meshes; the closed ones are watertight and face outward.

All are centered at the origin, with z up. Vertices have torch's default dtype.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.shapes.mesh import Mesh, edges_of
from unrender.shapes.textures import FaceAtlas

ParametricFunction = Callable[
    [Float[Tensor, "rows columns"], Float[Tensor, "rows columns"]],
    Float[Tensor, "rows columns 3"],
]
"""Points as a function of u and v in [0, 1]; ∂u × ∂v points outward."""


def triangle() -> Mesh:
    """An equilateral triangle in the xy plane with corners at distance 1, facing up."""
    turn = torch.arange(3) * (2 * torch.pi / 3)
    corners = torch.stack([turn.cos(), turn.sin(), torch.zeros(3)], dim=1)
    return Mesh(corners, torch.tensor([[0, 1, 2]]))


def tetrahedron() -> Mesh:
    """A regular tetrahedron with corners at distance 1."""
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]))


def cube(colors: Float[Tensor, "6 3"] | None = None) -> Mesh:
    """A cube of side 1; `colors` are those of the sides −x, +x, −y, +y, −z and +z."""
    bits = torch.arange(8)[:, None] >> torch.tensor([2, 1, 0]) & 1
    sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = torch.tensor(sides)[:, [[0, 1, 2], [0, 2, 3]]].flatten(0, 1)
    atlas = None
    if colors is not None:
        atlas = FaceAtlas(colors.repeat_interleave(2, dim=0)[:, None, None])
    return Mesh(bits - torch.tensor(0.5), faces, atlas)


def icosphere(level: int) -> Mesh:
    """The unit sphere as an icosahedron whose faces are subdivided in four, `level` times.

    It has 10·4^level + 2 vertices and 20·4^level nearly equal faces.
    """
    # Three mutually perpendicular golden rectangles.
    golden = (1 + 5**0.5) / 2
    flat = torch.tensor([[-1, golden, 0], [1, golden, 0], [-1, -golden, 0], [1, -golden, 0]])
    vertices = normalize(torch.cat([flat, flat.roll(1, 1), flat.roll(2, 1)]), dim=1)
    rows = "0 11 5, 0 5 1, 0 1 7, 0 7 10, 0 10 11, 1 5 9, 5 11 4, 11 10 2, 10 7 6, 7 1 8, "
    rows += "3 9 4, 3 4 2, 3 2 6, 3 6 8, 3 8 9, 4 9 5, 2 4 11, 6 2 10, 8 6 7, 9 8 1"
    faces = torch.tensor([[int(word) for word in row.split()] for row in rows.split(", ")])
    for _ in range(level):
        edges = edges_of(faces)
        middles = normalize(vertices[edges.vertices].mean(1), dim=1)
        (a, b, c), (d, e, f) = faces.T, len(vertices) + edges.face_edges.T
        corners = torch.stack([a, f, e, b, d, f, c, e, d, d, e, f], dim=1)
        vertices, faces = torch.cat([vertices, middles]), corners.view(-1, 3)
    return Mesh(vertices, faces)


def uv_sphere(rows: int, columns: int) -> Mesh:
    """The unit sphere by latitude and longitude, with `rows` (at least 2) from pole to pole."""
    assert rows >= 2, f"rows must be at least 2, not {rows}"

    def ring(u: Tensor, v: Tensor) -> Tensor:
        # The first and the last row end at the poles, which are points rather than rings.
        latitude = torch.pi * ((1 + v * (rows - 2)) / rows - 0.5)
        round_z = latitude.cos()[..., None] * _circle(u)
        return round_z + latitude.sin()[..., None] * torch.tensor([0.0, 0.0, 1.0])

    middle = parametric_surface(ring, rows - 2, columns, wrap_u=True)
    return _with_caps(middle, columns, torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]))


def cylinder(radius: float, height: float, columns: int, rows: int = 1) -> Mesh:
    """A cylinder around the z axis, with closed ends."""

    def wall(u: Tensor, v: Tensor) -> Tensor:
        return radius * _circle(u) + height * (v - 0.5)[..., None] * torch.tensor([0.0, 0, 1])

    ends = height * torch.tensor([[0.0, 0.0, -0.5], [0.0, 0.0, 0.5]])
    return _with_caps(parametric_surface(wall, rows, columns, wrap_u=True), columns, ends)


def torus(major: float, minor: float, rows: int, columns: int) -> Mesh:
    """A tube of radius `minor` around the circle of radius `major` in the xy plane."""

    def tube(u: Tensor, v: Tensor) -> Tensor:
        turn = 2 * torch.pi * v
        out = (major + minor * turn.cos())[..., None] * _circle(u)
        return out + minor * turn.sin()[..., None] * torch.tensor([0.0, 0.0, 1.0])

    return parametric_surface(tube, rows, columns, wrap_u=True, wrap_v=True)


def parametric_surface(
    function: ParametricFunction,
    rows: int,
    columns: int,
    wrap_u: bool = False,
    wrap_v: bool = False,
) -> Mesh:
    """A grid of `columns` along u and `rows` along v, two triangles per cell.

    In a direction that wraps, the last cells connect to the first vertices. Gradients reach
    whatever the function depends on. Vertices are in row-major order: v outer, u inner.
    """
    across, up = columns + (not wrap_u), rows + (not wrap_v)
    # `rows` may be 0: a single ring that caps close.
    v, u = torch.meshgrid(
        torch.arange(up) / max(rows, 1), torch.arange(across) / columns, indexing="ij"
    )
    vertices = function(u, v).flatten(0, 1)
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    first, right = row * across + column, row * across + (column + 1) % across
    above = (row + 1) % up * across
    opposite, left = above + (column + 1) % across, above + column
    cells = torch.stack([first, right, opposite, first, opposite, left], dim=-1)
    return Mesh(vertices, cells.view(-1, 3))


def _circle(u: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns 3"]:
    turn = 2 * torch.pi * u
    return torch.stack([turn.cos(), turn.sin(), torch.zeros_like(u)], dim=-1)


def _with_caps(rings: Mesh, columns: int, ends: Float[Tensor, "2 3"]) -> Mesh:
    """Close a tube by a fan from its first ring to the first end, and from its last to the
    second.
    """
    count = len(rings.vertices)
    here = torch.arange(columns)
    fans: list[Int[Tensor, "faces 3"]] = []
    for end, ring in ((count, here.flip(0)), (count + 1, count - columns + here)):
        fans.append(torch.stack([ring, ring.roll(-1), torch.full_like(here, end)], dim=1))
    return Mesh(torch.cat([rings.vertices, ends]), torch.cat([rings.faces, *fans]))
