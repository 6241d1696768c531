"""Triangle meshes, one or many at a time, and what is known of their faces and edges.

A face is three rows of `vertices`, counterclockwise as seen from outside. An edge is two, the
lower one first.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.shapes.display import shape_png, show_shape
from unrender.shapes.textures import Texture, VertexColors

MAX_CHECKED_FACES = 200_000
"""`repr` says of meshes up to this size whether they are watertight; larger ones take long."""


@dataclass(frozen=True)
class Mesh:
    """Triangles."""

    vertices: Float[Tensor, "vertices 3"]
    """In scene units."""
    faces: Int[Tensor, "faces 3"]
    texture: Texture | None = None
    normals: Float[Tensor, "vertices 3"] | None = None
    """Of the vertices as a file gave them; without, the mean of the faces' around them."""

    @classmethod
    def colored(
        cls,
        vertices: Float[Tensor, "vertices 3"],
        faces: Int[Tensor, "faces 3"],
        colors: Float[Tensor, "#vertices 3"],
    ) -> "Mesh":
        """A mesh with vertex colors in [0, 1], or one color for all vertices.

        >>> import unrender as ur
        >>> torus = ur.Mesh.torus()
        >>> ur.Mesh.colored(torus.vertices, torus.faces, torch.tensor([[0.9, 0.4, 0.1]]))
        Mesh(1152 vertices, 2304 faces, vertex colors, watertight)
        """
        return cls(vertices, faces, VertexColors(colors.expand(len(vertices), 3)))

    @classmethod
    def sphere(cls, level: int = 3) -> "Mesh":
        """The unit sphere as an icosphere of 10·4^level + 2 vertices.

        >>> import unrender as ur
        >>> ur.Mesh.sphere()
        Mesh(642 vertices, 1280 faces, watertight)
        """
        from unrender.shapes.primitives import icosphere  # noqa: PLC0415 - it imports this module

        return icosphere(level)

    @classmethod
    def torus(cls, major: float = 1.0, minor: float = 0.4) -> "Mesh":
        """A torus around the z axis with these radii.

        >>> import unrender as ur
        >>> ur.Mesh.torus()
        Mesh(1152 vertices, 2304 faces, watertight)
        """
        from unrender.shapes.primitives import torus  # noqa: PLC0415 - it imports this module

        return torus(major, minor, 24, 48)

    @classmethod
    def load(cls, path: str | Path, up: Literal["auto", "y", "z"] = "auto") -> "Mesh":
        """Load a mesh from an .obj, .ply, .glb, .gltf, .off or .stl file.

        `up` is the file's up axis: "y" is rotated to the library's z; "auto" takes y for .obj,
        .glb and .gltf, and z for the others. Raises InputError for a file that cannot be read
        or holds no mesh.
        """
        # These modules import this one.
        from unrender.shapes.files.shape import load_shape_as  # noqa: PLC0415

        return load_shape_as(cls, path, up)

    def save(self, path: str | Path) -> None:
        """Save as .obj, .ply, .glb, .off or .stl, chosen by the path's ending.

        Raises InputError for another ending, and for a texture that the format cannot hold.
        """
        from unrender.shapes.files.shape import save_shape  # noqa: PLC0415

        save_shape(path, self)

    def show(self) -> None:
        """Show an image: in a notebook inline, on a desktop in a window, else in a file."""
        show_shape(self)

    def _repr_png_(self) -> bytes:
        return shape_png(self)

    def __repr__(self) -> str:
        parts = [f"{len(self.vertices)} vertices", f"{len(self.faces)} faces"]
        if self.texture is not None:
            parts.append(self.texture.kind)
        if self.normals is not None:
            parts.append("normals")
        if 0 < len(self.faces) <= MAX_CHECKED_FACES:
            parts.append("watertight" if is_watertight(self.faces) else "not watertight")
        return f"Mesh({', '.join(parts)})"

    def to(self, device: torch.device | str) -> "Mesh":
        texture = self.texture
        if texture is not None:
            fields = {
                field.name: getattr(texture, field.name).to(device)
                for field in dataclasses.fields(texture)
            }
            texture = dataclasses.replace(texture, **fields)
        normals = None if self.normals is None else self.normals.to(device)
        return Mesh(self.vertices.to(device), self.faces.to(device), texture, normals)

    def with_vertices(self, vertices: Float[Tensor, "vertices 3"]) -> "Mesh":
        """The same faces and texture on vertices elsewhere; normals follow from the faces."""
        return dataclasses.replace(self, vertices=vertices, normals=None)

    def vertex_normals(self) -> Float[Tensor, "vertices 3"]:
        """Of unit length; those that were given, or else from the faces."""
        if self.normals is not None:
            return self.normals
        return vertex_normals(self.vertices, self.faces)

    def unit_cube(self) -> "Mesh":
        """Moved and scaled so that its box is centred at 0 and its longest side is 1."""
        low, high = self.vertices.amin(0), self.vertices.amax(0)
        size = (high - low).max().clamp_min(1e-12)
        return dataclasses.replace(self, vertices=(self.vertices - (low + high) / 2) / size)


