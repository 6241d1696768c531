"""Scores of novel views: the truth is perfect, the floors are floors, blur is less sharp."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from unrender.data.builtin.families import FAMILIES
from unrender.data.view_sets.objects import make_pool
from unrender.data.views import Views
from unrender.evaluation.view_sets import score_view_sets, sharpness
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Images

POOL = make_pool(tuple(FAMILIES), range(6), 4, 16)
TRUTH = POOL.batch(torch.arange(6), torch.arange(4).expand(6, -1))


def oracle(views: Views, cameras: Cameras, generator: torch.Generator) -> Images:
    """The truth, by the pose of the first input."""
    same = (TRUTH.world_from_camera[:, 0] == views.cameras.world_from_camera[0]).all((1, 2))
    (number,) = same.nonzero()[:, 0].tolist()
    return TRUTH.images[number, len(views) :]


def copy(views: Views, cameras: Cameras, generator: torch.Generator) -> Images:
    return views.images[:1].expand(len(cameras), -1, -1, -1)


def test_the_truth_scores_best() -> None:
    scores = score_view_sets(oracle, POOL)
    assert scores["psnr"] == float("inf")
    assert scores["ssim"] == pytest.approx(1)
    assert scores["sharpness"] == pytest.approx(1)


def test_the_copied_input_is_its_floor() -> None:
    scores = score_view_sets(copy, POOL)
    assert scores["psnr"] == pytest.approx(scores["copy_psnr"])
    assert scores["copy_psnr"] < 25


def test_the_best_of_several_samples_is_found() -> None:
    def either(views: Views, cameras: Cameras, generator: torch.Generator) -> Images:
        noise = torch.rand((), generator=generator)
        return (oracle(views, cameras, generator) + 0.2 * noise).clamp(0, 1)

    one = score_view_sets(either, POOL, samples=1)
    several = score_view_sets(either, POOL, samples=8)
    assert several["best_psnr"] > one["psnr"]
    assert several["samples"] == 8


def test_blurred_images_are_less_sharp() -> None:
    image = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    planes = image.permute(0, 3, 1, 2)
    blurred = avg_pool2d(planes, 3, 1, 1).permute(0, 2, 3, 1)
    assert sharpness(image, image) == 1
    assert sharpness(blurred, image) < 0.3
    assert sharpness(2 * image, image) == pytest.approx(4)
