"""`unrender novel-views`, with view models that learned nothing in place of the package's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from view_models import FakeFlow, Oracle, fitted

from unrender.data.dataset import Dataset
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image
from unrender.methods.presets import view_models
from unrender.notes import collected
from unrender.training.method import Fitted

Command = Callable[..., str]


@pytest.fixture(autouse=True)
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: dict[str, Fitted[Any]] = {
        "regression": fitted(Oracle()),
        "flow": fitted(FakeFlow()),
    }
    monkeypatch.setattr(view_models, "shipped", kinds.__getitem__)


@pytest.fixture
def photo(small_scene: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "chair.png"
    write_image(path, unpremultiply(small_scene.train.images[0]))
    return path


def left(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_a_film_of_a_photograph(command: Command, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "film.gif"
    printed = command("novel-views", photo, "--frames", 5, "--out", out)
    assert printed.splitlines()[-1] == str(out)
    with Image.open(out) as image:
        assert getattr(image, "n_frames", 1) == 5
    assert left(tmp_path) == {"chair.png", "film.gif"}


def test_what_is_assumed_is_said_unless_quiet(
    command: Command, photo: Path, tmp_path: Path
) -> None:
    words = ("novel-views", photo, "--frames", 1, "--out", tmp_path / "a.png")
    with collected() as notes:
        command(*words)
    assert ["taken as seen from 20°" in each for each in notes] == [True]
    with collected() as notes:
        command(*words, "--quiet")
    assert notes == []


def test_angles_and_a_sheet(command: Command, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    command("novel-views", photo, "--azimuths", 0, 90, "--elevations", 0, -10, "--out", out)
    with Image.open(out) as image:
        # Four views beside each other.
        assert image.width > 3.5 * image.height


def test_images_with_cameras_are_data(command: Command, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "views"
    printed = command("novel-views", photo, "--frames", 3, "--out", out, "--size", 24)
    assert f"unrender fit instant-ngp-fast --data {out}" in printed
    frames = json.loads((out / "transforms_train.json").read_text())["frames"]
    assert len(frames) == 3
    # And cameras for the next, from where these are.
    again = tmp_path / "again.npz"
    words = ("--cameras", out / "transforms_train.json", "--out", again)
    command("novel-views", photo, *words)
    assert again.is_file()


def test_a_scene_is_scored_beside_baselines(
    command: Command, small_scene: Dataset, scene_folder: Path, tmp_path: Path
) -> None:
    printed = command("novel-views", "--data", scene_folder, "--count", 9)
    lines = printed.splitlines()
    names = ["this model", "nearest input", "mean of the inputs"]
    assert [line[: len(name)] for line, name in zip(lines, names, strict=True)] == names
    assert all("PSNR" in line and "SSIM" in line for line in lines)


def test_samples_of_a_flow(command: Command, scene_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "views"
    words = ("--model", "flow", "--samples", 2, "--inputs", "random", "--steps", 3)
    printed = command("novel-views", "--data", scene_folder, *words, "--out", out)
    assert "best of 2 samples" in printed
    assert left(out) == {"sample_0", "sample_1"}


def test_a_mask_chooses(command: Command, small_scene: Dataset, tmp_path: Path) -> None:
    image = small_scene.train.images[0]
    noise = torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "photo.png", image[..., :3] + (1 - image[..., 3:]) * noise)
    write_image(tmp_path / "mask.png", image[..., 3:].expand(-1, -1, 3))
    command(
        "novel-views", tmp_path / "photo.png", "--mask", tmp_path / "mask.png",
        "--frames", 1, "--out", tmp_path / "view.png",
    )  # fmt: skip
    assert (tmp_path / "view.png").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "either photographs"),
        (("PHOTO", "--data", "SCENE", "--out", "OUT.png"), "either photographs"),
        (("PHOTO",), "--out FILE is missing"),
        (("--data", "SCENE", "--cameras", "turntable"), "--out FILE is missing"),
        (("PHOTO", "--out", "OUT.txt"), "change the ending"),
        (("PHOTO", "--out", "PHOTO/x.png"), "not a writable folder"),
        (("PHOTO", "--out", "OUT.png", "--cameras", "turntabel"), "did you mean turntable"),
        (("PHOTO", "--out", "OUT.png", "--cameras", "test"), "no held-out views"),
        (("PHOTO", "--out", "OUT.png", "--cameras", "interpolate"), "one input"),
        (("PHOTO", "--out", "OUT.png", "--count", "3"), "--count: is an option of scenes"),
        (("--data", "SCENE", "--fov", "30"), "--fov: is an option of photographs"),
        (("--data", "SCENE", "--count", "99"), "--count 99"),
        (("--data", "SCENE", "--neighbors", "99"), "99 of 27 inputs"),
        (("--data", "SCENE", "--neighbors", "9", "--inputs", "all"), "takes all of them"),
        (("--data", "SCENE", "--lpips", "NOTHING"), "NOTHING"),
        (("--data", "SCENE", "--scene", "NOTHING"), "not a run folder"),
        (
            ("--data", "SCENE", "--cameras", "spiral", "--out", "OUT.png", "--lpips", "X"),
            "--lpips: is for held-out views",
        ),
        (("PHOTO", "--out", "OUT.png", "--guidance", "2"), "--guidance: is an option of flows"),
        (("PHOTO", "--out", "OUT.png", "--samples", "2"), "a regression makes one"),
        (("PHOTO", "--out", "OUT.npz", "--samples", "2"), "holds one sample"),
        (("PHOTO", "PHOTO", "--out", "OUT.png"), "--azimuth 0 90"),
        (("PHOTO", "--out", "OUT.png", "--elevations", "89"), "past the pole"),
        (("NOTHING.png", "--out", "OUT.png"), "NOTHING.png"),
        (("PHOTO", "--mask", "NOTHING.png", "--out", "OUT.png"), "NOTHING.png"),
        (("PHOTO", "--out", "OUT.png", "--background", "blu"), "blu"),
        (("PHOTO", "--out", "OUT.png", "--run", "NOTHING"), "not a run folder"),
    ],
)
def test_bad_input_ends_with_one_line_and_leaves_nothing(
    refused: Command, photo: Path, scene_folder: Path, tmp_path: Path, words, told
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    names = {"PHOTO": str(photo), "SCENE": str(scene_folder), "OUT": str(out / "made")}
    typed = list(words)
    for short, whole in names.items():
        typed = [word.replace(short, whole) for word in typed]
    line = refused("novel-views", *typed)
    assert told in line
    assert len(line) <= 310
    assert not left(out)
