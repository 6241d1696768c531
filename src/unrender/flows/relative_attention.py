"""PRoPE: attention between the patches of several images that knows their cameras.

Li, Yi, Liu, Gao, Ma, Kanazawa, "Cameras as Relative Positional Encoding", 2025,
https://arxiv.org/abs/2507.10496. With P_i the 4 × 4 matrix of camera i that projects points of
the world to its image (in units of the image's side), queries, keys, values and outputs are
transformed as in GTA (section 4):

    out_i = D_i Σ_j softmax_j((D_iᵀ q_i) · (D_j⁻¹ k_j)) D_j⁻¹ v_j,

where the first half of D_i is block-diagonal with copies of P_i, and the second half rotates
pairs of channels by the patch's column and row (RoPE). Scores and outputs then depend on the
cameras through P_i P_j⁻¹ alone: the choice of the world's frame does not matter.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from unrender.geometry.cameras import Cameras

ROPE_PERIOD = 100.0
"""Longest period of the rotary encoding, in units of 2π patches."""

Heads = Float[Tensor, "sets views tokens heads head_channels"]


Keys = Float[Tensor, "sets seen_views seen_tokens heads head_channels"]


@dataclass(frozen=True)
class Placement:
    """Where the tokens of some views are: projections of their cameras, and patches."""

    projection: Float[Tensor, "sets views 4 4"] | None
    """Image from world, for homogeneous points; None leaves the cameras out."""
    inverse: Float[Tensor, "sets views 4 4"] | None
    rotation: Float[Tensor, "2 tokens angles"]
    """Cosines and sines of each patch's angles: of its column, then of its row."""

    def of_queries(self, x: Heads) -> Heads:
        """Dᵀ x."""
        return self._apply(x, self.projection, transposed=True, forward=False)

    def of_keys(self, x: Heads) -> Heads:
        """D⁻¹ x."""
        return self._apply(x, self.inverse, transposed=False, forward=False)

    def of_outputs(self, x: Heads) -> Heads:
        """D x."""
        return self._apply(x, self.projection, transposed=False, forward=True)

    def _apply(
        self,
        x: Heads,
        matrix: Float[Tensor, "sets views 4 4"] | None,
        transposed: bool,
        forward: bool,
    ) -> Heads:
        cos, sin = self.rotation[:, None, None, :, None]
        angles = cos.shape[-1]
        first, x1, x2 = x.split([x.shape[-1] - 2 * angles, angles, angles], dim=-1)
        if not forward:
            sin = -sin  # The transpose of a rotation is its inverse.
        turned = [x1 * cos - x2 * sin, x1 * sin + x2 * cos]
        if matrix is not None:
            # Rows times Mᵀ is M times columns.
            right = matrix if transposed else matrix.mT
            flat = first.reshape(*x.shape[:2], -1, 4)
            first = (flat @ right).view(first.shape)
        return torch.cat([first, *turned], dim=-1)


def placement(
    cameras: Cameras, sets: int, grid: int, head_width: int, with_cameras: bool = True
) -> Placement:
    """Placement of the grid × grid patches of each camera; `cameras` are `sets` × views.

    `head_width` is the number of channels per head, a multiple of 8. Without cameras all
    channels of the first half stay as they are.
    """
    projection = inverse = None
    if with_cameras:
        projection = image_from_world(cameras).unflatten(0, (sets, -1))
        inverse = torch.linalg.inv(projection)
    return Placement(projection, inverse, _rotations(grid, head_width // 4).to(cameras.device))


def image_from_world(cameras: Cameras) -> Float[Tensor, "cameras 4 4"]:
    """[K 0; 0 1] [R | t; 0 1]: points of the world to x z, y z, z, 1.

    x and y are image coordinates in units of the image's width and height, 0 at its center.
    """
    scale = torch.tensor([cameras.width, cameras.height, 1.0], device=cameras.device)
    intrinsics = cameras.intrinsics / scale[:, None]
    intrinsics = intrinsics - 0.5 * torch.tensor(
        [[0.0, 0, 1], [0, 0, 1], [0, 0, 0]], device=cameras.device
    )
    turn = cameras.rotations.mT
    result = torch.zeros(len(cameras), 4, 4, device=cameras.device)
    result[:, :3, :3] = intrinsics @ turn
    result[:, :3, 3:] = -intrinsics @ (turn @ cameras.centers[..., None])
    result[:, 3, 3] = 1
    return result


def _rotations(grid: int, angles: int) -> Float[Tensor, "2 tokens {angles}"]:
    """Cosine and sine by patch, row by row: half of the angles of columns, half of rows."""
    half = angles // 2
    frequency = torch.exp(-math.log(ROPE_PERIOD) * torch.arange(half) / max(half, 1))
    line = torch.arange(grid)[:, None] * frequency
    column, row = line[None].expand(grid, -1, -1), line[:, None].expand(-1, grid, -1)
    angle = torch.cat([column, row], dim=-1).flatten(0, 1)
    return torch.stack([angle.cos(), angle.sin()])


def attention(
    q: Heads, k: Keys, v: Keys, to: Placement, of: Placement
) -> Float[Tensor, "sets views tokens all_channels"]:
    """Attention of the tokens at `to` to all tokens at `of` in the same set."""
    views, tokens = q.shape[1:3]
    q, k, v = to.of_queries(q), of.of_keys(k), of.of_keys(v)
    parts = [x.flatten(1, 2).transpose(1, 2) for x in (q, k, v)]
    mixed = scaled_dot_product_attention(parts[0], parts[1], parts[2])
    mixed = mixed.transpose(1, 2).unflatten(1, (views, tokens))
    return to.of_outputs(mixed).flatten(3)
