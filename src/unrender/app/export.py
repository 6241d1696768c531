"""A run as files that other programs read: a mesh, points, splats or cameras."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from unrender.api.extract import Extracted, extract
from unrender.api.mesh_options import Frames, MeshOptions
from unrender.api.run import Run
from unrender.app.inspect import describe_shape
from unrender.app.output import note
from unrender.data.formats.camera_files import write_cameras
from unrender.data.origin import HERE, in_words
from unrender.errors import InputError
from unrender.files import write_json
from unrender.geometry.coverage import upright_axes
from unrender.shapes.files.shape import save_shape
from unrender.shapes.files.splats import write_splats
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape, bounds
from unrender.shapes.textures import UVTexture, VertexColors

NOTABLE = 0.05
"""Share of the surface that is not left out without a word."""
TEXTURED = (".glb", ".obj")
"""Endings of files that hold a texture."""
Y_UP = (".glb", ".obj")
"""Endings of files whose up axis is y."""
Z_UP_FROM_Y_UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)


def export_run(
    run: Run,
    files: Sequence[Path],
    options: MeshOptions,
    quiet: bool = False,
    moving: Frames | None = None,
) -> list[str]:
    """Write the files that the endings name; returns what each holds, in words. InputError.

    .obj, .glb and mesh .ply: the surface with its colors. A name that ends in splats.ply: the
    Gaussians of gaussian-splatting. points.ply: the vertices of the mesh. .json: the cameras
    of the training views. The surface is made once for all files, before any is written. With
    frames it is `moving`: in an animation, or with a file for each.
    """
    splats = run.splats() if any(_of_splats(file) for file in files) else None
    cameras = run.named_cameras() if any(_of_cameras(file) for file in files) else None
    meshes = [file for file in files if not (_of_splats(file) or _of_cameras(file))]
    if options.texture is not None and not any(_textured(file) for file in meshes):
        raise InputError("a texture needs a .glb or .obj: name one, or leave --texture out")
    if moving is not None:
        return _export_sequence(run, meshes, options, quiet, moving, len(files))
    found = _surface(run, options, quiet) if meshes else None
    said: list[str] = []
    for file in files:
        if _of_cameras(file):
            assert cameras is not None
            write_cameras(file, cameras)
            said.append(f"{file}: {len(cameras.names)} cameras")
        elif _of_splats(file):
            assert splats is not None
            write_splats(file, splats)
            said.append(f"{file}: {len(splats.means)} Gaussians")
        else:
            assert found is not None
            shape = _shape_for(file, found)
            save_shape(file, shape)
            said.append(f"{file}: {describe_shape(shape)}")
        if run.origin != HERE and file.suffix.lower() != ".json":
            said.append(_keep_origin(run, file, options.upright and not _of_splats(file)))
    return said


def _export_sequence(
    run: Run,
    files: Sequence[Path],
    options: MeshOptions,
    quiet: bool,
    moving: Frames,
    asked: int,
) -> list[str]:
    """Write a mesh that moves; returns what each file holds. InputError."""
    if len(files) < asked or any(_of_points(file) for file in files):
        raise InputError("--sequence: writes meshes: name .glb, .obj or .ply, not points.ply")
    times = moving.count
    if moving.times is not None:
        times = torch.linspace(*moving.times, moving.count)
    found = run.mesh_sequence(times, progress=not quiet, **vars(options))
    said: list[str] = []
    for file in files:
        given = found
        if isinstance(found.mesh.texture, UVTexture) and not _textured(file):
            given = replace(found, mesh=replace(found.mesh, texture=None))
        written = [str(each) for each in given.save(file, moving.fps)]
        said.append(f"{' … '.join(dict.fromkeys((written[0], written[-1])))}: {given}")
        if run.origin != HERE:
            said.append(_keep_origin(run, file, options.upright))
    return said


def _keep_origin(run: Run, file: Path, upright: bool) -> str:
    """Write FILE.origin.json, by which the file can be put back; returns what it holds.

    Files hold coordinates in single precision, in which those of the data would be lost.
    """
    axes = upright_axes(run.cameras).double() if upright else torch.eye(3).double()
    if file.suffix.lower() in Y_UP:
        axes = axes @ Z_UP_FROM_Y_UP
    beside = file.with_name(f"{file.name}.origin.json")
    meaning = "the data's coordinates of a point p in the file are rotation · p + origin"
    content = {"origin": list(run.origin), "rotation": axes.tolist(), "meaning": meaning}
    write_json(beside, content)
    return f"{beside}: its origin, {in_words(run.origin)} in the data's coordinates"


def _of_splats(file: Path) -> bool:
    return file.name.lower().endswith("splats.ply")


def _of_points(file: Path) -> bool:
    return file.name.lower().endswith("points.ply")


def _of_cameras(file: Path) -> bool:
    return file.suffix.lower() == ".json"


def _textured(file: Path) -> bool:
    return file.suffix.lower() in TEXTURED


def _surface(run: Run, options: MeshOptions, quiet: bool) -> "Extracted | Shape":
    """The run's mesh, or a shape of another kind that it is."""
    if run.method.has_shape:
        shape = run.shape()
        if not isinstance(shape, Mesh):
            return shape
    found = extract(run, options, not quiet)
    if found.left_out > NOTABLE:
        share = f"{100 * found.left_out:.0f}% of the surface"
        note(f"Left out smaller parts, {share}: --all-parts keeps them", quiet)
    low, high = (" ".join(f"{x:.3g}" for x in end.tolist()) for end in bounds(found.mesh))
    note(f"Its box, as --crop takes it: {low} {high}", quiet)
    return found


def _shape_for(file: Path, found: "Extracted | Shape") -> Shape:
    """What a file holds of a surface."""
    if not isinstance(found, Extracted):
        return found
    mesh = found.mesh
    if _of_points(file):
        colors = mesh.texture.colors if isinstance(mesh.texture, VertexColors) else None
        return PointCloud(mesh.vertices, colors)
    if found.textured is not None and _textured(file):
        return found.textured
    if isinstance(mesh.texture, UVTexture) and not _textured(file):
        return replace(mesh, texture=None)
    return mesh
