"""Splatting in PyTorch: every Gaussian at every pixel."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.kernels.splat import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE


def splat(
    splats: Float[Tensor, "splats 10"], width: int, height: int
) -> Float[Tensor, "5 {height} {width}"]:
    means, conics, colors, opacities, depths = splats.split([2, 3, 3, 1, 1], dim=1)
    order = depths[:, 0].argsort(stable=True)
    y, x = torch.meshgrid(
        torch.arange(height, device=means.device) + 0.5,
        torch.arange(width, device=means.device) + 0.5,
        indexing="ij",
    )
    dx, dy = (p.reshape(-1, 1) - m for p, m in zip((x, y), means[order].T, strict=True))
    a, b, c = conics[order].T
    power = -0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy
    alpha = (opacities[order, 0] * power.exp()).clamp_max(MAX_ALPHA)
    alpha = torch.where(alpha.detach() >= MIN_ALPHA, alpha, 0.0)
    transmittance_after = (1 - alpha).cumprod(1)
    transmittance = torch.cat(
        [torch.ones_like(transmittance_after[:, :1]), transmittance_after[:, :-1]], dim=1
    )
    weights = torch.where(
        transmittance.detach() >= MIN_TRANSMITTANCE, alpha * transmittance, 0.0
    )
    channels = torch.cat([colors, torch.ones_like(depths), depths], dim=1)
    return (weights @ channels[order]).T.reshape(5, height, width)
