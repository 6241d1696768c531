"""A mesh in motion: one mesh, and where its vertices are in each frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from unrender.shapes.mesh import Mesh


@dataclass(frozen=True)
class MeshSequence:
    """A mesh that moves: its faces and colors are the same in all frames.

    >>> import torch
    >>> import unrender as ur
    >>> torus = ur.Mesh.torus()
    >>> rise = torch.tensor([0.0, 0.0, 0.5])
    >>> frames = torch.stack([torus.vertices + share * rise for share in (0, 1, 2)])
    >>> moving = ur.MeshSequence(torus, frames, torch.tensor([0.0, 0.5, 1.0]))
    >>> moving
    MeshSequence(3 frames of 1152 vertices, 2304 faces, times 0 to 1)
    >>> [file.name for file in moving.save("torus.glb", fps=2)]
    ['torus.glb']
    """

    mesh: Mesh
    """At rest: of a fitted model, its canonical scene."""
    vertices: Float[Tensor, "frames vertices 3"]
    """In scene units."""
    times: Float[Tensor, "frames"]
    """In the unit of the data's times."""

    def __len__(self) -> int:
        return len(self.vertices)

    def __getitem__(self, index: int) -> Mesh:
        """The mesh of one frame."""
        return self.mesh.with_vertices(self.vertices[index])

    def __iter__(self) -> Iterator[Mesh]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        first, last = (f"{float(each):g}" for each in self.times.aminmax())
        parts = f"{len(self.mesh.vertices)} vertices, {len(self.mesh.faces)} faces"
        return f"MeshSequence({len(self)} frames of {parts}, times {first} to {last})"

    def save(self, path: str | Path, fps: float | int = 24) -> list[Path]:
        """Save as the path's ending says; returns the files that were written.

        A .glb holds the mesh at rest with a morph target for each frame, and an animation that
        shows these one after the other, `fps` of them a second. Of .ply, .obj, .off and .stl
        each frame is a file of its own, NAME_0000.ply and so on. InputError as `Mesh.save`.
        """
        # This module imports the mesh's.
        from unrender.shapes.files.sequences import write_mesh_sequence  # noqa: PLC0415

        return write_mesh_sequence(Path(path), self.mesh, self.vertices, self.times, fps)
