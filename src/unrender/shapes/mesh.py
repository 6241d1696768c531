"""Triangle meshes, alone and in batches, with normals, areas and edges.

A face is three rows of `vertices`, counterclockwise as seen from outside. An edge is a pair of
vertex rows, the lower row first.
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

from unrender.shapes.display import Shown
from unrender.shapes.textures import Texture, VertexColors

MAX_CHECKED_FACES = 200_000
"""`repr` says of meshes up to this size whether they are watertight; larger ones take long."""


@dataclass(frozen=True)
class Mesh(Shown):
    """A triangle mesh, optionally with a texture and vertex normals.

    >>> import torch
    >>> import unrender as ur
    >>> corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    >>> ur.Mesh(corners, torch.tensor([[0, 1, 2]]))
    Mesh(3 vertices, 1 faces, not watertight)
    """

    vertices: Float[Tensor, "vertices 3"]
    """In scene units."""
    faces: Int[Tensor, "faces 3"]
    texture: Texture | None = None
    normals: Float[Tensor, "vertices 3"] | None = None
    """Unit vertex normals from a file; if None, they are computed from the adjacent faces."""
    unlit: bool = False
    """Whether the colors contain the light already, as those of photographs do, so that they
    are shown without shading."""

    @classmethod
    def colored(
        cls,
        vertices: Float[Tensor, "vertices 3"],
        faces: Int[Tensor, "faces 3"],
        colors: Float[Tensor, "#vertices 3"],
    ) -> "Mesh":
        """A mesh with vertex colors in [0, 1], or one color for all vertices.

        >>> import torch
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

        >>> import unrender as ur
        >>> ur.Mesh.sphere().save("sphere.ply")
        >>> ur.Mesh.load("sphere.ply")
        Mesh(642 vertices, 1280 faces, watertight)
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
        """Move all tensors to a device."""
        texture = self.texture
        if texture is not None:
            fields = {
                name: None if values is None else values.to(device)
                for name, values in vars(texture).items()
            }
            texture = dataclasses.replace(texture, **fields)
        normals = None if self.normals is None else self.normals.to(device)
        vertices, faces = self.vertices.to(device), self.faces.to(device)
        return Mesh(vertices, faces, texture, normals, self.unlit)

    def with_vertices(self, vertices: Float[Tensor, "vertices 3"]) -> "Mesh":
        """The same faces and texture with other vertices, and without given normals."""
        return dataclasses.replace(self, vertices=vertices, normals=None)

    def vertex_normals(self) -> Float[Tensor, "vertices 3"]:
        """Unit vertex normals: the given ones, or else those computed from the faces."""
        if self.normals is not None:
            return self.normals
        return vertex_normals(self.vertices, self.faces)

    def unit_cube(self) -> "Mesh":
        """Translated and scaled to a bounding box centered at 0 with longest side 1."""
        low, high = self.vertices.amin(0), self.vertices.amax(0)
        size = (high - low).max().clamp_min(1e-12)
        return dataclasses.replace(self, vertices=(self.vertices - (low + high) / 2) / size)


@dataclass(frozen=True)
class Meshes:
    """A packed batch of meshes: all vertices and faces, and where each mesh begins.

    Functions of vertices and faces work on a packed batch unchanged, as its meshes are
    disjoint.
    """

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]
    """Rows of the packed `vertices`."""
    first_vertex: Int[Tensor, "offsets"]
    """Mesh k has the vertices [first_vertex[k], first_vertex[k + 1])."""
    first_face: Int[Tensor, "offsets"]

    @classmethod
    def pack(cls, meshes: Sequence[Mesh]) -> "Meshes":
        """Pack one or more meshes of any sizes."""
        assert meshes, "a batch needs at least one mesh"
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
        """A batch of meshes with the same faces, as when a network deforms one template."""
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
        """The meshes as a list."""
        vertices = self.vertices.split(self.first_vertex.diff().tolist())
        faces = self.faces.split(self.first_face.diff().tolist())
        parts = zip(vertices, faces, self.first_vertex, strict=False)
        return [Mesh(v, f - first) for v, f, first in parts]

    @property
    def mesh_of_vertex(self) -> Int[Tensor, "vertices"]:
        """The index of the mesh that each vertex belongs to."""
        return _batch_index(self.first_vertex)


def _batch_index(first: Int[Tensor, "offsets"]) -> Int[Tensor, "rows"]:
    """The part that each row belongs to, from the offsets of the parts."""
    number = torch.arange(len(first) - 1, device=first.device)
    return number.repeat_interleave(first.diff())


def join_meshes(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes into one; vertex colors are kept if all parts have them."""
    packed = Meshes.pack(meshes)
    colors = [m.texture.colors for m in meshes if isinstance(m.texture, VertexColors)]
    whole = len(colors) == len(meshes)
    return Mesh(
        packed.vertices, packed.faces, VertexColors(torch.cat(colors)) if whole else None
    )


def face_normals(
    vertices: Float[Tensor, "*batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "*batch faces 3"]:
    """Outward normals whose length is twice the face's area."""
    a, b, c = vertices[..., faces, :].unbind(-2)
    return torch.linalg.cross(b - a, c - a)


def face_areas(
    vertices: Float[Tensor, "*batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "*batch faces"]:
    """Areas of the faces."""
    return face_normals(vertices, faces).norm(dim=-1) / 2


def vertex_normals(
    vertices: Float[Tensor, "*batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "*batch vertices 3"]:
    """Unit normals: the area-weighted mean over adjacent faces; 0 where there are none."""
    normals = face_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(-2, faces[:, corner], normals)
    return normalize(total, dim=-1)


@dataclass(frozen=True)
class Edges:
    """The edges of a mesh, each once, and the faces adjacent to them."""

    vertices: Int[Tensor, "edges 2"]
    """The lower row first; edges are sorted."""
    face_edges: Int[Tensor, "faces 3"]
    """The edges of each face, opposite its first, second and third corner."""
    faces: Int[Tensor, "edges 2"]
    """The two faces at each edge; −1 where there are fewer, the first two where there are more.
    """
    num_faces: Int[Tensor, "edges"]

    @property
    def closed(self) -> bool:
        """Whether each edge has two faces; if oriented alike, the mesh is watertight."""
        return bool((self.num_faces == 2).all())


def edges_of(faces: Int[Tensor, "faces 3"]) -> Edges:
    """The edges of a mesh, from its faces."""
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
    """Whether each edge has exactly two faces, with opposite orientations."""
    sides = faces[:, [[1, 2], [2, 0], [0, 1]]].flatten(0, 1)
    forth, back = _keys(sides).unique(), _keys(sides.flip(1)).unique()
    return len(forth) == len(sides) > 0 and torch.equal(forth, back)


def _keys(sides: Int[Tensor, "sides 2"]) -> Int[Tensor, "sides"]:
    """Both vertices of an edge in one integer, which sorts faster, in the same order."""
    return (sides[:, 0].long() << 32) + sides[:, 1]
