"""Combining the materials of a mesh file into one texture."""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from unrender.errors import InputError
from unrender.imaging.files import MAX_PIXELS
from unrender.shapes.files.contents import MISSING, Material, MeshContents
from unrender.shapes.textures import FaceAtlas, Texture, UVTexture, VertexColors

SEAM = 1e-4
"""How far rounding may take texture coordinates beyond [0, 1]."""


def build_texture(
    path: Path,
    found: MeshContents,
    num_vertices: int,
    vertex_colors: Float[Tensor, "vertices 3"] | None,
) -> Texture | None:
    """The mesh's texture: images first, else colors of vertices, of faces, or of materials.

    Raises InputError for colors outside [0, 1] and invalid texture coordinates.
    """
    face_material = found.face_material
    used = [] if face_material is None else face_material.unique().tolist()
    if any(k != MISSING and found.materials[k].image is not None for k in used):
        return _image(path, found, used)
    if vertex_colors is not None:
        if not bool(((vertex_colors >= 0) & (vertex_colors <= 1)).all()):
            raise InputError(f"{path}: has vertex colors outside of [0, 1]: correct them")
        return VertexColors(vertex_colors.float())
    if found.face_colors is not None:
        return FaceAtlas(found.face_colors.float()[:, None, None])
    if face_material is None or not found.materials:
        return None
    # The last color is for faces without a material, whose row is −1.
    colors = torch.stack([*(material.color for material in found.materials), torch.ones(3)])
    if len(used) == 1:
        return VertexColors(colors[used[0]].expand(num_vertices, 3).clone())
    return FaceAtlas(colors[face_material][:, None, None])


def _image(path: Path, found: MeshContents, used: list[int]) -> UVTexture:
    """The only image, or all images in one."""
    assert found.face_material is not None, "faces have materials"
    uv, rows = found.uv, found.faces_uv
    nowhere = torch.zeros(len(found.faces), 3, 2, dtype=torch.float64)
    corners = nowhere if uv is None or rows is None else uv[rows].double()
    parts: dict[int, tuple[Float[Tensor, "height width 3"], int, int]] = {}
    for k in used:
        material = Material(torch.ones(3)) if k == MISSING else found.materials[k]
        chosen = found.face_material == k
        if material.image is None:
            corners[chosen] = 0.5
            parts[k] = material.color[None, None], 1, 1
            continue
        if uv is None or rows is None or bool((rows[chosen] == MISSING).any()):
            raise InputError(
                f"{path}: faces with an image have no texture coordinates: add them, or read "
                "the geometry alone (colored=False)"
            )
        coordinates = corners[chosen]
        inside = (coordinates >= -SEAM) & (coordinates <= 1 + SEAM)
        if not bool(coordinates.isfinite().all()) or not (material.repeats or inside.all()):
            raise InputError(
                f"{path}: has texture coordinates that are not finite, or beyond an image that "
                "does not repeat: correct them"
            )
        if len(used) == 1:
            return UVTexture(material.image, uv.float(), rows)
        # Shift faces by whole repeats of the image, to its first one.
        low, high = coordinates.aminmax(dim=1, keepdim=True)
        outside = (low < 0) | (high > 1)
        corners[chosen] = torch.where(outside, coordinates - low.floor(), coordinates)
        across, up = corners[chosen].amax((0, 1)).ceil().clamp(1, MAX_PIXELS).int().tolist()
        parts[k] = material.image, across, up
    return _stacked(path, found.face_material, parts, corners)


def _stacked(
    path: Path,
    face_material: Int[Tensor, "faces"],
    parts: dict[int, tuple[Float[Tensor, "height width 3"], int, int]],
    corners: Float[Tensor, "faces 3 2"],
) -> UVTexture:
    """Stack the images vertically, each repeated as needed and padded by its edge pixels."""
    widths = [image.shape[1] * across + 2 for image, across, _ in parts.values()]
    heights = [image.shape[0] * up + 2 for image, _, up in parts.values()]
    width, height = max(widths), sum(heights)
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path}: its images together take {width}x{height} pixels: downscale them, or "
            "bake them into one"
        )
    whole = torch.zeros(height, width, 3)
    top = 0
    for (k, (image, across, up)), high, wide in zip(
        parts.items(), heights, widths, strict=True
    ):
        tiled = image.repeat(up, across, 1).permute(2, 0, 1)
        rimmed = pad(tiled[None], (1, 1, 1, 1), mode="replicate")[0]
        whole[top : top + high, :wide] = rimmed.permute(1, 2, 0)
        # From uv of this image, v up, to pixels from the upper left corner of the stack.
        rows, columns = image.shape[:2]
        u, v = corners[face_material == k].unbind(-1)
        pixels = torch.stack([1 + u * columns, top + 1 + (up - v) * rows], dim=-1)
        corners[face_material == k] = pixels
        top += high
    coordinates = corners / torch.tensor([width, height]) * torch.tensor([1.0, -1.0])
    coordinates = coordinates + torch.tensor([0.0, 1.0])
    rows = torch.arange(3 * len(corners)).view(-1, 3)
    return UVTexture(whole, coordinates.flatten(0, 1).float(), rows)
