"""Meshes and Gaussians from fitted models."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.cameras import check_times
from unrender.api.mesh_options import MeshOptions
from unrender.errors import InputError
from unrender.fields.ball import Ball
from unrender.geometry.bounds import framed_radius
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import upright_axes
from unrender.geometry.paths import spread_out
from unrender.inverse.depth_fusion import Region, Scan, colored, mesh_from_scan
from unrender.inverse.texture_baking import textured
from unrender.shapes.components import largest_component, with_faces
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.mesh import Mesh
from unrender.shapes.simplify import simplify
from unrender.shapes.splats import Splats
from unrender.shapes.voxels import VoxelGrid
from unrender.training.data_kinds.posed_images import PosedImages
from unrender.training.method import Fitted
from unrender.training.progress import told_progress, working

if TYPE_CHECKING:
    from unrender.api.run_shapes import RunShapes as Run
else:
    Run = Any

MAX_VIEWS = 48
"""Cameras whose renders are fused, at most."""
MAX_RAYS, MAX_SPLATTED = 3_000_000, 12_000_000
"""Pixels of all renders together, at most: of models that trace rays, and of Gaussians."""
TRUNCATION = (0.04, 0.1)
"""Least and most truncation distance, in radii of the ball that the cameras look at."""
DISAGREEMENT = 2.5
"""Truncation distance, in median differences of the depths that views have for one point."""
CAPTURE = 0.95
"""Share of pixels that show a surface from which on views are not of an object cut out."""


@dataclass(frozen=True)
class Extracted:
    """A run's surface."""

    mesh: Mesh
    """Without a texture, but for one of its own."""
    textured: Mesh | None = None
    """The same with a texture, if one was asked for."""
    left_out: float = 0.0
    """Share of the faces that smaller parts have, which the meshes do not."""


def mesh_of(run: Run, options: MeshOptions, progress: bool = True) -> Mesh:
    """A model's own mesh, or the surface on which its renders agree. InputError."""
    found = extract(run, options, progress)
    return found.mesh if found.textured is None else found.textured


def extract(run: Run, options: MeshOptions, progress: bool = True) -> Extracted:
    """A model's surface with all that was asked for. InputError.

    Of a scene that moves, it is that of the canonical scene, or the one at `options.time`.
    """
    if options.time is not None and not run.method.moves:
        raise InputError(f"time {options.time:g}: needs a run of a moving scene; omit it")
    if run.method.has_shape:
        return _own_surface(run, options, progress)
    if run.method.predicts_shapes:
        raise InputError(f"{run.label}: predicts shapes from images: use predict")
    if not run.method.makes_images or run.image_size is not None:
        raise InputError(
            f"{run.label}: has no depth, so no surface: use a radiance field's run"
        )
    known = run.cameras
    chosen = known.select(torch.tensor(spread_out(known, MAX_VIEWS)))
    renderer = run.renderer
    if options.time is not None:
        chosen = chosen.at_times(options.time)
        check_times(chosen, run)
    elif run.method.moves:
        renderer = Fitted(run.method, run.method.canonical(run.model)).renderer
    axes = upright_axes(known) if options.upright else torch.eye(3)
    pixels = sum(camera.width * camera.height for camera in chosen)
    budget = MAX_SPLATTED if _has_splats(run) else MAX_RAYS
    scale = min(1.0, (budget / pixels) ** 0.5)
    with told_progress("render depth", "view", progress) as tell:
        tell(0, len(chosen))
        scan = Scan.render(renderer, chosen, scale, axes, tell)
    ball = ball_of(run, known)
    region = _region(ball, known, axes, scan, options)
    least, most = (share * float(ball.radius) for share in TRUNCATION)
    truncation = min(max(DISAGREEMENT * scan.disagreement(region, most), least), most)
    try:
        with told_progress("fuse depth", "plane", progress) as tell:
            found, left_out = mesh_from_scan(
                scan, region, options.voxels, truncation, options.all_parts, tell
            )
    except InputError as error:
        remedy = "fit longer" if options.crop is None else "give a larger box, or fit longer"
        raise InputError(
            f"{run.label}: no surface to export ({error}): {remedy}, or export points or "
            "splats of a gaussian-splatting run"
        ) from error
    mesh = colored(_simplified(found, options, progress), scan, truncation)
    if options.texture is None:
        return Extracted(mesh, left_out=left_out)
    with working("unwrap and bake the texture", progress):
        return Extracted(mesh, textured(mesh, scan, options.texture, truncation), left_out)


