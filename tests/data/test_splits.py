"""Which views are trained on and held out, in the ways that data say so."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from inputs import sample
from photographs import pixels, scene
from PIL import Image

from unrender.app.inspect import inspect
from unrender.data.formats.npz import save_npz
from unrender.data.load import load_dataset
from unrender.data.options import LoadOptions
from unrender.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten views of images that differ."""
    made = tmp_path / "scene"
    (made / "images").mkdir(parents=True)
    names = [f"images/{k}.png" for k in range(10)]
    for k, name in enumerate(names):
        image = pixels(4, 3, 4)
        image[0, 0] = (k, k, k, 255)
        Image.fromarray(image).save(made / name)
    return scene(made, names)


def change(folder: Path, name: str = "transforms.json", /, **content: object) -> None:
    found = json.loads((folder / "transforms.json").read_text())
    (folder / name).write_text(json.dumps({**found, **content}))


def frames(folder: Path, *chosen: int) -> list[dict[str, object]]:
    every = json.loads((folder / "transforms.json").read_text())["frames"]
    return [every[k] for k in chosen]


def blender(folder: Path, train: range, test: list[dict[str, object]]) -> None:
    change(folder, "transforms_test.json", frames=test)
    change(folder, "transforms_train.json", frames=frames(folder, *train))


def names(*numbers: int) -> tuple[str, ...]:
    return tuple(f"images/{k}.png" for k in numbers)


