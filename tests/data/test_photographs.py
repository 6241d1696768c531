"""Photographs as people have them: turned by EXIF, large, with and without alpha."""

from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import pixels, scene, tagged
from PIL import Image

from unrender.data.load import load_dataset, recognize
from unrender.data.options import LoadOptions
from unrender.data.photographs import Photographs, list_photographs, shrunk
from unrender.errors import InputError
from unrender.files import memory
from unrender.imaging.files import image_header, read_pixels, read_rgba
from unrender.imaging.orientation import seen_by, shown_by
from unrender.imaging.resize import area_average


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_for_an_upright_camera(
    tmp_path: Path, orientation: int
) -> None:
    upright = pixels(5, 7)
    path = tagged(tmp_path / "a.png", upright, orientation)
    header = image_header(path)
    assert header.upright == (5, 7)
    expected = torch.from_numpy(upright)
    assert torch.equal(read_pixels(path, header.orientation), expected)
    assert torch.equal(read_rgba(path)[..., :3], expected.float() / 255)
    photographs = Photographs.of("here", [path], [(10, 14)])
    found = photographs.read(["a.png"])
    if orientation >= 5:
        assert torch.equal(found.stored(0), expected)
    else:  # The camera fits what is stored.
        assert torch.equal(found.stored(0), read_pixels(path))


def test_a_camera_of_the_stored_size_keeps_what_is_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tagged(tmp_path / "a.png", pixels(5, 7), 6)
    found = Photographs.of("t.json", [path], [(14, 10)])
    assert found.sizes[0] == (7, 5)
    assert torch.equal(found.read(["a.png"]).stored(0), read_pixels(path))
    assert "1 photographs with an EXIF orientation are kept as they are stored" in caplog.text
    with pytest.raises(InputError, match=r"a\.png: is 7x5, and its camera in t\.json 10x10"):
        Photographs.of("t.json", [path], [(10, 10)])


def test_a_photograph_is_seen_as_its_cameras_are(tmp_path: Path) -> None:
    header = image_header(tagged(tmp_path / "a.png", pixels(6, 8), 6))
    assert (seen_by(header, (12, 16)), seen_by(header, (16, 12))) == (6, 1)
    assert seen_by(header, (12, 12)) is None
    assert shown_by(header) == 6
    assert shown_by(header, [(16, 12)]) == 1
    assert shown_by(header, [(12, 16), (16, 12)]) == 6
    assert shown_by(header, [(30, 10)]) == 6
    square = image_header(tagged(tmp_path / "b.png", pixels(6, 6), 6))
    assert (shown_by(square), shown_by(square, [(12, 12)])) == (6, 1)


def test_intrinsics_of_a_turned_photograph_are_those_of_its_camera(tmp_path: Path) -> None:
    for k in range(3):
        tagged(tmp_path / f"{k}.jpg", pixels(6, 8), 6)
    lens = {"fl_x": 10, "fl_y": 10, "cx": 3, "cy": 4, "w": 6, "h": 8}
    found = load_dataset(
        scene(tmp_path, ["0.jpg", "1.jpg", "2.jpg"], **lens), LoadOptions("opaque")
    )
    cameras = found.train.cameras
    assert cameras.sizes.one == (6, 8)
    expected = torch.tensor([[10.0, 0, 3], [0, 10, 4], [0, 0, 1]])
    torch.testing.assert_close(cameras.intrinsics[0], expected)


def test_images_without_alpha_among_others_are_opaque(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k, channels in enumerate((4, 3, 4)):
        Image.fromarray(pixels(4, 3, channels)).save(tmp_path / f"{k}.png")
    found = load_dataset(scene(tmp_path, ["0", "1", "2"]), LoadOptions(hold_out=0)).train
    assert found.has_alpha
    assert bool((found.store[1][..., 3] == 1).all())
    expected = torch.from_numpy(pixels(4, 3)).float() / 255
    torch.testing.assert_close(found.store[1][..., :3], expected)
    assert bool((found.store[0][..., 3] < 1).any())
    assert "1 of 3 images have no alpha, such as 1.png: they are opaque" in caplog.text


def test_hidden_files_are_none_of_the_photographs(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.png", "._a.png", ".hidden.jpg", "Thumbs.db", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_photographs(tmp_path)] == ["a.png", "b.PNG"]


@pytest.mark.parametrize("subfolder", ["", "images"])
def test_photographs_without_poses_name_the_way_to_them(tmp_path: Path, subfolder: str) -> None:
    (tmp_path / subfolder).mkdir(exist_ok=True)
    Image.fromarray(pixels(4, 3)).save(tmp_path / subfolder / "a.JPG")
    with pytest.raises(InputError, match="1 images without camera poses: run `unr"):
        recognize(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("size", [(48, 32), (50, 35)])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_downscaling_while_reading_is_area_averaging(
    tmp_path: Path, ending: str, size: tuple[int, int], factor: int
) -> None:
    smooth = np.asarray(Image.fromarray(pixels(6, 4)).resize(size, Image.Resampling.BICUBIC))
    path = tmp_path / f"a.{ending}"
    Image.fromarray(smooth).save(path, quality=100, subsampling=0)
    whole = read_pixels(path).float() / 255
    found = Photographs.of("here", [path]).read(["a"], LoadOptions(downscale=factor))
    width, height = size[0] // factor, size[1] // factor
    assert found.sizes[0] == (width, height)
    expected = area_average(whole, width, height)
    # JPEG is decoded smaller where its sides allow it, which is no exact average.
    within = 0.51 / 255 if ending == "png" or size == (50, 35) or factor == 3 else 4 / 255
    torch.testing.assert_close(found[0], expected, rtol=0, atol=within)


def test_shrinking_by_a_whole_factor_is_the_average_premultiplied() -> None:
    image = torch.from_numpy(pixels(200, 260, 4))
    straight = image.float() / 255
    straight[..., :3] *= straight[..., 3:]
    torch.testing.assert_close(shrunk(image, 20, 26), area_average(straight, 20, 26))
    torch.testing.assert_close(shrunk(image, 13, 40), area_average(straight, 13, 40))


def test_large_photographs_are_refused_with_the_factor_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(pixels(40, 40)).save(tmp_path / "a.png")
    paths = [tmp_path / "a.png"] * 1000
    photographs = Photographs.of("t.json", paths)
    # All of it takes 4.8 MB, and decoding up to four images 128 kB.
    monkeypatch.setattr(memory, "free_memory", lambda: 1_000_000)
    monkeypatch.setattr("unrender.data.photographs.free_memory", lambda: 1_000_000)
    with pytest.raises(InputError, match=r"1000 images of 40×40.*--downscale 3") as caught:
        photographs.read(["a"] * 1000)
    assert len(str(caught.value)) <= 300
    assert len(photographs.read(["a"] * 1000, LoadOptions(downscale=3))) == 1000
    monkeypatch.setattr(memory, "free_memory", lambda: 10_000)
    with pytest.raises(InputError, match="are free"):
        read_pixels(tmp_path / "a.png")
