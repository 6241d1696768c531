"""Laws of photographs of an object without cameras: cut out, framed and placed."""

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from unrender.data.object_photograph import (
    FILL,
    ObjectPhotograph,
    cut_out,
    object_views,
    read_object,
)
from unrender.errors import InputError
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image
from unrender.notes import collected

BLUE = torch.tensor([0.1, 0.2, 0.7])


def drawn(width: int, height: int, *boxes: tuple[int, int, int, int]) -> Tensor:
    """Premultiplied RGBA with blue boxes (left, top, width, height)."""
    image = torch.zeros(height, width, 4)
    for left, top, wide, tall in boxes:
        image[top : top + tall, left : left + wide] = torch.cat([BLUE, torch.ones(1)])
    return image


def photograph(image: Tensor, focal: float | None = None) -> ObjectPhotograph:
    return ObjectPhotograph("photo.png", image, focal)


def saved(path: Path, image: Tensor, background: Tensor | None = None) -> Path:
    """As straight RGBA, or as RGB on a background."""
    if background is None:
        write_image(path, unpremultiply(image))
    else:
        write_image(path, image[..., :3] + (1 - image[..., 3:]) * background)
    return path


def test_a_photograph_that_is_framed_stays_as_it_is() -> None:
    """Square, in the middle, and large: as the images that view models are trained on."""
    image = drawn(40, 40, (6, 8, 28, 24))
    with collected() as notes:
        views = object_views([photograph(image)], elevations=(20,), fov=40)
    assert torch.equal(views.images[0], image)
    assert float(views.cameras.fov[0]) == pytest.approx(40, abs=1e-3)
    assert notes == []


@pytest.mark.parametrize(
    "image",
    [
        drawn(90, 40, (60, 10, 20, 12)),
        drawn(60, 60, (2, 3, 15, 20)),
        drawn(30, 80, (1, 30, 28, 20)),
    ],
    ids=["wide", "small and aside", "tall"],
)
def test_others_are_framed_about_the_object_and_it_is_said(image: Tensor) -> None:
    with collected() as notes:
        views = object_views([photograph(image)], elevations=(20,), fov=40)
    assert "framed as a square" in notes[0]
    solid = views.images[0, ..., 3] >= 0.5
    height, width = solid.shape
    assert height == width
    rows, columns = solid.any(1).nonzero()[:, 0], solid.any(0).nonzero()[:, 0]
    longer = max(int(each[-1] - each[0]) + 1 for each in (rows, columns))
    assert longer / width == pytest.approx(FILL, abs=0.05)
    for each in (rows, columns):
        assert float(each[0] + each[-1] + 1) / 2 == pytest.approx(width / 2, abs=1)
    # No color is lost.
    assert torch.allclose(views.images.sum((0, 1, 2)), image.sum((0, 1)), rtol=1e-5)


def test_the_camera_sees_the_object_where_it_is() -> None:
    """Of length 1 and in its ball, about the origin, at the given angles, with z up."""
    image = drawn(40, 40, (4, 10, 32, 20))
    views = object_views([photograph(image)], (30.0,), (50.0,), fov=35)
    cameras = views.cameras
    assert views.ball is not None
    x, y, z = cameras.centers[0].tolist()
    assert math.degrees(math.atan2(y, x)) == pytest.approx(30, abs=1e-3)
    assert math.degrees(math.asin(z / math.hypot(x, y, z))) == pytest.approx(50, abs=1e-3)
    number = torch.zeros(3, dtype=torch.long)
    across, down = cameras.rotations[0, :, 0], cameras.rotations[0, :, 1]
    pixels, depth = cameras.project(
        number, torch.stack([torch.zeros(3), across / 2, -across / 2])
    )
    assert torch.allclose(pixels, torch.tensor([[20.0, 20], [36, 20], [4, 20]]), atol=1e-3)
    assert float(across[2]) == pytest.approx(0, abs=1e-6)
    assert float(down[2]) < 0
    assert torch.equal(views.ball[:3], torch.zeros(3))
    # The ball touches the rays at the object's ends, and the camera is outside.
    sine = float(views.ball[3] / depth[0])
    assert math.tan(math.asin(sine)) == pytest.approx(
        0.8 * math.tan(math.radians(17.5)), rel=1e-4
    )


