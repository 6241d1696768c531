"""Shapes of the front door: read, render and predict them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.cameras import CameraPath, as_cameras, turntable
from unrender.api.pose import as_images
from unrender.api.run import Run
from unrender.errors import InputError
from unrender.evaluation.renders import render_in_parts
from unrender.geometry.cameras import Cameras
from unrender.imaging.color import Color, as_color, matte
from unrender.methods.presets import check_options
from unrender.rendering.gaussians import splats_renderer
from unrender.rendering.light.lights import headlight
from unrender.rendering.mesh.shading import MeshRenderOptions, mesh_renderer
from unrender.rendering.points import points_renderer
from unrender.rendering.renderer import Images, Renderer, Rendering, supersampled
from unrender.rendering.shapes import shape_renderer
from unrender.shapes.files.shape import Up
from unrender.shapes.files.shape import load_shape as read
from unrender.shapes.files.splats import is_splats, read_splats
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape
from unrender.shapes.splats import Splats
from unrender.shapes.voxels import VoxelGrid
from unrender.training.fit import Device, pick_device
from unrender.training.progress import told_progress

IMAGE_SIDE = 320
"""Pixels of the image that a notebook shows."""
SUPERSAMPLE = 2
"""Rays per side of each pixel of a shape, by default: edges of meshes alias with one."""


def load_shape(path: str | Path, *, up: Up = "auto") -> Shape | Splats:
    """Read a mesh, a point cloud, voxels or Gaussians.

    Args:
        path: A mesh (.obj, .ply, .glb, .gltf, .off, .stl), points (.ply, .xyz, .npz), voxels
            (.binvox, .npz) or the Gaussians of Gaussian splatting (.ply, .splat).
        up: Which axis of a mesh file points up; "auto" takes y for .obj, .glb and .gltf, else
            z. In memory z is up.

    InputError for files that are missing, damaged or of another kind.

    >>> import unrender as ur
    >>> ur.Mesh.torus().save("torus.glb")
    >>> ur.load_shape("torus.glb")
    Mesh(1152 vertices, 2304 faces, watertight)
    """
    path = Path(path)
    if path.is_file() and is_splats(path):
        return read_splats(path)
    return read(path, up)


def render(
    source: "Run | Shape | Splats | str | Path",
    cameras: "Cameras | CameraPath",
    *,
    size: int | tuple[int, int] | None = None,
    supersample: int | None = None,
    device: Device = "auto",
    progress: bool = True,
    **options: Any,
) -> Rendering:
    """Render a shape or a fitted model.

    Args:
        source: A `Mesh`, `PointCloud`, `VoxelGrid` or `Splats`, a `Run`, or the path of one.
        cameras: One or more cameras, or a path such as `unrender.turntable(30)`.
        size: Pixels of the longer side, or (width, height); by default the cameras' own, and
            256 for a path around a shape.
        supersample: Rays per side of each pixel; by default 2 for shapes and 1 for models.
        device: Where to compute; a `Run` keeps its device.
        progress: Whether to show a progress bar for more than one camera.
        **options: For a mesh, `shading="none"`, "flat", "gouraud" or "phong", and the other
            fields of `unrender.rendering.mesh.shading.MeshRenderOptions`. For points with
            colors, `radius=0.03` in scene units.

    Returns a `Rendering` on the CPU. InputError.

    >>> import unrender as ur
    >>> ur.render(ur.Mesh.torus(), ur.turntable(4), size=32, progress=False)
    Rendering(4 × 32×32)
    """
    if isinstance(source, str | Path):
        path = Path(source)
        source = Run.open(path, device) if path.is_dir() else load_shape(path)
    if isinstance(source, Run):
        return source.render(
            cameras, size=size, supersample=supersample or 1, progress=progress
        )
    shape = source if isinstance(source, Splats) else as_shape(source)
    found = as_cameras(cameras, shape, size)
    renderer = _renderer(shape.to(pick_device(device)), options)
    renderer = supersampled(renderer, supersample or SUPERSAMPLE)
    with told_progress("render", "frame", progress and len(found) > 1) as tell, torch.no_grad():
        rendering = render_in_parts(renderer, found, tell).to("cpu")
    return replace(rendering, cameras=found)


def shape_image(shape: Shape | Splats) -> Float[Tensor, "height width 3"]:
    """One image of a shape over white, as a notebook shows it."""
    camera = turntable(12, elevation=25).cameras(shape)[1]
    return render(shape, camera, size=IMAGE_SIDE, progress=False).over("white").clamp(0, 1)[0]


def _renderer(shape: Shape | Splats, options: dict[str, Any]) -> Renderer:
    """The shape's renderer; a mesh's with these options."""
    if isinstance(shape, Splats) and not options:
        return splats_renderer(shape)
    if isinstance(shape, Splats):
        raise InputError(f"{', '.join(options)}: only meshes and points have these options")
    if not options:
        return shape_renderer(shape)
    if (
        isinstance(shape, PointCloud)
        and shape.colors is not None
        and set(options) == {"radius"}
    ):
        return points_renderer(shape.points, shape.colors, float(options["radius"]))
    if not isinstance(shape, Mesh):
        raise InputError(
            f"{', '.join(options)}: only meshes have these options; colored points have "
            "`radius`"
        )
    check_options("render", options, MeshRenderOptions)
    chosen: dict[str, Any] = {"lights": headlight, **options}
    return mesh_renderer(shape, MeshRenderOptions(**chosen))


def as_shape(source: object) -> Shape:
    """The shape that was given. InputError if it is none."""
    if isinstance(source, Mesh | PointCloud | VoxelGrid):
        return source
    raise InputError(
        f"{type(source).__name__}: cannot be rendered: give a Run, a Mesh, a PointCloud, a "
        "VoxelGrid or a path"
    )


def predict(
    run: "Run | str | Path",
    image: "str | Path | Images",
    *,
    background: Color | None = None,
    device: Device = "auto",
) -> Shape:
    """Predict the shape in one image, by a run of image-to-mesh and its like.

    Args:
        run: A run that was trained on images and shapes, or its folder.
        image: An image file or a tensor: with alpha, or with the object on a constant
            `background`.
        background: Color behind the object of an image without alpha.
        device: Where to compute, if `run` is a folder.

    Returns a shape in the frame of what was learned: z up, the front at +y, the longest side 1.
    InputError for an image without alpha or background, and for other runs.

    `unrender make-shapes --out chairs.npz` makes the images and shapes of this example:

    >>> import torch
    >>> import unrender as ur
    >>> options = {"encoder_width": 8, "batch": 2, "steps": 2, "progress": False}
    >>> run = ur.fit("image-to-points", "chairs.npz", **options)
    >>> image = torch.zeros(32, 32, 4)
    >>> image[8:24, 8:24] = torch.tensor([0.5, 0.2, 0.1, 1.0])
    >>> ur.predict(run, image)
    PointCloud(1024 points)
    """
    opened = run if isinstance(run, Run) else Run.open(run, device)
    images = as_images(image)
    if background is not None:
        images = matte(images[..., :3], as_color(background))
    elif opened.method.predicts_shapes and bool((images[..., 3] == 1).all()):
        label = image if isinstance(image, str | Path) else "the image"
        raise InputError(
            f"{label}: has no alpha to tell the object from its background: cut it out, or "
            "give background white or black"
        )
    return opened.fitted.predict(images)[0]
