"""Films of Non-Rigid NeRF: what is read, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import unrender as ur
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opengl_from_opencv
from unrender.imaging.files import write_image

EYES = [(4, 0.2 * k, 1) for k in range(9)]


def write_film(path: Path, count: int = 9) -> Cameras:
    cameras = Cameras.look_at(EYES[:count], size=(16, 12))
    (path / "images").mkdir(parents=True)
    poses: list[Any] = []
    for k, pose in enumerate(opengl_from_opencv(cameras.world_from_camera)):
        write_image(path / f"images/image{k:06d}.png", torch.full((12, 16, 3), k / 10))
        column = torch.tensor([[24.0], [32.0], [2 * float(cameras.focal[k])]])
        poses.append(torch.cat([pose, column], dim=1).tolist())
    (path / "precomputed.json").write_text(json.dumps({"poses": poses, "i_test": 3}))
    return cameras


def test_a_film_is_read(tmp_path: Path) -> None:
    truth = write_film(tmp_path)
    data = ur.load(tmp_path, hold_out=8)
    cameras = data.train.cameras
    assert cameras.times is not None
    frames = cameras.times.long()
    assert data.test.cameras.times is not None
    assert sorted([*frames.tolist(), *data.test.cameras.times.long().tolist()]) == list(
        range(9)
    )
    expected = truth.select(frames)
    torch.testing.assert_close(cameras.world_from_camera, expected.world_from_camera)
    torch.testing.assert_close(cameras.intrinsics, expected.intrinsics)
    assert data.train.ids is not None
    assert torch.equal(data.train.ids.deformation, frames)
    brightness = data.train.images[:, 0, 0, 0]
    torch.testing.assert_close(brightness, frames / 10, atol=0.003, rtol=0)


@pytest.mark.parametrize(
    ("poses", "message"),
    [
        (None, "frames, 3, 5"),
        ([[1, 2]], "frames, 3, 5"),
        ([[[1.0] * 5] * 2], "frames, 3, 5"),
        ([[[0.0] * 5] * 3], "9 images but"),
        ([[[0.0] * 5] * 3] * 9, "not positive"),
        ("x", "frames, 3, 5"),
        ([[[1e400] * 5] * 3] * 9, "finite|rotation|Inf|NaN|infinite"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, poses: Any, message: str) -> None:
    write_film(tmp_path)
    (tmp_path / "precomputed.json").write_text(json.dumps({"poses": poses}))
    with pytest.raises(InputError, match=message):
        ur.load(tmp_path)
