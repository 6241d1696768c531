"""A mesh from depth rendered in many views, fused into one signed distance.

Curless and Levoy, "A Volumetric Method for Building Complex Models from Range Images" (1996).
Works with any renderer of color, opacity and depth. The surface is first found on a coarse
lattice, and then fused again on a fine one in its bounding box alone. Vertices take their
colors from all views that show them.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from skimage.measure import marching_cubes
from torch import Tensor
from torch.nn.functional import max_pool3d, normalize, pad

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.kernels.depth_fusion import EMPTY, DepthImages, fuse_colors, fuse_depth
from unrender.kernels.nearest import nearest
from unrender.rendering.renderer import Renderer
from unrender.shapes.components import largest_component
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import VertexColors

OPAQUE = 0.5
"""Pixels of smaller opacity show no surface: the space along their rays is empty."""
MIN_TRUNCATION = 3.0
"""Smallest truncation distance, in steps of the lattice."""
COARSE = 64
"""Points of the coarse lattice along its longest side."""
MARGIN = 2.0
"""What the fine lattice's box has beyond the coarse surface, in coarse steps."""
PLANES = 8
"""Planes of the lattice between two reports of progress."""
SAMPLES = 20_000
"""Pixels whose depths are compared with those of other views."""
GREY = 0.7
"""Color of surfaces that no view shows."""

Report = Callable[[int, int], None]
"""A function of what is done and of all there is to do."""


