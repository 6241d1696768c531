"""Samples of a view flow that see another input at every step.

A model of one input (or few) is conditioned on many in this way: Watson et al., "Novel View
Synthesis with Diffusion Models" (3DiM), https://arxiv.org/abs/2210.04628, sec. 2.2.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.flows.guidance import Denoiser


@torch.no_grad()
def sample_with_random_inputs(
    denoisers: Sequence[Denoiser],
    noise: Float[Tensor, "images channels rows columns"],
    steps: int,
    generator: torch.Generator,
) -> Float[Tensor, "images channels rows columns"]:
    """Integrate dx/dt = (x1(x, t) − x) / (1 − t) from noise at 0 to images at 1.

    In `steps` equal Euler steps, of which each takes x1 from a random one of `denoisers`, each
    conditioned on other inputs. With one denoiser it is Euler's method. `generator` is on the
    CPU.
    """
    x = noise
    chosen = torch.randint(len(denoisers), (steps,), generator=generator).tolist()
    for step, which in enumerate(chosen):
        t = step / steps
        clean = denoisers[which](x, x.new_full((len(x),), t))
        x = x + (clean - x) / (steps * (1 - t))
    return x
