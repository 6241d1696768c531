"""Degraded captures: what changes, what stays, and in which order."""

from dataclasses import replace

import pytest
import torch

import unrender as ur
from unrender.data.builtin import render_scene
from unrender.data.dataset import Dataset
from unrender.data.degradation import Degradation
from unrender.data.degrade import degrade_views
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.images import psnr
from unrender.geometry.camera_motion import pixel_motion
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, invert, se3_exp, se3_log
from unrender.imaging.color import display_from_linear, linear_from_display
from unrender.imaging.degrade import motion_blur


@pytest.fixture(scope="module")
def bricks() -> Dataset:
    return ur.load("bricks", downscale=2)


def gray(level: float, count: int = 3, size: int = 64) -> Views:
    eyes = [(4.0, 0.3 * k, 1.0) for k in range(count)]
    cameras = Cameras.look_at(eyes, (0.0, 0.0, 0.0), size=(size, size))
    return Views(cameras, torch.full((count, size, size, 3), level), torch.ones(3))


def test_nothing_changes_by_default(bricks: Dataset) -> None:
    some = bricks.train[:3]
    assert (degrade_views(some, Degradation()).images - some.images).abs().max() < 0.51 / 255


def test_the_seed_decides_and_held_out_views_stay(bricks: Dataset) -> None:
    few = replace(bricks, train=bricks.train[:3], test=bricks.test[:2])
    first, again, other = (ur.degrade(few, photons=50.0, seed=k) for k in (0, 0, 1))
    assert torch.equal(first.train.images, again.train.images)
    assert not torch.equal(first.train.images, other.train.images)
    assert first.test is few.test
    both = ur.degrade(few, photons=50.0, count=2, test=True)
    assert (len(both.train), len(both.test)) == (2, 2)
    assert not torch.equal(both.test.images, few.test.images)


def test_stops_halve_the_light_and_photons_make_noise_of_its_square_root() -> None:
    views = gray(0.8)
    light = float(linear_from_display(torch.tensor(0.8)))
    dark = degrade_views(views, Degradation(underexposure=2.0))
    expected = display_from_linear(torch.tensor(light / 4))
    assert float((dark.images - expected).abs().max()) < 0.5 / 255 + 1e-5
    for stops in (0, 2):
        noisy = degrade_views(views, Degradation(photons=100.0, underexposure=float(stops)))
        found = linear_from_display(noisy.images)
        mean = light / 2**stops
        assert float(found.mean()) == pytest.approx(mean, rel=0.02)
        assert float(found.std()) == pytest.approx((mean / 100) ** 0.5, rel=0.05)


def test_exposure_and_white_balance_vary_from_image_to_image() -> None:
    views = gray(0.3, count=200, size=4)
    how = Degradation(exposure_jitter=0.5, white_balance_jitter=0.2)
    light = linear_from_display(degrade_views(views, how).images).mean((1, 2))
    stops = light.log2() - linear_from_display(torch.tensor(0.3)).log2()
    assert float(stops[:, 1].std()) == pytest.approx(0.5, rel=0.2)
    for channel in (0, 2):
        assert float((stops[:, channel] - stops[:, 1]).std()) == pytest.approx(0.2, rel=0.2)


def test_motion_blur_is_what_renders_along_the_way_of_the_camera_average_to() -> None:
    """In linear light, in front of a depth that varies."""
    start = Cameras.look_at([(3.6, 0.6, 1.4)], (0.0, 0.0, 0.1), fov=40.0, size=(64, 64))
    end = Cameras.look_at([(3.5, 0.9, 1.4)], (0.0, 0.1, 0.1), fov=40.0, size=(64, 64))
    way = se3_log(compose(invert(start.world_from_camera), end.world_from_camera))
    length, times = 1.5, (torch.arange(12) + 0.5) / 12 - 0.5
    along = compose(
        start.world_from_camera.expand(12, 3, 4), se3_exp(length * times[:, None] * way)
    )
    cameras = Cameras(along, start.intrinsics.expand(12, 3, 3), 64, 64)
    light = linear_from_display(render_scene("bricks", cameras).over("white")).mean(0)
    still = render_scene("bricks", start)
    assert still.depths is not None
    hit = still.depths[0] > 0
    filled = torch.where(hit, still.depths[0], still.depths[0][hit].median())
    motion = length * pixel_motion(start, end.world_from_camera[0], filled)
    assert float(motion.norm(dim=-1).median()) > 3
    sharp = linear_from_display(still.over("white"))[0]
    assert float(psnr(motion_blur(sharp, motion), light)) > float(psnr(sharp, light)) + 8


