"""Positional encodings on the CPU, one octave after another.

The sine and cosine of twice an angle follow from those of the angle, and exp(−½ 4 v) is the
fourth power of exp(−½ v), so that transcendental functions are computed for the first octave
alone. In double precision the errors, which double with every octave, stay below those of
single precision for up to 28 octaves.
"""

from typing import no_type_check

from jaxtyping import Float
from torch import Tensor

from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares

VANISHED = 1e-30
"""Factors below this are 0: what is left of them would be denormal in single precision."""


@jit
@no_type_check
def _octaves(sines, cosines, fading, first, last, out):
    channels = len(sines)
    octaves = len(out) // (2 * channels)
    for c in range(channels):
        sine, cosine = sines[c, first:last].copy(), cosines[c, first:last].copy()
        for octave in range(octaves):
            row = octave * channels + c
            above, below = out[row, first:last], out[octaves * channels + row, first:last]
            if len(fading):
                fade = fading[c, first:last]
                for i in range(len(sine)):
                    above[i] = sine[i] * fade[i]
                    below[i] = cosine[i] * fade[i]
                    square = fade[i] * fade[i]
                    fourth = square * square
                    fade[i] = fourth if fourth > VANISHED else 0.0
            else:
                for i in range(len(sine)):
                    above[i] = sine[i]
                    below[i] = cosine[i]
            for i in range(len(sine)):
                twice = 2 * sine[i] * cosine[i]
                cosine[i] = 1 - 2 * sine[i] * sine[i]
                sine[i] = twice


def encode(
    x: Float[Tensor, "points channels"],
    variance: Float[Tensor, "points channels"] | None,
    frequencies: int,
) -> Float[Tensor, "points encoded"]:
    """Stored channel by channel, as the networks' kernels read it."""
    angles = x.detach().T.double()
    sines, cosines = angles.sin().numpy(), angles.cos().numpy()
    fading = (
        angles.new_empty(0, 0)
        if variance is None
        else (variance.detach().T.double() / -2).exp()
    ).numpy()
    out = x.new_empty(2 * frequencies * x.shape[1], len(x))
    target = out.numpy()
    # In blocks whose double-precision rows stay in the first-level cache.
    blocks = shares(len(x), max(num_threads(), -(-len(x) // 1024)))
    run_threads(lambda block: _octaves(sines, cosines, fading, *block, target), blocks)
    return out.T