@pytest.mark.parametrize("elevation", [90.0, -90.0])
def test_a_camera_above_the_object_has_the_pole_of_its_neighbors(elevation: float) -> None:
    image = drawn(40, 40, (4, 10, 32, 20))
    near = 0.999 * elevation
    pair = [object_views([photograph(image)], (10,), (e,), 40) for e in (elevation, near)]
    above, beside = (each.cameras.rotations for each in pair)
    assert torch.allclose(above, beside, atol=0.01)


def test_a_framed_part_spans_its_part_of_the_lens() -> None:
    image = drawn(200, 100, (90, 40, 20, 20))
    views = object_views([photograph(image)], fov=60)
    focal = 100 / math.tan(math.radians(30))
    assert float(views.cameras.fov[0]) == pytest.approx(
        math.degrees(2 * math.atan(12.5 / focal)), abs=1e-3
    )


def test_assumptions_are_said() -> None:
    image = drawn(40, 40, (6, 8, 28, 24))
    with collected() as notes:
        views = object_views([photograph(image)])
    assert notes == [
        "photo.png: taken as seen from 20° above the horizon and with a field of view of 40°: "
        "--elevation and --fov can say otherwise"
    ]
    assert float(views.cameras.fov[0]) == pytest.approx(40, abs=1e-3)
    with collected() as notes:
        object_views([photograph(image, focal=50.0)], elevations=(10,))
    assert len(notes) == 1
    assert "field of view of 44° by its EXIF data" in notes[0]


def test_what_reaches_the_border_is_said() -> None:
    with collected() as notes:
        object_views([photograph(drawn(40, 40, (0, 8, 30, 24)))], (0,), (20,), 40)
    assert any("reaches the border" in each for each in notes)


def test_several_photographs_show_the_object_equally_high() -> None:
    """A box seen from its wide front and its narrow side."""
    front, side = drawn(100, 100, (10, 30, 80, 40)), drawn(100, 100, (30, 10, 40, 80))
    views = object_views([photograph(front), photograph(side)], (0, 90), (0,), 40)
    number = torch.tensor([0, 1])
    top, _ = views.cameras.project(number, torch.tensor([0.0, 0, 0.25]).expand(2, 3))
    assert top[:, 1].tolist() == pytest.approx([30, 10], abs=1e-3)


@pytest.mark.parametrize(
    ("azimuths", "elevations", "fov", "told"),
    [
        ((), (), None, "2 photographs and 0 azimuths"),
        ((0, 90, 180), (), None, "2 photographs and 3 azimuths"),
        ((0, 90), (1, 2, 3), None, "3 elevations for 2 photographs"),
        ((0, 90), (91,), None, "--elevation 91"),
        ((0, float("nan")), (), None, "--azimuth nan"),
        ((0, 90), (), 170.0, "--fov 170"),
    ],
)
def test_angles_that_do_not_fit_are_refused(azimuths, elevations, fov, told) -> None:
    pair = [photograph(drawn(40, 40, (6, 8, 28, 24)))] * 2
    with pytest.raises(InputError, match=told):
        object_views(pair, azimuths, elevations, fov)


