"""A run as files that other programs read: a mesh, points, splats or cameras."""

from pathlib import Path

from unrender.api.run import Run
from unrender.app.inspect import describe_shape
from unrender.data.formats.camera_files import write_cameras
from unrender.shapes.files.shape import save_shape
from unrender.shapes.files.splats import write_splats


def export_run(
    run: Run, out: Path, voxels: int, half_width: float | None, progress: bool = True
) -> str:
    """Write the file that the ending names; returns what it holds, in words. InputError.

    .obj, .glb and mesh .ply: the surface with its colors. A name that ends in splats.ply: the
    Gaussians of gaussian-splatting. points.ply: the vertices of the mesh. .json: the cameras
    of the training views.
    """
    if out.suffix == ".json":
        named = run.named_cameras()
        write_cameras(out, named)
        return f"{len(named.names)} cameras"
    if out.name.endswith("splats.ply"):
        splats = run.splats()
        write_splats(out, splats)
        return f"{len(splats.means)} Gaussians"
    if run.method.has_shape:
        shape = run.shape()
    elif out.name.endswith("points.ply"):
        shape = run.points(voxels=voxels, half_width=half_width, progress=progress)
    else:
        shape = run.mesh(voxels=voxels, half_width=half_width, progress=progress)
    save_shape(out, shape)
    return describe_shape(shape)
