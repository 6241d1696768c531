"""Central squares: the same rays see the same colors."""

import pytest
import torch

from unrender.data.squares import square_focal, squares
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.geometry.pixels import pixel_grid


def sky(width: int, height: int, focal: torch.Tensor) -> Views:
    """Images whose colors are the directions of their pixels' rays."""
    cameras = Cameras.from_focal(turntable(4, 4.0, 0.5), focal, width, height)
    cameras.intrinsics[:, 0, 2] += torch.tensor([0.0, 3.0, -2.0, 40.0])
    camera = torch.arange(4)[:, None, None].expand(4, height, width)
    pixels = pixel_grid(width, height).expand(4, height, width, 2)
    offset = (pixels - cameras.intrinsics[:, None, None, :2, 2]) / focal[:, None, None, None]
    assert camera.shape == offset.shape[:3]
    blank = torch.ones(4, height, width, 2)
    return Views(cameras, torch.cat([offset, blank], dim=-1))


@pytest.mark.parametrize(("width", "height"), [(60, 40), (40, 60), (48, 48)])
@pytest.mark.parametrize("wanted", [None, 1.5])
def test_a_square_sees_what_its_camera_says(
    width: int, height: int, wanted: float | None
) -> None:
    focal = torch.tensor([50.0, 60.0, 70.0, 60.0])
    found = squares(sky(width, height, focal), 12, wanted)
    assert found.images.shape == (4, 12, 12, 4)
    matrix = found.cameras.intrinsics
    offset = (pixel_grid(12, 12) - matrix[:, None, None, :2, 2]) / matrix[:, None, None, 0, :1]
    # Half a pixel of the images is 7e-3, and pixels that are cut in two are constant.
    torch.testing.assert_close(found.images[..., :2], offset, atol=2e-3, rtol=0)
    if wanted is not None:
        # The last two are no wider than their longest square.
        torch.testing.assert_close(
            matrix[:2, 0, 0] / 12, torch.full((2,), 1.5), rtol=0.02, atol=0
        )


def test_the_common_field_of_view_is_in_nine_of_ten_views() -> None:
    focal = torch.tensor([50.0] * 9 + [100.0])
    cameras = Cameras.from_focal(turntable(10, 4.0, 0.5), focal, 60, 40)
    assert square_focal(Views(cameras, torch.ones(10, 40, 60, 4))) in (1.25, 2.5)
    nine = Views(cameras, torch.ones(10, 40, 60, 4))[:9]
    assert square_focal(nine) == 1.25


def test_no_views_have_no_squares() -> None:
    empty = sky(60, 40, torch.full((4,), 50.0))[:0]
    assert squares(empty, 12).images.shape == (0, 12, 12, 4)
