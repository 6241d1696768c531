"""Novel views without learning: laws of copies, means and warps."""

import pytest
import torch

from unrender.data.builtin import render_scene
from unrender.data.views import Views
from unrender.evaluation.images import ImageScores
from unrender.evaluation.novel_view_baselines import (
    best_of,
    mean_input,
    mean_of,
    nearest_inputs,
    score_novel_views,
    warped_inputs,
)
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.rendering.renderer import Rendering

CENTER = torch.zeros(3)
SIZE = 40


def chair(count: int, seed: int) -> Views:
    generator = torch.Generator().manual_seed(seed)
    poses = spherical_shell(count, (3.9, 4.1), generator, (0.1, 1.2))
    return render_scene("chair", Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE), 2)


def true_scene(cameras: Cameras) -> Rendering:
    """The chair as a scene that was fitted without error."""
    views = render_scene("chair", cameras, 1)
    assert views.depths is not None
    return Rendering(views.images[..., :3], views.images[..., 3], views.depths)


@pytest.fixture(scope="module")
def inputs() -> Views:
    return chair(24, seed=0)


@pytest.fixture(scope="module")
def truth() -> Views:
    return chair(4, seed=1)


def test_of_an_input_the_nearest_is_itself(inputs: Views) -> None:
    assert torch.equal(nearest_inputs(inputs, inputs.cameras, CENTER), inputs.images)


def test_the_mean_is_over_all_inputs(inputs: Views, truth: Views) -> None:
    found = mean_input(inputs, truth.cameras)
    assert torch.allclose(found, inputs.images.mean(0).expand(4, -1, -1, -1))


def test_an_input_is_warped_to_itself(inputs: Views) -> None:
    some = inputs[:2]
    found = warped_inputs(some, some.cameras, true_scene, CENTER)
    assert some.depths is not None
    solid = true_scene(some.cameras).opacity >= 0.5
    solid &= some.depths > 0
    assert float(solid.float().mean()) > 0.1
    # At silhouettes the finer depths are those of what is behind.
    same = (found - some.images).abs().amax(-1)[solid] < 1e-3
    assert float(same.float().mean()) > 0.9
    assert not bool(found[~solid].any())


def test_warps_know_what_copies_do_not(inputs: Views, truth: Views) -> None:
    """The order of the baselines where the depth is true: mean, copy, warp."""
    cameras = truth.cameras
    made = {
        "mean": mean_input(inputs, cameras),
        "copy": nearest_inputs(inputs, cameras, CENTER),
        "warp": warped_inputs(inputs, cameras, true_scene, CENTER),
    }
    psnr = {name: score_novel_views(images, truth).mean_psnr for name, images in made.items()}
    assert psnr["warp"] > psnr["copy"] + 3
    assert psnr["warp"] > psnr["mean"] + 3


def test_what_no_input_sees_is_transparent(inputs: Views, truth: Views) -> None:
    """From the other side, one input shows little of what is there."""
    front = Cameras.look_at((4, 0, 1), size=(SIZE, SIZE))
    back = Cameras.look_at((-4, 0, 1), size=(SIZE, SIZE))
    one = render_scene("chair", front, 2)
    found = warped_inputs(one, back, true_scene, CENTER)[0, ..., 3] > 0
    there = true_scene(back).opacity[0] > 0.5
    assert int((found & ~there).sum()) == 0
    assert int(found.sum()) < 0.7 * int(there.sum())


def test_the_truth_is_perfect_and_sizes_may_differ(truth: Views) -> None:
    assert score_novel_views(truth.images, truth).mean_psnr == float("inf")
    small = truth.resized(20, 20)
    scores = score_novel_views(truth.images, small)
    assert scores.mean_psnr > 100
    assert scores.mean_ssim == pytest.approx(1, abs=1e-4)


def test_the_best_sample_is_chosen_view_by_view() -> None:
    first = ImageScores(torch.tensor([10.0, 20.0]), torch.tensor([0.1, 0.2]))
    second = ImageScores(torch.tensor([12.0, 16.0]), torch.tensor([0.3, 0.4]))
    best, mean = best_of([first, second]), mean_of([first, second])
    assert best.psnr.tolist() == [12, 20]
    assert best.ssim.tolist() == pytest.approx([0.3, 0.2])
    assert mean.psnr.tolist() == [11, 18]
    assert best.lpips is None
    assert mean.lpips is None
