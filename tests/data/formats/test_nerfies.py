"""Captures of Nerfies and HyperNeRF: what is read, and what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unrender as ur
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.imaging.color import premultiply
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
        ("metadata.json", {"0_00000": {"warp_id": -1}}, "`warp_id` is -1; it must be from 0"),
        ("metadata.json", {"0_00000": {"warp_id": 10**9}}, "must be from 0 to 999999"),
        ("metadata.json", {"0_00000": {"warp_id": 0.5}}, "not a whole number"),
        ("metadata.json", {"0_00000": {"warp_id": 0, "camera_id": -2}}, "`camera_id` is -2"),
        ("metadata.json", {"0_00000": {"warp_id": 0, "time": 0.5}}, "has no `time`, and other"),
        ("metadata.json", {"1_00000": {"warp_id": 0, "time": 0.5}}, "has no `time`, and other"),
        ("metadata.json", {"0_00000": None}, "not an object; add its ids"),
        ("scene.json", {"scale": 0}, "positive"),
        ("scene.json", {"center": [1, 2]}, "three numbers"),
        ("camera/0_00000.json", {"orientation": [[1, 0, 0]]}, "3×3"),
        ("camera/0_00000.json", {"position": [1, 2]}, "give 3 numbers"),
        ("camera/0_00000.json", {"skew": 0.5}, "skew"),
        ("camera/0_00000.json", {"image_size": [0, 5]}, "image_size"),
        ("camera/0_00000.json", {"image_size": [0.5, 5]}, "image_size"),
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


def test_the_largest_images_that_are_there_are_read(tmp_path: Path) -> None:
    truth = write_capture(tmp_path, reduced=4)
    (tmp_path / "rgb/1x").mkdir()
    (tmp_path / "rgb/notes.x").touch()
    data = ur.load(tmp_path)
    assert data.train.cameras.sizes.one == SIZE
    torch.testing.assert_close(data.train.cameras.intrinsics, truth[::2].intrinsics)


def test_without_images_or_points(tmp_path: Path) -> None:
    write_capture(tmp_path)
    np.save(tmp_path / "points.npy", np.ones((5, 2)))
    with pytest.raises(InputError, match=r"points\.npy: has shape"):
        ur.load(tmp_path)
    (tmp_path / "points.npy").unlink()
    (tmp_path / "rgb/2x").rename(tmp_path / "rgb/none")
    with pytest.raises(InputError, match="has no images in rgb"):
        ur.load(tmp_path)


def test_ids_may_be_numbers_and_others_images_entries_do_not_matter(tmp_path: Path) -> None:
    write_capture(tmp_path)
    for folder, ending in (("camera", "json"), ("rgb/2x", "png")):
        (tmp_path / f"{folder}/0_00000.{ending}").rename(tmp_path / f"{folder}/7.{ending}")
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    metadata["7"] = metadata.pop("0_00000")
    write_json(tmp_path / "metadata.json", metadata | {"other": {"warp_id": -1}})
    write_json(tmp_path / "dataset.json", {"train_ids": [7, "0_00001"], "val_ids": ["1_00002"]})
    data = ur.load(tmp_path)
    assert (data.train.names, data.test.names) == (("7.png", "0_00001.png"), ("1_00002.png",))


def test_hypernerfs_times_and_deformations_may_differ(tmp_path: Path) -> None:
    write_capture(tmp_path)
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    for entry in metadata.values():
        entry["time_id"] = 10 * entry["warp_id"]
    write_json(tmp_path / "metadata.json", metadata)
    data = ur.load(tmp_path)
    assert data.train.ids is not None
    assert data.train.ids.deformation.tolist() == [0, 1, 2]
    assert data.train.cameras.times is not None
    assert data.train.cameras.times.tolist() == [0, 10, 20]


def test_a_missing_camera_is_named(tmp_path: Path) -> None:
    write_capture(tmp_path)
    (tmp_path / "camera/0_00001.json").unlink()
    with pytest.raises(InputError, match=r"camera.0_00001\.json: no such file"):
        ur.load(tmp_path)


def test_images_in_both_splits_are_not_trained_on(tmp_path: Path) -> None:
    write_capture(tmp_path)
    listing = json.loads((tmp_path / "dataset.json").read_text())
    listing["val_ids"] = listing["train_ids"][:1]
    write_json(tmp_path / "dataset.json", listing)
    data = ur.load(tmp_path)
    assert (len(data.train), data.test.names) == (2, ("0_00000.png",))


def film(times: list[float] | None, channels: int = 4) -> Views:
    """Views as this library has them: pixels that are not square, a principal point aside."""
    generator = torch.Generator().manual_seed(1)
    found = cameras(5)
    found.intrinsics[:, 0, 2] += 1.5
    found.intrinsics[:, 1, 1] *= 1.1
    if times is not None:
        found = found.at_times(torch.tensor(times))
    images = torch.randint(0, 256, (5, SIZE[1], SIZE[0], channels), generator=generator) / 255
    return Views(found, premultiply(images) if channels == 4 else images, ball=BALL)


BALL = torch.tensor([1.0, 2.0, -0.5, 2.5])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Times that are neither whole nor in order; ids of their own."""
    views = film([0.3, 0.1, 0.7, 0.7, 1.0])
    numbers = torch.tensor([[0, 3, 0], [1, 2, 0], [0, 1, 1], [2, 1, 0], [0, 0, 1]])
    views = replace(views, ids=ViewIds(*numbers.unbind(1)), points=torch.rand(4, 3))
    data = ur.Dataset("film", views[:3], views[3:])
    data.save(tmp_path / "film", layout="nerfies")
    found = ur.load(tmp_path / "film")
    for read, truth in ((found.train, data.train), (found.test, data.test)):
        for key in ("world_from_camera", "times"):
            assert torch.equal(getattr(read.cameras, key), getattr(truth.cameras, key))
        torch.testing.assert_close(read.cameras.intrinsics, truth.cameras.intrinsics)
        torch.testing.assert_close(read.images, truth.images, atol=0.51 / 255, rtol=0)
        assert ids_of(read) == ids_of(truth)
        torch.testing.assert_close(read.ball, BALL)
        assert read.points is not None
        assert truth.points is not None
        assert torch.equal(read.points, truth.points)
    assert ur.load(tmp_path / "film", split="val").test.names == found.test.names
    with pytest.raises(InputError, match="exists already"):
        data.save(tmp_path / "film", layout="nerfies")


