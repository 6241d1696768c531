"""Shapes of any kind as renderers, lit alike, and cameras about them."""

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.kernels.nearest import k_nearest
from unrender.rendering.mesh.shading import GREY, Material, light_on, mesh_renderer, studio
from unrender.rendering.points import points_renderer
from unrender.rendering.renderer import Renderer, Rendering, concatenated
from unrender.shapes.points import PointCloud, estimated_normals
from unrender.shapes.shape import Shape, bounds
from unrender.shapes.voxels import VoxelGrid, cubify

VIEW = math.radians(30)
"""Field of view of cameras about a shape."""
ELEVATION = math.radians(20)
NEIGHBOURS = 4
"""The farthest of so many, a point itself among them, tells how large it has to be."""


def cameras_around(
    shape: Shape,
    frames: int,
    size: int = 256,
    elevation: float = ELEVATION,
    radius: float | None = None,
) -> Cameras:
    """A turntable about the shape's middle, by default so far that all of it is always seen.

    `elevation` in radians. InputError if the shape has no extent.
    """
    low, high = bounds(shape)
    reach = float((high - low).norm()) / 2
    if reach == 0:
        raise InputError("the shape has no extent: there is nothing to look at")
    poses = turntable(frames, radius or reach / math.sin(VIEW / 2), elevation)
    poses[:, :, 3] += (low + high).cpu() / 2
    return Cameras.from_focal(poses, size / 2 / math.tan(VIEW / 2), size, size)


def shape_renderer(shape: Shape) -> Renderer:
    """A mesh with its texture, points so large that they leave no holes, or voxels as cubes.

    Renders on the shape's device, and gives back on the cameras'.
    """
    if isinstance(shape, PointCloud):
        draw, device = cloud_renderer(shape), shape.points.device
    else:
        mesh = cubify(shape) if isinstance(shape, VoxelGrid) else shape
        draw, device = mesh_renderer(mesh), mesh.vertices.device
    return lambda cameras: draw(cameras.to(device)).to(cameras.device)


def cloud_renderer(cloud: PointCloud) -> Renderer:
    """Points with their colours, or grey ones, with light on them.

    Where they have neither colours nor normals, these are found from their neighbours and turn
    toward the camera.
    """
    points, radius = cloud.points.detach(), spacing(cloud.points)
    if cloud.colors is not None and cloud.normals is None:
        return points_renderer(points, cloud.colors, radius)
    colors = torch.full_like(points, GREY) if cloud.colors is None else cloud.colors
    normals = cloud.normals
    if normals is None:
        normals = estimated_normals(points, points.mean(0))

    def render(cameras: Cameras) -> Rendering:
        parts: list[Rendering] = []
        for k in range(len(cameras)):
            camera = cameras.select(slice(k, k + 1))
            eyes = camera.centers.expand_as(points)
            facing = ((eyes - points) * normals).sum(1, keepdim=True) >= 0
            turned = torch.where(facing | (cloud.normals is not None), normals, -normals)
            lit, highlight = light_on(points, turned, eyes, studio(), Material())
            shown = (colors * lit + highlight).clamp(0, 1)
            parts.append(points_renderer(points, shown, radius)(camera))
        return concatenated(parts)

    return render


def lit(rendering: Rendering) -> Rendering:
    """The same with light on it, by its normals, which it must have."""
    assert rendering.normals is not None, "light needs normals"
    normals = rendering.normals.reshape(-1, 3)
    nowhere = torch.zeros_like(normals)
    factor, _ = light_on(nowhere, normals, nowhere, studio(), Material())
    color = (rendering.color * factor.view_as(rendering.color)).clamp(0, 1)
    return dataclasses.replace(rendering, color=color)


def spacing(points: Float[Tensor, "points 3"]) -> float:
    """So large that points overlap their neighbours, in the median; 1 of a lone point."""
    with torch.no_grad():
        count = min(NEIGHBOURS, len(points))
        found = k_nearest(points[None], points[None], count).distance2[0, :, -1].sqrt()
    return 1.3 * float(found.median()) or 1.0
