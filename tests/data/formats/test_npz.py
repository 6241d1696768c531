"""The .npz format: round trip, and rejected files."""

import io
import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unrender.data.formats.npz import load_npz, save_npz
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.imaging.color import premultiply


def views(num: int = 6, channels: int = 4) -> Views:
    generator = torch.Generator().manual_seed(3)
    poses = spherical_shell(num, (3.0, 5.0), generator, roll=0.5, look_at_jitter=0.3)
    focal = 20 + torch.rand(num, generator=generator)
    images = torch.rand(num, 6, 8, channels, generator=generator)
    cameras = Cameras.from_focal(poses, focal, 8, 6)
    if channels == 4:
        return Views(cameras, premultiply(images))
    return Views(cameras, images, torch.tensor([0.25, 0.5, 1.0]))


@pytest.mark.parametrize("channels", [3, 4])
def test_round_trip(tmp_path: Path, channels: int):
    written = views(channels=channels)
    save_npz(tmp_path / "views.npz", written)
    read = load_npz(tmp_path / "views.npz")
    assert torch.equal(read.cameras.world_from_camera, written.cameras.world_from_camera)
    assert torch.equal(read.cameras.intrinsics, written.cameras.intrinsics)
    torch.testing.assert_close(read.images, written.images, atol=1e-6, rtol=0)
    assert (read.background is None) == (channels == 4)
    if written.background is not None:
        assert torch.equal(read.background, written.background)
    assert os.listdir(tmp_path) == ["views.npz"]


def test_existing_files_are_kept_unless_told(tmp_path: Path):
    save_npz(tmp_path / "views.npz", views(6))
    with pytest.raises(InputError, match="exists already"):
        save_npz(tmp_path / "views.npz", views(2))
    assert len(load_npz(tmp_path / "views.npz")) == 6
    save_npz(tmp_path / "views.npz", views(2), overwrite=True)
    assert len(load_npz(tmp_path / "views.npz")) == 2
    with pytest.raises(InputError, match="cannot be written"):
        save_npz(tmp_path / "absent" / "views.npz", views())


def test_intrinsics_that_no_focal_length_describes_are_kept(tmp_path: Path):
    """A principal point off the center and pixels that are not square."""
    odd = views()
    odd.cameras.intrinsics[0, 0, 2] += 1
    odd.cameras.intrinsics[1, 1, 1] *= 1.5
    save_npz(tmp_path / "views.npz", odd)
    found = load_npz(tmp_path / "views.npz").cameras
    assert torch.equal(found.intrinsics, odd.cameras.intrinsics)
    torch.testing.assert_close(found.world_from_camera, odd.cameras.world_from_camera)
    save_npz(tmp_path / "plain.npz", views())
    assert "intrinsics" not in np.load(tmp_path / "plain.npz")


def arrays() -> dict[str, Any]:
    """A file like tiny_nerf_data.npz: RGB on black, one focal length, OpenGL poses."""
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 2, 3] = 4.0
    images = np.zeros((3, 5, 4, 3), np.float32)
    images[:, 2, 2] = 0.5
    return {"images": images, "poses": poses, "focal": np.array(7.0)}


def test_tiny_nerf_layout(tmp_path: Path):
    np.savez(tmp_path / "tiny.npz", **arrays())
    read = load_npz(tmp_path / "tiny.npz")
    assert read.cameras.width == 4
    assert read.cameras.height == 5
    assert read.cameras.focal.tolist() == [7.0] * 3
    assert read.background is not None
    assert read.background.tolist() == [0, 0, 0]
    pixel, depth = read.cameras.project(torch.tensor([0]), torch.zeros(1, 3))
    assert pixel.tolist() == [[2.0, 2.5]]
    assert depth.tolist() == [4.0]
    # What is up in the world is up in the image.
    above, _ = read.cameras.project(torch.tensor([0]), torch.tensor([[0.0, 1.0, 0.0]]))
    assert above[0, 1] < 2.5


def test_bytes_and_three_rows_are_read(tmp_path: Path):
    content = arrays()
    content["images"] = (content["images"] * 255).astype(np.uint8)
    content["poses"] = content["poses"][:, :3]
    np.savez_compressed(tmp_path / "bytes.npz", **content)
    read = load_npz(tmp_path / "bytes.npz", "white")
    assert read.images.max().item() == pytest.approx(127 / 255)
    assert read.background is not None
    assert read.background.tolist() == [1, 1, 1]


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (arrays() | changes).items() if value is not None}


