"""Networks on what reference views show along rays, in patches of them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d

from unrender.geometry.epipolar import EpipolarLines
from unrender.rendering.patches import inner_pixels
from unrender.rendering.reference_views import ReferenceViews

LEAST_VARIANCE, UNKNOWN = 1e-4, 1.0
"""Added to variances of colors; the variance where fewer than two references see a point."""
PEAK = 2
"""Planes on each side of the best one whose mean is the point that is found."""


class ConvolutionLayer(nn.Module):
    """A convolution without padding, with Glorot-uniform weights times `gain`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        generator: torch.Generator,
        gain: float = 1.0,
    ):
        super().__init__()
        bound = gain * (6 / (side * side * (inputs + outputs))) ** 0.5
        weight = torch.rand(outputs, inputs, side, side, generator=generator)
        self.weight = nn.Parameter((2 * weight - 1) * bound)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(
        self, x: Float[Tensor, "n inputs height width"]
    ) -> Float[Tensor, "n outputs rows columns"]:
        return conv2d(x, self.weight, self.bias)


@dataclass(frozen=True)
class Found:
    """What a search finds on each ray."""

    inverse: Float[Tensor, "patches rays"]
    """Inverse distances."""
    certainty: Float[Tensor, "patches rays"]
    """The share of the planes around it, in [0, 1]."""
    color: Float[Tensor, "patches rays channels"]
    """The references' mean colors, averaged over the planes."""


class DepthSearch(nn.Module):
    """Convolutions over how much the references differ at planes of inverse distance.

    A plane sweep (Collins, CVPR 1996) whose costs are regularized by a network, as in Kalantari
    et al., "Learning-based view synthesis for light field cameras" (SIGGRAPH Asia 2016).
    """

    def __init__(self, planes: int, layers: int, width: int, generator: torch.Generator):
        """`width`: channels between the layers."""
        super().__init__()
        self.planes = planes
        sizes = [2 * planes, *[width] * (layers - 1), planes]
        self.layers = nn.ModuleList(
            ConvolutionLayer(
                sizes[k], sizes[k + 1], 3, generator, 0.1 if k == layers - 1 else 1.0
            )
            for k in range(layers)
        )
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    @property
    def border(self) -> int:
        """Pixels around a patch that are read."""
        return len(self.layers)

    def forward(
        self,
        references: ReferenceViews,
        chosen: Int[Tensor, "patches views"],
        lines: EpipolarLines,
        inverse_range: Float[Tensor, "2"],
        width: int,
    ) -> Found:
        """Search patches of `width` pixels a row along lines in the references chosen for each.

        These are nearest first. What is found has the border of the patches left out. Not
        differentiable in the lines.
        """
        farthest, nearest = inverse_range
        inverse = torch.linspace(0, 1, self.planes, device=chosen.device)
        inverse = farthest + (nearest - farthest) * inverse
        with torch.no_grad():
            shown, seen = references.along(lines, chosen, inverse, "bilinear")
            mean, spread = _spread(shown, seen)
            cost = spread.mT.unflatten(2, (-1, width))
            # About −1.6 where all agree and 3 where they do not.
            cost = cost.log() / 2 + 3
        prior = avg_pool2d(cost[:, : self.planes], 2 * self.border + 1, 1)
        for k, layer in enumerate(self.layers):
            cost = layer(cost.relu() if k else cost)
        share = (cost - self.sharpness * prior).flatten(2).mT.contiguous().softmax(-1)
        height = mean.shape[2] // width
        mean = mean[:, :, inner_pixels(width, height, self.border, mean.device)]
        best = share.detach().argmax(-1, keepdim=True)
        around = best + torch.arange(-PEAK, PEAK + 1, device=best.device)
        inside = (around >= 0) & (around < self.planes)
        around = around.clamp(0, self.planes - 1)
        peak = share.gather(2, around) * inside
        total = peak.sum(-1)
        middle = (peak * inverse[around]).sum(-1) / total
        return Found(middle, total, (mean * share[:, None]).sum(-1).mT)


def _spread(shown: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean colors [patches, channels, rays, planes] over the references that see a point.

    Also variances [patches, rays, 2 × planes], averaged over channels: of all references, and
    then of the nearer half of them.
    """
    half, channels = (shown.shape[1] + 1) // 2, shown.shape[2]
    if not bool(seen.all()):
        shown = shown * seen[:, :, None]
    squares = shown.square()
    near, squares_near = shown[:, :half].sum(1), squares[:, :half].sum((1, 2))
    total, squares = near + shown[:, half:].sum(1), squares[:, half:].sum((1, 2)) + squares_near
    counts = seen[:, :half].sum(1), seen.sum(1)
    found: list[Tensor] = []
    for count, first, second in ((counts[1], total, squares), (counts[0], near, squares_near)):
        number = count.clamp_min(1)
        square = first.square().sum(1) / number
        variance = ((second - square) / (channels * number)).clamp_min(0) + LEAST_VARIANCE
        found.append(variance.masked_fill(count < 2, UNKNOWN))
    return total / counts[1].clamp_min(1)[:, None], torch.cat(found, dim=-1)


class ColorFeatures(nn.Module):
    """Tokens of the colors that references show around each point, by a convolution.

    Neighboring pixels are those of the target's rays, at their own points.
    """

    def __init__(self, channels: int, width: int, around: int, generator: torch.Generator):
        """`around`: pixels on each side of a point that the convolution reads."""
        super().__init__()
        self.layer = ConvolutionLayer(2 * channels + 1, width, 2 * around + 1, generator)

    def forward(
        self,
        shown: Float[Tensor, "patches views channels rays points"],
        seen: Bool[Tensor, "patches views rays points"],
        certainty: Float[Tensor, "patches rays"],
        width: int,
    ) -> Float[Tensor, "patches inner views points features"]:
        """Of colors, whether they are in the images, and the certainty of the points.

        Patches have `width` pixels a row; the outermost, which are only read, are left out.
        """
        weight = seen[:, :, None].to(shown)
        mean = (shown * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
        mean = mean.expand_as(shown)
        sure = certainty[:, None, None, :, None].expand_as(shown[:, :, :1])
        stacked = torch.cat([shown - mean, mean - 0.5, sure - 0.5], dim=2)
        images = stacked.permute(0, 1, 4, 2, 3).flatten(0, 2).unflatten(2, (-1, width))
        patches, views, _, _, points = shown.shape
        features = self.layer(images).flatten(2).unflatten(0, (patches, views, points))
        return features.permute(0, 4, 1, 2, 3)
