"""Masks: found for the image they belong to, in the forms that people have."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import pixels, scene, tagged
from PIL import Image

from unrender.data.load import load_dataset
from unrender.data.masks import find_masks, read_mask
from unrender.data.options import LoadOptions
from unrender.data.photographs import Photographs
from unrender.errors import InputError
from unrender.imaging.files import ImageHeader, image_header


@pytest.mark.parametrize(
    ("names", "masks"),
    [
        (["a.jpg", "b.jpg"], ["a.png", "b.png"]),
        (["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]),
        (["a.jpg", "b.JPG"], ["a.jpg.png", "b.JPG.png"]),
        (["images/a.jpg", "images/b.jpg"], ["a.png", "b.png"]),
        (["images/a.jpg", "images/b.jpg"], ["images/a.PNG", "images/b.png"]),
        (["images/x/a.jpg", "images/y/a.jpg"], ["x/a.png", "y/a.png"]),
        (["images/x/a.jpg", "images/y/a.jpg"], ["x/a.jpg.png", "y/a.jpg.png"]),
        (["x/a.jpg", "y/b.jpg"], ["a.png", "b.png"]),
        (["a.jpg", "b.jpg"], ["deep/er/a.png", "deep/er/b.png"]),
    ],
)
def test_masks_are_found(tmp_path: Path, names: list[str], masks: list[str]) -> None:
    for mask in (*masks, "._a.png", "notes.txt"):
        (tmp_path / mask).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / mask).touch()
    assert find_masks(names, tmp_path) == [tmp_path / mask for mask in masks]


@pytest.mark.parametrize(
    ("names", "masks", "message"),
    [
        (["a.jpg", "b.jpg"], ["a.png"], r"no mask for b\.jpg"),
        (
            ["x/a.jpg", "y/a.jpg"],
            ["a.png"],
            r"of x/a\.jpg and of y/a\.jpg",
        ),
        (["x/a.jpg", "y/a.jpg"], ["x/a.png"], r"no mask for y/a\.jpg"),
        (["x/b.jpg", "y/a.jpg"], ["x/a.png", "x/b.png"], r"no mask for y/a\.jpg"),
        (["a.jpg"], ["x/a.png", "y/a.png"], r"no mask for a\.jpg"),
        (["a.jpg", "a.png"], ["a.webp"], r"a\.webp: would be the mask of a\.jpg and of a\.png"),
        (["a.jpg"], [], "contains no images"),
    ],
)
def test_never_the_mask_of_another_photograph(
    tmp_path: Path, names: list[str], masks: list[str], message: str
) -> None:
    for mask in masks:
        (tmp_path / mask).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / mask).touch()
    with pytest.raises(InputError, match=message):
        find_masks(names, tmp_path)


@pytest.mark.parametrize("white", [1, 255, 128])
@pytest.mark.parametrize("mode", ["L", "1", "P", "I;16"])
def test_two_values_are_black_and_white(tmp_path: Path, mode: str, white: int) -> None:
    shape = np.zeros((4, 6), np.uint8)
    shape[1:3, 2:5] = white
    image = Image.fromarray(shape)
    if mode == "P":
        image = Image.fromarray(shape, "L").convert("P")
    elif mode == "1":
        image = Image.fromarray(shape > 0)
    elif mode == "I;16":
        image = Image.fromarray(shape.astype(np.uint16))
    image.save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", ImageHeader(6, 4, 3), 1)
    assert torch.equal(mask, torch.from_numpy(shape > 0).float())


def test_gray_masks_are_shares_and_empty_or_other_sizes_are_refused(tmp_path: Path) -> None:
    gray = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    Image.fromarray(gray).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", ImageHeader(6, 4, 3), 1)
    torch.testing.assert_close(mask, torch.from_numpy(gray).float() / 255)
    with pytest.raises(InputError, match="the mask is 6x4 and its image 5x4"):
        read_mask(tmp_path / "m.png", ImageHeader(5, 4, 3), 1)
    Image.fromarray(gray * 0).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="the mask is empty"):
        read_mask(tmp_path / "m.png", ImageHeader(6, 4, 3), 1)


@pytest.mark.parametrize("drawn", ["upright", "stored"])
def test_masks_turn_with_their_photographs(tmp_path: Path, drawn: str) -> None:
    photo = tagged(tmp_path / "a.png", pixels(4, 6), 6)
    shape = np.zeros((6, 4, 1), np.uint8)
    shape[0, :3] = 255
    stored = np.ascontiguousarray(np.rot90(shape, 1))
    Image.fromarray((shape if drawn == "upright" else stored)[..., 0]).save(tmp_path / "m.png")
    found = Photographs.of("t", [photo], [(4, 6)]).read(["a"], masks=[tmp_path / "m.png"])
    assert torch.equal(found.stored(0)[..., 3], torch.from_numpy(shape[..., 0]))
    assert image_header(photo).orientation == 6


def test_mask_paths_of_frames_and_masks_of_a_folder_are_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "masks").mkdir()
    names = [f"{k}.png" for k in range(3)]
    for k, name in enumerate(names):
        Image.fromarray(pixels(8, 6)).save(tmp_path / name)
        shape = np.zeros((6, 8), np.uint8)
        shape[k : k + 2] = 1
        Image.fromarray(shape).save(tmp_path / "masks" / name)
    scene(tmp_path, names)
    options = LoadOptions("opaque", hold_out=0, masks=str(tmp_path / "masks"))
    by_folder = load_dataset(tmp_path, options).train
    file = tmp_path / "transforms.json"
    content = json.loads(file.read_text())
    for frame in content["frames"]:
        frame["mask_path"] = "masks\\" + frame["file_path"]
    file.write_text(json.dumps(content))
    by_frame = load_dataset(tmp_path, LoadOptions("opaque", hold_out=0)).train
    assert torch.equal(by_frame.images, by_folder.images)
    assert by_frame.images[1, :, 0, 3].tolist() == [0, 1, 1, 0, 0, 0]
    assert "3 of 3 images are cut out by their `mask_path`" in caplog.text
    # What is cut out is so before it is made smaller.
    small = load_dataset(tmp_path, LoadOptions("opaque", 2, 0)).train
    expected = by_frame.images.view(3, 3, 2, 4, 2, 4).mean((2, 4))
    torch.testing.assert_close(small.images, expected, rtol=0, atol=1.01 / 255)
    content["frames"][1]["mask_path"] = "masks/9.png"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="there is no mask 'masks/9"):
        load_dataset(tmp_path)