def pose_with(row: int, column: int, value: float) -> np.ndarray[Any, Any]:
    poses = arrays()["poses"]
    poses[1, row, column] = value
    return poses


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(poses=None), "has no array `poses`"),
        (changed(focal=None), "has no array `focal`"),
        (changed(images=np.zeros((3, 5, 4, 2), np.float32)), "`images` has shape"),
        (changed(images=np.zeros((3, 5, 4, 3), np.int64)), "float32 or uint8"),
        (changed(images=np.zeros((3, 5, 4, 3), complex)), "must hold numbers"),
        (changed(images=np.full((3, 5, 4, 3), "x")), "must hold numbers"),
        (changed(images=np.full((3, 5, 4, 3), np.nan)), "NaN"),
        (changed(images=np.full((3, 5, 4, 3), 255.0)), "uint8"),
        (
            changed(images=np.zeros((0, 5, 4, 3)), poses=np.zeros((0, 4, 4))),
            "zero views",
        ),
        (changed(poses=np.zeros((2, 4, 4))), "`poses` is"),
        (changed(poses=np.zeros((3, 4, 4), np.int32)), "`poses` is"),
        (changed(poses=pose_with(0, 0, np.nan)), "pose 1.*NaN"),
        (changed(poses=pose_with(0, 3, np.inf)), "pose 1.*infinite"),
        (changed(poses=pose_with(0, 0, 1.1)), "pose 1.*not a rotation"),
        (changed(poses=pose_with(0, 0, -1.0)), "pose 1.*reflection"),
        (changed(poses=pose_with(3, 3, 2.0)), "pose 1.*last row"),
        (changed(focal=np.array([1.0, 2.0])), "`focal` has shape"),
        (changed(focal=np.array(-1.0)), "must be positive"),
        (changed(times=np.zeros(2)), "`times` has shape"),
        (changed(times=np.array([0, 1, np.nan])), "`times`: is nan; times must be finite"),
        (changed(times=np.array([0, 1, 1e16])), "times must be finite, below 1e"),
        (changed(times=1.6e9 + np.arange(3.0)), "subtract the first from all"),
        (changed(ids=np.zeros((3, 2), int)), "`ids` is int64 of shape"),
        (changed(ids=np.zeros((3, 3))), "`ids` is float64 of shape"),
        (changed(ids=np.full((3, 3), -1)), "`ids` has -1; they must be from 0 to 999999"),
        (changed(focal=np.array(math.nan)), "must be positive"),
        (changed(background=np.zeros(2)), "`background` has shape"),
        (changed(intrinsics=np.zeros((3, 3))), "`intrinsics` is"),
        (changed(intrinsics=np.zeros((3, 3, 3))), "`intrinsics` 0 is"),
        (changed(intrinsics=np.full((3, 3, 3), np.nan)), "`intrinsics` 0 is"),
    ],
)
def test_wrong_content_is_refused(tmp_path: Path, content: dict[str, Any], message: str):
    np.savez(tmp_path / "wrong.npz", **content)
    with pytest.raises(InputError, match=message) as caught:
        load_npz(tmp_path / "wrong.npz")
    assert "wrong.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_are_never_loaded(tmp_path: Path):
    np.savez(tmp_path / "pickled.npz", **changed(focal=np.array([object()])))
    with pytest.raises(InputError, match="must hold numbers"):
        load_npz(tmp_path / "pickled.npz")


def test_truncated_files_are_refused(tmp_path: Path):
    stream = io.BytesIO()
    np.savez(stream, **arrays())
    data = stream.getvalue()
    for length in (0, 10, len(data) // 2, len(data) - 10):
        (tmp_path / "short.npz").write_bytes(data[:length])
        with pytest.raises(InputError, match=r"short\.npz: cannot be read"):
            load_npz(tmp_path / "short.npz")
    with pytest.raises(InputError, match="no such file"):
        load_npz(tmp_path / "absent.npz")


def test_headers_that_claim_more_than_there_is_are_refused(tmp_path: Path):
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 800, 800, 4)}
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("images.npy", stream.getvalue())
    with pytest.raises(InputError, match="the file is damaged"):
        load_npz(tmp_path / "bomb.npz")
