"""Prediction of half of an image's pixels from the other half, by the tangent kernel."""

import math
from collections.abc import Mapping, Sequence

import skimage.data
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.evaluation.images import psnr
from unrender.geometry.pixels import pixel_grid
from unrender.imaging.resize import area_average
from unrender.report.findings import Part, Record, Strip, Table
from unrender.report.pictures import Row
from unrender.studies.tangent_kernel import (
    TangentNetwork,
    correlations,
    descend,
    kernel_regression,
    layered_kernel,
    limit_kernel,
)

FACE_TOP, FACE_LEFT, FACE_SIZE = 10, 140, 170
"""Crop of scikit-image's astronaut that is used as the image."""

HEADS = ("kernel", "trained", "predicted", "converged", "target")
"""Titles of the columns of the images."""

Pixels = Float[Tensor, "pixels"]


def face(size: int) -> Float[Tensor, "size size"]:
    """The grayscale image, in [0, 1]."""
    rows = slice(FACE_TOP, FACE_TOP + FACE_SIZE)
    photograph = skimage.data.astronaut()[rows, FACE_LEFT : FACE_LEFT + FACE_SIZE]
    image = torch.from_numpy(photograph.copy()).double().mean(2, keepdim=True) / 255
    return area_average(image, size, size)[..., 0]


def picture_section(
    networks: Mapping[str, TangentNetwork],
    trained: Sequence[str],
    steps: int,
    rate: float,
    size: int,
    seed: int,
) -> tuple[list[Part], list[Record]]:
    """Report section about networks by the names of their encodings.

    Predictions are made for all networks; those in `trained` are also trained. `rate` is the
    learning rate times the largest eigenvalue of the kernel.
    """
    picture = face(size).flatten()
    points = pixel_grid(size, size).double().flatten(0, 1) / size
    shuffled = torch.randperm(size**2, generator=torch.Generator().manual_seed(seed))
    known, hidden = shuffled.chunk(2)
    mean = picture[known].mean()
    targets = (picture - mean)[known]

    def score(learned: Pixels, of: Int[Tensor, "chosen"]) -> float:
        shown = (learned + mean).clamp(0, 1)
        return float(psnr(shown[of, None, None], picture[of, None, None]))

    records: list[Record] = []
    rows: list[Row] = []
    for name, network in networks.items():
        limit = limit_kernel(network, points, points[known])
        soon, ever = _predicted(limit, known, targets, rate, steps)
        record = {
            "encoding": name,
            f"training, {steps} steps": score(soon, known),
            f"held out, {steps} steps": score(soon, hidden),
            "held out, converged": score(ever, hidden),
        }
        if name in trained:
            own = layered_kernel(network, points, points)
            soon, ever = _predicted(own[:, known], known, targets, rate, steps)
            with torch.no_grad():
                start = network(points)
            step = rate / _largest(own[known][:, known])
            descend(network, points[known], targets + start[known], step, steps)
            with torch.no_grad():
                learned = network(points) - start
            record["held out, trained network"] = score(learned, hidden)
            middle = correlations(own)[size // 2 * size + size // 2]
            middle = (middle - middle.min()) / (1 - middle.min())
            images = torch.stack([middle, learned + mean, soon + mean, ever + mean, picture])
            grey = images.clamp(0, 1).view(5, size, size, 1).expand(-1, -1, -1, 3)
            rows.append((name, grey))
        records.append(record)
    # Networks that were also trained have one more column.
    heads = max(records, key=len)
    parts: list[Part] = [
        "## An image",
        f"A random half of the pixels of a {size}×{size} image is learned, and the other half "
        "is predicted. The table has the PSNR in dB, by the kernel of infinitely wide networks "
        "whose initial output is the mean. With too few octaves the image stays blurred; with "
        "too many the training pixels are memorized and the others keep their initial value. "
        "The initial output of trained networks is subtracted.",
        Table([{**dict.fromkeys(heads), **record} for record in records]),
    ]
    if rows:
        caption = (
            "Kernel of the central pixel; network trained for "
            f"{steps} steps; prediction of its kernel for these steps and at convergence; "
            "target."
        )
        parts.append(Strip("picture", rows, caption, HEADS))
    return parts, records


def _predicted(
    kernel: Float[Tensor, "pixels known"],
    known: Int[Tensor, "known"],
    targets: Float[Tensor, "known"],
    rate: float,
    steps: int,
) -> tuple[Pixels, Pixels]:
    """Outputs after the given number of steps, and at convergence."""
    own = kernel[known]
    time = rate / _largest(own) * steps
    soon, ever = (kernel_regression(own, kernel, targets, each) for each in (time, math.inf))
    return soon, ever


def _largest(kernel: Float[Tensor, "known known"]) -> float:
    return float(torch.linalg.eigvalsh(kernel)[-1])
