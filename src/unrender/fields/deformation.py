"""Deformation fields: where each point of a moving scene lies in its canonical scene.

Park et al., "Nerfies: Deformable Neural Radiance Fields", ICCV 2021,
https://arxiv.org/abs/2011.12948. A network maps a point and the code of a moment to a rigid
motion of that point; its encoding is windowed, so that details are learned last; its Jacobian
is kept near a rotation.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.errors import InputError
from unrender.fields.derivatives import jacobian
from unrender.fields.encodings import positional_encoding
from unrender.fields.networks import LinearLayer, Trunk, can_fuse, fused_layers
from unrender.geometry.poses import se3_move
from unrender.kernels.expand import expand

ROBUST_SCALE = 0.03
"""c of the Geman–McClure function in Nerfies's elastic loss."""
SMALLEST = 1e-6
"""Singular values below it count as it: their logarithm has no bound."""
CODE_SCALE = 0.05
"""Codes are initially uniform between 0 and this."""


def window(alpha: float, frequencies: int) -> Float[Tensor, "frequencies"]:
    """Weights of the frequencies 0, 1, … of an encoding at the progress `alpha`.

    w_j = (1 − cos(π clamp(α − j, 0, 1))) / 2: 0 for α ≤ j and 1 for α ≥ j + 1. `alpha` is in
    [0, frequencies]; beyond it, all are 0 or all are 1.
    """
    x = (alpha - torch.arange(frequencies)).clamp(0, 1)
    return (1 - (torch.pi * x).cos()) / 2


def windowed_encoding(
    x: Float[Tensor, "*batch channels"], frequencies: int, alpha: float
) -> Float[Tensor, "*batch encoded"]:
    """x, then its positional encoding, each frequency times its `window` at `alpha`.

    channels × (2 × frequencies + 1) numbers: x, all sines by frequency, all cosines.
    """
    waves = positional_encoding(x, frequencies)
    if alpha < frequencies:
        weights = window(alpha, frequencies).to(x).repeat_interleave(x.shape[-1]).repeat(2)
        waves = weights * waves
    return torch.cat([x, waves], dim=-1)


class TimeCodes(nn.Module):
    """A learned code for each moment of a film; between two moments, codes are interpolated."""

    times: Tensor

    def __init__(self, times: Float[Tensor, "moments"], size: int, generator: torch.Generator):
        """`times`: the moments, in ascending order; `size`: numbers in a code."""
        super().__init__()
        self.register_buffer("times", times.clone())
        codes = torch.rand(len(times), size, generator=generator)
        self.codes = nn.Parameter(CODE_SCALE * codes)

    @torch.no_grad()
    def begin_smooth(self) -> None:
        """Begin with waves over the film, sin(π k t) and cos(π k t) for k = 1, 2, … and t in
        [0, 1], by which near moments have near codes and learn from each other.
        """
        first, last = self.span
        t = (self.times - first) / (last - first)
        waves = [w(torch.pi * k * t) for k in range(1, 9) for w in (torch.sin, torch.cos)]
        size = self.codes.shape[1]
        self.codes[:, :16].copy_(torch.stack(waves[:size], dim=1))

    def forward(self, times: Float[Tensor, "rays"]) -> Float[Tensor, "rays size"]:
        """The codes at times within the film; beyond its ends, those of the ends."""
        known = self.times
        after = torch.searchsorted(known, times).clamp(1, len(known) - 1)
        first, last = known[after - 1], known[after]
        share = ((times - first) / (last - first)).clamp(0, 1)[:, None]
        return torch.lerp(self.codes[after - 1], self.codes[after], share)

    @property
    def span(self) -> tuple[float, float]:
        """The first and the last moment."""
        return float(self.times[0]), float(self.times[-1])

    def check(self, times: Float[Tensor, "*n"]) -> None:
        """InputError for a time outside the film, but for the moment before and after it.

        That is so near that the codes of the ends serve: held-out frames may be there.
        """
        first, last = self.span
        margin = float(self.times.diff().max())
        outside = times[(times < first - margin) | (times > last + margin)]
        if len(outside):
            raise InputError(
                f"time {float(outside[0]):g} is outside of the film, which lasts from "
                f"{first:g} to {last:g}: give a time within it"
            )


