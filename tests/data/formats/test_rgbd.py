"""Depth images: real frames agree on the surfaces, and wrong files are rejected."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import either, sample
from PIL import Image

from unrender.data.formats.rgbd import (
    load_scan,
    ray_distances,
    read_depth,
    read_trajectory,
)
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.shapes.points import concatenate, unproject_depth, voxel_downsample

SCAN, PAIR = "rgbd/open3d_redwood", "rgbd/tum_pair"
REDWOOD, TUM = sample(SCAN), sample(PAIR)


@pytest.fixture(scope="module")
def redwood() -> Views:
    return load_scan(REDWOOD)


def test_a_scan_is_read(redwood: Views) -> None:
    height, width = either(SCAN, (480, 640), (42, 56))
    assert redwood.images.shape == (5, height, width, 4)
    assert redwood.depths is not None
    assert redwood.depths.shape == (5, height, width)
    low, high = either(SCAN, (0.8, 0.95), (0.4, 0.9))
    assert low < float((redwood.depths > 0).float().mean()) < high
    # Up to 2.7 m along the axis, and a fifth more in the corners.
    low, high = either(SCAN, (2.5, 3.5), (2.5, 4.5))
    assert low < float(redwood.depths.max()) < high
    matrix = redwood.cameras.intrinsics[0]
    torch.testing.assert_close(matrix[:2, 2], torch.tensor([width / 2, height / 2]))


@pytest.mark.parametrize("frame", [1, 2, 3, 4])
def test_frames_see_the_same_surfaces(redwood: Views, frame: int) -> None:
    """Points of a frame project to the depths and colours of the first frame."""
    depth, color = warped(redwood, redwood.cameras, frame)
    assert depth < either(SCAN, 6e-3, 12e-3)
    assert color < either(SCAN, 4.2, 19)
    # The net can fail: with the first frame's pose for both it is off by far more.
    still = redwood.cameras.with_poses(redwood.cameras.world_from_camera[:1].expand(5, -1, -1))
    depth, color = warped(redwood, still, frame)
    assert depth > either(SCAN, 11e-3, 16e-3)
    assert color > either(SCAN, 8, 22)


def warped(views: Views, cameras: Cameras, frame: int) -> tuple[float, float]:
    """How far a frame's points are off in the first one: the median of depths along its axis in
    metres, and the mean of colours in 255ths.
    """
    assert views.depths is not None
    colors = views.images[..., :3]
    index = torch.tensor([frame])
    cloud = unproject_depth(cameras.select(index), views.depths[index], "ray", colors[index])
    assert cloud.colors is not None
    first = torch.zeros(len(cloud), dtype=torch.long)
    pixel, depth = cameras.project(first, cloud.points)
    column, row = pixel.floor().long().unbind(1)
    inside = (depth > 0) & (column >= 0) & (column < views.cameras.width)
    inside &= (row >= 0) & (row < views.cameras.height)
    column, row = column[inside], row[inside]
    rays = cameras.rays(first[inside], torch.stack([column, row], dim=1) + 0.5)
    along = (rays.directions * cameras.rotations[0, :, 2]).sum(1)
    measured = views.depths[0][row, column] * along
    seen = measured > 0
    off = (depth[inside] - measured)[seen].abs().median()
    differs = (colors[0][row, column] - cloud.colors[inside])[seen].abs().mean()
    return float(off), 255 * float(differs)


def test_the_clouds_of_all_frames_lie_on_each_other(redwood: Views) -> None:
    assert redwood.depths is not None
    clouds = [
        unproject_depth(
            redwood.cameras.select(torch.tensor([k])),
            redwood.depths[k : k + 1],
            "ray",
            redwood.images[k : k + 1, ..., :3],
        )
        for k in range(5)
    ]
    size = either(SCAN, 0.03, 0.1)
    whole = voxel_downsample(concatenate(clouds), size)
    alone = voxel_downsample(clouds[0], size)
    # Five frames of one place fill few more cells than one does.
    assert len(alone) < len(whole) < 1.5 * len(alone)
    assert whole.colors is not None
    assert 0 <= float(whole.colors.min()) <= float(whole.colors.max()) <= 1


def test_a_pair_of_the_tum_benchmark() -> None:
    focal, width, height = either(PAIR, (525.0, 640, 480), (56.0, 56, 42))
    cameras = Cameras.from_focal(torch.eye(4)[None, :3], focal, width, height)
    raw = np.asarray(Image.open(TUM / "TUM_depth.png"))
    axis = read_depth(TUM / "TUM_depth.png", 5000.0)
    assert axis.shape == (height, width)
    depths = ray_distances(cameras, axis[None])
    assert float(axis.max()) == pytest.approx(raw.max() / 5000)
    # In the image's middle both depths are one, elsewhere the ray is longer.
    rows, columns = (slice(size // 2 - 1, size // 2 + 1) for size in (height, width))
    middle = axis[rows, columns]
    torch.testing.assert_close(depths[0, rows, columns], middle, rtol=2e-4, atol=1e-5)
    assert bool((depths[0] >= axis - 1e-5).all())


def test_both_depths_give_the_same_points() -> None:
    poses = spherical_shell(2, (3.0, 4.0), torch.Generator().manual_seed(0))
    cameras = Cameras.from_focal(poses, 9.0, 12, 10)
    depths = 1 + torch.rand(2, 10, 12, generator=torch.Generator().manual_seed(1))
    axis = unproject_depth(cameras, depths, "axis").points
    ray = unproject_depth(cameras, ray_distances(cameras, depths), "ray").points
    torch.testing.assert_close(axis, ray)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A scan of two small frames."""
    for kind in ("color", "depth"):
        (tmp_path / kind).mkdir()
        for k in range(2):
            shape = (6, 8, 3) if kind == "color" else (6, 8)
            values = np.full(shape, 200 + k, np.uint8 if kind == "color" else np.uint16)
            Image.fromarray(values).save(tmp_path / kind / f"{k}.png")
    matrix = [9.0, 0, 0, 0, 9.0, 0, 3.5, 2.5, 1]
    content = {"width": 8, "height": 6, "intrinsic_matrix": matrix}
    (tmp_path / "camera.json").write_text(json.dumps(content))
    rows = "\n".join(" ".join(map(str, row)) for row in np.eye(4).tolist())
    (tmp_path / "trajectory.log").write_text(f"0 0 1\n{rows}\n1 1 2\n{rows}\n")
    return tmp_path


