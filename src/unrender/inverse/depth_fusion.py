"""From renders to a mesh: depths of many views, fused into one signed distance.

Curless and Levoy, "A Volumetric Method for Building Complex Models from Range Images" (1996).
All that is asked of a scene is that it renders colour, opacity and depth.
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
"""Distances are known up to so many voxels from a surface."""
AT_ONCE = 1 << 16
"""Voxels whose pixels are looked up together: enough to fill a machine, little memory."""
SOLID = 0.5
"""Pixels of less opacity show nothing: all that they see is empty."""


@dataclass
class Volume:
    """A cube of voxels: the mean distance to the surface in front of them, and its colour."""

    center: Float[Tensor, "3"]
    half_width: float
    distance: Float[Tensor, "x y z"]
    """Positive outside, in units of the truncation; 1 where nothing is near."""
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
        """World points of some planes' voxels."""
        axis = torch.linspace(-self.half_width, self.half_width, len(self.distance))
        grid = torch.meshgrid(axis[planes], axis, axis, indexing="ij")
        return torch.stack(grid, dim=-1) + self.center

    def add(self, camera: Cameras, seen: Rendering) -> None:
        """One view's render: `seen` is [1, height, width]."""
        count = len(self.distance)
        together = max(1, AT_ONCE // count**2)
        for first in range(0, count, together):
            self._add(slice(first, first + together), camera, seen)

    def _add(self, planes: slice, camera: Cameras, seen: Rendering) -> None:
        points = self.points(planes).view(-1, 3)
        index = torch.zeros(len(points), dtype=torch.long)
        pixel, front = camera.project(index, points)
        size = torch.tensor([camera.width, camera.height])
        there = (front > 0) & ((pixel > 0) & (pixel < size)).all(1)
        place = (2 * pixel / size - 1).view(1, 1, -1, 2)

        def look(values: Tensor, mode: str) -> Tensor:
            found = grid_sample(values[None], place, mode=mode, align_corners=False)
            return found[0, :, 0].T

        # Depths are not blended across edges.
        nearest = look(torch.stack([seen.depth[0], seen.opacity[0]]), "nearest")
        depth, solid = nearest[:, 0], nearest[:, 1] > SOLID
        ahead = (depth - (points - camera.centers).norm(dim=1)) / (TRUNCATION * self.voxel)
        ahead = torch.where(solid, ahead, 1.0)
        # What lies well behind a surface is not seen.
        there &= ahead > -1
        color = look(seen.rgba[0].permute(2, 0, 1), "bilinear")
        color = color[:, :3] / color[:, 3:].clamp_min(1e-6)
        # The nearer to the surface, the more its colour counts.
        near = (1 - ahead.abs()).clamp_min(0) * (there & solid)
        shape = self.weight[planes].shape
        old = self.weight[planes].view(-1)
        weight = old + there
        mean = (self.distance[planes].view(-1) * old + ahead.clamp_max(1) * there) / weight
        self.distance[planes] = torch.where(there, mean, self.distance[planes].view(-1)).view(
            shape
        )
        self.weight[planes] = weight.view(shape)
        self.color[planes] += (near[:, None] * color).view(*shape, 3)
        self._colored[planes] += near.view(shape)

    def __post_init__(self) -> None:
        self._colored = torch.zeros_like(self.weight)

    def mesh(self) -> Mesh:
        """Its surface, with a colour for each vertex. InputError if there is none."""
        # Well behind a surface nothing is seen, nor is there another one.
        hidden = (self.weight == 0).float()
        known = max_pool3d(hidden[None], 3, stride=1, padding=1)[0] == 0
        if not bool((self.distance[known] < 0).any()):
            raise InputError(
                "no surface was found: fit longer, or give the mesh a larger --half-width"
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
    """What a renderer shows to cameras, in a cube of voxels."""
    volume = Volume.empty(center, half_width, voxels)
    for k in range(len(cameras)):
        camera = cameras.select(slice(k, k + 1))
        with torch.no_grad():
            volume.add(camera, renderer(camera).to("cpu"))
        if on_progress is not None:
            on_progress(k + 1, len(cameras))
    return volume
