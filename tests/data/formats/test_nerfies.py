"""Captures of Nerfies and HyperNeRF: what is read, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unrender as ur
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.imaging.files import write_image

SIZE = (24, 32)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def cameras(count: int = 6) -> Cameras:
    eyes = [(4 * math.cos(k), 4 * math.sin(k), 1 + 0.1 * k) for k in range(count)]
    return Cameras.look_at(eyes, target=(1, 2, 0), size=SIZE)


def write_capture(path: Path, reduced: int = 2, **camera: Any) -> Cameras:
    """Six images of two cameras at three moments, in full size `reduced` times as large."""
    found = cameras()
    names = [f"{k % 2}_{k // 2:05d}" for k in range(6)]
    for k, name in enumerate(names):
        pose = found.world_from_camera[k]
        content = {
            "orientation": pose[:, :3].T.tolist(),
            "position": pose[:, 3].tolist(),
            "focal_length": reduced * float(found.focal[k]),
            "principal_point": [reduced * x / 2 for x in SIZE],
            "skew": 0.0,
            "pixel_aspect_ratio": 1.0,
            "radial_distortion": [0.0, 0.0, 0.0],
            "tangential_distortion": [0.0, 0.0],
            "image_size": [reduced * x for x in SIZE],
        }
        write_json(path / f"camera/{name}.json", content | camera)
        image = torch.full((SIZE[1], SIZE[0], 3), k / 6)
        (path / f"rgb/{reduced}x").mkdir(parents=True, exist_ok=True)
        write_image(path / f"rgb/{reduced}x/{name}.png", image)
    write_json(
        path / "dataset.json",
        {"count": 6, "ids": names, "train_ids": names[::2], "val_ids": names[1::2]},
    )
    write_json(
        path / "metadata.json",
        {
            name: {"appearance_id": k // 2, "warp_id": k // 2, "camera_id": k % 2}
            for k, name in enumerate(names)
        },
    )
    write_json(path / "scene.json", {"center": [1, 2, 0], "scale": 0.5, "near": 0.1, "far": 2})
    np.save(path / "points.npy", np.ones((5, 3)))
    return found


def ids_of(views: Views) -> list[list[int]]:
    assert views.ids is not None
    ids = views.ids
    return [ids.appearance.tolist(), ids.deformation.tolist(), ids.camera.tolist()]


def test_a_capture_is_read(tmp_path: Path) -> None:
    truth = write_capture(tmp_path)
    data = ur.load(tmp_path)
    for views, rows, camera in (
        (data.train, slice(0, 6, 2), 0),
        (data.test, slice(1, 6, 2), 1),
    ):
        expected = truth[rows]
        torch.testing.assert_close(
            views.cameras.world_from_camera, expected.world_from_camera, atol=1e-5, rtol=0
        )
        torch.testing.assert_close(views.cameras.intrinsics, expected.intrinsics)
        assert views.cameras.times is not None
        assert views.cameras.times.tolist() == [0, 1, 2]
        assert ids_of(views) == [[0, 1, 2], [0, 1, 2], [camera] * 3]
        assert views.ball is not None
        assert views.ball.tolist() == [1, 2, 0, 2]
        assert views.points is not None
        assert views.points.shape == (5, 3)
    # What is chosen of views keeps its numbers and times.
    assert ids_of(data.train[1:]) == [[1, 2], [1, 2], [0, 0]]
    assert repr(data.train.cameras[2]).endswith("time 2)")


def test_hypernerfs_names_and_a_lens(tmp_path: Path) -> None:
    write_capture(tmp_path, tangential=[0.001, -0.002], radial_distortion=[0.1, 0.01, 0.0])
    for file in (tmp_path / "camera").iterdir():
        content = json.loads(file.read_text())
        del content["tangential_distortion"]
        write_json(file, content)
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    write_json(
        tmp_path / "metadata.json",
        {name: {"time_id": entry["warp_id"]} for name, entry in metadata.items()},
    )
    data = ur.load(tmp_path)
    assert ids_of(data.train) == [[0, 0, 0], [0, 1, 2], [0, 0, 0]]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("dataset.json", {"train_ids": ["../0_00000"]}, "names no image"),
        ("dataset.json", {"train_ids": ["absent"]}, "absent"),
        ("dataset.json", {"train_ids": 3}, "not a list"),
        ("metadata.json", {"0_00000": {}}, "neither `warp_id` nor `time_id`"),
        ("metadata.json", {"0_00000": {"warp_id": "x"}}, "not a whole number"),
        ("scene.json", {"scale": 0}, "positive"),
        ("scene.json", {"center": [1, 2]}, "three numbers"),
        ("camera/0_00000.json", {"orientation": [[1, 0, 0]]}, "3×3"),
        ("camera/0_00000.json", {"position": [1, 2]}, "give 3 numbers"),
        ("camera/0_00000.json", {"skew": 0.5}, "skew"),
        ("camera/0_00000.json", {"image_size": [0, 5]}, "image_size"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, file: str, change: dict[str, Any], message: str
) -> None:
    write_capture(tmp_path)
    content = json.loads((tmp_path / file).read_text())
    write_json(tmp_path / file, content | change)
    with pytest.raises(InputError, match=message):
        ur.load(tmp_path)


def test_without_images_or_points(tmp_path: Path) -> None:
    write_capture(tmp_path)
    np.save(tmp_path / "points.npy", np.ones((5, 2)))
    with pytest.raises(InputError, match=r"points\.npy: has shape"):
        ur.load(tmp_path)
    (tmp_path / "points.npy").unlink()
    (tmp_path / "rgb/2x").rename(tmp_path / "rgb/none")
    with pytest.raises(InputError, match="has no images in rgb"):
        ur.load(tmp_path)