class CodedNetwork(nn.Module):
    """A network of points and of the codes of moments; its encoding of points is windowed.

    Points are in the units of a scene within [−1, 1]³. At first all outputs are nearly 0.
    """

    def __init__(
        self,
        codes: int,
        frequencies: int,
        width: int,
        depth: int,
        skip: int,
        outputs: int,
        generator: torch.Generator,
    ):
        """`codes`: numbers in a code; `skip`: layer that receives the inputs again, or 0."""
        super().__init__()
        self.frequencies = frequencies
        inputs = codes + 3 * (2 * frequencies + 1)
        self.trunk = Trunk(inputs, width, depth, skip, generator)
        self.last = LinearLayer(width, outputs, generator)
        with torch.no_grad():
            self.last.weight.uniform_(-1e-4, 1e-4, generator=generator)

    def along_rays(
        self,
        points: Float[Tensor, "points 3"],
        codes: Float[Tensor, "rays codes"],
        offsets: Int[Tensor, "rays_plus_one"],
        alpha: float,
    ) -> Float[Tensor, "points outputs"]:
        """Outputs at the progress `alpha` of the window.

        Ray r, which has one code, has the points offsets[r] to offsets[r + 1].
        """
        encoded = windowed_encoding(points, self.frequencies, alpha)
        if can_fuse(encoded) and not self.trunk.skip:
            layers = [*self.trunk.affine(), (self.last.weight, self.last.bias)]
            return fused_layers(encoded, layers, "none", codes, offsets)
        each = expand(codes, offsets, len(points))
        return self.last(self.trunk(torch.cat([each, encoded], dim=-1)))

    def at(
        self,
        points: Float[Tensor, "points 3"],
        codes: Float[Tensor, "points codes"],
        alpha: float,
    ) -> Float[Tensor, "points outputs"]:
        """The same with a code for each point; differentiable twice."""
        encoded = windowed_encoding(points, self.frequencies, alpha)
        return self.last(self.trunk(torch.cat([codes, encoded], dim=-1)))


class RigidMotions(CodedNetwork):
    """A rigid motion for each point and code: the exponential map of a screw axis.

    At first the motions are nearly none.
    """

    def __init__(
        self,
        codes: int,
        frequencies: int,
        width: int,
        depth: int,
        skip: int,
        generator: torch.Generator,
        translation_only: bool = False,
    ):
        """`translation_only` is the paper's ablation: points are moved, and not turned."""
        outputs = 3 if translation_only else 6
        super().__init__(codes, frequencies, width, depth, skip, outputs, generator)
        self.translation_only = translation_only

    def forward(
        self,
        points: Float[Tensor, "points 3"],
        codes: Float[Tensor, "rays codes"],
        offsets: Int[Tensor, "rays_plus_one"],
        alpha: float,
    ) -> Float[Tensor, "points 3"]:
        """The points of rays in the canonical scene, at the progress `alpha` of the window."""
        return self._move(points, self.along_rays(points, codes, offsets, alpha))

    def jacobians(
        self,
        points: Float[Tensor, "points 3"],
        codes: Float[Tensor, "points codes"],
        alpha: float,
    ) -> Float[Tensor, "points 3 3"]:
        """Jacobians of the map of points, differentiable in its parameters and the codes."""
        return jacobian(lambda at: self._move(at, self.at(at, codes, alpha)), points)

    def _move(self, points: Tensor, motion: Tensor) -> Tensor:
        return points + motion if self.translation_only else se3_move(motion, points)


