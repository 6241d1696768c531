"""Brute-force rasterization in plain torch: every face at every pixel, with gradients.

The graph of all pairs does not fit into memory, so pixels are processed in parts, and each part
is differentiated before the next one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from timing import in_turn
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.rendering.mesh.raster import NEAR, rasterize_mesh
from unrender.rendering.mesh.soft_raster import soft_mask
from unrender.shapes.mesh import Mesh


@dataclass(frozen=True)
class Part:
    """Some pixels of one image, and their intersections."""

    pixel: Int[Tensor, "pixels"]
    face: Int[Tensor, "pixels"]
    """Index of the visible face; −1 where there is none."""
    barycentrics: Float[Tensor, "pixels 3"]
    depth: Float[Tensor, "pixels"]
    """Depth along the optical axis; +inf where there is no face."""


def brute_force(
    mesh: Mesh, camera: Cameras, pixels_at_once: int = 512, every: int = 1
) -> Iterator[Part]:
    """The nearest face of each pixel of one camera, differentiably, for every N-th part."""
    for pixel, edges, z in _pairs(mesh, camera, pixels_at_once, every):
        depth, face = z.min(1)
        chosen = edges.gather(2, face.expand(3, -1)[..., None])[..., 0]
        yield Part(
            pixel, torch.where(depth < torch.inf, face, -1), (chosen / chosen.sum(0)).T, depth
        )


def brute_force_mask(
    mesh: Mesh, camera: Cameras, sigma: float, pixels_at_once: int = 512, every: int = 1
) -> Iterator[tuple[Int[Tensor, "pixels"], Float[Tensor, "pixels"]]]:
    """The soft silhouette of all faces (see rendering/mesh/soft_raster.py), by parts.

    All of the mesh must lie beyond the near plane.
    """
    centers = pixel_grid(camera.width, camera.height).view(-1, 2)
    index = torch.zeros(len(mesh.vertices), dtype=torch.long)
    corners = camera.project(index, mesh.vertices)[0][mesh.faces]
    side = corners.roll(-1, 1) - corners
    for pixel, _, z in _pairs(mesh, camera, pixels_at_once, every):
        from_start = centers[pixel, None, None] - corners
        along = ((from_start * side).sum(3) / side.square().sum(2)).clamp(0, 1)
        distance = (from_start - along[..., None] * side).square().sum(3).amin(2)
        signed = torch.where(z < torch.inf, distance, -distance)
        yield pixel, 1 - (1 - (signed / sigma).sigmoid()).prod(1)


def _pairs(
    mesh: Mesh, camera: Cameras, pixels_at_once: int, every: int
) -> Iterator[
    tuple[Int[Tensor, "pixels"], Float[Tensor, "3 pixels faces"], Float[Tensor, "pixels faces"]]
]:
    """Edge functions and depths of all pairs; the depth is +inf where a ray misses a face."""
    local = (mesh.vertices - camera.centers) @ camera.rotations[0]
    a, b, c = local[mesh.faces].unbind(1)
    normals = torch.stack([torch.linalg.cross(*pair) for pair in ((b, c), (c, a), (a, b))])
    determinant = (a * normals[0]).sum(1)
    centers = pixel_grid(camera.width, camera.height).view(-1, 2)
    rays = torch.cat([centers, torch.ones_like(centers[:, :1])], dim=1)
    rays = rays @ torch.linalg.inv(camera.intrinsics[0]).T
    for pixel in torch.arange(len(rays)).split(pixels_at_once)[::every]:
        edges = rays[pixel] @ normals.mT
        inside = (edges * determinant.sign() > 0).all(0)
        z = determinant / edges.sum(0)
        yield pixel, edges, torch.where(inside & (z > NEAR), z, torch.inf)


def raster_seconds(
    mesh: Mesh, camera: Cameras, every: int = 32, seconds: float = 10.0
) -> dict[str, tuple[float, float]]:
    """Minimum seconds of depth and soft mask with gradients: brute force, and ours.

    Brute force is timed on every `every`-th part of the pixels, and extrapolated to all.
    """
    vertices = mesh.vertices.detach().requires_grad_()
    moved = mesh.with_vertices(vertices)

    def slow_depth() -> None:
        for part in brute_force(moved, camera, every=every):
            part.depth[part.face >= 0].sum().backward(retain_graph=True)

    def fast_depth() -> None:
        rasterize_mesh(moved, camera).depth.sum().backward()

    def slow_mask() -> None:
        for _, mask in brute_force_mask(moved, camera, 0.25, every=every):
            mask.sum().backward(retain_graph=True)

    def fast_mask() -> None:
        fragments = rasterize_mesh(moved, camera, layers=8, blur=1.5)
        soft_mask(fragments, 0.25).sum().backward()

    found: dict[str, tuple[float, float]] = {}
    for name, slow, fast in (
        ("depth", slow_depth, fast_depth),
        ("soft mask", slow_mask, fast_mask),
    ):
        slow_times, fast_times = in_turn([slow, fast], "cpu", seconds / 2)
        found[name] = min(slow_times) * every, min(fast_times)
    return found
