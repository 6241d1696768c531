"""Combining the materials of a mesh file into one texture."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from unrender.imaging.files import MAX_PIXELS
from unrender.notes import note
from unrender.shapes.files.contents import (
    MAX_COORDINATE,
    MISSING,
    Material,
    MeshContents,
    Wrap,
    unit_colors,
)
from unrender.shapes.textures import FaceAtlas, Texture, UVTexture, VertexColors

SEAM = 1e-4
"""How far rounding may take texture coordinates beyond [0, 1]."""


@dataclass(frozen=True)
class _Part:
    """The faces of one material, and the stretch of its image that they cover."""

    faces: Bool[Tensor, "faces"]
    image: Float[Tensor, "height width 3"]
    wrap: tuple[Wrap, Wrap]
    low: tuple[int, int]
    """First repeat of the image that is covered, along u and v."""
    high: tuple[int, int]
    """The repeat behind the last one."""


def build_texture(
    path: Path,
    found: MeshContents,
    num_vertices: int,
    vertex_colors: Float[Tensor, "vertices 3"] | None,
) -> Texture | None:
    """The mesh's texture: images first, else colors of vertices, of faces, or of materials.

    What cannot be used is noted, and left out.
    """
    face_material = found.face_material
    used = [] if face_material is None else face_material.unique().tolist()
    if any(k != MISSING and found.materials[k].image is not None for k in used):
        texture = _image(path, found, used)
        if texture is not None:
            return texture
    if vertex_colors is not None:
        colors = unit_colors(path, "vertex colors", vertex_colors)
        return None if colors is None else VertexColors(colors.float())
    if found.face_colors is not None:
        colors = unit_colors(path, "face colors", found.face_colors)
        return None if colors is None else FaceAtlas(colors.float()[:, None, None])
    plain = [k for k in used if k != MISSING and found.materials[k].image is None]
    if face_material is None or not plain:
        return None
    # The last color is for faces without a material, whose row is −1.
    colors = torch.stack([*(material.color for material in found.materials), torch.ones(3)])
    if len(used) == 1:
        return VertexColors(colors[used[0]].expand(num_vertices, 3).clone())
    return FaceAtlas(colors[face_material][:, None, None])


def _image(path: Path, found: MeshContents, used: list[int]) -> UVTexture | None:
    """The only image, or all images and colors in one; None if none can be mapped."""
    assert found.face_material is not None, "faces have materials"
    tint = None if found.vertex_colors is None else found.vertex_colors[found.faces]
    corners, mapped = _corners(found)
    parts: list[_Part] = []
    bare = torch.zeros_like(mapped)
    for k in used:
        material = Material(torch.ones(3)) if k == MISSING else found.materials[k]
        chosen = found.face_material == k
        if material.image is None:
            parts.append(_plain(chosen, material.color, corners))
            continue
        bare |= chosen & ~mapped
        chosen &= mapped
        if not bool(chosen.any()):
            continue
        if material.uv_transform is not None:
            moved = corners[chosen] @ material.uv_transform[:, :2].T
            corners[chosen] = moved + material.uv_transform[:, 2]
        whole = bool(chosen.all())
        if whole and tint is not None and material.wrap == ("repeat", "repeat"):
            rows = torch.arange(3 * len(corners)).view(-1, 3)
            plain = UVTexture(material.image, corners.flatten(0, 1).float(), rows)
            return _tinted(path, plain, tint)
        part = _covered(path, material, material.image, chosen, corners)
        if (
            whole
            and tint is None
            and (material.wrap == ("repeat", "repeat") or _within(corners))
        ):
            assert found.uv is not None, "there are coordinates"
            assert found.faces_uv is not None, "faces have coordinates"
            uv = found.uv
            if material.uv_transform is not None:
                uv = uv @ material.uv_transform[:, :2].T + material.uv_transform[:, 2]
            return UVTexture(material.image, uv.float(), found.faces_uv)
        parts.append(part)
    if bool(bare.any()):
        note(
            f"{path}: {int(bare.sum())} faces with an image have no valid texture coordinates: "
            "they are read without color"
        )
        parts.append(_plain(bare, torch.ones(3), corners))
        if bool(bare.all()):
            return None
    texture = _stacked(path, parts, corners)
    return texture if texture is None or tint is None else _tinted(path, texture, tint)


def _tinted(path: Path, texture: UVTexture, tint: Float[Tensor, "faces 3 3"]) -> UVTexture:
    """A texture with coordinates of its own for each corner, multiplied by colors there."""
    colors = unit_colors(path, "vertex colors", tint.flatten(0, 1))
    return texture if colors is None else replace(texture, colors=colors.float())


def _corners(
    found: MeshContents,
) -> tuple[Float[Tensor, "faces 3 2"], Bool[Tensor, "faces"]]:
    """Texture coordinates of each face's corners, and which faces have valid ones."""
    uv, rows = found.uv, found.faces_uv
    nowhere = torch.zeros(len(found.faces), 3, 2, dtype=torch.float64)
    if uv is None or rows is None or not len(uv):
        return nowhere, torch.zeros(len(found.faces), dtype=torch.bool)
    corners = uv[rows.clamp(0, len(uv) - 1)].double()
    valid = ((rows >= 0) & (rows < len(uv))).all(1)
    valid &= (corners.abs() < MAX_COORDINATE).flatten(1).all(1)
    return torch.where(valid[:, None, None], corners, nowhere), valid


