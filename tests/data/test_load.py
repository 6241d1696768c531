"""Loading of posed images by name or path."""

from pathlib import Path

import pytest
import torch

from unrender.data import load
from unrender.data.builtin import make_scene
from unrender.data.formats.blender import write_blender
from unrender.data.formats.npz import save_npz
from unrender.data.load import load_dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable


def views(num: int = 12) -> Views:
    cameras = Cameras.from_focal(turntable(num, 4.0, 0.3), 10.0, 4, 4)
    return Views(cameras, torch.rand(num, 4, 4, 1).expand(-1, -1, -1, 4).clone())


def test_npz_holds_out_every_tenth(tmp_path: Path):
    save_npz(tmp_path / "set.npz", views())
    scene = load_dataset(str(tmp_path / "set.npz"))
    assert (scene.name, len(scene.train), len(scene.test)) == ("set", 10, 2)


def test_folders(tmp_path: Path):
    write_blender(tmp_path / "scene", views())
    scene = load_dataset(str(tmp_path / "scene"))
    assert (scene.name, len(scene.train), len(scene.test)) == ("scene", 10, 2)


def test_built_in_scenes_give_way_to_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNRENDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        load, "built_in", lambda name, light="direct": make_scene(name, 8, 3, 2, 1, light)
    )
    assert len(load_dataset("chair").train) == 3
    write_blender(tmp_path / "chair", views())
    assert len(load_dataset("chair").train) == 10


def test_unknown_sources_name_the_choices():
    with pytest.raises(InputError, match="bricks, chair, hotdog, lamp"):
        load_dataset("teapot")
    with pytest.raises(InputError, match=r"absent\.npz"):
        load_dataset("absent.npz")