def test_alpha_a_mask_and_a_plain_background_cut_out_alike(tmp_path: Path) -> None:
    image = drawn(60, 50, (20, 15, 25, 20))
    by_alpha = read_object(saved(tmp_path / "alpha.png", image))
    by_color = read_object(saved(tmp_path / "plain.png", image, torch.tensor([0.9, 0.5, 0.4])))
    noise = torch.rand(50, 60, 3, generator=torch.Generator().manual_seed(0))
    busy = tmp_path / "busy.png"
    write_image(busy, image[..., :3] + (1 - image[..., 3:]) * noise)
    mask = tmp_path / "mask.png"
    write_image(mask, image[..., 3:].expand(-1, -1, 3))
    by_mask = read_object(busy, mask)
    for each in (by_alpha, by_color, by_mask):
        assert torch.allclose(each.picture, image, atol=1 / 255)
    with pytest.raises(InputError, match="neither alpha nor a plain background") as told:
        read_object(busy)
    assert "--mask" in str(told.value)


def test_a_plain_background_survives_jpeg(tmp_path: Path) -> None:
    image = drawn(160, 120, (50, 40, 60, 48))
    path = tmp_path / "photo.jpg"
    write_image(path, image[..., :3] + (1 - image[..., 3:]) * torch.tensor([0.8, 0.8, 0.75]))
    solid = read_object(path).picture[..., 3]
    # Around the object lossy compression leaves a seam of a few pixels.
    assert 1 <= float(solid.sum()) / (60 * 48) < 1.2
    assert not bool(solid[:20].any())


def test_highlights_are_no_gaps_and_dust_is_no_object(tmp_path: Path) -> None:
    """Of the background's color and of another, a few pixels each."""
    image = drawn(100, 100, (20, 20, 60, 60))
    dusty = image.clone()
    dusty[5, 5] = torch.tensor([0.2, 0.2, 0.2, 1])
    dusty[40:43, 40:43] = 0
    dusty[60:70, 60:70] = 0
    path = saved(tmp_path / "photo.png", dusty, torch.ones(3))
    solid = read_object(path).picture[..., 3]
    assert not bool(solid[5, 5])
    assert bool(solid[40:43, 40:43].all())
    assert not bool(solid[60:70, 60:70].any())
    assert int(solid.sum()) == 60 * 60 - 100


def test_two_objects_are_refused_unless_a_mask_chooses(tmp_path: Path) -> None:
    image = drawn(80, 40, (5, 5, 25, 25), (45, 10, 20, 20))
    path = saved(tmp_path / "two.png", image)
    with pytest.raises(InputError, match="shows 2 objects, of 625 and 400 pixels") as told:
        read_object(path)
    assert "--mask" in str(told.value)
    mask = tmp_path / "mask.png"
    write_image(mask, drawn(80, 40, (5, 5, 25, 25))[..., 3:].expand(-1, -1, 3))
    assert int((read_object(path, mask).picture[..., 3] > 0.5).sum()) == 625


def test_small_parts_belong_to_the_object() -> None:
    image = drawn(80, 40, (5, 5, 25, 25), (45, 10, 8, 8))
    assert torch.equal(cut_out(image, "photo.png"), image)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (torch.zeros(40, 40, 4), "shows no object"),
        (drawn(40, 40, (5, 5, 4, 7)), "the object is 4×7 pixels"),
    ],
)
def test_what_shows_nothing_is_refused(image: Tensor, told: str) -> None:
    with pytest.raises(InputError, match=told):
        object_views([photograph(image)])


def test_one_color_shows_no_object() -> None:
    white = torch.ones(20, 20, 4)
    with pytest.raises(InputError, match="shows no object"):
        object_views([photograph(cut_out(white, "white.png"))])


def test_the_lens_is_read_from_exif(tmp_path: Path) -> None:
    image = drawn(400, 300, (100, 50, 200, 200))
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 50}
    path = tmp_path / "photo.png"
    Image.fromarray((unpremultiply(image) * 255).byte().numpy()).save(path, exif=exif)
    assert read_object(path).focal == pytest.approx(50 / 43.27 * 500)
    exif[0x8769] = {0xA405: 0}
    Image.fromarray((unpremultiply(image) * 255).byte().numpy()).save(path, exif=exif)
    assert read_object(path).focal is None
