"""Deformation fields: where each point of a moving scene lies in its canonical scene.

Park et al., "Nerfies: Deformable Neural Radiance Fields", https://arxiv.org/abs/2011.12948. A
network maps a point and the code of an image to a rigid motion of that point (eq. 8); its
encoding is windowed, so that details are learned last (eq. 12); its Jacobian is kept near a
rotation (sec. 3.3).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.fields.encodings import positional_encoding
from unrender.fields.networks import LinearLayer, Trunk
from unrender.geometry.poses import se3_exp

ROBUST_SCALE = 0.03
"""c of the Geman–McClure function in Nerfies's elastic loss."""
SMALLEST = 1e-6
"""Singular values below it count as it: their logarithm has no bound."""


def window(alpha: float, frequencies: int) -> Float[Tensor, "frequencies"]:
    """Weights of the frequencies 0, 1, … of an encoding at the progress `alpha`.

    w_j = (1 − cos(π clamp(α − j, 0, 1))) / 2 (Nerfies, eq. 12): 0 for α ≤ j and 1 for
    α ≥ j + 1. `alpha` is in [0, frequencies]; beyond it, all are 0 or all are 1.
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
    weights = window(alpha, frequencies).to(x).repeat_interleave(x.shape[-1]).repeat(2)
    return torch.cat([x, weights * waves], dim=-1)


class RigidMotions(nn.Module):
    """A rigid motion for each point and code: the exponential of a screw axis (Nerfies, eq. 8).

    Points are in the units of a scene within [−1, 1]³. At first the motions are nearly none.
    """

    def __init__(
        self,
        codes: int,
        frequencies: int,
        width: int,
        depth: int,
        generator: torch.Generator,
        translation_only: bool = False,
    ):
        """`codes` numbers in a code. `translation_only` is the paper's ablation."""
        super().__init__()
        self.frequencies, self.translation_only = frequencies, translation_only
        inputs = 3 * (2 * frequencies + 1) + codes
        self.trunk = Trunk(inputs, width, depth, depth // 2 + 1, generator)
        self.last = LinearLayer(width, 3 if translation_only else 6, generator)
        with torch.no_grad():
            self.last.weight.uniform_(-1e-4, 1e-4, generator=generator)

    def forward(
        self,
        points: Float[Tensor, "points 3"],
        codes: Float[Tensor, "points codes"],
        alpha: float,
    ) -> Float[Tensor, "points 3"]:
        """The points in the canonical scene, at the progress `alpha` of the window."""
        encoded = windowed_encoding(points, self.frequencies, alpha)
        motion = self.last(self.trunk(torch.cat([encoded, codes], dim=-1)))
        if self.translation_only:
            return points + motion
        pose = se3_exp(motion)
        return (pose[..., :3] @ points[..., None])[..., 0] + pose[..., 3]


def elastic_energy(jacobian: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """‖log Σ‖² of the Jacobian's singular values: 0 for a rigid motion (Nerfies, eq. 10).

    Stretching and shrinking by the same factor cost the same.
    """
    values = torch.linalg.svdvals(jacobian).clamp_min(SMALLEST)
    return values.log().square().sum(-1)


def geman_mcclure(
    squared: Float[Tensor, "*batch"], scale: float = ROBUST_SCALE
) -> Float[Tensor, "*batch"]:
    """ρ(x, c) = 2 (x/c)² / ((x/c)² + 4) of squared residuals x² (Nerfies, eq. 11).

    It is (x/c)² / 2 for small x, and at most 2, so that parts that do tear or fold, as a mouth
    that opens, cost no more than that.
    """
    ratio = squared / scale**2
    return 2 * ratio / (ratio + 4)
