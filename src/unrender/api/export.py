"""A run as files that other programs read: a mesh, points, splats or cameras."""

from pathlib import Path

import torch
from torch import nn

from unrender.api.opened_run import OpenRun, fitted_cameras
from unrender.api.shape_tasks import describe_shape, shape_of
from unrender.data.formats.camera_files import write_cameras
from unrender.errors import InputError
from unrender.fields.ball import Ball
from unrender.inverse.depth_fusion import fuse
from unrender.report.pictures import evenly
from unrender.shapes.files.meshes import write_mesh
from unrender.shapes.files.points import write_points
from unrender.shapes.files.shape import save_shape
from unrender.shapes.files.splats import Splats, write_splats
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.textures import VertexColors
from unrender.training.shape_fit import HoldsShape

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
    if isinstance(opened.method, HoldsShape):
        shape = shape_of(opened)
        save_shape(out, shape)
        return describe_shape(shape)
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
        assert isinstance(mesh.texture, VertexColors)
        write_points(out, PointCloud(mesh.vertices, mesh.texture.colors))
        return f"{len(mesh.vertices)} points"
    write_mesh(out, mesh)
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
        ball.fit_to_cameras(known)
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
