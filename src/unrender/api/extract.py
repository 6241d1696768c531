"""Meshes and Gaussians from fitted models."""

from typing import TYPE_CHECKING, Any

import torch

from unrender.errors import InputError
from unrender.fields.ball import Ball
from unrender.inverse.depth_fusion import fuse
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.files.splats import Splats
from unrender.shapes.mesh import Mesh
from unrender.shapes.voxels import VoxelGrid
from unrender.training.progress import told_progress

if TYPE_CHECKING:
    from unrender.api.run import Run
else:
    Run = Any

MAX_VIEWS = 100
"""Cameras whose renders are fused, at most."""
SPLATS = ("means", "log_scales", "quaternions", "opacity_logits", "colors", "harmonics")


def mesh_of(run: Run, voxels: int, half_width: float | None, progress: bool = True) -> Mesh:
    """A model's own mesh, or the surface on which its renders agree. InputError."""
    if run.method.has_shape:
        shape = run.shape()
        if isinstance(shape, Mesh):
            return shape
        if isinstance(shape, VoxelGrid):
            return mesh_from_voxels(shape)
        raise InputError(f"{run.label}: is a point cloud without a surface: save its points")
    if run.method.predicts_shapes:
        raise InputError(f"{run.label}: predicts shapes from images: use predict")
    if not run.method.makes_images or run.image_size is not None:
        raise InputError(
            f"{run.label}: has no depth, so no surface: use a radiance field's run"
        )
    if not 16 <= voxels <= 512:
        raise InputError(f"voxels {voxels}: give 16 to 512")
    if half_width is not None and not 0 < half_width < float("inf"):
        raise InputError(f"half_width {half_width}: give a positive length")
    known = run.cameras
    count = min(MAX_VIEWS, len(known))
    cameras = known.select(torch.linspace(0, len(known) - 1, count).round().long())
    ball = getattr(run.model, "ball", None)
    if not isinstance(ball, Ball):
        ball = Ball()
        ball.fit_to_cameras(known)
    width = half_width or float(ball.radius)
    with told_progress("fuse depth", "view", progress) as tell:
        return fuse(run.renderer, cameras, ball.center.cpu(), width, voxels, tell).mesh()


def splats_of(run: Run) -> Splats:
    """The Gaussians in use of a model that has some. InputError for others."""
    tensors = dict(run.model.state_dict())
    if "alive" not in tensors or not all(name in tensors for name in SPLATS):
        raise InputError(
            f"{run.label}: holds no Gaussians: fit gaussian-splatting, or use its mesh"
        )
    alive = int(tensors["alive"])
    return Splats(*(tensors[name][:alive].cpu() for name in SPLATS))
