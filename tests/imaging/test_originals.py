"""Photographs keep their bytes, or at least their EXIF data, alpha and pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unrender.errors import InputError
from unrender.imaging.color import premultiply, unpremultiply
from unrender.imaging.files import read_image
from unrender.imaging.originals import EXIF_HEIGHT, EXIF_IFD, EXIF_WIDTH, copy_photograph
from unrender.imaging.resize import area_average

FOCAL = 0xA405
"""FocalLengthIn35mmFilm, which COLMAP begins with."""
RNG = np.random.default_rng(0)


def photograph(path: Path, mode: str = "RGB", turned: int = 1, **options: object) -> Path:
    """Random pixels, 24 wide and 16 high, taken with a lens of 26 mm."""
    values = RNG.integers(0, 256, (16, 24, len(mode)), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turned
    fields = exif.get_ifd(EXIF_IFD)
    fields[FOCAL], fields[EXIF_WIDTH], fields[EXIF_HEIGHT] = 26, 24, 16
    image = Image.fromarray(values.squeeze(), mode)
    image.save(path, exif=exif.tobytes(), **options)
    return path


def focal(path: Path) -> object:
    with Image.open(path) as image:
        return image.getexif().get_ifd(EXIF_IFD)[FOCAL]


@pytest.mark.parametrize(
    ("name", "mode"), [("a.jpg", "RGB"), ("a.JPEG", "L"), ("a.png", "RGB"), ("a.png", "RGBA")]
)
def test_what_fits_is_copied_byte_by_byte(tmp_path: Path, name: str, mode: str) -> None:
    path = photograph(tmp_path / name, mode)
    (tmp_path / "out").mkdir()
    found = copy_photograph(path, tmp_path / "out", "a", 24)
    assert found == tmp_path / "out" / name
    assert found.read_bytes() == path.read_bytes()


def test_turned_photographs_are_turned_once(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg", turned=6)
    (tmp_path / "out").mkdir()
    found = copy_photograph(path, tmp_path / "out", "a", 24)
    assert found.name == "a.png"
    assert torch.equal(read_image(found), read_image(path, upright=True))
    assert torch.equal(read_image(found, upright=True), read_image(found))
    assert focal(found) == 26
    with Image.open(found) as image:
        fields = image.getexif().get_ifd(EXIF_IFD)
        assert (fields[EXIF_WIDTH], fields[EXIF_HEIGHT]) == (16, 24) == image.size


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_large_photographs_are_averaged(tmp_path: Path, mode: str) -> None:
    """By area, in premultiplied colors, within the rounding of 8 bits."""
    path = photograph(tmp_path / "a.png", mode)
    (tmp_path / "out").mkdir()
    found = copy_photograph(path, tmp_path / "out", "a", 12)
    assert focal(found) == 26
    image = read_image(found)
    assert image.shape == (8, 12, len(mode))
    original = read_image(path)
    if mode == "RGB":
        expected = area_average(original[None], 12, 8)[0]
        torch.testing.assert_close(image, expected, rtol=0, atol=1.01 / 255)
        return
    expected = unpremultiply(area_average(premultiply(original)[None], 12, 8)[0])
    seen, true = premultiply(image), premultiply(expected)
    torch.testing.assert_close(seen, true, rtol=0, atol=3 / 255)


def test_other_formats_become_png(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.webp", "RGBA", lossless=True, exact=True)
    (tmp_path / "out").mkdir()
    found = copy_photograph(path, tmp_path / "out", "a.webp", 100)
    assert found.name == "a.webp.png"
    torch.testing.assert_close(
        premultiply(read_image(found)), premultiply(read_image(path)), rtol=0, atol=1.01 / 255
    )
    assert focal(found) == 26


def test_damaged_photographs_and_taken_names_are_refused(tmp_path: Path) -> None:
    path = photograph(tmp_path / "a.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").touch()
    with pytest.raises(InputError, match=r"another photograph a.jpg"):
        copy_photograph(path, tmp_path / "out", "a", 100)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="damaged"):
        copy_photograph(path, tmp_path / "out", "a", 100)
    with pytest.raises(InputError, match="no such file"):
        copy_photograph(tmp_path / "none.jpg", tmp_path / "out", "a", 100)
