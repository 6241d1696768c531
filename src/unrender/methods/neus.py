"""NeuS: a signed distance rendered with weights that peak on its surface.

Wang, Liu, Liu, Theobalt, Komura, Wang, "NeuS: Learning Neural Implicit Surfaces by Volume
Rendering for Multi-view Reconstruction", NeurIPS 2021, https://arxiv.org/abs/2106.10689.

The preset `neus` has the networks, samples, losses and rates of the paper and its code: 8
layers of 256 with weight normalization, begun as a sphere; 64 samples of the whole bounding
sphere and 64 more in four rounds; 512 rays a step. Where it differs: the background of a
capture comes from a hash grid behind the sphere in place of NeRF++, every sample is jittered by
itself rather than all of a ray together, and with masks the colors of all pixels count, over
black.
`neus-fast`, for minutes on two cores, has a hash grid (`fields/surface_networks.py`), one round
of samples where a grid of distances does not skip them, and a bound on the layer's width.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from unrender.data.views import Views
from unrender.kernels.step_function import sample
from unrender.rendering.volume.compositing import depth_weights
from unrender.rendering.volume.proposals import finer_edges, widened
from unrender.training.method import Progress
from unrender.training.surface_method import (
    SampledRays,
    SurfaceBins,
    SurfaceMethod,
    SurfaceModel,
    eikonal_loss,
    random_gradients,
)

PADDING = 0.01
"""Padding of the weights for resampling, so that every bin keeps some probability."""
UPSAMPLE_SHARPNESS = 64.0
"""Sharpness s for the first round of further samples, per radius; doubled in each round."""


@dataclass(frozen=True)
class NeuS(SurfaceMethod):
    """Signed distances, unbiased weights by the logistic CDF (2021)."""

    anneal_until: float = 0.1
    """Fraction of training over which back-facing surfaces contribute, ever less (cosine
    annealing)."""
    coarse_samples: int = 24
    """Coarse samples per ray, without gradients."""
    upsample_rounds: int = 0
    """Rounds of further samples at fixed sharpnesses, rendered with the coarse ones, as in the
    paper; with 0, one round at the learned sharpness, and its samples alone are rendered."""
    bins: int = 16
    """Further samples per ray, of all rounds together."""
    random_points: float = 0.25
    """Random points for the eikonal loss besides the samples, as a multiple of the rays."""

    def density(
        self, model: SurfaceModel, distance: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """Density along a ray antiparallel to the normal: s (1 − Φ(f)) (NeuS, eq. 10)."""
        sharpness = 1 / model.width.detach()
        return sharpness * (-sharpness * distance).sigmoid()

    def edges(
        self, model: SurfaceModel, rays: SampledRays, generator: torch.Generator | None
    ) -> Float[Tensor, "rays edges"]:
        """Edges sampled from the field's weights, linear between coarse samples."""
        t = rays.even_edges(self.coarse_samples, generator)
        distance = rays.signed_distances(model.field, t)
        if self.upsample_rounds == 0:
            depth = logistic_depth(distance[:, :-1], distance[:, 1:], 1 / model.width)
            weights = widened(depth_weights(depth), PADDING)
            return finer_edges(t, weights, self.bins, generator)
        count = self.bins // self.upsample_rounds
        quantiles = ((torch.arange(count) + 0.5) / count).expand(len(t), -1).to(t.device)
        for step in range(self.upsample_rounds):
            depth = upsampling_depth(distance, t, UPSAMPLE_SHARPNESS * 2**step)
            more = sample(t, depth_weights(depth) + 1e-5, quantiles.contiguous())
            t, order = torch.cat([t, more], dim=1).sort(dim=1)
            if step + 1 < self.upsample_rounds:
                further = rays.signed_distances(model.field, more)
                distance = torch.cat([distance, further], dim=1).gather(1, order)
        return t

    def optical_depth(
        self, model: SurfaceModel, bins: SurfaceBins, fraction: float
    ) -> Float[Tensor, "points"]:
        """Optical depths from distances at the edges of bins, extrapolated from midpoints.

        Only surfaces that face the ray absorb light. At the start of training, grazing and
        back-facing ones do too, by half, so that everything has gradients.
        """
        local = bins.local
        cosine = (local.gradient * bins.directions).sum(1)
        share = min(fraction / self.anneal_until, 1.0) if self.anneal_until else 1.0
        facing = (-cosine).relu()
        if share < 1:
            facing = share * facing + (1 - share) * (0.5 - 0.5 * cosine).relu()
        half = facing * bins.length / 2
        return logistic_depth(local.distance + half, local.distance - half, 1 / model.width)

    def losses(
        self, model: SurfaceModel, data: Views, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Color, eikonal and mask losses (NeuS, sec. 3.3)."""
        batch, out = self.render_batch(model, data, progress, generator)
        error = out.rendering.color - batch.rgba[:, :3]
        count = int(self.random_points * self.rays)
        gradients = [out.local.gradient, random_gradients(model, count, generator)]
        return {
            "color": error.abs().mean(),
            "eikonal": self.eikonal_weight * eikonal_loss(torch.cat(gradients)),
            "metric/psnr": -10 * error.detach().square().mean().log10(),
            "metric/width": model.width.detach(),
            **self.mask_losses(model, out.rendering, batch.rgba[:, 3]),
        }


def logistic_depth(
    first: Float[Tensor, "*batch"],
    last: Float[Tensor, "*batch"],
    sharpness: Float[Tensor, ""] | float,
) -> Float[Tensor, "*batch"]:
    """Optical depth of a bin from the signed distances at its two edges (NeuS, eq. 13).

    Distances f are negative inside, in the unit of 1 / sharpness. The opacity in NeuS is
    max((Φ(first) − Φ(last)) / Φ(first), 0), with the logistic CDF
    Φ(f) = 1 / (1 + exp(−sharpness f)); its optical depth −log(1 − opacity) is therefore
    log Φ(first) − log Φ(last), which is accurate for opacities near 1, too.
    """
    a, b = sharpness * first, sharpness * last
    # Two forms of the same, since log Φ(a) is −softplus(−a) = a − softplus(a). Deep inside,
    # where log Φ is large, the second would lose the digits of thin bins.
    inside = sharpness * (first - last) - softplus(a) + softplus(b)
    depth = torch.where((a < 0) & (b < 0), inside, softplus(-b) - softplus(-a))
    return depth.clamp_min(0)


def upsampling_depth(
    distance: Float[Tensor, "rays edges"], t: Float[Tensor, "rays edges"], sharpness: float
) -> Float[Tensor, "rays bins"]:
    """Optical depths of bins for choosing further samples, as in the authors' code.

    The slope of the distance along the ray is the lesser of the bin's own and that of the bin
    before, and at most 0, so that the far side of a thin object gets no samples.
    """
    length = t.diff(dim=1)
    slope = distance.diff(dim=1) / (length + 1e-5)
    before = torch.cat([torch.zeros_like(slope[:, :1]), slope[:, :-1]], dim=1)
    half = slope.minimum(before).clamp(-1e3, 0) * length / 2
    middle = (distance[:, 1:] + distance[:, :-1]) / 2
    return logistic_depth(middle - half, middle + half, sharpness)
