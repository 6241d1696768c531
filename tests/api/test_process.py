"""`process` in the layouts of other programs; COLMAP itself is tested with its data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import unrender as ur
from unrender.api import data as front_door
from unrender.data.structure_from_motion import Reconstructed
from unrender.errors import InputError
from unrender.imaging.files import write_image

pytestmark = pytest.mark.fit

Command = Callable[..., str]
CAMERA = "1 SIMPLE_RADIAL 8 6 10 4 3 0.01\n"


def found_by_colmap(source: Path, out: Path, *_: object) -> Reconstructed:
    """What COLMAP makes of a film: a model of four of its five frames, and all times."""
    names = [f"frame_{k:06d}.png" for k in range(5)]
    (out / "images").mkdir(parents=True)
    for k, name in enumerate(names):
        write_image(out / "images" / name, torch.full((6, 8, 3), 0.1 * k))
    model = out / "sparse/0"
    model.mkdir(parents=True)
    (model / "cameras.txt").write_text(CAMERA)
    rows = [f"{k + 1} 1 0 0 0 {-2.0 * k} 0 5 1 {names[k]}\n\n" for k in (0, 1, 3, 4)]
    (model / "images.txt").write_text("".join(rows))
    (out / "times.json").write_text(json.dumps({n: 0.5 * k for k, n in enumerate(names)}))
    return Reconstructed(5, 4, 0, 0.5, ())


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(front_door, "reconstruct", found_by_colmap)
    path = tmp_path / "film.mp4"
    path.touch()
    return path


@pytest.mark.parametrize("layout", ["colmap", "blender", "nerfies"])
def test_a_film_keeps_its_times_in_every_layout(
    film: Path, tmp_path: Path, layout: Any
) -> None:
    data = ur.process(film, tmp_path / "scene", layout=layout, progress=False)
    train, test = data.train.cameras.times, data.test.cameras.times
    assert train is not None
    assert test is not None
    assert sorted([*train.tolist(), *test.tolist()]) == [0, 0.5, 1.5, 2]
    assert test.tolist() == [0.5]
    # Nothing else is left, neither in the folder nor beside it.
    expected = {
        "colmap": ["images", "sparse", "times.json"],
        "blender": ["test", "train", "transforms_test.json", "transforms_train.json"],
        "nerfies": ["camera", "dataset.json", "metadata.json", "rgb", "scene.json"],
    }
    assert sorted(each.name for each in (tmp_path / "scene").iterdir()) == expected[layout]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["film.mp4", "scene"]


def test_a_reconstruction_that_fails_leaves_nothing(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(source: Path, out: Path, *_: object) -> Reconstructed:
        found_by_colmap(source, out)
        raise InputError("only 0 of 5 images could be registered")

    monkeypatch.setattr(front_door, "reconstruct", fails)
    with pytest.raises(InputError, match="only 0 of 5"):
        ur.process(film, tmp_path / "scene", layout="nerfies", progress=False)
    assert [each.name for each in tmp_path.iterdir()] == ["film.mp4"]


def test_posed_images_keep_their_cameras(command: Command, film: Path, tmp_path: Path) -> None:
    ur.process(film, tmp_path / "scene", progress=False)
    command("process", tmp_path / "scene", "--out", tmp_path / "new", "--layout", "nerfies")
    before, after = ur.load(tmp_path / "scene"), ur.load(tmp_path / "new")
    for split in ("train", "test"):
        cameras, again = (getattr(data, split).cameras for data in (before, after))
        assert torch.equal(cameras.world_from_camera, again.world_from_camera)
        assert torch.equal(cameras.times, again.times)
    with pytest.raises(InputError, match="exists already"):
        ur.process(tmp_path / "scene", tmp_path / "new", layout="nerfies")
    with pytest.raises(InputError, match="layout 'x': give one of colmap, blender, nerfies"):
        ur.process(film, tmp_path / "other", layout=cast(Any, "x"))
