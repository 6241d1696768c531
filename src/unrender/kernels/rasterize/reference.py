"""Rasterization in PyTorch: every face at every pixel."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.rasterize import ON_EDGE
from unrender.kernels.rasterize.screen import outlines, pixel_rays

MAX_PAIRS = 1 << 20
"""Maximum number of face-pixel pairs in memory at once."""


def rasterize(
    triangles: Float[Tensor, "faces 3 3"],
    first_face: Int[Tensor, "offsets"],
    intrinsics: Float[Tensor, "images 3 3"],
    width: int,
    height: int,
    faces_per_pixel: int,
    near: float,
    blur_radius: float,
    cull_backfaces: bool,
) -> tuple[
    Int[Tensor, "images {height} {width} {faces_per_pixel}"],
    Float[Tensor, "images {height} {width} {faces_per_pixel}"],
]:
    images, pixels = len(intrinsics), width * height
    shape, device = (images, pixels, faces_per_pixel), triangles.device
    pix_to_face = torch.full(shape, -1, dtype=torch.int32, device=device)
    zbuf = torch.full(shape, torch.inf, dtype=triangles.dtype, device=device)
    columns, rows, shear = pixel_rays(intrinsics, width, height)
    offsets = first_face.tolist()
    for image, (first, last) in enumerate(pairwise(offsets)):
        image_triangles = triangles[first:last].double()
        if first == last:
            continue
        planes, determinant = _planes(image_triangles)
        usable = determinant.isfinite() & (
            determinant < 0 if cull_backfaces else determinant != 0
        )
        camera = intrinsics[image].double()
        sides = outlines(image_triangles, camera.expand(len(image_triangles), 3, 3), near)
        for part in torch.arange(pixels, device=device).split(
            max(1, MAX_PAIRS // len(image_triangles))
        ):
            y = rows[image, part // width][:, None]
            x = columns[image, part % width][:, None] - shear[image] * y
            edges = [a * x + (b * y + c) for a, b, c in planes.unbind(1)]
            inside = torch.stack(
                [
                    edge > ON_EDGE * _owns(plane).double()
                    for edge, plane in zip(edges, planes.unbind(1), strict=True)
                ]
            ).all(0)
            z = determinant.abs() / (edges[0] + edges[1] + edges[2])
            if blur_radius:
                center = torch.stack([part % width, part // width], dim=1) + 0.5
                outline_z = _outline_depths(
                    center.double(), sides, planes, determinant, camera, blur_radius
                )
                z = torch.where(inside, z, outline_z)
                inside = z < torch.inf
            z = torch.where(usable & inside & (z > near), z, torch.inf)
            for layer in range(faces_per_pixel):
                nearest = z.amin(1)
                # Ties go to the first face.
                index = (z == nearest[:, None]).int().argmax(1)
                covered = nearest < torch.inf
                pix_to_face[image, part, layer] = torch.where(covered, index + first, -1).int()
                zbuf[image, part, layer] = nearest.to(zbuf.dtype)
                z = z.scatter(1, index[:, None], torch.inf)
    shape = images, height, width, faces_per_pixel
    return pix_to_face.view(shape), zbuf.view(shape)


def _planes(
    triangles: Float[Tensor, "faces 3 3"],
) -> tuple[Float[Tensor, "3 3 faces"], Float[Tensor, "faces"]]:
    """Normals [axis, edge] of the edges' planes, positive in the face, and signed determinants.

    torch.linalg.cross is not used, because it may or may not fuse multiplications and
    additions.
    """
    ax, ay, az = triangles.unbind(2)
    bx, by, bz = (each[:, [1, 2, 0]] for each in (ax, ay, az))
    cx, cy, cz = (each[:, [2, 0, 1]] for each in (ax, ay, az))
    normals = torch.stack([by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx]).mT
    first = normals[:, 0]
    determinant = ax[:, 0] * first[0] + ay[:, 0] * first[1] + az[:, 0] * first[2]
    return torch.where(determinant < 0, -normals, normals), determinant


def _owns(plane: Float[Tensor, "3 faces"]) -> Tensor:
    """Whether pixels exactly on this edge belong to the face (the fill rule)."""
    x, y, z = plane
    return (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))


def _outline_depths(
    center: Float[Tensor, "pixels 2"],
    sides: Float[Tensor, "faces 3 4"],
    planes: Float[Tensor, "3 3 faces"],
    determinant: Float[Tensor, "faces"],
    camera: Float[Tensor, "3 3"],
    blur_radius: float,
) -> Float[Tensor, "pixels faces"]:
    """Depth of each outline's point nearest to a pixel; inf if it is beyond the blur radius."""
    start, end = sides.split(2, dim=2)
    side = end - start
    from_start = center[:, None, None] - start
    length2 = side.square().sum(2)
    along = torch.where(length2 > 0, (from_start * side).sum(3) / length2, 0.0).clamp(0, 1)
    point = start + along[..., None] * side
    distance = (center[:, None, None] - point).square().sum(3).nan_to_num(torch.inf)
    index = distance.argmin(2, keepdim=True)
    u, v = point.gather(2, index[..., None].expand(-1, -1, 1, 2))[:, :, 0].unbind(2)
    y = (v - camera[1, 2]) / camera[1, 1]
    x = (u - camera[0, 2] - camera[0, 1] * y) / camera[0, 0]
    a, b, c = planes.sum(1)
    z = determinant.abs() / (a * x + b * y + c)
    near = distance.gather(2, index)[..., 0] < blur_radius * blur_radius
    return torch.where(near & (z > 0), z, torch.inf)
