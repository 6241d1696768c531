"""Neural tangent kernel: predicts before training what a network learns, and in which order.

The kernel describes how a training step at one point changes the network at another. A network
with a wide kernel is smooth and learns high frequencies slowly; one with a narrow kernel learns
detail, and stays near its initialization between the training points. The width is set by the
encoding of the coordinates.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from unrender.errors import InputError
from unrender.report.findings import Findings, Part, Plot, Record, Table
from unrender.report.plots import PALETTE, draw_curves, log_axis, panels
from unrender.studies.ntk_picture import picture_section
from unrender.studies.study import Experiment
from unrender.studies.tangent_kernel import (
    Encoding,
    TangentNetwork,
    correlations,
    descend,
    full_width,
    kernel_regression,
    layered_kernel,
    limit_kernel,
    octaves,
    random_waves,
)

GRID = 257
"""Points of the unit interval at which kernels and networks are plotted."""
SPECTRUM = 128
"""Number of points of the kernel matrices whose eigenvalues are shown."""
TRAINED = 24
"""Number of training points of the networks of different widths."""
ORDERED, CYCLES = 64, (1, 4, 12)
"""Number of training points, and frequencies of the target, that show what is learned first."""
PREDICTIONS = ("regression, same steps", "regression, converged", "without the inverse")
OCTAVES_TRAINED = 3
"""Octaves of the encoding of the networks that are trained on the interval."""
RATE = 0.5
"""Learning rate times the largest eigenvalue of the kernel; training diverges at 2."""
PICTURE_TRAINED = ("no encoding", "3 octaves", "6 octaves", "waves of 2")
"""Encodings with which a network is also trained on the image."""
PICTURE_WIDTH = 256
"""Hidden units of the networks that are trained on the image."""
WAVES = 256
"""Number of random frequencies of an encoding by waves."""

Section = tuple[list[Part], list[Record]]
Curve = tuple[list[float], list[float]]
Values = Float[Tensor, "*places"]


@dataclass(frozen=True)
class TangentKernel(Experiment):
    """The neural tangent kernel: its width for each encoding, and what it predicts."""

    octaves: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 8)
    """Numbers of octaves of the positional encodings; 0 is no encoding."""
    scales: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    """Standard deviations of the random frequencies, in cycles over the unit interval."""
    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    """Hidden units of the networks that are trained."""
    depth: int = 2
    """Number of hidden layers."""
    bias: float = 0.3
    """Scale of the biases, relative to that of the weights."""
    steps: int = 600
    """Steps of gradient descent."""
    repeats: int = 3
    """Number of networks of each width."""
    size: int = 32
    """Side of the image, in pixels."""

    def run(self, seed: int, say: Callable[[str], None]) -> Findings:
        self._check()
        parts: list[Part] = []
        records: list[Record] = []
        for name, section in (
            ("kernels", self._kernels),
            ("regression and networks", self._regression),
            ("what is learned first", self._order),
            ("an image", self._picture),
        ):
            say(f"Tangent kernel: {name}")
            found, measured = section(seed)
            parts += found
            records += [{"part": name, **record} for record in measured]
        settings = {
            "hidden layers": self.depth,
            "scale of the biases": self.bias,
            "steps": self.steps,
            "networks of each width": self.repeats,
            "seed": seed,
        }
        return Findings("The neural tangent kernel", parts, records, settings)

    def _check(self) -> None:
        for name, least in (("octaves", 0), ("scales", 1e-6), ("widths", 1)):
            values = getattr(self, name)
            if not values or min(values) < least:
                raise InputError(f"--{name} {values}: give one or more, of at least {least:g}")
        for name, least in (("depth", 1), ("steps", 1), ("repeats", 1), ("size", 4)):
            if getattr(self, name) < least:
                raise InputError(f"--{name} {getattr(self, name)}: give at least {least}")

    def _encodings(self, dimensions: int, seed: int) -> dict[str, Encoding]:
        generator = torch.Generator().manual_seed(seed)
        named = {octaves_name(count): octaves(count) for count in self.octaves}
        return named | {
            f"waves of {scale:g}": random_waves(dimensions, WAVES, scale, generator)
            for scale in self.scales
        }

    def _network(self, encoding: Encoding, width: int, seed: int) -> TangentNetwork:
        generator = torch.Generator().manual_seed(seed)
        return TangentNetwork(encoding, 1, width, self.depth, generator, self.bias)

    def _kernels(self, seed: int) -> Section:
        """Shape, width and spectrum of the kernel for each encoding."""
        grid, few, width = _grid(GRID), _middles(SPECTRUM), self.widths[-1]
        shapes: dict[str, Curve] = {}
        spectra: dict[str, Curve] = {}
        finite: list[float] = []
        infinite: list[float] = []
        rows: list[Record] = []
        for name, encoding in self._encodings(1, seed).items():
            networks = [self._network(encoding, width, seed + k) for k in range(self.repeats)]
            measured = [_middle_row(layered_kernel(each, grid, grid)) for each in networks]
            limit = _middle_row(limit_kernel(networks[0], grid, grid))
            widths = [full_width(grid[:, 0], row) for row in measured]
            finite.append(sum(widths) / len(widths))
            infinite.append(full_width(grid[:, 0], limit))
            values = torch.linalg.eigvalsh(layered_kernel(networks[0], few, few)).flip(0)
            learned = RATE * self.steps * values / values[0] > math.log(10)
            rows.append(
                {
                    "encoding": name,
                    f"full width, {width} units": finite[-1],
                    "infinitely many": infinite[-1],
                    f"learned, of {SPECTRUM} directions": int(learned.sum()),
                }
            )
            shapes[name] = grid[:, 0].tolist(), measured[0].tolist()
            # Smaller eigenvalues are rounding errors.
            share = (values / values[0]).clamp_min(1e-9).tolist()
            spectra[name] = [1.0 + k for k in range(SPECTRUM)], share
        shown = [*map(octaves_name, self.octaves[::2]), list(shapes)[-1]]
        counted = [k for k, count in enumerate(self.octaves) if count]
        counts = [float(self.octaves[k]) for k in counted]
        by_count = {
            f"{width} units": (counts, [finite[k] for k in counted]),
            "infinitely many": (counts, [infinite[k] for k in counted]),
        }
        parts: list[Part] = [
            "## The kernel",
            "The wider the kernel, the more a step at one point changes the network at others: "
            "variation within its width is learned slowly. Each octave narrows the kernel. The "
            "table's last column counts the eigenvectors of which less than a tenth remains "
            f"after {self.steps} steps, at a learning rate of 0.5 / the largest eigenvalue.",
            Table(rows),
            Plot(
                "shapes",
                draw_curves({name: shapes[name] for name in shown}, "x", "kernel"),
                f"Kernel between 0.5 and x of untrained networks with {width} units, "
                "normalized to a correlation.",
            ),
            Plot(
                "widths",
                draw_curves(by_count, "octaves", "full width", log_y=True, marker="o"),
                "Full width of the kernel at half height between its minimum and its peak.",
            ),
            Plot(
                "spectra",
                draw_curves(
                    {name: spectra[name] for name in shown},
                    "eigenvector",
                    "eigenvalue / largest eigenvalue",
                    log_y=True,
                    log_x=True,
                ),
                f"Spectra of the kernels of {SPECTRUM} points. The learning rate of an "
                "eigenvector is proportional to its eigenvalue.",
            ),
        ]
        return parts, rows

    def _regression(self, seed: int) -> Section:
        """Predictions by kernel regression against trained networks, for each width."""
        curves: dict[str, Values] = {}
        records: list[Record] = []
        off = torch.zeros(len(self.widths), self.repeats, len(PREDICTIONS))
        for row, width in enumerate(self.widths):
            for repeat in range(self.repeats):
                curves = self._predicted_and_trained(width, seed + repeat)
                size = curves["target"].norm()
                for head, name in enumerate(PREDICTIONS):
                    away = curves[name] - curves["trained network"]
                    off[row, repeat, head] = away.norm() / size
                found = dict(zip(PREDICTIONS, off[row, repeat].tolist(), strict=True))
                records.append({"units": width, "network": repeat, **found})
        means = off.mean(1)
        rows: list[Record] = [
            {"units": width, **dict(zip(PREDICTIONS, mean, strict=True))}
            for width, mean in zip(self.widths, means.tolist(), strict=True)
        ]
        units = [float(width) for width in self.widths]
        lines = {name: (units, means[:, k].tolist()) for k, name in enumerate(PREDICTIONS)}
        xs = _grid(GRID)[:, 0].tolist()
        parts: list[Part] = [
            "## Training is regression with the kernel",
            f"Networks with {OCTAVES_TRAINED} octaves learn {TRAINED} points in {self.steps} "
            "steps of gradient descent. Before the first step, the kernel predicts the result: "
            "f(x) + K(x, X) K(X, X)⁻¹ (I − exp(−K(X, X) t)) (y − f(X)), where t is the "
            "learning rate times the number of steps. The table has the RMS error of the "
            "prediction against the trained network, relative to the RMS of the target: it "
            "decreases with the width. Without the inverse, K(x, X) y, even with the optimal "
            "scale, is a blurred target.",
            Table(rows),
            Plot(
                "error",
                draw_curves(
                    lines,
                    "hidden units",
                    "relative error of the prediction",
                    log_y=True,
                    log_x=True,
                    marker="o",
                ),
                f"Predictions against trained networks: means of {self.repeats}.",
            ),
            Plot(
                "regression",
                draw_curves(
                    {
                        name: (xs, each.tolist())
                        for name, each in curves.items()
                        if name != PREDICTIONS[1]
                    },
                    "x",
                    "f",
                ),
                f"Target, trained network and predictions at {self.widths[-1]} units.",
            ),
        ]
        return parts, records

    def _predicted_and_trained(self, width: int, seed: int) -> dict[str, Values]:
        points, grid = _middles(TRAINED), _grid(GRID)
        targets, truth = _smooth(points), _smooth(grid)
        network = self._network(octaves(OCTAVES_TRAINED), width, seed)
        kernel = layered_kernel(network, points, points)
        across = layered_kernel(network, grid, points)
        rate = RATE / float(torch.linalg.eigvalsh(kernel)[-1])
        with torch.no_grad():
            start, errors = network(grid), targets - network(points)
        soon = start + kernel_regression(kernel, across, errors, rate * self.steps)
        ever = start + kernel_regression(kernel, across, errors)
        blur = across @ targets
        # Its scale is arbitrary (that of the kernel), so the least-squares scale is used.
        blur = blur * (blur @ truth) / (blur @ blur)
        descend(network, points, targets, rate, self.steps)
        with torch.no_grad():
            trained = network(grid)
        predicted = dict(zip(PREDICTIONS, (soon, ever, blur), strict=True))
        return {"target": truth, "trained network": trained, **predicted}

    def _order(self, seed: int) -> Section:
        """Remaining amplitude of each frequency of the target, predicted and measured."""
        points = _middles(ORDERED)
        waves = torch.stack([(2 * math.pi * c * points[:, 0]).sin() for c in CYCLES])
        targets = waves.sum(0)
        steps = sorted({round(self.steps ** (k / 60)) for k in range(61)})
        records: list[Record] = []
        rows: list[Record] = []
        panels: dict[str, tuple[Values, Values]] = {}
        for count in (0, OCTAVES_TRAINED):
            name = octaves_name(count)
            network = self._network(octaves(count), self.widths[-1], seed)
            kernel = layered_kernel(network, points, points)
            rate = RATE / float(torch.linalg.eigvalsh(kernel)[-1])
            with torch.no_grad():
                errors = targets - network(points)
            left = targets - descend(network, points, targets, rate, self.steps)[steps]
            predicted = torch.stack(
                [errors - kernel_regression(kernel, kernel, errors, rate * n) for n in steps]
            )
            # At the centers of equal cells these sines are orthogonal.
            panels[name] = predicted @ waves.T * 2 / ORDERED, left @ waves.T * 2 / ORDERED
            for k, cycles in enumerate(CYCLES):
                halved = [_first_below_half(steps, each[:, k]) for each in panels[name]]
                rows.append(
                    {
                        "encoding": name,
                        "cycles": cycles,
                        "steps to half, predicted": halved[0],
                        "steps to half, measured": halved[1],
                    }
                )
                records += [
                    {
                        "encoding": name,
                        "cycles": cycles,
                        "step": n,
                        "predicted": a,
                        "measured": b,
                    }
                    for n, a, b in zip(
                        steps, *(each[:, k].tolist() for each in panels[name]), strict=True
                    )
                ]
        parts: list[Part] = [
            "## What is learned first",
            f"The target is a sum of waves of {', '.join(map(str, CYCLES))} cycles over the "
            f"interval, each of amplitude 1, at {ORDERED} points. The remaining amplitude of "
            "each after a number of steps is predicted by exp(−K t): low frequencies are "
            "learned first, and an encoding makes high frequencies faster. The highest are "
            "learned later than predicted: their eigenvalues are small, and the kernel of "
            f"{self.widths[-1]} units is not constant to that precision during training.",
            Table(rows),
            Plot(
                "order",
                _draw_order(steps, panels),
                f"Remaining amplitude of each wave over {self.steps} steps: predicted (dashed) "
                "and measured.",
            ),
        ]
        return parts, records

    def _picture(self, seed: int) -> Section:
        generator = torch.Generator().manual_seed(seed)
        networks = {
            name: TangentNetwork(
                encoding, 2, PICTURE_WIDTH, self.depth, generator, bias_scale=self.bias
            )
            for name, encoding in self._encodings(2, seed).items()
        }
        return picture_section(networks, PICTURE_TRAINED, self.steps, RATE, self.size, seed)


def octaves_name(count: int) -> str:
    return f"{count} octave{'s' if count > 1 else ''}" if count else "no encoding"


def _grid(count: int) -> Float[Tensor, "count 1"]:
    return torch.linspace(0, 1, count, dtype=torch.float64)[:, None]


def _middles(count: int) -> Float[Tensor, "count 1"]:
    """Centers of equal cells of the unit interval."""
    return ((torch.arange(count) + 0.5) / count).double()[:, None]


def _middle_row(kernel: Float[Tensor, "places places"]) -> Float[Tensor, "places"]:
    return correlations(kernel)[len(kernel) // 2]


def _smooth(points: Float[Tensor, "points 1"]) -> Values:
    """A smooth target that is determined by a few points."""
    x = points[:, 0]
    return (2 * math.pi * x).sin() + 0.5 * (6 * math.pi * x + 0.5).sin()


def _first_below_half(steps: list[int], amplitude: Values) -> int | None:
    return next((n for n, left in zip(steps, amplitude, strict=True) if left < 0.5), None)


def _draw_order(steps: list[int], found: Mapping[str, tuple[Values, Values]]) -> Figure:
    with panels(4.4 * len(found), 3.4, 1, len(found), sharey=True) as (figure, (grid,)):
        for axes, (name, (predicted, measured)) in zip(grid, found.items(), strict=True):
            for k, (cycles, color) in enumerate(zip(CYCLES, PALETTE, strict=False)):
                label = f"{cycles} cycle{'s' if cycles > 1 else ''}"
                axes.plot(steps, measured[:, k].tolist(), color=color, label=label)
                axes.plot(steps, predicted[:, k].tolist(), "--", color=color, linewidth=1)
            log_axis(axes, "x")
            axes.set_xlabel("step")
            axes.set_title(name, fontsize=10)
        grid[0].set_ylabel("remaining amplitude")
        grid[0].legend()
        return figure
