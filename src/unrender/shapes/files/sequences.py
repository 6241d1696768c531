"""Files of meshes in motion: a .glb with morph targets, or a file for each frame."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.files import check_target
from unrender.shapes.files.glb import Motion
from unrender.shapes.files.meshes import WRITABLE_MESH_SUFFIXES, write_mesh
from unrender.shapes.mesh import Mesh


def sequence_files(path: Path, frames: int) -> list[Path]:
    """The files that a sequence is written to. InputError for another ending than of a mesh."""
    suffix = path.suffix.lower()
    if suffix not in WRITABLE_MESH_SUFFIXES:
        raise InputError(
            f"{path}: unknown mesh format: end the name in {', '.join(WRITABLE_MESH_SUFFIXES)}"
        )
    if suffix == ".glb":
        return [path]
    return [path.with_name(f"{path.stem}_{k:04d}{path.suffix}") for k in range(frames)]


def write_mesh_sequence(
    path: Path,
    mesh: Mesh,
    vertices: Float[Tensor, "frames vertices 3"],
    times: Float[Tensor, "frames"],
    fps: float | int = 24,
) -> list[Path]:
    """Write a mesh with its vertices in each frame; returns the files. InputError.

    A .glb is at rest the mesh itself; its animation shows a frame every 1 / fps seconds.
    """
    files = sequence_files(path, len(vertices))
    if not 0 < fps <= 1000:
        raise InputError(f"fps {fps:g}: give more than 0 and at most 1000")
    if not bool(vertices.isfinite().all()):
        raise InputError(f"{path}: the mesh has vertices that are not finite: correct them")
    check_target(files[0])
    vertices, at_rest = vertices.detach().cpu(), mesh.vertices.detach().cpu()
    if path.suffix.lower() == ".glb":
        names = tuple(f"time {time:g}" for time in times.tolist())
        seconds = torch.arange(len(vertices)) / fps
        write_mesh(path, mesh, motion=Motion(vertices - at_rest, seconds, names))
        return files
    for file, frame in zip(files, vertices, strict=True):
        write_mesh(file, mesh.with_vertices(frame))
    return files
