"""Renderers of shapes of any kind under the same lights, and cameras around them."""

import dataclasses
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.kernels.nearest import k_nearest
from unrender.rendering.light.lights import LightRig, PhongLight, headlight
from unrender.rendering.mesh.shading import (
    GREY,
    Material,
    MeshRenderOptions,
    light_on,
    mesh_renderer,
)
from unrender.rendering.points import points_renderer
from unrender.rendering.renderer import Renderer, Rendering, concatenated
from unrender.shapes.points import PointCloud, estimate_normals
from unrender.shapes.shape import Shape, bounds
from unrender.shapes.voxels import VoxelGrid, cubify

VIEW = math.radians(30)
"""Field of view of cameras around a shape, in radians."""
ELEVATION = math.radians(20)
"""Default elevation of cameras around a shape, in radians."""
NEIGHBOURS = 4
"""The distance to the farthest of this many nearest neighbors, the point itself included, sets
the radius of points."""


def cameras_around(
    shape: Shape,
    frames: int,
    size: int = 256,
    elevation: float = ELEVATION,
    radius: float | None = None,
) -> Cameras:
    """A turntable around the center of the shape's bounding box.

    `elevation` is in radians. By default, `radius` is such that the whole shape is always in
    view. Raises InputError if the shape has no extent.
    """
    low, high = bounds(shape)
    reach = float((high - low).norm()) / 2
    if reach == 0:
        raise InputError("the shape has no extent: all of its points are the same")
    poses = turntable(frames, radius or reach / math.sin(VIEW / 2), elevation)
    poses[:, :, 3] += (low + high).cpu() / 2
    return Cameras.from_focal(poses, size / 2 / math.tan(VIEW / 2), size, size)


def shape_renderer(
    shape: Shape, lights: Sequence[PhongLight] | LightRig = headlight
) -> Renderer:
    """Renderer of any shape: a mesh with its texture, points as spots, or voxels as cubes.

    Spots are large enough to leave no holes. By default the lights follow the camera. Renders
    on the shape's device, and returns results on the cameras' device.
    """
    if isinstance(shape, PointCloud):
        draw, device = cloud_renderer(shape, lights), shape.points.device
    else:
        mesh = cubify(shape) if isinstance(shape, VoxelGrid) else shape
        draw = mesh_renderer(mesh, MeshRenderOptions(lights=lights))
        device = mesh.vertices.device
    return lambda cameras: draw(cameras.to(device)).to(cameras.device)


def cloud_renderer(
    cloud: PointCloud, lights: Sequence[PhongLight] | LightRig = headlight
) -> Renderer:
    """Renderer of points with their colors, or gray without, shaded by their normals.

    Points with colors but without normals are not shaded. With neither, normals are estimated
    from neighbors and flipped toward the camera. By default the lights follow the camera.
    """
    points, radius = cloud.points.detach(), spacing(cloud.points)
    if cloud.colors is not None and cloud.normals is None:
        return points_renderer(points, cloud.colors, radius)
    colors = torch.full_like(points, GREY) if cloud.colors is None else cloud.colors
    normals = cloud.normals
    if normals is None:
        normals = estimate_normals(points, points.mean(0))

    def render(cameras: Cameras) -> Rendering:
        parts: list[Rendering] = []
        for k in range(len(cameras)):
            camera = cameras.select(slice(k, k + 1))
            eyes = camera.centers.expand_as(points)
            facing = ((eyes - points) * normals).sum(1, keepdim=True) >= 0
            turned = torch.where(facing | (cloud.normals is not None), normals, -normals)
            own = lights(camera) if callable(lights) else lights
            lit, highlight = light_on(points, turned, eyes, own, Material())
            shown = (colors * lit + highlight).clamp(0, 1)
            parts.append(points_renderer(points, shown, radius)(camera))
        return concatenated(parts)

    return render


def lit(rendering: Rendering, cameras: Cameras) -> Rendering:
    """The rendering multiplied by diffuse `headlight` shading; it must have normals."""
    assert rendering.normals is not None, "light needs normals"
    shaded: list[Tensor] = []
    for k, (color, normals) in enumerate(zip(rendering.color, rendering.normals, strict=True)):
        flat = normals.reshape(-1, 3)
        nowhere = torch.zeros_like(flat)
        lights = headlight(cameras.select(slice(k, k + 1)))
        factor, _ = light_on(nowhere, flat, nowhere, lights, Material())
        shaded.append((color * factor.view_as(color)).clamp(0, 1))
    return dataclasses.replace(rendering, color=torch.stack(shaded))


def spacing(points: Float[Tensor, "points 3"]) -> float:
    """Radius at which points overlap their neighbors, by the median; 1 for a single point."""
    with torch.no_grad():
        count = min(NEIGHBOURS, len(points))
        found = k_nearest(points[None], points[None], count).distance2[0, :, -1].sqrt()
    return 1.3 * float(found.median()) or 1.0
