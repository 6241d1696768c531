"""Pixel rays and outlines of faces in double precision, the same for every backend."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def pixel_rays(
    intrinsics: Float[Tensor, "images 3 3"], width: int, height: int
) -> tuple[
    Float[Tensor, "images width"], Float[Tensor, "images height"], Float[Tensor, "images"]
]:
    """x of each column, y of each row and the shear s; a pixel's ray is (x − s y, y, 1)."""
    k = intrinsics.double()
    column = torch.arange(width, device=k.device) + 0.5
    row = torch.arange(height, device=k.device) + 0.5
    x = (column - k[:, 0, 2, None]) / k[:, 0, 0, None]
    y = (row - k[:, 1, 2, None]) / k[:, 1, 1, None]
    return x, y, k[:, 0, 1] / k[:, 0, 0]


def outlines(
    triangles: Float[Tensor, "faces 3 3"],
    intrinsics: Float[Tensor, "faces 3 3"],
    near: float,
) -> Float[Tensor, "faces 3 4"]:
    """The sides bc, ca and ab of each face in pixels, from (x, y) to (x, y).

    They are clipped at the near plane, and NaN if they lie in front of it. Differentiable.
    """
    start = triangles.double()[:, [1, 2, 0]].flatten(0, 1)
    end = triangles.double()[:, [2, 0, 1]].flatten(0, 1)
    k = intrinsics.double().repeat_interleave(3, 0)
    clipped = torch.cat(segments(start, end, k, near)[:2], dim=1)
    hidden = torch.maximum(start[:, 2], end[:, 2]) < near
    return torch.where(hidden[:, None], torch.nan, clipped).view(-1, 3, 4)


def segments(
    start: Float[Tensor, "edges 3"],
    end: Float[Tensor, "edges 3"],
    intrinsics: Float[Tensor, "edges 3 3"],
    near: float,
) -> tuple[
    Float[Tensor, "edges 2"],
    Float[Tensor, "edges 2"],
    Float[Tensor, "edges"],
    Float[Tensor, "edges"],
]:
    """Edges clipped at the near plane: both ends in pixels, and their depths.

    The values are meaningless for edges entirely in front of it. Differentiable.
    """
    crosses = (start[:, 2] < near) != (end[:, 2] < near)
    step = torch.where(crosses, end[:, 2] - start[:, 2], 1.0)
    fraction = torch.where(crosses, (near - start[:, 2]) / step, 0.0)[:, None]
    crossing = start + fraction * (end - start)
    pixels: list[Tensor] = []
    depths: list[Tensor] = []
    for point in (start, end):
        x, y, z = torch.where((point[:, 2] < near)[:, None], crossing, point).unbind(1)
        z = z.clamp_min(near)
        u = (intrinsics[:, 0, 0] * x + intrinsics[:, 0, 1] * y) / z + intrinsics[:, 0, 2]
        pixels.append(torch.stack([u, intrinsics[:, 1, 1] * y / z + intrinsics[:, 1, 2]], 1))
        depths.append(z)
    return pixels[0], pixels[1], depths[0], depths[1]


def image_of_face(first_face: Int[Tensor, "offsets"]) -> Int[Tensor, "faces"]:
    """The image of each row of the packed triangles."""
    image = torch.arange(len(first_face) - 1, device=first_face.device)
    return image.repeat_interleave(first_face.diff())