def _own_surface(run: Run, options: MeshOptions, progress: bool) -> Extracted:
    """The mesh that a model is; one fitted to views is upright, and its largest part."""
    shape = run.shape()
    if not isinstance(shape, Mesh | VoxelGrid):
        raise InputError(f"{run.label}: is a point cloud without a surface: save its points")
    if options.texture is not None:
        raise InputError(f"{run.label}: has colors of its own: leave the texture out")
    mesh = mesh_from_voxels(shape) if isinstance(shape, VoxelGrid) else shape
    views = run.record.cameras if isinstance(run.method.data, PosedImages) else None
    if views is not None:
        mesh = dataclasses.replace(mesh.to("cpu"), normals=None, unlit=True)
        if options.upright:
            mesh = mesh.with_vertices(mesh.vertices @ upright_axes(views.cameras))
    if options.crop is not None:
        low, high = torch.tensor(options.crop, device=mesh.vertices.device).split(3)
        inside = ((mesh.vertices >= low) & (mesh.vertices <= high)).all(1)
        mesh = with_faces(mesh, inside[mesh.faces].all(1))
        if not len(mesh.faces):
            raise InputError(f"{run.label}: has no surface in this box: give another crop")
    kept = mesh if options.all_parts or views is None else largest_component(mesh)
    left_out = 1 - len(kept.faces) / len(mesh.faces)
    if views is not None or options.faces is not None:
        kept = _simplified(kept, options, progress)
    return Extracted(kept, left_out=left_out)


def _simplified(mesh: Mesh, options: MeshOptions, progress: bool) -> Mesh:
    with told_progress("simplify", "face", progress) as tell:
        found = simplify(mesh, options.most_faces, tell)
    # Where so few faces are left that parts fall apart.
    return found if options.all_parts or found is mesh else largest_component(found)


def ball_of(run: Run, cameras: Cameras) -> Ball:
    """The ball that the model is about, or else that the cameras look at."""
    ball = getattr(run.model, "ball", None)
    if not isinstance(ball, Ball):
        ball = Ball()
        ball.fit_to_cameras(cameras)
    return ball


def _region(
    ball: Ball,
    cameras: Cameras,
    axes: Float[Tensor, "3 3"],
    scan: Scan,
    options: MeshOptions,
) -> Region:
    """Where the surface is looked for, in the mesh's frame.

    By default it is the ball. Where the background is part of the scene, it is the ball about
    the same point that fits in the images: a thing that they show whole is in it, and what is
    behind and beside it is not.
    """
    center, radius = ball.center.cpu(), float(ball.radius)
    if options.crop is not None:
        low, high = torch.tensor(options.crop).split(3)
        return Region(low, high)
    if options.half_width is not None:
        return Region.cube(center @ axes, options.half_width)
    if scan.opaque_share > CAPTURE:
        radius = min(radius, framed_radius(cameras, center))
    return Region.cube(center @ axes, radius, ball=True)


def splats_of(run: Run) -> Splats:
    """The Gaussians in use of a model that has some. InputError for others."""
    if not _has_splats(run):
        raise InputError(
            f"{run.label}: holds no Gaussians: fit gaussian-splatting, or use its mesh"
        )
    with torch.no_grad():
        return cast(Any, run.model).splats().to("cpu")


def _has_splats(run: Run) -> bool:
    return hasattr(run.model, "splats")
