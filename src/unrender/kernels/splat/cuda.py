"""Splatting on a GPU, in Triton: one program per tile, which holds all of its pixels.

The algorithm and gradients are those of `cpu.py`; the tiles' lists come from one sort of (tile,
rank) pairs. Gradients are written to one row per pair of tile and Gaussian, and summed in a
second step.
"""

# Triton has no types, and is not installed on most machines.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false
# pyright: reportIndexIssue=false, reportCallIssue=false

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.function import Gradients, Saved
from unrender.kernels.splat import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, SPLAT_SIZE

TILE = 16
OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}


@triton.jit
@no_type_check
def _alpha(splats, k, x, y, MIN: tl.constexpr, MAX: tl.constexpr):
    """α of the k-th Gaussian at pixels, with its falloff, offset and conic for gradients."""
    at = splats + k * 10
    dx, dy = x - tl.load(at), y - tl.load(at + 1)
    a, b, c = tl.load(at + 2), tl.load(at + 3), tl.load(at + 4)
    falloff = tl.exp(tl.minimum(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy, 0.0))
    alpha = tl.minimum(tl.load(at + 8) * falloff, MAX)
    return tl.where(alpha >= MIN, alpha, 0.0), falloff, dx, dy, a, b, c


@triton.jit
@no_type_check
def _forward(
    splats, starts, entries, tiles_x, width, height, out,
    TILE: tl.constexpr, MIN: tl.constexpr, MAX: tl.constexpr, MIN_TRANSMITTANCE: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    lane = tl.arange(0, TILE * TILE)
    row, column = tile // tiles_x * TILE + lane // TILE, tile % tiles_x * TILE + lane % TILE
    inside = (row < height) & (column < width)
    x, y = column.to(tl.float32) + 0.5, row.to(tl.float32) + 0.5
    transmittance = tl.where(inside, 1.0, 0.0)
    red = tl.zeros([TILE * TILE], tl.float32)
    green = tl.zeros([TILE * TILE], tl.float32)
    blue = tl.zeros([TILE * TILE], tl.float32)
    depth = tl.zeros([TILE * TILE], tl.float32)
    at = tl.load(starts + tile)
    last = tl.load(starts + tile + 1)
    while (at < last) & (tl.max(transmittance, axis=0) >= MIN_TRANSMITTANCE):
        k = tl.load(entries + at).to(tl.int64)
        alpha, _, _, _, _, _, _ = _alpha(splats, k, x, y, MIN, MAX)
        weight = tl.where(transmittance >= MIN_TRANSMITTANCE, transmittance * alpha, 0.0)
        transmittance -= weight
        red += weight * tl.load(splats + k * 10 + 5)
        green += weight * tl.load(splats + k * 10 + 6)
        blue += weight * tl.load(splats + k * 10 + 7)
        depth += weight * tl.load(splats + k * 10 + 9)
        at += 1
    pixel = out + row * width + column
    pixels = width * height
    tl.store(pixel, red, mask=inside)
    tl.store(pixel + pixels, green, mask=inside)
    tl.store(pixel + 2 * pixels, blue, mask=inside)
    tl.store(pixel + 3 * pixels, 1 - transmittance, mask=inside)
    tl.store(pixel + 4 * pixels, depth, mask=inside)


@triton.jit
@no_type_check
def _backward(
    splats, starts, entries, tiles_x, width, height, image, grad_output, out,
    TILE: tl.constexpr, MIN: tl.constexpr, MAX: tl.constexpr, MIN_TRANSMITTANCE: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    lane = tl.arange(0, TILE * TILE)
    row, column = tile // tiles_x * TILE + lane // TILE, tile % tiles_x * TILE + lane % TILE
    inside = (row < height) & (column < width)
    x, y = column.to(tl.float32) + 0.5, row.to(tl.float32) + 0.5
    transmittance = tl.where(inside, 1.0, 0.0)
    pixel = row * width + column
    pixels = width * height
    g_red = tl.load(grad_output + pixel, mask=inside, other=0.0)
    g_green = tl.load(grad_output + pixels + pixel, mask=inside, other=0.0)
    g_blue = tl.load(grad_output + 2 * pixels + pixel, mask=inside, other=0.0)
    g_opacity = tl.load(grad_output + 3 * pixels + pixel, mask=inside, other=0.0)
    g_depth = tl.load(grad_output + 4 * pixels + pixel, mask=inside, other=0.0)
    behind = g_red * tl.load(image + pixel, mask=inside, other=0.0)
    behind += g_green * tl.load(image + pixels + pixel, mask=inside, other=0.0)
    behind += g_blue * tl.load(image + 2 * pixels + pixel, mask=inside, other=0.0)
    behind += g_opacity * tl.load(image + 3 * pixels + pixel, mask=inside, other=0.0)
    behind += g_depth * tl.load(image + 4 * pixels + pixel, mask=inside, other=0.0)
    at = tl.load(starts + tile)
    last = tl.load(starts + tile + 1)
    while (at < last) & (tl.max(transmittance, axis=0) >= MIN_TRANSMITTANCE):
        k = tl.load(entries + at).to(tl.int64)
        alpha, falloff, dx, dy, a, b, c = _alpha(splats, k, x, y, MIN, MAX)
        alive = transmittance >= MIN_TRANSMITTANCE
        weight = tl.where(alive, transmittance * alpha, 0.0)
        value = g_red * tl.load(splats + k * 10 + 5) + g_green * tl.load(splats + k * 10 + 6)
        value += g_blue * tl.load(splats + k * 10 + 7) + g_opacity
        value += g_depth * tl.load(splats + k * 10 + 9)
        behind -= weight * value
        grad_alpha = transmittance * value - behind / (1 - alpha)
        # Clamped α has no gradient.
        grad_alpha = tl.where(alive & (alpha > 0) & (alpha < MAX), grad_alpha, 0.0)
        grad_power = grad_alpha * alpha
        transmittance -= weight
        row_out = out + at.to(tl.int64) * 10
        tl.store(row_out, tl.sum(grad_power * (a * dx + b * dy), axis=0))
        tl.store(row_out + 1, tl.sum(grad_power * (b * dx + c * dy), axis=0))
        tl.store(row_out + 2, tl.sum(-0.5 * grad_power * dx * dx, axis=0))
        tl.store(row_out + 3, tl.sum(-grad_power * dx * dy, axis=0))
        tl.store(row_out + 4, tl.sum(-0.5 * grad_power * dy * dy, axis=0))
        tl.store(row_out + 5, tl.sum(weight * g_red, axis=0))
        tl.store(row_out + 6, tl.sum(weight * g_green, axis=0))
        tl.store(row_out + 7, tl.sum(weight * g_blue, axis=0))
        tl.store(row_out + 8, tl.sum(grad_alpha * falloff, axis=0))
        tl.store(row_out + 9, tl.sum(weight * g_depth, axis=0))
        at += 1


def _tile_lists(
    splats: Float[Tensor, "splats 10"], width: int, height: int
) -> tuple[Int[Tensor, "tiles_plus_one"], Int[Tensor, "entries"]]:
    """Gaussians of each tile by depth: the start of each list, and all lists concatenated."""
    x, y, a, b, c = splats[:, :5].T
    opacity, determinant = splats[:, 8], a * c - b * b
    level = 2 * (opacity / MIN_ALPHA).clamp_min(1).log()
    half_x, half_y = ((level * side / determinant.clamp_min(1e-30)).sqrt() for side in (c, a))
    visible = (opacity >= MIN_ALPHA) & (determinant > 0)
    left, right = (x - half_x - 0.5).ceil(), (x + half_x - 0.5).floor() + 1
    top, bottom = (y - half_y - 0.5).ceil(), (y + half_y - 0.5).floor() + 1
    visible &= (left < width) & (right > 0) & (top < height) & (bottom > 0)
    tiles_x, tiles_y = -(-width // TILE), -(-height // TILE)
    first_u, last_u = left.clamp(0, width - 1) // TILE, (right - 1).clamp(0, width - 1) // TILE
    first_v, last_v = (
        top.clamp(0, height - 1) // TILE,
        (bottom - 1).clamp(0, height - 1) // TILE,
    )
    spans_u, spans_v = (last_u - first_u + 1).long(), (last_v - first_v + 1).long()
    counts = torch.where(visible, (spans_u * spans_v).clamp_min(0), 0)
    rank = splats[:, 9].argsort(stable=True)
    counts = counts[rank]
    splat = rank.repeat_interleave(counts)
    within = torch.arange(len(splat), device=splat.device) - (
        counts.cumsum(0) - counts
    ).repeat_interleave(counts)
    u = first_u[splat].long() + within % spans_u[splat]
    v = first_v[splat].long() + within // spans_u[splat]
    tile, order = (v * tiles_x + u).sort(stable=True)
    starts = torch.searchsorted(tile, torch.arange(tiles_x * tiles_y + 1, device=tile.device))
    return starts, splat[order].int()


def splat_forward(splats: Tensor, width: int, height: int) -> Saved:
    values = splats.detach().contiguous()
    starts, entries = _tile_lists(values, width, height)
    image = values.new_zeros(5, height, width)
    tiles_x = -(-width // TILE)
    with torch.cuda.device_of(values):
        _forward[(len(starts) - 1,)](
            values, starts, entries, tiles_x, width, height, image,
            TILE, MIN_ALPHA, MAX_ALPHA, MIN_TRANSMITTANCE, **OPTIONS,
        )  # fmt: skip
    return image, (values, starts, entries, image), ()


def splat_backward(
    gradient: Tensor,
    needed: tuple[bool, ...],
    values: Tensor,
    starts: Tensor,
    entries: Tensor,
    image: Tensor,
) -> Gradients:
    _, height, width = image.shape
    parts = values.new_zeros(len(entries), SPLAT_SIZE)
    with torch.cuda.device_of(values):
        _backward[(len(starts) - 1,)](
            values, starts, entries, -(-width // TILE), width, height, image,
            gradient.contiguous(), parts,
            TILE, MIN_ALPHA, MAX_ALPHA, MIN_TRANSMITTANCE, **OPTIONS,
        )  # fmt: skip
    return (torch.zeros_like(values).index_add(0, entries.long(), parts),)
