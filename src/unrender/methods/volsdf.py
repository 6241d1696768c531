"""VolSDF: density from a signed distance, and samples with bounded opacity error.

Yariv, Gu, Kasten, Lipman, "Volume Rendering of Neural Implicit Surfaces", NeurIPS 2021,
https://arxiv.org/abs/2106.12052.

The preset `volsdf` has the networks, samples, losses and rates of the paper and its code: 8
layers of 256 with weight normalization, begun as a sphere; 128 samples of the whole bounding
sphere, up to five rounds of 128 more, and 64 of the opacity with 32 of the others; 1,024 rays a
step. Where it differs: β is learned by its logarithm, the background of a capture comes from a
hash grid behind the sphere in place of NeRF++, and images with alpha have a mask loss, which
`--mask-weight 0` turns off. `volsdf-fast`, for minutes on two cores, has a hash grid
(`fields/surface_networks.py`), fewer samples, none where a grid of distances skips them, and a
bound on the layer's width.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.rendering.volume.compositing import depth_weights, sum_in_front
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


@dataclass(frozen=True)
class VolSDF(SurfaceMethod):
    """Signed distances, density by the Laplace CDF, error-bounded samples (2021)."""

    tolerance: float = 0.1
    """Bound ε on the error of a ray's opacity up to any position on it."""
    coarse_samples: int = 24
    """Samples per ray of the first round, and of each later one, without gradients."""
    rounds: int = 2
    """Maximum number of rounds in which samples are added where the bound is exceeded."""
    bisections: int = 8
    """Bisections of β."""
    bins: int = 16
    """Bins per ray that are rendered, chosen from the opacity."""
    extra_samples: int = 0
    """Further edges between rendered bins, evenly taken from the coarse samples."""
    random_points: float = 0.25
    """Random points for the eikonal loss besides the samples, as a multiple of the rays."""
    one_sample: bool = False
    """Evaluate the eikonal loss at one random sample of each ray, as the paper does, not at
    all."""
    exponential: bool = False
    """Let learning rates fall exponentially to a tenth, as in the paper; otherwise they rise in
    a short warm-up, and fall to a twentieth along half a cosine."""

    def schedule(self, progress: Progress) -> float:
        if self.exponential:
            return 0.1**progress.fraction
        return super().schedule(progress)

    def density(
        self, model: SurfaceModel, distance: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        return laplace_density(distance, model.width.detach())

    def edges(
        self, model: SurfaceModel, rays: SampledRays, generator: torch.Generator | None
    ) -> Float[Tensor, "rays edges"]:
        """Edges sampled from the opacity of the least β within the bound (alg. 1)."""
        t = rays.even_edges(self.coarse_samples, generator)
        distance = rays.signed_distances(model.field, t)
        wanted = model.width.expand(len(t))
        for again in range(self.rounds + 1):
            bounds = opacity_error_bounds(distance, t, wanted)
            if again == self.rounds or not bool((bounds.amax(1) > self.tolerance).any()):
                break
            # More samples where the bound grows most, and all of them sorted again.
            grown = torch.diff(bounds, dim=1, prepend=torch.zeros_like(bounds[:, :1])).relu()
            more = finer_edges(t, grown + 1e-6, self.coarse_samples, generator)
            t, order = torch.cat([t, more], dim=1).sort(dim=1)
            further = rays.signed_distances(model.field, more)
            distance = torch.cat([distance, further], dim=1).gather(1, order)
        beta = bounded_beta(distance, t, wanted, self.tolerance, self.bisections)
        weights = depth_weights(
            laplace_density(distance[:, :-1], beta[:, None]) * t.diff(dim=1)
        )
        edges = finer_edges(t, widened(weights, PADDING), self.bins, generator)
        if self.extra_samples:
            chosen = torch.linspace(0, t.shape[1] - 1, self.extra_samples).round().long()
            edges = torch.cat([edges, t[:, chosen.to(t.device)]], dim=1).sort(dim=1).values
        return edges

    def optical_depth(
        self, model: SurfaceModel, bins: SurfaceBins, fraction: float
    ) -> Float[Tensor, "points"]:
        return laplace_density(bins.local.distance, model.width) * bins.length

    def losses(
        self, model: SurfaceModel, data: Views, progress: Progress, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Color and eikonal losses (VolSDF, sec. 3.4), and ours of the mask."""
        batch, out = self.render_batch(model, data, progress, generator)
        error = out.rendering.color - batch.rgba[:, :3]
        gradient = out.local.gradient
        if self.one_sample and len(gradient):
            per_ray = out.bins_per_ray
            first = torch.arange(0, len(gradient), per_ray)
            chosen = first + torch.randint(per_ray, first.shape, generator=generator)
            gradient = gradient[chosen.to(gradient.device)]
        count = int(self.random_points * self.rays)
        gradients = [gradient, random_gradients(model, count, generator)]
        return {
            "color": error.abs().mean(),
            "eikonal": self.eikonal_weight * eikonal_loss(torch.cat(gradients)),
            "metric/psnr": -10 * error.detach().square().mean().log10(),
            "metric/width": model.width.detach(),
            **self.mask_losses(model, out.rendering, batch.rgba[:, 3]),
        }


def laplace_density(
    distance: Float[Tensor, "*batch"], beta: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """α Ψ(−f) of signed distances f, with the CDF Ψ of Laplace's distribution, and α = 1 / β.

    VolSDF, eq. 2 and 3: 1 / β inside, half of it on the surface, exponential decay outside.
    """
    falling = 0.5 * (-distance.abs() / beta).exp()
    return torch.where(distance > 0, falling, 1 - falling) / beta


def opacity_error_bounds(
    distance: Float[Tensor, "rays edges"],
    t: Float[Tensor, "rays edges"],
    beta: Float[Tensor, "rays"],
) -> Float[Tensor, "rays bins"]:
    """Bounds on the error of the opacity up to any point in each bin (VolSDF, eq. 15).

    The error is that of the quadrature, which takes the density at a bin's first edge as that
    of the whole bin. The bound holds if f is a true distance.
    """
    beta, length = beta[:, None], t.diff(dim=1)
    nearest = least_distance(distance, t)
    errors = length.square() * (-nearest / beta).exp() / (4 * beta.square())
    depth = length * laplace_density(distance[:, :-1], beta)
    # Clamping keeps large bounds finite.
    return (-sum_in_front(depth)).exp() * torch.expm1(errors.cumsum(1).clamp_max(30.0))


def least_distance(
    distance: Float[Tensor, "rays edges"], t: Float[Tensor, "rays edges"]
) -> Float[Tensor, "rays bins"]:
    """Lower bound on the distance to the surface in each bin, if f is a true distance (VolSDF,
    sec. 3.3).

    The balls around both edges with radii |f| and |f'| contain no surface. If they do not cover
    the bin, the bound is 0. Otherwise it is the distance to the circle in which the balls
    intersect: the height of a triangle with sides |f|, |f'| and the bin's length; or the
    distance at the nearer edge if the height's foot is outside of the bin.
    """
    a, b = distance[:, :-1].abs(), distance[:, 1:].abs()
    length = t.diff(dim=1).clamp_min(1e-12)
    # Heron's formula; the cases with negative factors are overwritten below.
    half = (a + b + length) / 2
    area2 = half * (half - a) * (half - b) * (half - length)
    height = 2 * area2.clamp_min(0).sqrt() / length
    obtuse = (a.square() - b.square()).abs() >= length.square()
    crossed = distance[:, :-1].sign() * distance[:, 1:].sign() < 0
    height = torch.where(obtuse, torch.minimum(a, b), height)
    return torch.where((a + b <= length) | crossed, 0.0, height)


def safe_beta(
    length: Float[Tensor, "rays"], bins: int, tolerance: float
) -> Float[Tensor, "rays"]:
    """A β for which `bins` equal bins satisfy the tolerance (VolSDF, lemma 2, α = 1 / β)."""
    return length / math.sqrt(4 * bins * math.log1p(tolerance))


def bounded_beta(
    distance: Float[Tensor, "rays edges"],
    t: Float[Tensor, "rays edges"],
    wanted: Float[Tensor, "rays"],
    tolerance: float,
    bisections: int = 10,
) -> Float[Tensor, "rays"]:
    """The smallest β above the current one that satisfies the bound, by bisection (alg. 1)."""
    low = wanted
    # From the longest bin: the bound for equal bins of that length is an upper bound.
    bins = t.shape[1] - 1
    high = safe_beta(bins * t.diff(dim=1).amax(1), bins, tolerance).maximum(wanted)
    kept = opacity_error_bounds(distance, t, wanted).amax(1) <= tolerance
    high = torch.where(kept, wanted, high)
    for _ in range(bisections):
        middle = (low + high) / 2
        good = opacity_error_bounds(distance, t, middle).amax(1) <= tolerance
        low, high = torch.where(good, low, middle), torch.where(good, middle, high)
    return high