@dataclass(frozen=True)
class Scan:
    """Rendered views of a scene in a frame of the caller's choice."""

    images: DepthImages
    rgba: Float[Tensor, "views height width 4"]
    """Premultiplied."""
    focal: Float[Tensor, "views"]
    """In pixels."""

    @classmethod
    def render(
        cls,
        renderer: Renderer,
        cameras: Cameras,
        scale: float = 1.0,
        axes: Float[Tensor, "3 3"] | None = None,
        on_progress: Report | None = None,
    ) -> "Scan":
        """Render all cameras at `scale` times their size.

        `axes` are the axes of the scan's frame in the world, as columns; by default the world's
        own.
        """
        turn = torch.eye(3) if axes is None else axes
        depths, images, parts = [], [], []
        for k in range(len(cameras)):
            camera = cameras.select(slice(k, k + 1))
            sides = (max(1, round(scale * side)) for side in (camera.width, camera.height))
            camera = camera.resized(*sides)
            with torch.no_grad():
                found = renderer(camera).to("cpu")
            depths.append(torch.where(found.opacity > OPAQUE, found.depth, EMPTY)[0])
            images.append(found.rgba[0])
            parts.append(camera.with_poses(turn.mT @ camera.world_from_camera).to("cpu"))
            if on_progress is not None:
                on_progress(k + 1, len(cameras))
        height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
        # Pixels beyond an image that is smaller than others say nothing.
        room = [(0, width - depth.shape[1], 0, height - depth.shape[0]) for depth in depths]
        poses = torch.cat([part.world_from_camera for part in parts])
        inverse = poses[:, :, :3].mT
        extrinsics = torch.cat([inverse, -inverse @ poses[:, :, 3:]], dim=2)
        projections = torch.cat([part.intrinsics for part in parts]) @ extrinsics
        return cls(
            DepthImages(
                torch.stack([pad(d, r) for d, r in zip(depths, room, strict=True)]),
                projections,
                poses[:, :, 3].contiguous(),
            ),
            torch.stack([pad(i, (0, 0, *r)) for i, r in zip(images, room, strict=True)]),
            torch.cat([part.focal for part in parts]),
        )

    @property
    def opaque_share(self) -> float:
        """The share of pixels that show a surface."""
        shown = self.images.depth[self.images.depth > 0]
        return float((shown < EMPTY).float().mean()) if len(shown) else 0.0

    def pixel_width(self, center: Float[Tensor, "3"]) -> float:
        """Median width of a pixel at the distance of a point, in scene units."""
        distance = (self.images.centers - center).norm(dim=1)
        return float((distance / self.focal).median())

    def disagreement(self, region: "Region", reach: float) -> float:
        """Median difference of the depths that views have for the same points, in scene units.

        Of points in the region, and of differences up to `reach`: larger ones are of other
        surfaces, which hide the point. It is 0 where there are none.
        """
        points = self._points()
        points = points[region.contains(points)]
        found: list[Tensor] = []
        images = self.images
        height, width = images.depth.shape[1:]
        for depth, matrix, center in zip(
            images.depth, images.projections, images.centers, strict=True
        ):
            projected = points @ matrix[:, :3].T + matrix[:, 3]
            pixel = projected[:, :2] / projected[:, 2:]
            inside = ((pixel >= 0) & (pixel < torch.tensor([width, height]))).all(1)
            inside &= projected[:, 2] > 0
            x, y = pixel[inside].long().unbind(1)
            found.append((depth[y, x] - (points[inside] - center).norm(dim=1)).abs())
        differences = torch.cat(found)
        differences = differences[differences < reach]
        return float(differences.median()) if len(differences) else 0.0

    def _points(self) -> Float[Tensor, "points 3"]:
        """What some pixels show, evenly spaced in all views."""
        depth, images = self.images.depth, self.images
        every = max(1, depth.numel() // SAMPLES)
        index = torch.arange(0, depth.numel(), every)
        index = index[(depth.view(-1)[index] > 0) & (depth.view(-1)[index] < EMPTY)]
        height, width = depth.shape[1:]
        view, y, x = index // (height * width), index // width % height, index % width
        pixel = torch.stack([x + 0.5, y + 0.5, torch.ones(len(x))], dim=1)
        inverse = torch.linalg.inv(images.projections[:, :, :3])
        directions = normalize((inverse[view] @ pixel[..., None])[..., 0], dim=1)
        return images.centers[view] + depth.view(-1)[index, None] * directions


@dataclass(frozen=True)
class Region:
    """A box, and optionally a ball, outside of which surfaces are left out."""

    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]
    ball: tuple[Float[Tensor, "3"], float] | None = None
    """Its center and radius."""

    @classmethod
    def cube(
        cls, center: Float[Tensor, "3"], half_width: float, ball: bool = False
    ) -> "Region":
        """A cube, or with `ball` the ball in it."""
        inside = (center, half_width) if ball else None
        return cls(center - half_width, center + half_width, inside)

    def contains(self, points: Float[Tensor, "points 3"]) -> Bool[Tensor, "points"]:
        """Which points are in the region."""
        inside = ((points >= self.low) & (points <= self.high)).all(1)
        if self.ball is not None:
            center, radius = self.ball
            inside &= (points - center).norm(dim=1) < radius
        return inside

    def around(self, mesh: Mesh, margin: float) -> "Region":
        """The part of this region in the mesh's bounding box, widened by a margin."""
        low, high = mesh.vertices.amin(0) - margin, mesh.vertices.amax(0) + margin
        return Region(self.low.maximum(low), self.high.minimum(high), self.ball)

    def lattice(self, count: int) -> tuple[Float[Tensor, "3"], float, tuple[int, int, int]]:
        """First point, step and size of a lattice, with `count` points on the longest side."""
        sides = self.high - self.low
        step = float(sides.max()) / (count - 1)
        size = (sides / step + 1e-4).floor().long() + 1
        low = self.low + (sides - (size - 1) * step).clamp_min(0) / 2
        x, y, z = size.tolist()
        return low, step, (x, y, z)


@dataclass(frozen=True)
class Volume:
    """A lattice of truncated signed distances, averaged over views."""

    low: Float[Tensor, "3"]
    """Its first point."""
    step: float
    distance: Float[Tensor, "x y z"]
    """Positive outside, in units of the truncation; 1 far from surfaces."""
    known: Float[Tensor, "x y z"]
    """1 where a view sees the point and the region holds it; else 0."""

    def mesh(self) -> Mesh:
        """The zero level set among known points. Raises InputError if there is none."""
        # Cells beside unknown points are left out: they are deep behind surfaces.
        known = max_pool3d(1 - self.known[None], 3, stride=1, padding=1)[0] == 0
        if bool((self.distance[known] < 0).any()) and min(self.distance.shape) > 1:
            found = marching_cubes(
                self.distance.numpy(), 0.0, mask=known.numpy(), allow_degenerate=False
            )
            vertices, faces = (torch.from_numpy(each.copy()) for each in found[:2])
            if len(faces):
                return Mesh(self.low + self.step * vertices.float(), faces.long())
        raise InputError("the depths of the rendered views agree on no surface")


