"""Camera pose from the silhouette of a known mesh.

Many candidate poses are rendered at a low resolution, each moved until area and centroid of its
silhouette match the mask. Those with the best overlap are optimized on the downscaled mask with
antialiased silhouettes, and the best of these on the mask itself (photometric_poses.py).
Several starts are needed: the loss has local minima, and shapes look alike from several
directions if they are symmetric, or nearly alike from two opposite ones.
"""

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.imaging.resize import area_average
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.rendering.mesh.antialias import EdgeTopology
from unrender.rendering.mesh.raster import rasterize_mesh
from unrender.rendering.mesh.shading import render_hits
from unrender.rendering.renderer import Images, PoseEstimate, Renderer, Rendering
from unrender.shapes.mesh import Mesh

DIRECTIONS, ROLLS = 60, 12
"""Numbers of candidate view directions, and of rotations about each."""
SMALL = 32
"""Longer side of the images for candidates, in pixels."""
KEPT = 4
"""Candidates that are optimized at full resolution."""
DESCENT = RenderAndCompare(coarse_steps=60, fine_steps=60, pixels=1 << 20)
"""Coarse steps at the low resolution, fine ones at the full one, with all pixels of both."""


def silhouette_renderer(mesh: Mesh) -> Renderer:
    """Renderer of antialiased white silhouettes; differentiable in vertices and cameras."""
    topology = EdgeTopology.of(mesh)

    def render(cameras: Cameras) -> Rendering:
        fragments = rasterize_mesh(mesh, cameras)
        points = fragments.interpolate(mesh.vertices, mesh.faces)
        distance = (points - cameras.centers[fragments.image]).norm(dim=1, keepdim=True)
        return render_hits(fragments, torch.ones_like(points), distance, topology=topology)

    return render


def pose_from_silhouette(
    mesh: Mesh,
    mask: Float[Tensor, "height width"],
    lens: Cameras,
    starts: int = 16,
    options: RenderAndCompare = DESCENT,
) -> PoseEstimate:
    """Up to four poses that explain the mask, sorted by misfit.

    `mask` is the coverage of each pixel by the mesh, all of which must be in the image. `lens`
    is one camera with the mask's size, whose pose is ignored. Raises InputError if the mask is
    empty, fills the image or is out of range.
    """
    assert mask.shape == (lens.height, lens.width), "a mask of another size than the lens"
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise InputError("the mask has values outside [0, 1]: give coverages of pixels")
    if not bool((mask > 0.5).any()):
        raise InputError("the mask is empty: give one that shows the object")
    if bool((mask > 0.5).all()):
        raise InputError(
            "the mask fills the image and has no outline: give an image with a wider view"
        )
    render = silhouette_renderer(mesh)
    scale = SMALL / max(lens.width, lens.height)
    size = (max(1, round(lens.width * scale)), max(1, round(lens.height * scale)))
    small = area_average(mask[None, ..., None], *size)[..., 0]
    tried = _tried(mesh, small, lens.resized(*size), render)
    with torch.no_grad():
        drawn = render(tried).opacity
    overlap = torch.minimum(drawn, small).sum((1, 2)) / torch.maximum(drawn, small).sum((1, 2))
    best = overlap.argsort(descending=True)[:starts]
    # Pixels of the small images are larger angles, so steps are larger as well.
    coarse = dataclasses.replace(
        options, coarse_steps=0, fine_steps=options.coarse_steps, rate=3 * options.rate
    )
    fine = dataclasses.replace(options, coarse_steps=0)
    found = _sorted(coarse.estimate(render, _images(small, len(best)), tried.select(best)))
    nearly = found.cameras.select(slice(0, KEPT)).world_from_camera
    begin = dataclasses.replace(
        lens, world_from_camera=nearly, intrinsics=lens.intrinsics.expand(len(nearly), 3, 3)
    )
    return _sorted(fine.estimate(render, _images(mask[None], len(nearly)), begin))


def _images(mask: Float[Tensor, "1 height width"], count: int) -> Images:
    """White RGBA images with the mask as alpha."""
    return mask[..., None].expand(count, -1, -1, 4)


def _sorted(found: PoseEstimate) -> PoseEstimate:
    """Sort estimates by misfit, the best first."""
    assert found.misfit is not None, "render-and-compare returns misfits"
    order = found.misfit.argsort()
    return PoseEstimate(
        found.cameras.select(order),
        found.axis_errors[order],
        found.translation_error[order],
        found.misfit[order],
    )


@torch.no_grad()
def _tried(
    mesh: Mesh, mask: Float[Tensor, "1 height width"], lens: Cameras, render: Renderer
) -> Cameras:
    """Cameras all around whose silhouettes roughly match the mask's area and centroid."""
    low, high = mesh.vertices.aminmax(dim=0)
    middle, reach = (low + high) / 2, float((high - low).norm()) / 2
    # Directions evenly spread over the sphere by the golden angle (Fibonacci sphere).
    k = torch.arange(DIRECTIONS) + 0.5
    height, angle = 1 - 2 * k / DIRECTIONS, k * math.pi * (3 - 5**0.5)
    ring = (1 - height.square()).sqrt()
    away = torch.stack([ring * angle.cos(), ring * angle.sin(), height], dim=1)
    rolls = torch.arange(ROLLS) * (2 * math.pi / ROLLS)
    away = away.repeat_interleave(ROLLS, 0).to(mesh.vertices)
    size, principal = (
        torch.tensor([lens.width, lens.height]).to(mask),
        lens.intrinsics[0, :2, 2],
    )
    focal = lens.intrinsics[0, :2, :2].diagonal()
    view = math.atan(float((size / 2 / focal).amin()))
    distance = torch.full((len(away), 1), reach / math.sin(view)).to(away)
    eyes = middle + distance * away
    up = away.new_tensor([0.0, 0.0, 1.0])
    poses = look_at(eyes, middle.expand_as(eyes), up, rolls.repeat(DIRECTIONS).to(away))
    # The optical axis need not pass the image's middle, which is where the mesh should be.
    aside = distance * pad((principal - size / 2) / focal, (0, 1))
    poses[:, :, 3] += (poses[:, :, :3] @ aside[..., None])[..., 0]
    cameras = dataclasses.replace(
        lens, world_from_camera=poses, intrinsics=lens.intrinsics.expand(len(poses), 3, 3)
    )
    target = _moments(mask)
    for _ in range(2):
        found = _moments(render(cameras).opacity)
        center, axes = cameras.centers, cameras.rotations
        # Area falls with the squared distance; a camera that moves left sees objects move
        # right.
        nearer = distance * (found[:, :1] / target[:, :1]).clamp(0.1, 10).sqrt()
        aside = torch.cat([(found - target)[:, 1:] / focal * nearer, distance - nearer], dim=1)
        center = center + (axes @ aside[..., None])[..., 0]
        distance = nearer
        cameras = cameras.with_poses(torch.cat([axes, center[..., None]], dim=2))
    return cameras


def _moments(mask: Float[Tensor, "images height width"]) -> Float[Tensor, "images 3"]:
    """Area and centroid (x, y), in pixels."""
    area = mask.sum((1, 2)).clamp_min(1e-3)
    x = (mask.sum(1) @ (torch.arange(mask.shape[2]).to(mask) + 0.5)) / area
    y = (mask.sum(2) @ (torch.arange(mask.shape[1]).to(mask) + 0.5)) / area
    return torch.stack([area, x, y], dim=1)
