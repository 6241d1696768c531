"""Analytic antialiasing of silhouette edges, which makes visibility differentiable.

After Laine et al., "Modular Primitives for High-Performance Differentiable Rendering" (2020),
https://arxiv.org/abs/2011.03277: where a silhouette edge passes between the centers of two
neighboring pixels, one pixel shows the surface that ends there and the other the background.
The edge crosses the segment between the two centers; the pixel that contains the crossing is
blended with the other's color, in proportion to the part of its half of the segment that lies
beyond the edge. The blend weight moves with the edge, so that images have gradients with
respect to its two vertices.

There are two differences from the paper. Edges are enumerated from the mesh: each silhouette
edge is followed through the rows and columns of pixel centers that it crosses, so that faces
smaller than a pixel, which cover no center, have edges too. And edges are not classified as
horizontal or vertical: with (u, v) the edge's unit normal in the image, blends along rows have
weight u² and blends along columns v². The image then does not jump when an edge rotates past
45°, and hardly where one edge joins another.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.rasterize.screen import segments
from unrender.rendering.mesh.raster import CameraSpaceMesh, Fragments
from unrender.shapes.mesh import Mesh, Meshes, edges_of


@dataclass(frozen=True)
class EdgeTopology:
    """The edges of a mesh, and the opposite vertices in the faces adjacent to them."""

    vertices: Int[Tensor, "edges 2"]
    opposite: Int[Tensor, "edges 2"]
    """The third vertex of either adjacent face; twice the same at a boundary edge."""
    boundary: Bool[Tensor, "edges"]
    """Whether the edge has only one adjacent face."""

    @classmethod
    def of(cls, mesh: Mesh | Meshes) -> "EdgeTopology":
        """Build the topology. Vertices at the same position count as one vertex, so that
        texture seams are not boundaries.
        """
        rows = mesh.vertices.detach()
        if isinstance(mesh, Meshes):
            rows = torch.cat([rows, mesh.mesh_of_vertex[:, None].to(rows.dtype)], dim=1)
        _, same = rows.unique(dim=0, return_inverse=True)
        # Any of the vertices at a position stands for all.
        row = torch.empty_like(same).scatter_(
            0, same, torch.arange(len(same), device=same.device)
        )
        faces = row[same][mesh.faces]
        edges = edges_of(faces)
        total = faces.sum(1)
        boundary = edges.num_faces < 2
        pair = torch.where(boundary[:, None], edges.faces[:, :1], edges.faces)
        # A face's third vertex is the sum of all three minus the edge's two.
        opposite = total[pair] - edges.vertices.sum(1, keepdim=True)
        return cls(edges.vertices, opposite, boundary)


def antialiased(
    image: Float[Tensor, "images height width channels"],
    fragments: Fragments,
    topology: EdgeTopology,
) -> Float[Tensor, "images height width channels"]:
    """Blend silhouette edges into the pixels that they cross.

    All channels must be premultiplied by coverage, and zero where no surface is visible.
    Differentiable in the image and, through the positions of the edges, in vertices and
    cameras.
    """
    camera_mesh = fragments.camera_mesh
    with torch.no_grad():
        vertices, of_image, inward = _silhouettes(camera_mesh, topology)
    corners = camera_mesh.vertices.index_select(0, vertices.flatten()).view(-1, 2, 3)
    start, end, start_z, end_z = segments(
        corners[:, 0], corners[:, 1], camera_mesh.cameras.intrinsics[of_image], camera_mesh.near
    )
    square = (end - start).square().flip(1)
    weight = square / square.sum(1, keepdim=True).clamp_min(1e-20)
    blends = [
        _blends(
            start, end, start_z, end_z, of_image,
            inward[:, axis], weight[:, axis], fragments.zbuf, axis,
        )
        for axis in range(2)
    ]  # fmt: skip
    pixel, other, share = (torch.cat(parts) for parts in zip(*blends, strict=True))
    flat = image.flatten(0, 2)
    # Several edges together replace at most the whole pixel.
    total = torch.zeros_like(flat[:, 0]).index_add(0, pixel, share)
    share = share / total.clamp_min(1).index_select(0, pixel)
    change = share[:, None] * (flat.index_select(0, other) - flat.index_select(0, pixel))
    return flat.index_add(0, pixel, change).view_as(image)


def _silhouettes(
    camera_mesh: CameraSpaceMesh, topology: EdgeTopology
) -> tuple[
    Int[Tensor, "silhouettes 2"], Int[Tensor, "silhouettes"], Bool[Tensor, "silhouettes 2"]
]:
    """The silhouette edges: those whose adjacent faces lie on one side of them in the image.

    Returns their vertices in `camera_mesh`, their images, and for both image axes whether their
    faces lie in its positive direction.
    """
    ends, of_image = camera_mesh.in_every_image(topology.vertices)
    opposite, _ = camera_mesh.in_every_image(topology.opposite)
    points = camera_mesh.vertices.double()
    start, end = points[ends].unbind(1)
    # Normal of the plane through the edge and the camera center.
    normal = torch.linalg.cross(start, end)
    first, second = (points[opposite] * normal[:, None]).sum(2).unbind(1)
    boundary = topology.boundary.repeat(len(ends) // max(len(topology.boundary), 1))
    outer = (first * second > 0) | (boundary & (first != 0))
    outer &= torch.maximum(start[:, 2], end[:, 2]) > camera_mesh.near
    outer &= torch.isfinite(first + second)
    ends, of_image, normal, first = (each[outer] for each in (ends, of_image, normal, first))
    k = camera_mesh.cameras.intrinsics.double()[of_image]
    x = normal[:, 0] / k[:, 0, 0]
    y = (normal[:, 1] - k[:, 0, 1] * x) / k[:, 1, 1]
    return ends, of_image, torch.stack([x, y], dim=1) * first[:, None] > 0


def _blends(
    start: Float[Tensor, "edges 2"],
    end: Float[Tensor, "edges 2"],
    start_z: Float[Tensor, "edges"],
    end_z: Float[Tensor, "edges"],
    of_image: Int[Tensor, "edges"],
    inward: Bool[Tensor, "edges"],
    weight: Float[Tensor, "edges"],
    zbuf: Float[Tensor, "images height width"],
    axis: int,
) -> tuple[Int[Tensor, "blends"], Int[Tensor, "blends"], Float[Tensor, "blends"]]:
    """Pixels to blend, the pixels whose color they take, and the weights of those.

    Edges are intersected with rows of pixel centers (axis 0) or with columns (axis 1).
    """
    _, height, width = zbuf.shape
    lines, places = (height, width) if axis == 0 else (width, height)
    # Offsets in the flattened image from pixel to pixel on a line, and from line to line.
    step, stride = (1, width) if axis == 0 else (width, 1)
    with torch.no_grad():
        ends = torch.stack([start[:, 1 - axis], end[:, 1 - axis]])
        first, last = ((each - 0.5).ceil().clamp(0, lines) for each in ends.aminmax(dim=0))
        count = (last - first).long()
        edge = torch.arange(len(count), device=count.device).repeat_interleave(count)
        number = torch.arange(len(edge), device=count.device)
        line = number + (first.long() - count.cumsum(0) + count)[edge]
    a, b = start.index_select(0, edge), end.index_select(0, edge)
    along = (line + 0.5 - a[:, 1 - axis]) / (b - a)[:, 1 - axis]
    crossing = a[:, axis] + along * (b - a)[:, axis]
    with torch.no_grad():
        z = 1 / torch.lerp(1 / start_z[edge], 1 / end_z[edge], along)
        low = (crossing - 0.5).floor().long()
        kept = (low >= 0) & (low + 1 < places)
        low = low.clamp(0, max(places - 2, 0))
        lower = of_image[edge] * (height * width) + line * stride + low * step
        upper = (lower + step).clamp_max(zbuf.numel() - 1)
        inner = torch.where(inward[edge], upper, lower)
        outer = torch.where(inward[edge], lower, upper)
        depth = zbuf.flatten()
        kept &= (depth[inner] < depth[outer]) & (z < depth[outer])
        # Of several edges between two centers, keep the one nearest to the background's pixel:
        # the foreground ends there.
        reach = torch.where(inward[edge], low + 1.5 - crossing, crossing - low - 0.5)
        order = torch.where(kept, reach, -1).argsort(stable=True)
        order = order[lower[order].argsort(stable=True)]
        following = torch.cat([lower[order][1:], lower.new_full((1,), -1)])[: len(order)]
        chosen = order[(lower[order] != following)]
        chosen = chosen[kept[chosen]]
        inner, outer = inner[chosen], outer[chosen]
        inward, low, upto = inward[edge][chosen], low[chosen], reach[chosen]
    place = crossing.index_select(0, chosen)
    reach = torch.where(inward, low + 1.5 - place, place - low - 0.5)
    beyond = upto > 0.5
    return (
        torch.where(beyond, outer, inner),
        torch.where(beyond, inner, outer),
        (reach - 0.5).abs() * weight[edge[chosen]],
    )