def fuse(
    scan: Scan,
    region: Region,
    voxels: int,
    truncation: float,
    on_progress: Report | None = None,
) -> Volume:
    """Fuse all depths on a lattice of `voxels` points along the region's longest side.

    The truncation is in scene units, and at least MIN_TRUNCATION steps.
    """
    low, step, size = region.lattice(voxels)
    cut = max(truncation, MIN_TRUNCATION * step)
    distances, weights = [], []
    for first in range(0, size[0], PLANES):
        planes = min(PLANES, size[0] - first)
        start = low + torch.tensor([first * step, 0.0, 0.0])
        found = fuse_depth(scan.images, start, step, (planes, *size[1:]), cut)
        distances.append(found[0])
        weights.append(found[1])
        if on_progress is not None:
            on_progress(first + planes, size[0])
    known = torch.cat(weights) > 0
    if region.ball is not None:
        center, radius = region.ball
        axes = [low[k] + step * torch.arange(size[k]) - center[k] for k in range(3)]
        squares = torch.meshgrid(*(axis.square() for axis in axes), indexing="ij")
        known &= sum(squares) < radius**2
    return Volume(low, step, torch.cat(distances), known.float())


def mesh_from_scan(
    scan: Scan,
    region: Region,
    voxels: int | None,
    truncation: float,
    all_parts: bool = False,
    on_progress: Report | None = None,
) -> tuple[Mesh, float]:
    """The surface in a region, without colors, and the share of it that was left out.

    Args:
        scan: Rendered views.
        region: Where the surface may be.
        voxels: Points of the lattice along the longest side of the surface's box; by default
            the pixels there, within `VOXELS`.
        truncation: Truncation distance in scene units.
        all_parts: Keep all connected parts of the surface, not the largest alone. The share
            that is left out is counted on the coarse lattice.
        on_progress: Told of the fine lattice's planes.

    Raises InputError if there is no surface.
    """
    coarse = fuse(scan, region, COARSE, truncation)
    whole = coarse.mesh()
    found = whole if all_parts else largest_component(whole)
    box = region.around(found, MARGIN * coarse.step)
    if voxels is None:
        across = float((box.high - box.low).max()) / scan.pixel_width((box.low + box.high) / 2)
        voxels = min(max(round(across), VOXELS[0]), VOXELS[1])
    mesh = fuse(scan, box, voxels, truncation, on_progress).mesh()
    left_out = 1 - len(found.faces) / len(whole.faces)
    return (mesh if all_parts else largest_component(mesh)), left_out


VOXELS = (64, 256)
"""Least and most points of a lattice along its longest side, by default."""


def colored(mesh: Mesh, scan: Scan, tolerance: float) -> Mesh:
    """The mesh with vertex colors from all views that show a vertex.

    A view shows a vertex if its depth there differs by less than the tolerance, in scene units;
    the others take the color of the nearest vertex that is shown. The mesh is `unlit`: these
    colors contain the light of the scene.
    """
    normals = mesh.vertex_normals()
    colors, weight = fuse_colors(scan.images, scan.rgba, mesh.vertices, normals, tolerance)
    colors = filled(mesh.vertices, colors.clamp(0, 1), weight)
    return dataclasses.replace(mesh, texture=VertexColors(colors), unlit=True)


def filled(
    points: Float[Tensor, "points 3"],
    colors: Float[Tensor, "points 3"],
    weight: Float[Tensor, "points"],
) -> Float[Tensor, "points 3"]:
    """Colors where points without weight have that of the nearest point with some."""
    shown = weight > 0
    if bool(shown.all()):
        return colors
    if not bool(shown.any()):
        return torch.full_like(colors, GREY)
    index = nearest(points[~shown][None], points[shown][None]).index[0]
    colors = colors.clone()
    colors[~shown] = colors[shown][index]
    return colors