def _within(corners: Float[Tensor, "faces 3 2"]) -> bool:
    return bool(((corners >= -SEAM) & (corners <= 1 + SEAM)).all())


def _plain(
    faces: Bool[Tensor, "faces"], color: Float[Tensor, "3"], corners: Float[Tensor, "faces 3 2"]
) -> _Part:
    """Faces of one color: a pixel, at whose middle all of their corners are."""
    corners[faces] = 0.5
    return _Part(faces, color[None, None], ("clamp", "clamp"), (0, 0), (1, 1))


def _covered(
    path: Path,
    material: Material,
    image: Float[Tensor, "height width 3"],
    faces: Bool[Tensor, "faces"],
    corners: Float[Tensor, "faces 3 2"],
) -> _Part:
    """Where faces are on an image; they move by whole repeats to its first ones."""
    chosen = corners[faces]
    low, high = [0, 0], [1, 1]
    for axis, wrap in enumerate(material.wrap):
        along = chosen[..., axis]
        least, most = along.aminmax(dim=1, keepdim=True)
        if wrap != "clamp":
            step = 2 if wrap == "mirror" else 1
            outside = (least < 0) | (most > 1)
            moved = along - step * (least / step).floor()
            chosen[..., axis] = torch.where(outside, moved, along)
        else:
            low[axis] = int((least + SEAM).floor().clamp(-MAX_PIXELS, 0).min())
        high[axis] = int((chosen[..., axis] - SEAM).ceil().clamp(1, MAX_PIXELS).max())
    corners[faces] = chosen
    return _Part(faces, image, material.wrap, (low[0], low[1]), (high[0], high[1]))


def _stacked(
    path: Path, parts: list[_Part], corners: Float[Tensor, "faces 3 2"]
) -> UVTexture | None:
    """Stack the images vertically, each repeated as needed and padded by its edge pixels.

    None if that were too large, which is noted.
    """
    sizes = [
        [
            size * (part.high[axis] - part.low[axis]) + 2
            for axis, size in enumerate((part.image.shape[1], part.image.shape[0]))
        ]
        for part in parts
    ]
    width, height = max(w for w, _ in sizes), sum(h for _, h in sizes)
    if width * height > MAX_PIXELS:
        note(
            f"{path}: its images together take {width}x{height} pixels, and are not read: "
            "downscale them, or bake them into one"
        )
        return None
    whole = torch.zeros(height, width, 3)
    top = 0
    for part, (wide, high) in zip(parts, sizes, strict=True):
        rows, columns = part.image.shape[:2]
        across = _wrapped(columns, part.low[0], part.high[0], part.wrap[0])
        # Rows go down and v goes up.
        up = rows - 1 - _wrapped(rows, part.low[1], part.high[1], part.wrap[1]).flip(0)
        tiled = part.image[up][:, across].permute(2, 0, 1)
        rimmed = pad(tiled[None], (1, 1, 1, 1), mode="replicate")[0]
        whole[top : top + high, :wide] = rimmed.permute(1, 2, 0)
        # From uv of this image, v up, to pixels from the upper left corner of the stack.
        u, v = corners[part.faces].unbind(-1)
        x, y = 1 + (u - part.low[0]) * columns, top + 1 + (part.high[1] - v) * rows
        corners[part.faces] = torch.stack([x, y], dim=-1)
        top += high
    coordinates = corners / torch.tensor([width, height]) * torch.tensor([1.0, -1.0])
    coordinates = coordinates + torch.tensor([0.0, 1.0])
    rows = torch.arange(3 * len(corners)).view(-1, 3)
    return UVTexture(whole, coordinates.flatten(0, 1).float(), rows)


def _wrapped(size: int, low: int, high: int, wrap: Wrap) -> Int[Tensor, "pixels"]:
    """The image's pixels along an axis, from one repeat to another."""
    pixels = torch.arange(low * size, high * size)
    if wrap == "clamp":
        return pixels.clamp(0, size - 1)
    if wrap == "repeat":
        return pixels % size
    back = pixels % (2 * size)
    return torch.where(back < size, back, 2 * size - 1 - back)
