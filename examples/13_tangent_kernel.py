"""What a network will learn, predicted before its first step: the neural tangent kernel.

    python examples/13_tangent_kernel.py

Writes tangent_kernel.png: how far a training step at one point reaches, for several encodings
of the points; the kernel's eigenvalues, which tell how fast each eigenvector is learned; and
the prediction of kernel regression beside the network that was then trained. `unrender study
ntk` measures all of it at length.
"""

import math

import matplotlib.pyplot as plt
import torch

from unrender.studies import tangent_kernel as ntk

WIDTH, DEPTH, STEPS, SHOWN = 256, 2, 400, (0, 2, 4, 6)


def network(frequencies: int) -> ntk.TangentNetwork:
    """A network on the unit interval; the same random numbers each time."""
    generator = torch.Generator().manual_seed(0)
    encoding = ntk.octaves(frequencies)
    return ntk.TangentNetwork(encoding, 1, WIDTH, DEPTH, generator, bias_scale=0.3)


queries = torch.linspace(0, 1, 257).double()[:, None]
points = ((torch.arange(20) + 0.5) / 20).double()[:, None]
figure, (reach, spectrum, learned) = plt.subplots(1, 3, figsize=(13.5, 4), layout="constrained")

# A step at 0.5 moves the network at x in proportion to the kernel of 0.5 and x.
for frequencies in SHOWN:
    name = f"{frequencies} octaves" if frequencies else "no encoding"
    kernel = ntk.layered_kernel(network(frequencies), queries, queries)
    row = ntk.correlations(kernel)[128]
    values = torch.linalg.eigvalsh(kernel).flip(0)
    width = ntk.full_width(queries[:, 0], row)
    print(f"{name:12} a step at 0.5 reaches over {width:.3f}, and the tenth eigenvalue is "
          f"{float(values[9] / values[0]):.0e} of the first")  # fmt: skip
    reach.plot(queries[:, 0], row, label=name)
    spectrum.loglog(range(1, 101), (values / values[0])[:100].clamp_min(1e-9), label=name)

# The kernel is a sum over all parameters; computed layer by layer it is the same.
net = network(3)
kernel = ntk.layered_kernel(net, points, points)
across = ntk.layered_kernel(net, queries, points)
off = float((ntk.tangent_kernel(net, points, points) / kernel - 1).abs().max())
print(f"summed over single parameters it is the same up to {off:.0e}")

# The prediction for a function known at twenty points, and then the training.
targets = (2 * math.pi * points[:, 0]).sin() + 0.5 * (6 * math.pi * points[:, 0] + 0.5).sin()
rate = 0.5 / float(torch.linalg.eigvalsh(kernel)[-1])
with torch.no_grad():
    start, errors = net(queries), targets - net(points)
predicted = start + ntk.kernel_regression(kernel, across, errors, rate * STEPS)
# Without the inverse of the kernel, every target is blurred, here at a fair scale.
blur = across @ targets * (targets.norm() / (kernel @ targets).norm())
ntk.descend(net, points, targets, rate, STEPS)
with torch.no_grad():
    trained = net(queries)
for name, curve in (("regression", predicted), ("no inverse", blur), ("the start", start)):
    away = float((curve - trained).square().mean().sqrt())
    print(f"{name:12} differs from the trained network by {away:.3f} (RMS)")

learned.plot(queries[:, 0], start, color="gray", linewidth=1, label="before training")
learned.plot(queries[:, 0], trained, label=f"after {STEPS} steps")
learned.plot(queries[:, 0], predicted, "--", label="predicted by the kernel")
learned.plot(queries[:, 0], blur, ":", label="without the inverse")
learned.plot(points[:, 0], targets, "o", color="black", markersize=4, label="targets")
reach.set(xlabel="x", ylabel="correlation", title="kernel of 0.5 and x")
spectrum.set(
    xlabel="index of the eigenvalue",
    ylabel="share of the largest eigenvalue",
    title="eigenvalues: how fast each is learned",
)
learned.set(
    xlabel="x", ylabel="output", ylim=(-3.5, 2.2), title="3 octaves: predicted and trained"
)
for axes in (reach, spectrum, learned):
    axes.legend()
figure.savefig("tangent_kernel.png", dpi=150)
