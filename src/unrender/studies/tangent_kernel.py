"""The neural tangent kernel: how a training step at one point changes a network at another.

A network f with parameters θ has the kernel Θ(x, y) = Σ_θ ∂f(x)/∂θ ∂f(y)/∂θ. Gradient descent
on ½ Σ (f(X) − targets)² moves its outputs by df/dt = −Θ(·, X) (f(X) − targets). The wider the
network, the less Θ changes during training; in the infinite limit it is constant, and training
is kernel regression, whose result is known in advance.

Jacot, Gabriel, Hongler, "Neural Tangent Kernel" (2018), https://arxiv.org/abs/1806.07572; Lee
et al., "Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent"
(2019), https://arxiv.org/abs/1902.06720; encodings as in Tancik et al., "Fourier Features Let
Networks Learn High Frequency Functions in Low Dimensional Domains" (2020),
https://arxiv.org/abs/2006.10739.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from unrender.errors import InputError
from unrender.fields.encodings import positional_encoding

Encoding = Callable[[Float[Tensor, "points dimensions"]], Float[Tensor, "points features"]]
"""Maps coordinates in [0, 1] to features whose mean square is about 1."""

NUMBERS_AT_ONCE = 1 << 24
"""Number of derivatives that `tangent_kernel` keeps in memory at a time, for either side."""
SINGULAR = 1e-13
"""Eigenvalues below this share of the largest one are rounding errors."""


def octaves(frequencies: int) -> Encoding:
    """Sines and cosines of 2^l π x for l < frequencies (NeRF, eq. 4), times √2.

    With 0 frequencies, the coordinates themselves, scaled to [−1, 1].
    """
    if frequencies == 0:
        return lambda points: 2 * points - 1
    return lambda points: math.sqrt(2) * positional_encoding(math.pi * points, frequencies)


def random_waves(
    dimensions: int, waves: int, scale: float, generator: torch.Generator
) -> Encoding:
    """Sines and cosines of 2π b·x, b normally distributed (Tancik et al., sec. 5), times √2.

    `scale` is the standard deviation of b: cycles over the unit interval.
    """
    b = scale * torch.randn(dimensions, waves, generator=generator, dtype=torch.float64)

    def encoded(points: Float[Tensor, "points dimensions"]) -> Float[Tensor, "points features"]:
        angles = 2 * math.pi * points @ b.to(points)
        return math.sqrt(2) * torch.cat([angles.sin(), angles.cos()], dim=1)

    return encoded


class TangentNetwork(nn.Module):
    """Fully connected ReLU network with one output, in the NTK parametrization.

    All parameters are initialized as standard normal, and each layer scales its sums by
    gain / √inputs (Jacot et al., sec. 2, with gain √2 after a ReLU), so that the kernel's scale
    does not depend on the width.
    """

    def __init__(
        self,
        encoding: Encoding,
        dimensions: int,
        width: int,
        depth: int,
        generator: torch.Generator,
        bias_scale: float = 1.0,
    ):
        """`depth` hidden layers of `width` units, for points with `dimensions` coordinates."""
        super().__init__()
        features = encoding(torch.zeros(1, dimensions, dtype=torch.float64)).shape[1]
        self.encoding, self.depth, self.bias_scale = encoding, depth, bias_scale
        sizes = [features, *[width] * depth, 1]
        self.weights = nn.ParameterList(
            torch.randn(b, a, generator=generator, dtype=torch.float64)
            for a, b in pairwise(sizes)
        )
        self.biases = nn.ParameterList(
            torch.randn(b, generator=generator, dtype=torch.float64) for b in sizes[1:]
        )

    def forward(self, points: Float[Tensor, "points dimensions"]) -> Float[Tensor, "points"]:
        hidden = self.encoding(points)
        for layer in range(self.depth + 1):
            hidden = self.sums(layer, hidden if layer == 0 else hidden.relu())
        return hidden[:, 0]

    def sums(
        self, layer: int, inputs: Float[Tensor, "points inputs"]
    ) -> Float[Tensor, "points outputs"]:
        """Pre-activations of a layer."""
        weight = self.weights[layer] * self.gain(layer)
        return inputs @ weight.T + self.bias_scale * self.biases[layer]

    def gain(self, layer: int) -> float:
        """Factor that multiplies a layer's weights."""
        return ((1 if layer == 0 else 2) / self.weights[layer].shape[1]) ** 0.5


