"""Images interpolated from a grid of images, and focused afterwards."""

import math

import pytest
import torch
from textured_planes import FOCAL, SIZE, STEP, cameras_at, grid_cameras, plane_images
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.camera_grid import CameraGrid
from unrender.geometry.cameras import Cameras
from unrender.rendering.light_field import LightField

DEPTH = 2.0
INNER = (slice(None), slice(6, -6), slice(6, -6))
"""Pixels that all cameras of the grid see."""


def field_of(cameras: Cameras, images: Tensor) -> LightField:
    return LightField(cameras, images.__getitem__, CameraGrid.of("views", cameras))


def plane_field(cameras: Cameras | None = None, depth: float = DEPTH) -> LightField:
    cameras = grid_cameras(5, 5) if cameras is None else cameras
    return field_of(cameras, plane_images(cameras, depth))


@pytest.mark.parametrize("aperture", [0.0, 0.15, 0.4, 5.0])
def test_a_plane_in_focus_is_its_texture(aperture: float) -> None:
    """Whatever the aperture: all cameras agree there. Only pixels are interpolated."""
    target = cameras_at(torch.tensor([0.0, 0.03, -0.17]), torch.tensor([0.0, -0.12, 0.04]))
    rendering = plane_field().renderer(DEPTH, aperture)(target)
    torch.testing.assert_close(
        rendering.color[INNER], plane_images(target, DEPTH)[INNER], rtol=0, atol=4e-3
    )
    torch.testing.assert_close(rendering.opacity[INNER], torch.ones(3, 20, 36))
    # Depth is the distance along the ray to the focal plane.
    middle = rendering.depth[:, SIZE[1] // 2, SIZE[0] // 2]
    torch.testing.assert_close(middle, torch.full((3,), DEPTH), rtol=1e-3, atol=0)


def test_cameras_off_the_plane_and_turned_see_the_same_scene() -> None:
    """A camera nearer to the scene, turned by 5 degrees: each ray is interpolated by itself."""
    target = Cameras.look_at((0.02, 0.3, 0.0), (0.15, 2, 0.05), fov=45, size=SIZE)
    truth = plane_images(target, DEPTH - 0.3)
    rendering = plane_field().renderer(DEPTH)(target)
    torch.testing.assert_close(rendering.color[INNER], truth[INNER], rtol=0, atol=6e-3)
    wide = plane_field().renderer(DEPTH, 0.2)(target)
    torch.testing.assert_close(wide.color[INNER], truth[INNER], rtol=0, atol=6e-3)


def test_a_camera_of_the_grid_is_its_image_at_any_focus() -> None:
    field = plane_field()
    for focus in (0.7, DEPTH, 30.0):
        rendering = field.renderer(focus)(field.cameras[7:8])
        torch.testing.assert_close(rendering.color[0], field.image(7), rtol=0, atol=1e-5)


def test_interpolation_is_linear_between_cameras() -> None:
    """With the focal plane far away, as in Levoy and Hanrahan: the mean of what four show."""
    cameras = grid_cameras(2, 2)
    images = torch.arange(4.0)[:, None, None, None].expand(4, SIZE[1], SIZE[0], 3) / 4
    field = field_of(cameras, images)
    target = cameras_at(torch.tensor([0.2 * STEP]), torch.tensor([-0.4 * STEP]))
    # Shares of the right column and of the lower row.
    right, lower = 0.7, 0.1
    expected = (right * 1 + lower * 2) / 4
    color = field.renderer(1e3)(target).color
    torch.testing.assert_close(
        color[INNER], torch.full((1, 20, 36, 3), expected), rtol=1e-4, atol=0
    )


def test_a_small_aperture_is_a_pinhole() -> None:
    field = plane_field()
    target = cameras_at(torch.tensor([0.03]), torch.tensor([-0.02]))
    sharp = field.renderer(1.2)(target).color
    errors = [
        float((field.renderer(1.2, size)(target).color - sharp).abs().max())
        for size in (0.2, 0.02, 0.002)
    ]
    assert errors[0] > 10 * errors[2]
    assert errors[2] < 1e-3


def line_field(depth: float, columns: int = 41, step: float = 0.02) -> LightField:
    """One bright, thin, vertical line straight ahead, at a depth, seen by a row of cameras."""
    cameras = grid_cameras(1, columns, step, (96, 8))
    x = torch.arange(96) + 0.5
    images = []
    for camera in cameras:
        pixel, _ = camera.project(torch.tensor([0]), torch.tensor([[0.0, depth, 0.0]]))
        line = torch.exp(-0.5 * ((x - pixel[0, 0]) / 0.8).square())
        images.append(line[None, :, None].expand(8, 96, 3))
    return field_of(cameras, torch.stack(images))


@pytest.mark.parametrize(("depth", "focus"), [(1.5, 3.0), (3.0, 1.5), (2.0, 2.5)])
def test_the_blur_is_as_wide_as_the_lens_makes_it(depth: float, focus: float) -> None:
    """A point at depth Z is a disc of A f |1/Z − 1/F| pixels.

    The standard deviation of a disc along one axis is a quarter of its diameter.
    """
    aperture = 0.6
    field = line_field(depth)
    target = grid_cameras(1, 1, 1.0, (96, 8))
    profile = field.renderer(focus, aperture)(target).color[0, 4, :, 0]
    x = torch.arange(96) + 0.5
    share = profile / profile.sum()
    mean = (share * x).sum()
    deviation = float((share * (x - mean).square()).sum().sqrt())
    diameter = aperture * 2 * FOCAL * abs(1 / depth - 1 / focus)
    blurred = math.sqrt(diameter**2 / 16 + 0.8**2)
    assert deviation == pytest.approx(blurred, rel=0.06)


def test_of_two_planes_the_one_in_focus_is_sharp() -> None:
    """The left half of the images shows a near plane, the right half a far one."""
    cameras = grid_cameras(7, 7, 0.05)
    near, far = plane_images(cameras, 1.0, 4.0), plane_images(cameras, 3.0, 4.0)
    half = SIZE[0] // 2
    images = torch.cat([near[:, :, :half], far[:, :, half:]], dim=2)
    field = field_of(cameras, images)
    target = grid_cameras(1, 1)
    truth = images[24]
    parts = (slice(6, -6), slice(8, half - 8)), (slice(6, -6), slice(half + 8, -8))
    for focus, (sharp, blurred) in ((1.0, parts), (3.0, parts[::-1])):
        color = field.renderer(focus, 0.3)(target).color[0]
        error = (color - truth).abs()
        assert float(error[sharp].mean()) < 0.02
        assert float(error[blurred].mean()) > 2 * float(error[sharp].mean())


def test_a_hole_and_uneven_spacing_do_not_move_the_scene() -> None:
    """What is there is used where it is: a plane in focus stays its texture."""
    right, down = grid_cameras(5, 5).centers[:, 0], -grid_cameras(5, 5).centers[:, 2]
    shifted = cameras_at(right + 0.2 * STEP * right.sign() * (down > 0), down)
    field = plane_field(
        shifted.select(torch.tensor([k for k in range(25) if k not in (6, 12)]))
    )
    assert field.grid.num_holes == 2
    target = cameras_at(torch.tensor([0.01]), torch.tensor([0.02]))
    for aperture in (0.0, 0.2):
        color = field.renderer(DEPTH, aperture)(target).color
        torch.testing.assert_close(
            color[INNER], plane_images(target, DEPTH)[INNER], rtol=0, atol=5e-3
        )


def test_weights_of_cameras_sum_to_one() -> None:
    field = plane_field()
    places = torch.tensor([[0.0, 0.0], [0.19, -0.2], [3.0, 0.0]])
    for aperture in (0.0, 0.1, 0.5, 9.0):
        weights = field.weights(places, aperture)
        assert bool((weights >= 0).all())
        torch.testing.assert_close(weights.sum(1), torch.ones(3))
    # A lens that covers the grid takes all cameras, those at the rim for their half.
    whole = field.weights(places[:1], 0.6).view(5, 5)
    assert float(whole[1:-1, 1:-1].std() / whole[1:-1, 1:-1].mean()) < 0.15


def test_alpha_is_interpolated_premultiplied() -> None:
    cameras = grid_cameras(3, 3)
    images = torch.nn.functional.pad(plane_images(cameras, DEPTH), (0, 1), value=1.0) * 0.5
    field = LightField(cameras, images.__getitem__, CameraGrid.of("views", cameras))
    rendering = field.renderer(DEPTH)(grid_cameras(1, 1))
    torch.testing.assert_close(rendering.opacity[INNER], torch.full((1, 20, 36), 0.5))


def test_what_no_camera_sees_is_transparent() -> None:
    back = Cameras.look_at((0, 0, 0), (0, -2, 0), size=SIZE)
    away = cameras_at(torch.tensor([50.0]), torch.tensor([0.0]))
    rendering = plane_field().renderer(DEPTH)(back)
    assert float(rendering.opacity.max()) == 0
    assert float(rendering.depth.max()) == 0
    assert float(plane_field().renderer(DEPTH)(away).opacity.max()) == 0


@pytest.mark.parametrize(("focus", "aperture"), [(0.0, 0.0), (-2.0, 0.0), (math.nan, 0.0)])
def test_a_focus_behind_the_cameras_is_refused(focus: float, aperture: float) -> None:
    with pytest.raises(InputError, match="not in front of the cameras"):
        plane_field().renderer(focus, aperture)(grid_cameras(1, 1))


def test_a_negative_aperture_is_refused() -> None:
    with pytest.raises(InputError, match="aperture -1"):
        plane_field().renderer(2.0, -1.0)(grid_cameras(1, 1))