def test_what_nerfies_reads_is_written(tmp_path: Path) -> None:
    """Every key its loader asks for; near and far planes hold the scene, in its scaled unit."""
    ur.Dataset.of_views(film(None)).save(tmp_path / "film", layout="nerfies")
    listing, metadata, scene = (
        json.loads((tmp_path / f"film/{name}.json").read_text())
        for name in ("dataset", "metadata", "scene")
    )
    names = [f"{k:06d}" for k in range(5)]
    assert listing == {
        "count": 5, "num_exemplars": 5, "ids": names, "train_ids": names, "val_ids": [],
    }  # fmt: skip
    # Without times nothing moves.
    assert metadata["000003"] == {
        "appearance_id": 0, "warp_id": 0, "camera_id": 0, "time_id": 0,
    }  # fmt: skip
    center, scale = torch.tensor(scene["center"]), scene["scale"]
    for k, name in enumerate(names):
        camera = json.loads((tmp_path / f"film/camera/{name}.json").read_text())
        assert sorted(camera) == [
            "focal_length", "image_size", "orientation", "pixel_aspect_ratio", "position",
            "principal_point", "radial_distortion", "skew", "tangential_distortion",
        ]  # fmt: skip
        # Points of the scaled ball, as `orientation` has them: camera_from_world.
        turn = torch.tensor(camera["orientation"])
        middle = turn @ ((center - torch.tensor(camera["position"])) * scale)
        assert scene["near"] < float(middle[2]) - 0.9
        assert float(middle[2]) + 0.9 < scene["far"], k
        assert (tmp_path / f"film/rgb/1x/{name}.png").is_file()


def test_positions_far_from_the_origin_are_written_as_they_were(tmp_path: Path) -> None:
    origin = (5e6, -3e5, 100.0)
    views = replace(
        film([0.0, 1.0, 2.0, 3.0, 4.0], 3), origin=origin, background=torch.ones(3),
        points=torch.rand(4, 3),
    )  # fmt: skip
    ur.Dataset.of_views(views).save(tmp_path / "film", layout="nerfies")
    camera = json.loads((tmp_path / "film/camera/000000.json").read_text())
    expected = views.cameras.centers[0].double() + torch.tensor(origin, dtype=torch.float64)
    assert camera["position"] == expected.tolist()
    found = ur.load(tmp_path / "film", hold_out=0).train
    between = found.cameras.centers - found.cameras.centers[:1]
    truth = views.cameras.centers - views.cameras.centers[:1]
    torch.testing.assert_close(between, truth, atol=1e-5, rtol=0)
    # The scene's center and its static points move with the cameras.
    assert found.ball is not None
    assert found.points is not None
    assert views.points is not None
    for here, there in ((found.points, views.points), (found.ball[None, :3], BALL[None, :3])):
        torch.testing.assert_close(
            here - found.cameras.centers[:1], there - views.cameras.centers[:1],
            atol=1e-5, rtol=0,
        )  # fmt: skip
    assert float(found.ball[3]) == pytest.approx(2.5)


def test_what_this_layout_cannot_hold_is_refused(tmp_path: Path) -> None:
    views = film(None)
    views.cameras.intrinsics[1, 0, 1] = 2.0
    with pytest.raises(InputError, match="have skew"):
        ur.Dataset.of_views(views).save(tmp_path / "film", layout="nerfies")
    assert not list(tmp_path.iterdir())