def tangent_kernel(
    network: nn.Module,
    x: Float[Tensor, "points dimensions"],
    y: Float[Tensor, "others dimensions"],
) -> Float[Tensor, "points others"]:
    """Θ of any network that supports torch.func, from its derivatives by all parameters.

    With several outputs, the mean over them. Computed in blocks to bound the memory.
    """
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    buffers = dict(network.named_buffers())

    def outputs(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        return functional_call(network, (parameters, buffers), (point[None],)).flatten()

    derivatives = vmap(jacrev(outputs), in_dims=(None, 0))
    numbers = sum(value.numel() for value in parameters.values())
    num_outputs = len(outputs(parameters, x[0]))
    rows = max(1, NUMBERS_AT_ONCE // (numbers * num_outputs))

    def flat(points: Tensor) -> Tensor:
        return torch.cat(
            [each.flatten(1) for each in derivatives(parameters, points).values()], 1
        )

    with torch.no_grad():
        lines = [
            torch.cat([own @ flat(other).T for other in y.split(rows)], dim=1)
            for own in map(flat, x.split(rows))
        ]
        return torch.cat(lines) / num_outputs


@torch.no_grad()
def layered_kernel(
    network: TangentNetwork,
    x: Float[Tensor, "points dimensions"],
    y: Float[Tensor, "others dimensions"],
) -> Float[Tensor, "points others"]:
    """Θ of fully connected networks, from one pair of matrix products for each layer.

    The derivative by a layer's weights is the outer product of the layer's inputs a and the
    output's derivatives δ by its pre-activations: Θ is Σ (gain² a·a' + bias_scale²) δ·δ'.
    """
    kernel = x.new_zeros(len(x), len(y))
    sides = zip(_inputs_and_owed(network, x), _inputs_and_owed(network, y), strict=True)
    for layer, ((a, owed), (other_a, other_owed)) in enumerate(sides):
        incoming = network.gain(layer) ** 2 * (a @ other_a.T) + network.bias_scale**2
        kernel += incoming * (owed @ other_owed.T)
    return kernel


def _inputs_and_owed(
    network: TangentNetwork, points: Float[Tensor, "points dimensions"]
) -> list[tuple[Tensor, Tensor]]:
    """Inputs of each layer, first to last, and derivatives of f by its pre-activations."""
    passed = [network.encoding(points)]
    for layer in range(network.depth):
        passed.append(network.sums(layer, passed[-1]).relu())
    owed = [points.new_ones(len(points), 1)]
    for layer in range(network.depth, 0, -1):
        back = owed[0] @ (network.weights[layer] * network.gain(layer))
        owed.insert(0, torch.where(passed[layer] > 0, back, 0))
    return list(zip(passed, owed, strict=True))


def limit_kernel(
    network: TangentNetwork,
    x: Float[Tensor, "points dimensions"],
    y: Float[Tensor, "others dimensions"],
) -> Float[Tensor, "points others"]:
    """Infinite-width limit of Θ, which does not depend on the network's weights.

    Layer by layer Σ ← √(Σ_xx Σ_yy) κ₁(ρ) + bias² and Θ ← Σ + Θ κ₀(ρ), where ρ is the
    correlation of the pre-activations (Jacot et al., theorem 1) and κ₀, κ₁ are arc-cosine
    kernels (Cho and Saul, "Kernel Methods for Deep Learning", 2009, eq. 6).
    """
    a, b = network.encoding(x), network.encoding(y)
    bias = network.bias_scale**2
    covariance = a @ b.T / a.shape[1] + bias
    # Each layer only adds its bias to the variances, since κ₁(1) = 1.
    own, other = (side.square().mean(1) + bias for side in (a, b))
    theta = covariance
    for _ in range(network.depth):
        scale = (own[:, None] * other).sqrt()
        cosine = (covariance / scale).clamp(-1, 1)
        angle = cosine.acos()
        covariance = (
            scale * ((1 - cosine.square()).sqrt() + (math.pi - angle) * cosine) / math.pi
        )
        covariance = covariance + bias
        theta = covariance + theta * (math.pi - angle) / math.pi
        own, other = own + bias, other + bias
    return theta


def kernel_regression(
    kernel: Float[Tensor, "train train"],
    across: Float[Tensor, "test train"],
    errors: Float[Tensor, "train"],
    time: float = math.inf,
) -> Float[Tensor, "test"]:
    """Change of the outputs by training: Θ(x, X) Θ(X, X)⁻¹ (I − exp(−Θ(X, X) t)) errors.

    `kernel` is Θ(X, X), `across` Θ(x, X), and `errors` are targets − f(X) before the first
    step; `time` is the learning rate × steps of gradient descent on half the sum of squared
    errors, by default infinite (Lee et al., eq. 10 and 11). Raises InputError if the kernel has
    no inverse and the time is infinite.
    """
    values, vectors = torch.linalg.eigh(kernel)
    if math.isinf(time):
        least, most = float(values[0]), float(values[-1])
        if not least > SINGULAR * most:
            raise InputError(
                f"a kernel of {len(values)} points with eigenvalues from {least:.1e} to "
                f"{most:.1e} has no inverse: give a finite time, fewer points without "
                "duplicates, a wider network, or an encoding that separates the points"
            )
        learned = 1 / values
    else:
        # The limit at λ = 0 is t; a zero kernel, of a network with dead units, learns nothing.
        tiny = torch.finfo(values.dtype).tiny
        positive = values.clamp_min(max(SINGULAR * float(values[-1]), tiny))
        learned = -torch.expm1(-positive * time) / positive
    return across @ (vectors @ (learned * (vectors.T @ errors)))


def descend(
    network: nn.Module,
    points: Float[Tensor, "train dimensions"],
    targets: Float[Tensor, "train"],
    rate: float,
    steps: int,
) -> Float[Tensor, "steps_plus_one train"]:
    """Train in place by full-batch gradient descent on ½ Σ (f(X) − targets)².

    Returns the outputs at the points, before the first step and after each. Raises InputError
    if the learning rate is so large that training diverges.
    """
    outputs: list[Tensor] = []
    parameters = list(network.parameters())
    for _ in range(steps):
        found = network(points)
        outputs.append(found.detach())
        loss = (found - targets).square().sum() / 2
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(rate * gradient)
    with torch.no_grad():
        outputs.append(network(points))
    if not bool(torch.isfinite(outputs[-1]).all()):
        raise InputError(
            f"learning rate {rate:g} makes gradient descent diverge: stay below 2 / largest "
            "eigenvalue of the kernel"
        )
    return torch.stack(outputs)


def correlations(kernel: Float[Tensor, "points points"]) -> Float[Tensor, "points points"]:
    """Θ(x, y) / √(Θ(x, x) Θ(y, y)), which is 1 on the diagonal."""
    length = kernel.diagonal().sqrt()
    return kernel / (length[:, None] * length)


def full_width(places: Float[Tensor, "places"], kernel: Float[Tensor, "places"]) -> float:
    """Full width at half maximum of one row of a kernel, in the unit of `places`.

    The level is half way between the row's peak and its minimum, since a constant part of the
    kernel only learns the mean. If a side does not fall that far, it ends at the last place.
    """
    peak = int(kernel.argmax())
    half = float(kernel[peak] + kernel.min()) / 2
    ends: list[float] = []
    for step in (-1, 1):
        at = peak
        while 0 <= at + step < len(kernel) and kernel[at + step] >= half:
            at += step
        if not 0 <= at + step < len(kernel):
            ends.append(float(places[at]))
            continue
        above, below = float(kernel[at]), float(kernel[at + step])
        share = (above - half) / (above - below)
        ends.append(float(places[at] + share * (places[at + step] - places[at])))
    return ends[1] - ends[0]