class DeformationField(nn.Module):
    """Codes of the moments of a film, and the motions into its canonical scene."""

    alpha: Tensor
    """Progress of the window; set while training."""

    def __init__(
        self,
        times: Float[Tensor, "moments"],
        motions: RigidMotions | None,
        codes: int,
        appearance: int,
        generator: torch.Generator,
        conditioned: bool = False,
    ):
        """`motions` are None for a scene without motion, whose colors alone change.

        With `conditioned`, the density sees the codes too.
        """
        super().__init__()
        self.motions, self.conditioned = motions, conditioned
        self.stopped = False
        self.moments = TimeCodes(times, codes, generator)
        self.appearance = TimeCodes(times, appearance, generator)
        self.register_buffer("alpha", torch.zeros(()))

    def forward(
        self,
        points: Float[Tensor, "points 3"],
        times: Float[Tensor, "rays"],
        offsets: Int[Tensor, "rays_plus_one"],
    ) -> Float[Tensor, "points 3"]:
        """The points of rays, which each see one moment, in the canonical scene.

        Points are in the frame of the bounding sphere, here and there.
        """
        if self.motions is None:
            return points
        return self.motions(points, self.moments(times), offsets, float(self.alpha))

    def further(
        self,
        points: Float[Tensor, "points 3"],
        times: Float[Tensor, "rays"],
        offsets: Int[Tensor, "rays_plus_one"],
    ) -> Float[Tensor, "points further"]:
        """What the density sees besides places in the canonical scene: codes, or nothing."""
        if not self.conditioned:
            return points[:, :0]
        return expand(self.shown_codes(times), offsets, len(points))

    def stop(self) -> None:
        """Show the canonical scene at all times: no motion, and the middle of the film."""
        self.motions, self.stopped = None, True

    def shown_codes(self, times: Float[Tensor, "rays"]) -> Float[Tensor, "rays codes"]:
        """Codes of the moments, or of the middle of the film if it is stopped there."""
        middle = sum(self.moments.span) / 2
        return self.moments(torch.full_like(times, middle) if self.stopped else times)

    def further_in_the_middle(
        self, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points further"]:
        """`further` at the middle of the film, which the canonical scene shows."""
        middle = torch.tensor([sum(self.moments.span) / 2], device=points.device)
        return self.further(points, middle, torch.tensor([0, len(points)]).to(points.device))

    def random_times(self, count: int, generator: torch.Generator) -> Float[Tensor, "count"]:
        """Moments of the film, of which each is as likely."""
        index = torch.randint(len(self.moments.times), (count,), generator=generator)
        return self.moments.times[index.to(self.moments.times.device)]

    def elastic_loss(
        self,
        points: Float[Tensor, "points 3"],
        times: Float[Tensor, "points"],
        weights: Float[Tensor, "points"],
    ) -> Float[Tensor, ""]:
        """Sum of weight × ρ(‖log Σ‖, c) over points, of which each has a time."""
        assert self.motions is not None, "a scene without motion has no elastic loss"
        jacobians = self.motions.jacobians(points, self.moments(times), float(self.alpha))
        return (weights * geman_mcclure(elastic_energy(jacobians))).sum()

    def still_loss(
        self,
        points: Float[Tensor, "points 3"],
        times: Float[Tensor, "points"],
        weights: Float[Tensor, "points"],
    ) -> Float[Tensor, ""]:
        """Sum of weight × ρ(distance moved, c) over points, of which each has a time."""
        offsets = torch.arange(len(points) + 1, device=points.device)
        moved = self(points, times, offsets) - points
        return (weights * geman_mcclure(moved.square().sum(1))).sum()

    def background_loss(
        self, points: Float[Tensor, "points 3"], generator: torch.Generator
    ) -> Float[Tensor, ""]:
        """Mean distance by which static points move, each at a random moment."""
        times = self.random_times(len(points), generator)
        offsets = torch.arange(len(points) + 1, device=points.device)
        return (self(points, times, offsets) - points).norm(dim=1).mean()


def drawn(
    points: Float[Tensor, "points 3"],
    times: Float[Tensor, "points"],
    weights: Float[Tensor, "points"],
    count: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "drawn 3"], Float[Tensor, "drawn"], Float[Tensor, "drawn"]]:
    """`count` points drawn in proportion to their weights, with times, and weights that make
    sums over them unbiased; 0: all of them. Without gradients.
    """
    points, weights = points.detach(), weights.detach()
    total = weights.sum()
    if not count or not len(points) or float(total) <= 0:
        return points, times, weights
    shares = weights.double().cumsum(0)
    draws = torch.rand(count, generator=generator, dtype=torch.float64).to(shares)
    index = torch.searchsorted(shares, draws * shares[-1]).clamp_max(len(points) - 1)
    return points[index], times[index], (total / count).expand(count)


def elastic_energy(jacobian: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """‖log Σ‖² of the Jacobian's singular values: 0 for a rigid motion.

    Stretching and shrinking by the same factor cost the same.
    """
    values = torch.linalg.svdvals(jacobian).clamp_min(SMALLEST)
    return values.log().square().sum(-1)


def geman_mcclure(
    squared: Float[Tensor, "*batch"], scale: float = ROBUST_SCALE
) -> Float[Tensor, "*batch"]:
    """ρ(x, c) = 2 (x/c)² / ((x/c)² + 4) of squared residuals x².

    It is (x/c)² / 2 for small x, and at most 2, so that parts that do tear or fold, as a mouth
    that opens, cost no more than that.
    """
    ratio = squared / scale**2
    return 2 * ratio / (ratio + 4)
