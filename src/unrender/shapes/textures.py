"""Mesh colors: per vertex, an image addressed by (u, v), or a small image per face.

All are sampled the same way: at barycentric coordinates on a face. Colors are display-referred
RGB in [0, 1].
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from unrender.imaging.color import display_from_linear, linear_from_display


@dataclass(frozen=True)
class VertexColors:
    """One color per vertex, interpolated linearly across each face."""

    kind: ClassVar[str] = "vertex colors"
    colors: Float[Tensor, "vertices 3"]

    def __repr__(self) -> str:
        return f"VertexColors({len(self.colors)} vertices)"

    def sample(
        self,
        faces: Int[Tensor, "faces 3"],
        face: Int[Tensor, "hits"],
        barycentrics: Float[Tensor, "hits 3"],
    ) -> Float[Tensor, "hits 3"]:
        """Colors at barycentric coordinates on faces."""
        return (self.colors[faces[face]] * barycentrics[..., None]).sum(1)


@dataclass(frozen=True)
class UVTexture:
    """An image mapped to the mesh by a (u, v) at each face corner, as in OBJ and glTF files."""

    kind: ClassVar[str] = "UV texture"
    image: Float[Tensor, "height width 3"]
    uv: Float[Tensor, "coordinates 2"]
    """u points right from the image's left edge, v up from its lower edge. The image repeats
    beyond [0, 1]."""
    faces_uv: Int[Tensor, "faces 3"]
    """The row of `uv` for each corner of each face."""
    colors: Float[Tensor, "coordinates 3"] | None = None
    """Display-referred colors by which the image is multiplied in linear light, as glTF does
    with vertex colors."""

    def __repr__(self) -> str:
        height, width, _ = self.image.shape
        return f"UVTexture({width}×{height} pixels, {len(self.faces_uv)} faces)"

    def sample(
        self,
        faces: Int[Tensor, "faces 3"],
        face: Int[Tensor, "hits"],
        barycentrics: Float[Tensor, "hits 3"],
    ) -> Float[Tensor, "hits 3"]:
        """Colors at barycentric coordinates on faces, interpolated bilinearly."""
        uv = (self.uv[self.faces_uv[face]] * barycentrics[..., None]).sum(1)
        # 1 stays 1: it is the image's far edge and does not wrap to 0.
        uv = torch.where((uv < 0) | (uv > 1), uv - uv.detach().floor(), uv)
        position = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], dim=1)
        image = self.image.permute(2, 0, 1)[None]
        colors = grid_sample(
            image, position[None, :, None], padding_mode="border", align_corners=False
        )
        image_colors = colors[0, :, :, 0].T
        if self.colors is None:
            return image_colors
        factor = linear_from_display(self.colors)[self.faces_uv[face]]
        factor = (factor * barycentrics[..., None]).sum(1)
        return display_from_linear(linear_from_display(image_colors) * factor)


@dataclass(frozen=True)
class FaceAtlas:
    """A small square image per face, of which one triangular half is used.

    The point b0 v0 + b1 v1 + b2 v2 of a face is at column b0 and row b1 of its image, both as
    fractions of the side, so v2 is in the corner of the first pixel.
    """

    kind: ClassVar[str] = "face colors"
    images: Float[Tensor, "faces side side 3"]

    def __repr__(self) -> str:
        faces, side, _, _ = self.images.shape
        return f"FaceAtlas({faces} faces, {side}×{side} pixels each)"

    def sample(
        self,
        faces: Int[Tensor, "faces 3"],
        face: Int[Tensor, "hits"],
        barycentrics: Float[Tensor, "hits 3"],
    ) -> Float[Tensor, "hits 3"]:
        """Colors at barycentric coordinates on faces, from the nearest pixels."""
        side = self.images.shape[1]
        position = (barycentrics[:, :2].detach() * side).long().clamp(0, side - 1)
        return self.images[face, position[:, 1], position[:, 0]]


Texture = VertexColors | UVTexture | FaceAtlas
