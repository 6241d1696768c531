"""Scores of novel views of held-out objects, over white, beside two floors.

The floors are the first input itself, and the mean of all images of the held-out sets.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unrender.data.view_sets.view_sets import ViewBatch, ViewPool, white
from unrender.data.views import Views
from unrender.evaluation.images import psnr, ssim
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Images

Generate = Callable[[Views, Cameras, torch.Generator], Images]
"""Images of cameras, given views: `Fitted.novel_views`."""


def score_view_sets(
    generate: Generate, sets: ViewPool, inputs: int = 1, samples: int = 1, seed: int = 0
) -> dict[str, float | int]:
    """Mean PSNR, SSIM and sharpness of the views after the first `inputs` of each set.

    With several `samples`, those of the first are given, and `best_psnr` of the sample that is
    nearest to the truth, chosen for each set.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[Float[Tensor, "targets height width 3"]] = []
    best: list[float] = []
    batch = sets.batch(
        torch.arange(len(sets)), torch.arange(sets.images.shape[1]).expand(len(sets), -1)
    )
    truth = white(batch.images[:, inputs:])
    for number in range(len(sets)):
        views, cameras = split(batch, number, inputs)
        made = [white(generate(views, cameras, generator)) for _ in range(samples)]
        found.append(made[0])
        best.append(max(float(psnr(each, truth[number]).mean()) for each in made))
    predicted = torch.stack(found)
    first = white(batch.images[:, :1]).expand_as(truth)
    mean = white(batch.images).mean((0, 1)).expand_as(truth)
    scores: dict[str, float | int] = {
        "sets": len(sets),
        "inputs": inputs,
        "psnr": float(psnr(predicted, truth).mean()),
        "ssim": float(ssim(predicted.flatten(0, 1), truth.flatten(0, 1)).mean()),
        "sharpness": sharpness(predicted, truth),
        "copy_psnr": float(psnr(first, truth).mean()),
        "mean_image_psnr": float(psnr(mean, truth).mean()),
    }
    if samples > 1:
        scores |= {"samples": samples, "best_psnr": sum(best) / len(best)}
    return scores


def split(batch: ViewBatch, number: int, inputs: int) -> tuple[Views, Cameras]:
    """The first views of a set, and the cameras of the others."""
    views = views_of(batch, number)
    return views[:inputs], views.cameras[inputs:]


def views_of(batch: ViewBatch, number: int) -> Views:
    """All views of a set, about the origin: the longest side of what they show is 1."""
    size = batch.images.shape[2]
    cameras = Cameras(batch.world_from_camera[number], batch.intrinsics[number], size, size)
    ball = torch.tensor([0.0, 0.0, 0.0, 0.5])
    return Views(cameras, batch.images[number], ball=ball)


def sharpness(
    predicted: Float[Tensor, "*batch height width 3"],
    truth: Float[Tensor, "*batch height width 3"],
) -> float:
    """High-frequency energy of the predicted images over that of the true ones.

    High frequencies are what is left of an image once the mean of each 3×3 pixels is
    subtracted. 1 is as sharp as the truth; blurred images have less.
    """

    def energy(images: Float[Tensor, "*batch height width 3"]) -> float:
        planes = images.flatten(0, -4).permute(0, 3, 1, 2)
        blurred = avg_pool2d(planes, 3, stride=1)
        return float((planes[..., 1:-1, 1:-1] - blurred).square().sum())

    return energy(predicted) / energy(truth)
