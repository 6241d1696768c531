"""The commands about fields and light, and the studies that look at no run."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from unrender.data.load import LoadOptions, load_dataset
from unrender.errors import InputError
from unrender.imaging.files import read_image, write_image
from unrender.training.data_kinds.posed_images import POSED_IMAGES

pytestmark = pytest.mark.fit

Command = Callable[..., str]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    x = torch.linspace(0, 1, 24)
    write_image(
        path, torch.stack([x.expand(16, 24), 1 - x.expand(16, 24), x[:16, None] * x], 2)
    )
    return path


def test_a_picture_is_fitted_judged_and_fitted_further(
    command: Command, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    fit = ("fit", "image-field", "--image", photo, "--field", "siren", "--pixels", 64)
    assert str(out) in command(*fit, "--out", out, "--steps", 30, "--device", "cpu")
    assert "psnr" in command("evaluate", out)
    assert read_image(out / "fitted.png").shape == (16, 24, 3)
    command(*fit, "--out", out, "--steps", 40, "--device", "cpu", "--resume")


@pytest.mark.parametrize("name", ["compare-fields", "spectrum", "fit-shape", "predict"])
def test_help(name: str, monkeypatch, capsys) -> None:
    from unrender.app.cli import main  # noqa: PLC0415 - as the fixtures do

    monkeypatch.setattr("sys.argv", ["unrender", name, "--help"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    assert "--out" in capsys.readouterr().out


def test_spectrum_writes_its_page(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    said = command("spectrum", "--out", out, "--size", 8, "--samples", 1)
    assert "path traced" in said
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_one_light_for_scenes_that_are_made(photo: Path) -> None:
    """Photographs have the light that they were taken in."""
    with pytest.raises(InputError, match="not a built-in scene"):
        load_dataset(str(photo.parent), LoadOptions(light="path"))
    # A run records it.
    recorded = {"source": str(photo.parent), **asdict(LoadOptions(light="path"))}
    with pytest.raises(InputError, match="not a built-in scene"):
        POSED_IMAGES.read_again(recorded)
    assert POSED_IMAGES.read_again({"source": "bricks"}).options.light == "direct"


def test_a_study_without_a_run_takes_none(refused: Command, tmp_path: Path) -> None:
    assert "needs no run" in refused("study", "ntk", "--run", tmp_path)
    assert "about a pose flow" in refused("study", "loop")


def test_an_experiment_whose_folder_cannot_be_made(refused: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "cannot be made" in refused("study", "ntk", "--out", tmp_path / "file")


def test_what_is_no_picture_of_a_field(refused: Command, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    write_image(path, torch.zeros(1, 1, 3))
    for command in (("fit", "image-field"), ("compare-fields",)):
        line = refused(*command, "--image", path, "--out", tmp_path / "no", "--steps", 1)
        assert "at least 2×2" in line
        assert not (tmp_path / "no").exists()
