"""What a network will learn, known before its first step: the neural tangent kernel.

    python examples/13_tangent_kernel.py

Writes tangent_kernel.png: how far a training step at one point reaches, by the encoding of the
points; the kernel's eigenvalues, which say how fast each of its eigenvectors is learned; and
what regression with the kernel foretells, beside the network that was then trained. `unrender
study ntk` measures all of it at length.
"""

import math
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from unrender.files import replacing
from unrender.report.plots import PALETTE, STYLE, log_axis
from unrender.studies.tangent_kernel import (
    TangentNetwork,
    correlations,
    descend,
    full_width,
    kernel_regression,
    layered_kernel,
    octaves,
    tangent_kernel,
)

WIDTH, DEPTH, STEPS, SHOWN = 256, 2, 400, (0, 2, 4, 6)


def network(frequencies: int) -> TangentNetwork:
    """For points of the unit interval; the same random numbers each time."""
    generator = torch.Generator().manual_seed(0)
    return TangentNetwork(octaves(frequencies), 1, WIDTH, DEPTH, generator, bias_scale=0.3)


places = torch.linspace(0, 1, 257).double()[:, None]
points = ((torch.arange(20) + 0.5) / 20).double()[:, None]
with rc_context(STYLE):
    figure = Figure(figsize=(13.5, 4), layout="constrained")
    reach, spectrum, learned = figure.subplots(1, 3)

# A step at 0.5 moves the network at x by as much as the derivatives there have in common.
for frequencies, color in zip(SHOWN, PALETTE, strict=False):
    name = f"{frequencies} octaves" if frequencies else "no encoding"
    kernel = layered_kernel(network(frequencies), places, places)
    row = correlations(kernel)[128]
    values = torch.linalg.eigvalsh(kernel).flip(0)
    print(f"{name:12} a step at 0.5 reaches over {full_width(places[:, 0], row):.3f}, and the "
          f"tenth eigenvalue is {float(values[9] / values[0]):.0e} of the first")  # fmt: skip
    reach.plot(places[:, 0].tolist(), row.tolist(), color=color, label=name)
    share = (values / values[0])[:100]
    spectrum.plot(range(1, 101), share.clamp_min(1e-9).tolist(), color=color, label=name)

# By definition the kernel is a sum over all parameters; layer by layer it is the same numbers.
net = network(3)
kernel, across = layered_kernel(net, points, points), layered_kernel(net, places, points)
off = float((tangent_kernel(net, points, points) / kernel - 1).abs().max())
print(f"by the derivatives in every single parameter it is the same to {off:.0e}")

# What training will do to a function known at twenty points, and then the training.
targets = (2 * math.pi * points[:, 0]).sin() + 0.5 * (6 * math.pi * points[:, 0] + 0.5).sin()
rate = 0.5 / float(torch.linalg.eigvalsh(kernel)[-1])
with torch.no_grad():
    start, errors = net(places), targets - net(points)
foretold = start + kernel_regression(kernel, across, errors, rate * STEPS)
# Who forgets the inverse gets every target smeared out by the kernel, here at a fair scale.
blur = across @ targets * (targets.norm() / (kernel @ targets).norm())
descend(net, points, targets, rate, STEPS)
with torch.no_grad():
    trained = net(places)
for name, curve in (("regression", foretold), ("no inverse", blur), ("the start", start)):
    away = float((curve - trained).square().mean().sqrt())
    print(f"{name:12} is off the trained network by {away:.3f}")

xs = places[:, 0].tolist()
learned.plot(xs, start.tolist(), color="#999999", linewidth=1, label="before training")
learned.plot(xs, trained.tolist(), color=PALETTE[0], label=f"after {STEPS} steps")
learned.plot(xs, foretold.tolist(), "--", color=PALETTE[1], label="foretold by the kernel")
learned.plot(xs, blur.tolist(), ":", color=PALETTE[3], label="without the inverse")
learned.plot(
    points[:, 0].tolist(), targets.tolist(), "o", color="#444444", ms=4, label="targets"
)
reach.set(xlabel="x", title="kernel of 0.5 and x, as a correlation")
spectrum.set(xlabel="eigenvector", title="eigenvalues: how fast it is learned")
learned.set(xlabel="x", title="3 octaves: foretold, and trained")
log_axis(spectrum, "x")
log_axis(spectrum, "y")
with rc_context(STYLE):
    for axes in (reach, spectrum, learned):
        axes.legend()
with replacing(Path("tangent_kernel.png")) as temporary:
    figure.savefig(temporary, format="png", dpi=90, facecolor="white")
