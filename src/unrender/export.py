"""A run as files that other programs read: a mesh, points, splats or cameras."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from unrender.data.camera_files import write_cameras
from unrender.data.ply import write_ply
from unrender.data.splat_files import Splats, write_splats
from unrender.errors import InputError
from unrender.imaging.files import replacing
from unrender.rendering.fusion import Mesh, fuse
from unrender.report.pictures import evenly
from unrender.scenes.ball import Ball
from unrender.tasks import OpenRun, fitted_cameras

VIEWS = 100
"""Cameras at most whose renders are fused."""
ENDINGS = (".obj", ".glb", ".ply", ".json")


def export_run(opened: OpenRun, out: Path, voxels: int, half_width: float | None) -> str:
    """Write the file that the ending asks for; says in words what it holds. InputError.

    .obj, .glb and mesh .ply: the surface that renders from the training cameras agree on, with
    its colours.
    A name that ends in splats.ply: the Gaussians of gaussian-splatting. points.ply: the mesh'
    vertices. .json: the cameras of the training views.
    """
    if out.suffix == ".json":
        named = fitted_cameras(opened)
        write_cameras(out, named)
        return f"{len(named.names)} cameras"
    if out.name.endswith("splats.ply"):
        splats = splats_of(opened.model)
        if splats is None:
            raise InputError(
                f"{opened.run.path}: holds no Gaussians: fit gaussian-splatting, or export "
                "mesh.obj"
            )
        write_splats(out, splats)
        return f"{len(splats.means)} Gaussians"
    mesh = mesh_of(opened, voxels, half_width)
    if out.name.endswith("points.ply"):
        write_mesh_ply(out, mesh, faces=False)
        return f"{len(mesh.vertices)} points"
    if out.suffix == ".ply":
        write_mesh_ply(out, mesh)
    elif out.suffix == ".glb":
        write_glb(out, mesh)
    else:
        write_obj(out, mesh)
    return f"{len(mesh.vertices)} vertices, {len(mesh.faces)} faces"


def mesh_of(opened: OpenRun, voxels: int, half_width: float | None) -> Mesh:
    """The surface on which renders from the training cameras agree."""
    if opened.fixed_size is not None:
        raise InputError(
            f"{opened.run.path}: is a flow, which has no depth: name a scene's run"
        )
    if not 16 <= voxels <= 512:
        raise InputError(f"--voxels {voxels}: give 16 to 512")
    if half_width is not None and not 0 < half_width < float("inf"):
        raise InputError(f"--half-width {half_width}: give a positive length")
    known = fitted_cameras(opened).cameras
    cameras = known.select(torch.tensor(evenly(VIEWS, len(known))))
    ball = getattr(opened.model, "ball", None)
    if not isinstance(ball, Ball):
        ball = Ball()
        ball.look_from(known)
    width = half_width or float(ball.radius)
    return fuse(opened.renderer, cameras, ball.center.cpu(), width, voxels).mesh()


def splats_of(model: nn.Module) -> Splats | None:
    """The Gaussians in use of a model that has some."""
    tensors = dict(model.state_dict())
    names = ("means", "log_scales", "quaternions", "opacity_logits", "colors", "harmonics")
    if "alive" not in tensors or not all(name in tensors for name in names):
        return None
    alive = int(tensors["alive"])
    return Splats(*(tensors[name][:alive].cpu() for name in names))


def write_mesh_ply(path: Path, mesh: Mesh, faces: bool = True) -> None:
    """Vertices with colours in bytes, and triangles."""
    places = mesh.vertices.float().numpy()
    colors = (255 * mesh.colors).round().to(torch.uint8).numpy()
    columns = {name: places[:, k] for k, name in enumerate(("x", "y", "z"))}
    columns |= {name: colors[:, k] for k, name in enumerate(("red", "green", "blue"))}
    write_ply(path, columns, mesh.faces.numpy().astype(np.int32) if faces else None)


def write_obj(path: Path, mesh: Mesh) -> None:
    """Wavefront OBJ; a vertex' colour stands behind its place, as most programs read it."""
    rows = torch.cat([mesh.vertices, mesh.colors], dim=1).tolist()
    lines = ["v " + " ".join(f"{x:.6g}" for x in row) for row in rows]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def write_glb(path: Path, mesh: Mesh) -> None:
    """Binary glTF 2.0 with vertex colours; its y is up, as our z is."""
    from trimesh import Trimesh  # noqa: PLC0415 - half a second

    colors = (255 * mesh.colors).round().to(torch.uint8).numpy()
    x, y, z = mesh.vertices.T
    places = torch.stack([x, z, -y], dim=1).numpy()
    made = Trimesh(places, mesh.faces.numpy(), vertex_colors=colors, process=False)
    content = made.export(file_type="glb")
    assert isinstance(content, bytes)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
