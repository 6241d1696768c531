"""A texture for a mesh, baked from rendered views.

xatlas (https://github.com/jpcy/xatlas) cuts the mesh into charts and packs them in an image;
each pixel of the image then takes the mean color of all views that show its point of the
surface.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.inverse.depth_fusion import Scan, filled
from unrender.kernels.depth_fusion import fuse_colors
from unrender.kernels.rasterize import rasterize
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import UVTexture

PADDING = 4
"""Pixels between charts."""


def textured(mesh: Mesh, scan: Scan, side: int, tolerance: float) -> Mesh:
    """The mesh with a texture of `side` pixels along its longer side, from all views.

    Arguments and colors are as for `depth_fusion.colored`. Raises InputError if xatlas is not
    installed.
    """
    uv, faces_uv, (width, height) = unwrapped(mesh, side)
    corners = uv * torch.tensor([width, -height]) + torch.tensor([0, height])
    triangles = torch.cat([corners, torch.ones(len(corners), 1)], dim=1)[faces_uv]
    offsets = torch.tensor([0, len(triangles)])
    face = rasterize(triangles, offsets, torch.eye(3)[None], width, height).pix_to_face
    face = face.view(-1).long()
    pixel = (face >= 0).nonzero()[:, 0]
    face = face[pixel]
    place = torch.stack([pixel % width, pixel // width], dim=1) + 0.5
    weights = barycentrics(triangles[face, :, :2], place)[..., None]
    points = (mesh.vertices[mesh.faces[face]] * weights).sum(1)
    normals = normalize((mesh.vertex_normals()[mesh.faces[face]] * weights).sum(1), dim=1)
    colors, weight = fuse_colors(scan.images, scan.rgba, points, normals, tolerance)
    colors = filled(points, colors.clamp(0, 1), weight)
    image = torch.zeros(height * width, 4)
    image[pixel] = torch.cat([colors, torch.ones(len(colors), 1)], dim=1)
    image = grown(image.view(height, width, 4), PADDING)
    texture = UVTexture(image[..., :3].contiguous(), uv, faces_uv)
    return Mesh(mesh.vertices, mesh.faces, texture, mesh.normals, unlit=True)


def unwrapped(
    mesh: Mesh, side: int
) -> tuple[Float[Tensor, "coordinates 2"], Int[Tensor, "faces 3"], tuple[int, int]]:
    """Texture coordinates in [0, 1], their rows at each face, and the image's size."""
    try:
        import xatlas  # noqa: PLC0415 - an extra  # pyright: ignore
    except ImportError as error:
        raise InputError(
            "a texture needs xatlas: pip install 'unrender[texture]', or export vertex colors"
        ) from error
    atlas = xatlas.Atlas()
    atlas.add_mesh(
        mesh.vertices.float().numpy(), mesh.faces.to(torch.int32).numpy().astype("uint32")
    )
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = side, PADDING
    atlas.generate(xatlas.ChartOptions(), packing)
    _, rows, uv = atlas[0]
    scale = side / max(atlas.width, atlas.height)
    size = max(1, round(scale * atlas.width)), max(1, round(scale * atlas.height))
    return torch.from_numpy(uv.copy()), torch.from_numpy(rows.astype("int64")), size


def barycentrics(
    triangles: Float[Tensor, "points 3 2"], points: Float[Tensor, "points 2"]
) -> Float[Tensor, "points 3"]:
    """Barycentric coordinates of points in triangles of the plane; all are in [0, 1]."""
    a, b, c = triangles.double().unbind(1)
    to_b, to_c, to_point = b - a, c - a, points.double() - a
    area = to_b[:, 0] * to_c[:, 1] - to_b[:, 1] * to_c[:, 0]
    area = torch.where(area == 0, 1.0, area)
    second = (to_point[:, 0] * to_c[:, 1] - to_point[:, 1] * to_c[:, 0]) / area
    third = (to_b[:, 0] * to_point[:, 1] - to_b[:, 1] * to_point[:, 0]) / area
    found = torch.stack([1 - second - third, second, third], dim=1).clamp(0, 1)
    return (found / found.sum(1, keepdim=True)).float()


def grown(
    image: Float[Tensor, "height width 4"], pixels: int
) -> Float[Tensor, "height width 4"]:
    """Premultiplied RGBA whose empty pixels have the mean of their neighbors, so many times."""
    sums = image.permute(2, 0, 1)[None]
    for _ in range(pixels):
        mean = torch.nn.functional.avg_pool2d(sums, 3, stride=1, padding=1)
        mean = mean / mean[:, 3:].clamp_min(1e-6)
        sums = torch.where(sums[:, 3:] > 0, sums, torch.where(mean[:, 3:] > 0.5, mean, 0.0))
    return sums[0].permute(1, 2, 0)
