"""TSDF fusion: a mesh from depth rendered in many views, fused into one signed distance.

Curless and Levoy, "A Volumetric Method for Building Complex Models from Range Images" (1996).
Works with any renderer of color, opacity and depth.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from skimage.measure import marching_cubes
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool3d

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Renderer, Rendering
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import VertexColors

TRUNCATION = 4.0
"""Truncation distance, in voxels."""
AT_ONCE = 1 << 16
"""Voxels projected together: enough to keep all cores busy with little memory."""
SOLID = 0.5
"""Pixels of smaller opacity show no surface: the space along their rays is empty."""


@dataclass
class Volume:
    """A cube of voxels with truncated signed distances and colors, averaged over views."""

    center: Float[Tensor, "3"]
    half_width: float
    distance: Float[Tensor, "x y z"]
    """Positive outside, in units of the truncation; 1 far from surfaces."""
    color: Float[Tensor, "x y z 3"]
    weight: Float[Tensor, "x y z"]

    @classmethod
    def empty(cls, center: Float[Tensor, "3"], half_width: float, voxels: int) -> "Volume":
        shape = (voxels,) * 3
        return cls(
            center, half_width, torch.ones(shape), torch.zeros(*shape, 3), torch.zeros(shape)
        )

    @property
    def voxel(self) -> float:
        return 2 * self.half_width / (len(self.distance) - 1)

    def points(self, planes: slice) -> Float[Tensor, "x y z 3"]:
        """World positions of the voxels of some x planes."""
        axis = torch.linspace(-self.half_width, self.half_width, len(self.distance))
        grid = torch.meshgrid(axis[planes], axis, axis, indexing="ij")
        return torch.stack(grid, dim=-1) + self.center

    def add(self, camera: Cameras, rendering: Rendering) -> None:
        """Integrate the rendering [1, height, width] of one view."""
        count = len(self.distance)
        together = max(1, AT_ONCE // count**2)
        for first in range(0, count, together):
            self._add(slice(first, first + together), camera, rendering)

    def _add(self, planes: slice, camera: Cameras, rendering: Rendering) -> None:
        points = self.points(planes).view(-1, 3)
        index = torch.zeros(len(points), dtype=torch.long)
        pixel, front = camera.project(index, points)
        size = torch.tensor([camera.width, camera.height])
        visible = (front > 0) & ((pixel > 0) & (pixel < size)).all(1)
        place = (2 * pixel / size - 1).view(1, 1, -1, 2)

        def lookup(values: Tensor, mode: str) -> Tensor:
            found = grid_sample(values[None], place, mode=mode, align_corners=False)
            return found[0, :, 0].T

        # Depths are not interpolated, which would blend across edges.
        nearest = lookup(torch.stack([rendering.depth[0], rendering.opacity[0]]), "nearest")
        depth, solid = nearest[:, 0], nearest[:, 1] > SOLID
        ahead = (depth - (points - camera.centers).norm(dim=1)) / (TRUNCATION * self.voxel)
        ahead = torch.where(solid, ahead, 1.0)
        # Voxels further than the truncation behind a surface are hidden.
        visible &= ahead > -1
        color = lookup(rendering.rgba[0].permute(2, 0, 1), "bilinear")
        color = color[:, :3] / color[:, 3:].clamp_min(1e-6)
        # Colors are weighted by proximity to the surface.
        near = (1 - ahead.abs()).clamp_min(0) * (visible & solid)
        shape = self.weight[planes].shape
        old = self.weight[planes].view(-1)
        weight = old + visible
        mean = (self.distance[planes].view(-1) * old + ahead.clamp_max(1) * visible) / weight
        self.distance[planes] = torch.where(visible, mean, self.distance[planes].view(-1)).view(
            shape
        )
        self.weight[planes] = weight.view(shape)
        self.color[planes] += (near[:, None] * color).view(*shape, 3)
        self._colored[planes] += near.view(shape)

    def __post_init__(self) -> None:
        self._colored = torch.zeros_like(self.weight)

    def mesh(self) -> Mesh:
        """The surface as a mesh with vertex colors. Raises InputError if there is none."""
        # Cubes with voxels that no view shows are skipped: they are deep behind surfaces.
        hidden = (self.weight == 0).float()
        known = max_pool3d(hidden[None], 3, stride=1, padding=1)[0] == 0
        if not bool((self.distance[known] < 0).any()):
            raise InputError(
                "the fused depth contains no surface: fit longer, or give a larger --half-width"
            )
        step = (self.voxel,) * 3
        vertices, faces, _, _ = marching_cubes(
            self.distance.numpy(), 0.0, spacing=step, mask=known.numpy()
        )
        places = torch.from_numpy(vertices.copy()).float()
        unit = (places / self.half_width - 1).flip(1).view(1, 1, 1, -1, 3)
        summed = torch.cat([self.color, self._colored[..., None]], dim=-1)
        found = grid_sample(summed.permute(3, 0, 1, 2)[None], unit, align_corners=True)
        rgb, count = found[0, :, 0, 0].T.split([3, 1], dim=1)
        return Mesh(
            places - self.half_width + self.center,
            torch.from_numpy(faces.copy()).long(),
            VertexColors((rgb / count.clamp_min(1e-6)).clamp(0, 1)),
        )


def fuse(
    renderer: Renderer,
    cameras: Cameras,
    center: Float[Tensor, "3"],
    half_width: float,
    voxels: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Volume:
    """Fuse the renderings of all cameras into a cube of voxels."""
    volume = Volume.empty(center, half_width, voxels)
    for k in range(len(cameras)):
        camera = cameras.select(slice(k, k + 1))
        with torch.no_grad():
            volume.add(camera, renderer(camera).to("cpu"))
        if on_progress is not None:
            on_progress(k + 1, len(cameras))
    return volume
