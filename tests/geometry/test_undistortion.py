"""Pinhole views of lenses: known points appear where they must, and images are straight."""

import math

import pytest
import torch
from lens_pictures import (
    HEIGHT,
    LENSES,
    WIDTH,
    calibration,
    centered,
    centers,
    seen_by_lens,
    seen_by_pinhole,
)

from unrender.data.undistort import Resampling, pinhole_cameras
from unrender.errors import InputError
from unrender.geometry.lenses import Lens
from unrender.geometry.undistortion import Calibration, PinholeView, pinhole_views


def seen_by(view: PinholeView) -> torch.Tensor:
    """The picture as a pinhole camera with the view's intrinsics sees it directly."""
    return seen_by_pinhole(pinhole_cameras(torch.eye(3, 4)[None], [(view,)]))


@pytest.mark.parametrize("model", LENSES)
def test_known_points_are_straight(model: str) -> None:
    """A 3D point appears in the view where the pinhole camera sees it."""
    source = calibration(model)
    (view,) = pinhole_views("camera", source)
    matrix = view.intrinsics
    random = torch.Generator().manual_seed(1)
    pixels = torch.rand(500, 2, generator=random, dtype=torch.float64) * torch.tensor(view.size)
    xy = (pixels - matrix[:2, 2]) / matrix.diagonal()[:2]
    points = (
        torch.cat([xy, torch.ones(500, 1)], 1) * torch.linspace(1, 5, 500)[:, None].double()
    )
    torch.testing.assert_close(view.source_pixels(pixels), source.pixels(points))
    # The table of a resampling, interpolated, is off by far less than a tenth of a pixel.
    table = Resampling(view).at
    assert table.shape == (HEIGHT, WIDTH, 2)
    error = (table.double() - view.source_pixels(centers())).norm(dim=-1)
    assert float(error.max()) < 1e-4


@pytest.mark.parametrize("model", LENSES)
def test_an_undistorted_image_is_that_of_a_pinhole_camera(model: str) -> None:
    source = calibration(model)
    (view,) = pinhole_views("camera", source)
    photograph, direct = seen_by_lens(source), seen_by(view)
    straight = Resampling(view)(photograph.float())
    assert float((straight - direct).abs()[1:-1, 1:-1].max()) < 5e-3
    pinhole = seen_by(PinholeView(source))
    assert float((photograph - pinhole).abs().max()) > 0.03, "the lens distorts"
    eight = Resampling(view)((photograph * 255).round().to(torch.uint8))
    assert eight.dtype == torch.uint8
    assert float((eight / 255 - direct).abs()[1:-1, 1:-1].max()) < 5e-3 + 1 / 255


def test_panoramas_become_a_cube() -> None:
    source = Calibration.panorama(400, 200)
    views = pinhole_views("panorama", source)
    assert [view.face for view in views] == ["front", "right", "back", "left", "up", "down"]
    photograph = seen_by_lens(source).float()
    for view in views:
        assert view.size == (127, 127)
        straight = Resampling(view)(photograph)
        # The pole is one point, of which the uppermost row has all the sides.
        assert float((straight - seen_by(view)).abs().max()) < 1e-2, view.face
    axes = torch.stack([view.source_from_view[:, 2] for view in views])
    expected = [[0, 0, 1], [1, 0, 0], [0, 0, -1], [-1, 0, 0], [0, -1, 0], [0, 1, 0]]
    torch.testing.assert_close(axes, torch.tensor(expected, dtype=torch.float64))


def test_alpha_is_resampled_with_premultiplied_colors() -> None:
    (view,) = pinhole_views("camera", calibration("OPENCV_FISHEYE"))
    image = torch.zeros(HEIGHT, WIDTH, 4, dtype=torch.uint8)
    image[:, 80:] = 255
    found = Resampling(view)(image)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[..., 0], found[..., 3])


def test_no_pixel_is_without_a_source() -> None:
    """Lenses that pull the border inwards are narrowed by as much as needed, and no others."""
    pincushion, barrel = (
        centered(Lens.of("SIMPLE_RADIAL", {"k1": k1}), 140.0) for k1 in (0.2, -0.2)
    )
    (narrowed,), (same,) = pinhole_views("a", pincushion), pinhole_views("b", barrel)
    assert same.zoom == 1
    assert 1.02 < narrowed.zoom < 1.2
    at = narrowed.source_pixels(centers())
    limits = torch.tensor([WIDTH, HEIGHT]) + 0.5
    assert bool(((at >= -0.5) & (at <= limits)).all())
    wider = PinholeView(pincushion, narrowed.zoom / 1.001)
    assert not wider.fully_seen


def test_lenses_that_see_behind_them_become_views_of_at_most_120_degrees() -> None:
    # 220° across the height of the image.
    focal = HEIGHT / math.radians(220)
    source = centered(Lens.of("FISHEYE", {}), focal)
    (view,) = pinhole_views("camera", source)
    fx, fy = view.intrinsics.diagonal()[:2].tolist()
    assert math.degrees(2 * math.atan(80 / fx)) == pytest.approx(120)
    assert fx == fy


@pytest.mark.parametrize(("k1", "k2"), [(-0.5, 0.0), (-1.5, 0.8), (0.0, -0.6)])
def test_folding_distortion_is_limited_to_where_it_does_not_fold(k1: float, k2: float) -> None:
    """The polynomial shrinks again beyond a radius; what is there must not be seen twice."""
    lens = Lens.of("RADIAL", {"k1": k1, "k2": k2})
    source = centered(lens, 90.0)
    assert not PinholeView(source).fully_seen
    (view,) = pinhole_views("camera", source)
    corner = 100 / (90 * view.zoom)
    r = torch.linspace(0, corner, 1000, dtype=torch.float64)
    radii = r * (1 + k1 * r**2 + k2 * r**4)
    assert bool((radii.diff() > 0).all())
    assert view.zoom > 1.02


def test_distortion_that_folds_in_the_middle_is_refused() -> None:
    lens = Lens.of("SIMPLE_RADIAL", {"k1": -40.0})
    source = centered(lens, 90.0)
    with pytest.raises(InputError, match=r"frame 3: .*folds back"):
        pinhole_views("frame 3", source)


@pytest.mark.parametrize(
    "change",
    [
        {"focal": (0.0, 100.0)},
        {"focal": (100.0, -1.0)},
        {"focal": (math.nan, 100.0)},
        {"focal": (math.inf, 100.0)},
        {"focal": (1e-50, 100.0)},
        {"focal": (1e30, 1e30)},
        {"center": (math.nan, 60.0)},
        {"center": (1e30, 60.0)},
        {"lens": Lens.of("OPENCV", {"k1": math.nan})},
    ],
    ids=str,
)
def test_implausible_numbers_are_refused(change: dict[str, object]) -> None:
    usual: dict[str, object] = {"lens": Lens(), "focal": (90.0, 90.0), "center": (80.0, 60.0)}
    given: dict[str, object] = usual | change
    with pytest.raises(InputError, match="image 7"):
        Calibration.checked("image 7", size=(WIDTH, HEIGHT), **given)  # type: ignore[arg-type]
    Calibration.checked("image 7", size=(WIDTH, HEIGHT), **usual)  # type: ignore[arg-type]


def test_panoramas_of_another_aspect_are_refused() -> None:
    with pytest.raises(InputError, match="300x200, not twice as wide"):
        pinhole_views("panorama", Calibration.panorama(300, 200))