@dataclass(frozen=True)
class Meshes:
    """Several meshes as one: rows of all vertices and faces, and where each mesh begins.

    Whatever takes vertices and faces takes a packed batch as it is: its parts do not touch.
    """

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]
    """Rows of the packed `vertices`."""
    first_vertex: Int[Tensor, "offsets"]
    """Mesh k has the vertices [first_vertex[k], first_vertex[k + 1])."""
    first_face: Int[Tensor, "offsets"]

    @classmethod
    def pack(cls, meshes: Sequence[Mesh]) -> "Meshes":
        """Meshes of any sizes, of which there must be some."""
        assert meshes, "a batch of no meshes"
        device = meshes[0].vertices.device
        vertices, faces = (
            torch.tensor([0, *counts], device=device).cumsum(0)
            for counts in (
                [len(mesh.vertices) for mesh in meshes],
                [len(mesh.faces) for mesh in meshes],
            )
        )
        moved = [mesh.faces + first for mesh, first in zip(meshes, vertices, strict=False)]
        return cls(
            torch.cat([mesh.vertices for mesh in meshes]), torch.cat(moved), vertices, faces
        )

    @classmethod
    def with_shared_faces(
        cls, vertices: Float[Tensor, "meshes vertices 3"], faces: Int[Tensor, "faces 3"]
    ) -> "Meshes":
        """Meshes of the same faces, as a network deforms one template."""
        number, count, _ = vertices.shape
        start = torch.arange(number + 1, device=vertices.device)
        packed = (faces + count * start[:-1, None, None]).flatten(0, 1)
        return cls(vertices.flatten(0, 1), packed, count * start, len(faces) * start)

    def __len__(self) -> int:
        return len(self.first_vertex) - 1

    def __repr__(self) -> str:
        sizes = f"{len(self.vertices)} vertices, {len(self.faces)} faces"
        return f"Meshes({len(self)} meshes, {sizes})"

    def unpack(self) -> list[Mesh]:
        """Each by itself."""
        vertices = self.vertices.split(self.first_vertex.diff().tolist())
        faces = self.faces.split(self.first_face.diff().tolist())
        parts = zip(vertices, faces, self.first_vertex, strict=False)
        return [Mesh(v, f - first) for v, f, first in parts]

    @property
    def mesh_of_face(self) -> Int[Tensor, "faces"]:
        """Which mesh each face is of."""
        return _owner(self.first_face)

    @property
    def mesh_of_vertex(self) -> Int[Tensor, "vertices"]:
        """Which mesh each vertex is of."""
        return _owner(self.first_vertex)


def _owner(first: Int[Tensor, "offsets"]) -> Int[Tensor, "rows"]:
    number = torch.arange(len(first) - 1, device=first.device)
    return number.repeat_interleave(first.diff())


def join_meshes(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of all; colours are kept if each part has them for its vertices."""
    packed = Meshes.pack(meshes)
    colors = [m.texture.colors for m in meshes if isinstance(m.texture, VertexColors)]
    whole = len(colors) == len(meshes)
    return Mesh(
        packed.vertices, packed.faces, VertexColors(torch.cat(colors)) if whole else None
    )


def face_normals(
    vertices: Float[Tensor, "*batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "*batch faces 3"]:
    """Outward, and as long as twice the face's area."""
    a, b, c = vertices[..., faces, :].unbind(-2)
    return torch.linalg.cross(b - a, c - a)


def face_areas(
    vertices: Float[Tensor, "*batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "*batch faces"]:
    return face_normals(vertices, faces).norm(dim=-1) / 2


def vertex_normals(
    vertices: Float[Tensor, "*batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "*batch vertices 3"]:
    """Of unit length: the mean of the faces around, by area; 0 where there are none."""
    normals = face_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(-2, faces[:, corner], normals)
    return normalize(total, dim=-1)


@dataclass(frozen=True)
class Edges:
    """Every edge once, and the faces on it."""

    vertices: Int[Tensor, "edges 2"]
    """The lower row first; the edges are sorted."""
    face_edges: Int[Tensor, "faces 3"]
    """The edge of each face opposite its first, second and third corner."""
    faces: Int[Tensor, "edges 2"]
    """Of two faces; −1 where an edge has fewer. Of more, the first two."""
    num_faces: Int[Tensor, "edges"]

    @property
    def closed(self) -> bool:
        """Whether each edge has two faces: watertight, if they are oriented alike."""
        return bool((self.num_faces == 2).all())


def edges_of(faces: Int[Tensor, "faces 3"]) -> Edges:
    """The edges of a mesh."""
    sides = faces[:, [[1, 2], [2, 0], [0, 1]]].flatten(0, 1).sort(dim=1).values
    keys, inverse, counts = _keys(sides).unique(return_inverse=True, return_counts=True)
    vertices = torch.stack([keys >> 32, keys & 0xFFFFFFFF], dim=1)
    owner = torch.arange(len(faces), device=faces.device).repeat_interleave(3)
    order = inverse.argsort(stable=True)
    first = counts.cumsum(0) - counts
    pairs = torch.full_like(vertices, -1)
    pairs[:, 0] = owner[order[first]]
    more = counts > 1
    pairs[more, 1] = owner[order[first[more] + 1]]
    return Edges(vertices, inverse.view(-1, 3), pairs, counts)


def is_watertight(faces: Int[Tensor, "faces 3"]) -> bool:
    """Whether each edge has two faces that pass it in opposite directions."""
    sides = faces[:, [[1, 2], [2, 0], [0, 1]]].flatten(0, 1)
    forth, back = _keys(sides).unique(), _keys(sides.flip(1)).unique()
    return len(forth) == len(sides) > 0 and torch.equal(forth, back)


def _keys(sides: Int[Tensor, "sides 2"]) -> Int[Tensor, "sides"]:
    """One number for two: far quicker to sort, and in the same order."""
    return (sides[:, 0].long() << 32) + sides[:, 1]
