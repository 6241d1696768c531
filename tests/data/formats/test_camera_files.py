"""Camera files: round trip, and errors that name what is wrong."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from unrender.data.formats.camera_files import NamedCameras, read_cameras, write_cameras
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.conventions import opengl_from_opencv
from unrender.geometry.paths import turntable
from unrender.rendering.renderer import PoseEstimate, PoseModes


@pytest.fixture
def cameras() -> Cameras:
    return Cameras.from_focal(turntable(3, 4.0, 0.5), 50.0, 40, 30)


def test_round_trip(cameras: Cameras, tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    names = ("a.png", "b.png", "c.png")
    errors = torch.tensor([0.1, 0.2, 0.3])
    estimate = PoseEstimate.isotropic(cameras, errors, 2 * errors)
    write_cameras(path, NamedCameras(cameras, names), estimate)
    found = read_cameras(path)
    assert found.names == names
    torch.testing.assert_close(found.cameras.world_from_camera, cameras.world_from_camera)
    torch.testing.assert_close(found.cameras.intrinsics, cameras.intrinsics)
    assert (found.cameras.width, found.cameras.height) == (40, 30)
    frame = json.loads(path.read_text())["frames"][1]
    assert math.isclose(frame["rotation_error_deg"], math.degrees(0.2), rel_tol=1e-6)
    assert math.isclose(math.hypot(*frame["axis_errors_deg"]), math.degrees(0.2), rel_tol=1e-6)
    assert math.isclose(frame["translation_error"], 0.4, rel_tol=1e-6)


def test_modes_are_written_where_there_are_several(cameras: Cameras, tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    poses = cameras.world_from_camera
    share = torch.tensor([[1.0, 0.0], [0.7, 0.3], [0.5, 0.5]])
    modes = PoseModes(torch.stack([poses, poses.roll(1, 0)], 1), share)
    errors = torch.zeros(3)
    estimate = PoseEstimate(cameras, torch.zeros(3, 3), errors, modes=modes)
    write_cameras(path, NamedCameras(cameras, ("a", "b", "c")), estimate)
    first, second, _ = json.loads(path.read_text())["frames"]
    assert "modes" not in first
    assert [mode["share"] for mode in second["modes"]] == pytest.approx([0.7, 0.3])
    assert second["modes"][0]["transform_matrix"] == second["transform_matrix"]


def test_a_file_of_blender_is_read(cameras: Cameras, tmp_path: Path) -> None:
    poses = opengl_from_opencv(cameras.world_from_camera).tolist()
    frames = [{"file_path": "x", "transform_matrix": [*pose, [0, 0, 0, 1]]} for pose in poses]
    angle = 2 * math.atan(20 / 50)
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps({"camera_angle_x": angle, "w": 40, "h": 30, "frames": frames}))
    found = read_cameras(path).cameras
    torch.testing.assert_close(found.intrinsics, cameras.intrinsics)
    torch.testing.assert_close(found.world_from_camera, cameras.world_from_camera)


@pytest.mark.parametrize(
    "change",
    [
        {"transform_matrix": [[1, 2], [3, 4]]},
        {"transform_matrix": "none"},
        {"transform_matrix": (2 * torch.eye(4)).tolist()},
        {"transform_matrix": [[float("nan")] * 4] * 4},
        {"fl_x": "long"},
        {"fl_x": -1.0},
        {"fl_x": float("inf")},
        {"w": 0},
        {"w": 10**9},
        {"h": None},
    ],
    ids=str,
)
def test_a_wrong_value_is_named(cameras: Cameras, tmp_path: Path, change: Any) -> None:
    path = tmp_path / "cameras.json"
    write_cameras(path, NamedCameras(cameras, ("a", "b", "c")))
    content = json.loads(path.read_text())
    content["frames"][1].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"cameras\.json"):
        read_cameras(path)


def test_cameras_may_differ_in_image_size(cameras: Cameras, tmp_path: Path) -> None:
    mixed = concatenate([cameras, cameras.resized(30, 50)])
    names = tuple("abcdef")
    write_cameras(tmp_path / "cameras.json", NamedCameras(mixed, names))
    found = read_cameras(tmp_path / "cameras.json")
    assert found.names == names
    assert torch.equal(found.cameras.sizes.rows, mixed.sizes.rows)
    torch.testing.assert_close(found.cameras.intrinsics, mixed.intrinsics)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"frames": 3}', '{"frames": [3]}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cameras.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"cameras\.json"):
        read_cameras(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing"):
        read_cameras(tmp_path / "nothing.json")