def test_trails_have_the_given_length_in_the_median() -> None:
    eyes = torch.tensor([[4.0, 0.3 * k, 1.0] for k in range(3)])
    cameras = Cameras.look_at(eyes, eyes - torch.tensor([4.0, 0.0, 1.0]), size=(64, 64))
    views = Views(
        cameras, torch.zeros(3, 64, 64, 3), torch.ones(3), ball=torch.tensor([0.0, 0, 0, 1])
    )
    image = torch.zeros(64, 64, 3)
    image[32, 32] = 1.0
    point = replace(views, store=views.store.mapped(lambda _, __: image))
    # The cameras move along y, to the right in the image or to the left.
    long = linear_from_display(degrade_views(point, Degradation(motion_blur=9.0)).images)
    across = long[0].sum((0, 2))
    place = torch.arange(64.0)
    mean = float(across @ place / across.sum())
    spread = float(across @ (place - mean).square() / across.sum())
    assert spread == pytest.approx(9**2 / 12, rel=0.1)


def test_a_share_of_the_images_is_blurred(bricks: Dataset) -> None:
    some = bricks.train[:8]
    found = degrade_views(some, Degradation(defocus=6.0, blurred_share=0.5)).images
    changed = (found - some.images).abs().amax((1, 2, 3)) > 0.05
    assert int(changed.sum()) == 4


def test_fewer_pixels_average_the_light_and_fewer_images_are_evenly_spread(
    bricks: Dataset,
) -> None:
    found = degrade_views(bricks.train, Degradation(downscale=4, count=5))
    assert len(found) == 5
    assert found.cameras.sizes.one == (20, 20)
    torch.testing.assert_close(found.cameras.fov, bricks.train.cameras.fov[:5])
    assert found.depths is None
    checker = torch.zeros(3, 64, 64, 3)
    checker[:, ::2, ::2] = checker[:, 1::2, 1::2] = 1.0
    views = gray(0.0)
    views = replace(views, store=views.store.mapped(lambda k, _: checker[k]))
    half = degrade_views(views, Degradation(downscale=2)).images
    # Half of the light, which is more than half of the display's values.
    expected = display_from_linear(torch.tensor(0.5))
    assert float((half - expected).abs().max()) < 1 / 255


def test_alpha_stays_but_for_blur(bricks: Dataset) -> None:
    some = bricks.train[:2]
    found = degrade_views(some, Degradation(photons=20.0, jpeg=20, underexposure=1.0)).images
    torch.testing.assert_close(found[..., 3], some.images[..., 3], atol=1e-5, rtol=0)
    assert bool((found[..., :3] <= found[..., 3:] + 1e-6).all())
    blurred = degrade_views(some, Degradation(defocus=8.0)).images
    partly = [
        int(((each[..., 3] > 0.01) & (each[..., 3] < 0.99)).sum())
        for each in (some.images, blurred)
    ]
    assert partly[1] > 2 * partly[0]


def test_each_degradation_costs_quality_and_more_of_it_more(bricks: Dataset) -> None:
    some = bricks.train[:2]
    truth = some.over("white")
    for name, low, high in (
        ("motion_blur", 2.0, 8.0), ("defocus", 2.0, 8.0), ("photons", 500.0, 20.0),
        ("underexposure", 0.5, 2.0), ("bits", 6, 3), ("jpeg", 60, 5), ("video", 25, 50),
    ):  # fmt: skip
        scores = [
            float(
                psnr(
                    degrade_views(some, Degradation(**{name: value})).over("white"), truth
                ).mean()
            )
            for value in (low, high)
        ]
        assert scores[0] > scores[1] + 1, name
        assert scores[0] < 60, name


def test_what_cannot_be_done_is_refused(bricks: Dataset) -> None:
    some = bricks.train[:3]
    for message, options in (
        ("photons 0: give at least 1", {"photons": 0.0}),
        ("motion_blur -1: give at least 0", {"motion_blur": -1.0}),
        ("read_noise 2: is in electrons", {"read_noise": 2.0}),
        ("jpeg 0: give at least 1", {"jpeg": 0}),
        ("count 4: there are 3 images", {"count": 4}),
        ("--downscale 200: images are", {"downscale": 200}),
    ):
        with pytest.raises(InputError, match=f"^{message}"):
            degrade_views(some, Degradation(**options))
    with pytest.raises(InputError, match=r"^degrade: has no option 'blur'"):
        ur.degrade("bricks", blur=3)
    still = some.select(torch.tensor([0, 0]))
    with pytest.raises(InputError, match=r"^motion_blur 3: .* have one pose"):
        degrade_views(still, Degradation(motion_blur=3.0))
    with pytest.raises(InputError, match=r"^motion_blur: needs two images"):
        degrade_views(some[:1], Degradation(motion_blur=3.0))
