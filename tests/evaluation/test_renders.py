"""Evaluation of renderers: rendering in parts, and the background of the views."""

import math

import torch
from torch import Tensor

from unrender.data.views import Views
from unrender.evaluation.renders import evaluate_images, render_in_parts
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.rendering.renderer import Rendering

SIZE = 12


def cameras(count: int = 4) -> Cameras:
    poses = spherical_shell(count, (3.0, 4.0), torch.Generator().manual_seed(0))
    return Cameras.from_focal(poses, 14.0, SIZE, SIZE)


def rgba(count: int = 4) -> Tensor:
    images = torch.rand(count, SIZE, SIZE, 4, generator=torch.Generator().manual_seed(1))
    images[..., :3] *= images[..., 3:]
    return images


def by_pose(given: Cameras) -> Rendering:
    """A constant image for each camera, with a colour that depends on its centre."""
    color = given.centers.sigmoid()[:, None, None].expand(-1, SIZE, SIZE, 3)
    opacity = torch.ones(len(given), SIZE, SIZE)
    return Rendering(color * 1.0, opacity, 3 * opacity)


def test_parts_make_the_whole_and_tell_how_far_they_are() -> None:
    told: list[tuple[int, int]] = []
    parts = render_in_parts(by_pose, cameras(), lambda done, total: told.append((done, total)))
    whole = by_pose(cameras())
    assert parts.color.equal(whole.color)
    assert parts.opacity.equal(whole.opacity)
    assert parts.depth.equal(whole.depth)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_truth_as_a_renderer_is_perfect() -> None:
    images = rgba()
    views = Views(cameras(), images)

    def truth(given: Cameras) -> Rendering:
        index = int((views.cameras.centers == given.centers).all(1).nonzero()[0, 0])
        image = images[index : index + 1]
        return Rendering(image[..., :3], image[..., 3], torch.zeros_like(image[..., 3]))

    result = evaluate_images(truth, views)
    assert result.scores.psnr.isposinf().all()
    assert result.background == "white"
    # White behind: what is not covered adds its whole share to each channel.
    expected = images[..., :3] + 1 - images[..., 3:]
    torch.testing.assert_close(torch.stack(result.truth), expected)


def test_images_without_alpha_are_compared_on_their_own_background() -> None:
    black = torch.zeros(3)
    views = Views(cameras(), torch.full((4, SIZE, SIZE, 3), 0.1), black)

    def nothing(given: Cameras) -> Rendering:
        opacity = torch.zeros(len(given), SIZE, SIZE)
        return Rendering(opacity[..., None].expand(-1, -1, -1, 3), opacity, opacity)

    result = evaluate_images(nothing, views)
    assert result.background == "[0.0, 0.0, 0.0]"
    assert math.isclose(result.scores.mean_psnr, 20.0, abs_tol=1e-4)


def test_resized_views_keep_mean_colour_and_field_of_view() -> None:
    views = Views(cameras(), rgba())
    small = views.resized(4, 4)
    assert small.images.shape == (4, 4, 4, 4)
    torch.testing.assert_close(small.images.mean((1, 2)), views.images.mean((1, 2)))
    torch.testing.assert_close(small.cameras.focal / 4, views.cameras.focal / SIZE)
    assert small.cameras.world_from_camera.equal(views.cameras.world_from_camera)
