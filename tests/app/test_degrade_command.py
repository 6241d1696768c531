"""`unrender degrade` writes a folder that other commands read, or one line about its input."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import unrender as ur
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras

Command = Callable[..., str]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    eyes = [(4.0, 0.3 * k, 1.0) for k in range(12)]
    cameras = Cameras.look_at(eyes, (0.0, 0.0, 0.0), size=(24, 16))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(12, 16, 24, 3, generator=generator)
    Views(cameras, images, torch.ones(3)).save(tmp_path / "scene")
    return tmp_path / "scene"


def test_the_folder_is_read_again_with_its_held_out_views(
    command: Command, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "dark"
    said = command("degrade", scene, "--out", out, "--photons", "40", "--downscale", "2")
    assert f"Next: unrender fit auto --data {out}" in said
    before, after = (ur.load(path, background="opaque") for path in (scene, out))
    assert (len(after.train), len(after.test)) == (len(before.train), len(before.test))
    assert after.train.cameras.sizes.one == (12, 8)
    torch.testing.assert_close(after.test.images, before.test.images, atol=1e-6, rtol=0)
    assert command("degrade", scene, "-o", tmp_path / "b", "--defocus", "3", "-q") == (
        f"{tmp_path / 'b'}\n"
    )


def test_points_of_a_reconstruction_are_kept(
    command: Command, scene: Path, tmp_path: Path
) -> None:
    data = ur.load(scene, background="opaque")
    points = torch.rand(5, 3) - 0.5
    data = replace(data, train=replace(data.train, points=points))
    data.save(tmp_path / "captured", layout="nerfies")
    command("degrade", tmp_path / "captured", "--out", tmp_path / "worse", "--jpeg", "30")
    found = ur.load(tmp_path / "worse").train.points
    assert found is not None
    assert len(found) == 5


def test_bad_strengths_are_one_line_and_write_nothing(
    refused: Command, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for options, words in (
        ((), "nothing is to be degraded: give --photons"),
        (("--photons", "0"), "--photons 0"),
        (("--motion-blur", "-2"), "--motion-blur -2"),
        (("--read-noise", "2"), "read_noise 2: is in electrons"),
        (("--count", "90"), "count 90: there are"),
        (("--downscale", "40"), "--downscale 40: images are 24×16"),
    ):
        assert words in refused("degrade", scene, "--out", out, *options)
        assert not out.exists()
    out.mkdir()
    assert "exists" in refused("degrade", scene, "--out", out, "--photons", "40")