def test_lists_of_names_are_the_splits(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    lists = {"train_filenames": ["images/3.png", "./images/1.png"], "test_filenames": names(0)}
    change(folder, **lists, val_filenames=names(5))
    found = load_dataset(folder)
    assert (found.train.names, found.test.names) == (names(3, 1), names(0))
    assert "7 images are in neither of the splits" in caplog.text
    change(folder, **lists | {"test_filenames": [], "val_filenames": ["images\\5"]})
    assert load_dataset(folder).test.names == names(5)


def test_without_a_list_for_training_it_is_the_rest(folder: Path) -> None:
    change(folder, test_filenames=names(0, 9), val_filenames=names(5))
    found = load_dataset(folder)
    assert (found.train.names, found.test.names) == (names(1, 2, 3, 4, 6, 7, 8), names(0, 9))


def test_the_validation_split_is_held_out_where_it_is_asked_for(folder: Path) -> None:
    """D-NeRF's moving lego shows another motion in its test split."""
    blender(folder, range(6), frames(folder, 6, 7))
    change(folder, "transforms_val.json", frames=frames(folder, 8))
    assert load_dataset(folder).test.names == names(6, 7)
    found = load_dataset(folder, LoadOptions(split="val"))
    assert (found.train.names, found.test.names) == (names(*range(6)), names(8))
    assert found.options.split == "val"
    (folder / "transforms_val.json").unlink()
    with pytest.raises(InputError, match=r"--split val: .* has no views of this split"):
        load_dataset(folder, LoadOptions(split="val"))
    change(folder, test_filenames=names(0, 9), val_filenames=names(5))
    (folder / "transforms_train.json").unlink()
    assert load_dataset(folder, LoadOptions(split="val")).test.names == names(5)
    change(folder, val_filenames=[])
    with pytest.raises(InputError, match="has no views of this split"):
        load_dataset(folder, LoadOptions(split="val"))


def test_data_without_splits_have_no_validation_split(folder: Path) -> None:
    val = LoadOptions(split="val")
    save_npz(folder / "views.npz", load_dataset(folder).train)
    for source in (folder, folder / "views.npz", "bricks", sample("real_scenes/fern_llff")):
        with pytest.raises(InputError, match="has no views of this split: leave out --split"):
            load_dataset(source, val)


def test_views_of_one_pose_at_several_times_are_no_copies(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A camera on a tripod films a scene that moves."""
    every = frames(folder, *range(10))
    for k, frame in enumerate(every):
        frame["transform_matrix"] = every[0]["transform_matrix"]
        frame["time"] = k / 10
    change(folder, frames=every)
    assert len(load_dataset(folder).train) == 9
    assert not caplog.messages
    assert not any("Same camera pose" in line for line in inspect(folder).summary.warnings)
    every[2]["time"] = every[1]["time"]
    change(folder, frames=every)
    load_dataset(folder)
    assert "images/1.png and images/2.png" in caplog.text
    assert any("Same camera pose" in line for line in inspect(folder).summary.warnings)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train_filenames": ["images/77.png"]}, "names 'images/77.png', which is not among"),
        ({"train_filenames": "images/1.png"}, "not a list"),
        ({"train_filenames": [3]}, "not a file name"),
        ({"train_filenames": [], "test_filenames": ["images/1.png"]}, "names no image"),
    ],
)
def test_wrong_lists_are_refused(folder: Path, lists: dict[str, object], message: str) -> None:
    change(folder, **lists)
    with pytest.raises(InputError, match=message):
        load_dataset(folder)


def test_a_test_file_that_copies_the_training_file_holds_out_instead(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blender(folder, range(10), frames(folder, *range(10)))
    found = load_dataset(folder, LoadOptions(hold_out=5))
    assert (len(found.train), found.test.names) == (8, names(0, 5))
    assert "10 of 10 test views are training views too" in caplog.text
    everything = load_dataset(folder, LoadOptions(hold_out=0))
    assert (len(everything.train), len(everything.test)) == (10, 0)


def test_copies_of_image_files_are_copies(folder: Path) -> None:
    shutil.copytree(folder / "images", folder / "test")
    copied = frames(folder, *range(10))
    for frame in copied:
        frame["file_path"] = str(frame["file_path"]).replace("images", "test")
    blender(folder, range(10), copied)
    found = load_dataset(folder)
    assert (len(found.train), found.test.names) == (9, names(0))


def test_test_views_among_the_training_views_are_held_out(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blender(folder, range(10), frames(folder, 2, 4))
    found = load_dataset(folder)
    assert (found.train.names, found.test.names) == (names(0, 1, 3, 5, 6, 7, 8, 9), names(2, 4))
    assert "they are held out, and not trained on" in caplog.text


def test_a_test_split_that_was_never_rendered_holds_out_instead(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = frames(folder, 8, 9)
    for frame in missing:
        frame["file_path"] = f"test/{frame['file_path']}"
    blender(folder, range(8), missing)
    found = load_dataset(folder)
    assert (len(found.train), len(found.test)) == (7, 1)
    assert "none of its 2 images is there" in caplog.text
    # The validation split is next.
    change(folder, "transforms_val.json", frames=frames(folder, 9))
    assert load_dataset(folder).test.names == names(9)
    # What is there in part is damaged.
    (folder / "transforms_val.json").unlink()
    blender(folder, range(8), [*missing, *frames(folder, 9)])
    with pytest.raises(InputError, match="there is no image 'test/images/8"):
        load_dataset(folder)


def test_bracketed_exposures_are_told_and_kept(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = frames(folder, *range(10))
    every[2]["transform_matrix"] = every[1]["transform_matrix"]
    every[7]["transform_matrix"] = every[1]["transform_matrix"]
    change(folder, frames=every)
    assert len(load_dataset(folder).train) == 9
    (line,) = caplog.messages
    assert "3 views have exactly the pose of another" in line
    assert "images/1.png and images/2.png" in line


def test_inspect_finds_nothing_in_what_is_right_and_says_what_fit_says(folder: Path) -> None:
    """Two views 0.001 apart are none of the same pose."""
    close = frames(folder, *range(10))
    rows = np.array(close[1]["transform_matrix"])
    rows[2, 3] += 0.001
    close[2]["transform_matrix"] = rows.tolist()
    change(folder, frames=close)
    found = inspect(folder).summary
    assert not any("Same camera pose" in line for line in (*found.warnings, *found.notes))
    close[2]["transform_matrix"] = close[1]["transform_matrix"]
    change(folder, frames=close)
    assert any(
        "images/1.png and images/2.png" in line for line in inspect(folder).summary.notes
    )


@pytest.mark.parametrize("trained", [3, 4])
def test_splits_with_and_without_alpha(folder: Path, trained: int) -> None:
    for k in range(10):
        # White around a square.
        image = np.full((6, 8, 4), 255, np.uint8)
        image[..., 3] = 0
        image[2:4, 2:6] = (10 * k, 100, 30, 255)
        if (k < 8) == (trained == 3):
            image = image[..., :3]
        Image.fromarray(image).save(folder / f"images/{k}.png")
    blender(folder, range(8), frames(folder, 8, 9))
    found = load_dataset(folder)
    assert found.train.has_alpha == (trained == 4)
    expected = torch.ones(6, 8, 3)
    expected[2:4, 2:6] = torch.tensor([90, 100, 30]) / 255
    torch.testing.assert_close(found.test[1].over("white")[0], expected)
    assert found.test.background is not None
    assert found.test.background.tolist() == [1, 1, 1]
    assert inspect(folder).summary.facts["held-out views"] == "2"