def test_a_made_scan_is_read(scan: Path) -> None:
    views = load_scan(scan, 100.0)
    assert views.depths is not None
    assert views.names == ("0.png", "1.png")
    point = unproject_depth(views.cameras, views.depths, "ray").points[0]
    torch.testing.assert_close(point, torch.tensor([-3.5 * 2 / 9, -2.5 * 2 / 9, 2.0]))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("trajectory.log", "0 0 1\n1 0 0 0\n", "5 for each pose"),
        ("trajectory.log", "0 0 1\n" + "a b c d\n" * 4, "4x4"),
        ("trajectory.log", "0 0 1\n" + "1 0 0\n" * 4, "4x4"),
        ("trajectory.log", "0 0 1\n" + "1 0 0 0\n" * 4, "not a rotation"),
        ("trajectory.log", "", "5 for each pose"),
        ("camera.json", "{", "not valid JSON"),
        ("camera.json", "[]", "not an object"),
        ("camera.json", '{"intrinsic_matrix": [1, 2]}', "nine numbers"),
        ("camera.json", '{"intrinsic_matrix": [1,0,0,0,1,0,0,0,1]}', "width"),
        (
            "camera.json",
            '{"width": 8, "height": 6, "intrinsic_matrix": [0,0,0,0,1,0,0,0,1]}',
            "positive focal",
        ),
        (
            "camera.json",
            '{"width": 9, "height": 6, "intrinsic_matrix": [1,0,0,0,1,0,0,0,1]}',
            "the camera has 9x6",
        ),
        ("other.json", "{}", "2 .json files"),
        ("depth/2.png", "", "equal numbers"),
        ("depth/1.png", "", "cannot be read"),
        ("color/1.png", "x", "cannot be read"),
    ],
)
def test_wrong_scans_are_refused(scan: Path, file: str, content: str, message: str) -> None:
    (scan / file).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load_scan(scan)
    assert "\n" not in str(caught.value)


def test_depth_of_other_kinds_is_refused(scan: Path) -> None:
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(scan / "depth/1.png")
    with pytest.raises(InputError, match="give 16-bit grayscale"):
        load_scan(scan)
    Image.fromarray(np.zeros((6, 9), np.uint16)).save(scan / "depth/1.png")
    with pytest.raises(InputError, match="register the depth"):
        load_scan(scan)
    with pytest.raises(InputError, match="depth_scale"):
        load_scan(scan, 0.0)
    shutil.rmtree(scan / "depth")
    with pytest.raises(InputError, match="no such folder"):
        load_scan(scan)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.floats(0, 1), place=st.floats(0, 1), value=st.integers(0, 255))
def test_damaged_trajectories(tmp_path: Path, cut: float, place: float, value: int) -> None:
    data = bytearray((REDWOOD / "trajectory.log").read_bytes())
    data[int(place * (len(data) - 1))] = value
    (tmp_path / "a.log").write_bytes(data[: round(len(data) * cut)])
    with suppress(InputError):
        read_trajectory(tmp_path / "a.log")
