"""Splatting in plain torch: every Gaussian at every pixel."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.splat import MAX_ALPHA, MIN_ALPHA, STOP


def splat(
    means: Float[Tensor, "splats 2"],
    conics: Float[Tensor, "splats 3"],
    colors: Float[Tensor, "splats 3"],
    opacities: Float[Tensor, "splats"],
    depths: Float[Tensor, "splats"],
    width: int,
    height: int,
) -> tuple[
    Float[Tensor, "{height} {width} 3"],
    Float[Tensor, "{height} {width}"],
    Float[Tensor, "{height} {width}"],
]:
    order = depths.argsort(stable=True)
    y, x = torch.meshgrid(
        torch.arange(height, device=means.device) + 0.5,
        torch.arange(width, device=means.device) + 0.5,
        indexing="ij",
    )
    dx, dy = (p.reshape(-1, 1) - m for p, m in zip((x, y), means[order].T, strict=True))
    a, b, c = conics[order].T
    power = -0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy
    alpha = (opacities[order] * power.exp()).clamp_max(MAX_ALPHA)
    alpha = torch.where(alpha.detach() >= MIN_ALPHA, alpha, 0.0)
    passed = (1 - alpha).cumprod(1)
    reached = torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=1)
    weights = torch.where(reached.detach() >= STOP, alpha * reached, 0.0)
    summed = weights @ torch.cat([colors, depths[:, None]], dim=1)[order]
    image = summed.view(height, width, 4)
    return image[..., :3], weights.sum(1).view(height, width), image[..., 3]
