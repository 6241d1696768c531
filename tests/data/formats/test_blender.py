"""The Blender format: round trip, comparison with real data, and rejected files."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from inputs import either, is_real, sample

from unrender.data.dataset import Dataset
from unrender.data.formats.blender import load_blender, load_blender_views, write_blender
from unrender.data.formats.camera_files import NamedCameras, read_cameras, write_cameras
from unrender.data.formats.npz import load_npz, save_npz
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.imaging.color import premultiply
from unrender.imaging.files import write_image

LEGO = "nerf_synthetic/lego_200"
CHAIR = "nerf_synthetic/chair_100"


def views(num: int = 3, channels: int = 4) -> Views:
    generator = torch.Generator().manual_seed(3)
    poses = spherical_shell(num, (3.0, 5.0), generator, roll=0.5)
    straight = torch.randint(0, 256, (num, 6, 8, channels), generator=generator) / 255
    cameras = Cameras.from_focal(poses, 20 + torch.rand(num, generator=generator), 8, 6)
    cameras.intrinsics[:, 0, 2] += 0.7
    cameras.intrinsics[:, 1, 1] *= 1.1
    if channels == 4:
        return Views(cameras, premultiply(straight))
    straight[:, 0], straight[:, -1] = 1.0, 1.0
    return Views(cameras, straight, torch.ones(3))


@pytest.mark.parametrize("channels", [3, 4])
def test_round_trip(tmp_path: Path, channels: int):
    written = views(channels=channels)
    write_blender(tmp_path / "scene", written)
    read = load_blender_views(tmp_path / "scene")
    assert torch.equal(read.cameras.world_from_camera, written.cameras.world_from_camera)
    assert torch.equal(read.cameras.intrinsics, written.cameras.intrinsics)
    # Straight colours are rounded to bytes, so the error is half of one at most.
    torch.testing.assert_close(read.images, written.images, atol=0.51 / 255, rtol=0)
    assert read.names == ("train/r_0.png", "train/r_1.png", "train/r_2.png")
    assert (read.background is None) == (channels == 4)
    assert os.listdir(tmp_path) == ["scene"]
    with pytest.raises(InputError, match="exists already"):
        write_blender(tmp_path / "scene", written)


IDENTITY = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 4.0], [0, 0, 0, 1.0]]


def write_scene(
    folder: Path, content: Any = None, name: str = "transforms_train.json", **frame: Any
) -> Path:
    """A scene of two 4×4 views; keyword arguments change the second frame."""
    folder.mkdir(exist_ok=True, parents=True)
    for index in range(2):
        write_image(folder / f"r_{index}.png", torch.rand(4, 4, 4))
    if content is None:
        frames = [{"file_path": f"./r_{i}", "transform_matrix": IDENTITY} for i in range(2)]
        frames[1] |= frame
        content = {"camera_angle_x": 0.7, "frames": frames}
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)
    return folder


def test_names_with_and_without_endings(tmp_path: Path):
    folder = write_scene(tmp_path / "scene", file_path="r_1.png")
    assert load_blender_views(folder).names == ("r_0.png", "r_1.png")


def test_intrinsics(tmp_path: Path):
    angle = load_blender_views(write_scene(tmp_path / "a"))
    focal = 0.5 * 4 / math.tan(0.35)
    assert angle.cameras.focal.tolist() == pytest.approx([focal] * 2)
    assert angle.cameras.intrinsics[0, 0, 2] == 2
    own = load_blender_views(
        write_scene(tmp_path / "b", fl_x=30.0, fl_y=60.0, cx=10.0, cy=6.0, w=20, h=20)
    )
    assert own.cameras.focal[0].item() == pytest.approx(focal)
    expected = torch.tensor([[6.0, 0, 2.0], [0, 12.0, 1.2], [0, 0, 1]])
    torch.testing.assert_close(own.cameras.intrinsics[1], expected)


def moved(folder: Path, name: str) -> None:
    """A split of the scene's images from other places."""
    content = json.loads((folder / "transforms_train.json").read_text())
    for frame in content["frames"]:
        frame["transform_matrix"] = bent(1, 3, 2.0 + len(name))
    (folder / name).write_text(json.dumps(content))


def test_splits(tmp_path: Path):
    folder = write_scene(tmp_path / "scene")
    alone = load_blender(folder)
    assert (alone.train.names, alone.test.names) == (("r_1.png",), ("r_0.png",))
    assert alone.name == "scene"
    moved(folder, "transforms_val.json")
    assert (len(load_blender(folder).train), len(load_blender(folder).test)) == (2, 2)
    single = load_blender(folder / "transforms_train.json")
    assert (len(single.train), len(single.test)) == (1, 1)


def test_every_tenth_view_is_held_out(tmp_path: Path):
    frames = [{"file_path": "r_0", "transform_matrix": IDENTITY} for _ in range(21)]
    for index, frame in enumerate(frames):
        pose = [row[:] for row in IDENTITY]
        pose[2][3] = float(index)
        frame["transform_matrix"] = pose
    content = {"camera_angle_x": 0.7, "frames": frames}
    scene = load_blender(write_scene(tmp_path / "s", content, "transforms.json"))
    assert scene.test.cameras.centers[:, 2].tolist() == [0, 10, 20]
    assert len(scene.train) == 18


def bent(row: int, column: int, value: Any) -> list[list[Any]]:
    matrix: list[list[Any]] = [list(line) for line in IDENTITY]
    matrix[row][column] = value
    return matrix


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"file_path": "r_7"}, r"frame 1 \(r_7\): there is no image 'r_7'"),
        ({"file_path": 7}, "frame 1: `file_path` is 7, not a file name"),
        ({"file_path": "r\0"}, "not a file name"),
        ({"file_path": "../../../other/r_0"}, "leaves .*--outside"),
        ({"file_path": "/etc/hostname"}, "leaves .*--outside"),
        (
            {"fl_x": 30.0, "w": 20, "h": 40},
            "is 4x4, and its camera in transforms_train.json 20x40",
        ),
        ({"transform_matrix": [[1, 2], [3, 4]]}, "not 4x4"),
        ({"transform_matrix": None}, "not 4x4"),
        ({"transform_matrix": bent(0, 0, "one")}, "'one', not a number"),
        ({"transform_matrix": bent(0, 0, True)}, "True, not a number"),
        ({"transform_matrix": bent(0, 0, 10**400)}, "too large"),
        ({"transform_matrix": bent(0, 0, math.nan)}, r"frame 1 \(r_1.png\): .*NaN"),
        ({"transform_matrix": bent(1, 3, math.inf)}, "infinite"),
        ({"transform_matrix": bent(1, 3, 1e300)}, "infinite"),
        ({"transform_matrix": bent(0, 0, 1.01)}, r"frame 1 \(r_1.png\).*not a rotation"),
        ({"transform_matrix": bent(0, 0, -1)}, "reflection"),
        ({"transform_matrix": bent(3, 3, 0)}, "last row"),
        ({"fl_x": -3}, "must be positive"),
        ({"fl_x": "wide"}, "not a number"),
        ({"cx": math.nan}, "must be finite"),
        ({"k4": 0.1}, "name the lens by `camera_model`"),
        ({"k1": math.inf}, "must be finite"),
        ({"camera_angle_x": 4.0}, "between 0 and π"),
    ],
)
def test_wrong_frames_are_refused(tmp_path: Path, frame: dict[str, Any], message: str):
    write_scene(tmp_path / "other")
    folder = write_scene(tmp_path / "scene", **frame)
    with pytest.raises(InputError, match=message) as caught:
        load_blender(folder)
    assert "transforms_train.json" in str(caught.value)
    assert "\n" not in str(caught.value)


FRAMES = [{"file_path": "r_0", "transform_matrix": IDENTITY}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"camera_angle_x": 0.7, "frames": [{"file', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "contains a list, not an object"),
        ('{"camera_angle_x": 0.7}', "`frames` is missing"),
        ({"camera_angle_x": 0.7, "frames": {}}, "not a list"),
        ({"camera_angle_x": 0.7, "frames": []}, "zero views"),
        ({"camera_angle_x": 0.7, "frames": [3]}, "not an object"),
        ({"camera_angle_x": "wide", "frames": FRAMES}, "not a number"),
        ({"camera_angle_x": 0, "frames": FRAMES}, "between 0 and π"),
        ({"frames": FRAMES}, "neither `camera_angle_x` nor `fl_x`"),
        ({"camera_angle_x": 0.7, "frames": FRAMES}, "one view"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, content: Any, message: str):
    folder = write_scene(tmp_path / "scene", content)
    with pytest.raises(InputError, match=message) as caught:
        load_blender(folder)
    assert "\n" not in str(caught.value)


def test_missing_folders_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no such file or folder"):
        load_blender(tmp_path / "absent")
    with pytest.raises(InputError, match="neither transforms_train"):
        load_blender(tmp_path)


def test_links_lead_where_the_user_put_them(tmp_path: Path):
    write_scene(tmp_path / "far" / "away" / "other")
    folder = write_scene(tmp_path / "scene", file_path="link")
    (folder / "link.png").symlink_to(tmp_path / "far/away/other/r_0.png")
    assert load_blender_views(folder).names == ("r_0.png", "link.png")
    (tmp_path / "moved").symlink_to(write_scene(tmp_path / "whole"))
    assert len(load_blender_views(tmp_path / "moved")) == 2


def test_damaged_images_are_named(tmp_path: Path):
    folder = write_scene(tmp_path / "scene")
    (folder / "r_1.png").write_bytes((folder / "r_0.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"r_1\.png"):
        load_blender(folder)


def test_oversized_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_scene(tmp_path / "scene")
    monkeypatch.setattr("unrender.files.MAX_TEXT_BYTES", 100)
    with pytest.raises(InputError, match="is larger than"):
        load_blender(folder)


def test_backgrounds(tmp_path: Path):
    folder = write_scene(tmp_path / "scene")

    def paint(border: float) -> None:
        for index in range(2):
            image = torch.full((4, 4, 3), border)
            image[1:3, 1:3] = 0.5
            write_image(folder / f"r_{index}.png", image)

    for border, expected in ((0.01, [0.0] * 3), (0.99, [1.0] * 3)):
        paint(border)
        found = load_blender_views(folder).background
        assert found is not None
        assert found.tolist() == expected
    # What is neither is a photograph, whose background belongs to the scene.
    paint(0.4)
    photographs = load_blender_views(folder)
    assert photographs.background is None
    assert photographs.has_alpha
    assert bool((photographs.images[..., 3] == 1).all())
    told = load_blender_views(folder, "white").background
    assert told is not None
    assert told.tolist() == [1, 1, 1]


def test_scenes_of_others():
    scene = load_blender(sample(LEGO))
    assert (len(scene.train), len(scene.test)) == either(LEGO, (100, 50), (14, 4))
    assert scene.train.has_alpha
    off = (scene.train.cameras.centers.norm(dim=-1) - either(LEGO, 4.0311, 4.0)).abs()
    assert float(off.max()) < either(LEGO, 1e-3, 0.1)
    if is_real(CHAIR):
        chair = load_blender(sample(CHAIR))
        assert (len(chair.train), len(chair.test)) == (100, 4)
        assert chair.train.background is not None
        assert chair.train.background.tolist() == [0, 0, 0]


def test_silhouettes_carve_a_hull_that_reprojects():
    """Wrong axes or units would carve away everything, or contradict the test views."""
    scene = load_blender(sample(LEGO))
    size = scene.train.cameras.width
    line = torch.linspace(-1.4, 1.4, 48)
    points = torch.cartesian_prod(line, line, line)
    # A voxel of the real scene is as wide as four pixels, so it may stand out by two.
    grow, close = either(LEGO, (5, 5), (1, 3))

    def pooled(image: torch.Tensor, width: int) -> torch.Tensor:
        return torch.nn.functional.max_pool2d(image[None, None], width, 1, width // 2)[0, 0]

    def inside(views: Views, index: int, points: torch.Tensor) -> torch.Tensor:
        camera = torch.full((len(points),), index)
        pixel = views.cameras.project(camera, points)[0].floor().long().clamp(0, size - 1)
        grown = pooled((views.images[index, :, :, 3] > 0.5).float(), grow)
        return grown[pixel[:, 1], pixel[:, 0]] > 0

    for index in range(len(scene.train)):
        points = points[inside(scene.train, index, points)]
    assert len(points) > 1000
    overlap: list[float] = []
    for index in range(0, len(scene.test), either(LEGO, 5, 1)):
        camera = torch.full((len(points),), index)
        pixel = scene.test.cameras.project(camera, points)[0].floor().long().clamp(0, size - 1)
        seen = torch.zeros(size, size)
        seen[pixel[:, 1], pixel[:, 0]] = 1
        seen = -pooled(-pooled(seen, close), close)
        mask = scene.test.images[index, :, :, 3] > 0.5
        both, any_of = (seen > 0) & mask, (seen > 0) | mask
        overlap.append((both.sum() / any_of.sum()).item())
    assert sum(overlap) / len(overlap) > 0.85


def moving_views() -> Views:
    """Three views at times that are not in order, with ids."""
    still = views()
    numbers = torch.tensor([[3, 0, 1], [0, 2, 1], [1, 1, 0]])
    cameras = still.cameras.at_times(torch.tensor([0.25, 1.0, 0.1]))
    return replace(still, cameras=cameras, ids=ViewIds(*numbers.unbind(1)))


def test_times_and_ids_are_read_and_written(tmp_path: Path) -> None:
    moving = moving_views()
    write_blender(tmp_path / "moving", moving)
    save_npz(tmp_path / "moving.npz", moving)
    write_cameras(tmp_path / "cameras.json", NamedCameras.of(moving))
    for found in (
        load_blender_views(tmp_path / "moving"),
        load_npz(tmp_path / "moving.npz"),
        read_cameras(tmp_path / "cameras.json"),
    ):
        assert found.cameras.times is not None
        assert moving.cameras.times is not None
        assert torch.equal(found.cameras.times, moving.cameras.times)
        if isinstance(found, Views):
            assert same_ids(found, moving)
    file = tmp_path / "moving/transforms_train.json"
    for key, value, message in (
        ("time", None, "frame 1 .*has no `time`"),
        ("time", "x", "frame 1 .*`time`"),
        ("time", 1e300, "`time` is 1e[+]300; it must be finite"),
        ("camera_id", -1, "frame 1 .*`camera_id` is -1; it must be from 0 to 999999"),
        ("warp_id", 10**6, "`warp_id` is 1000000; it must be from 0"),
        ("appearance_id", 0.5, "`appearance_id` is 0.5, not a whole number"),
    ):
        content = json.loads(file.read_text())
        content["frames"][1][key] = value
        damaged = file.with_name("damaged.json")
        damaged.write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            load_blender_views(damaged)
    content = json.loads(file.read_text())
    del content["frames"][2]["warp_id"]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"frame 2 .*has neither `warp_id` nor `time_id`"):
        load_blender_views(file)


def same_ids(a: Views, b: Views) -> bool:
    assert a.ids is not None
    assert b.ids is not None
    kinds = ("appearance", "deformation", "camera")
    return all(torch.equal(getattr(a.ids, kind), getattr(b.ids, kind)) for kind in kinds)


def test_times_far_from_zero_are_refused_where_rounding_would_merge_them(
    tmp_path: Path,
) -> None:
    """Seconds since 1970 have steps of two minutes in single precision."""
    write_blender(tmp_path / "moving", moving_views())
    file = tmp_path / "moving/transforms_train.json"
    for start, refused in ((1.6e9, True), (1000.0, False)):
        content = json.loads(file.read_text())
        for k, frame in enumerate(content["frames"]):
            frame["time"] = start + k / 30
        file.write_text(json.dumps(content))
        if refused:
            with pytest.raises(InputError, match="subtract the first from all of them"):
                load_blender_views(file)
        else:
            times = load_blender_views(file).cameras.times
            assert times is not None
            assert len(times.unique()) == 3


@pytest.mark.fit
def test_all_splits_are_written(tmp_path: Path) -> None:
    data = Dataset("moving", moving_views()[:1], moving_views()[1:])
    data.save(tmp_path / "moving")
    found = load_blender(tmp_path / "moving")
    for split in ("train", "test"):
        read, truth = getattr(found, split), getattr(data, split)
        assert same_ids(read, truth)
        assert torch.equal(read.cameras.world_from_camera, truth.cameras.world_from_camera)
    with pytest.raises(InputError, match="layout 'x': give one of blender, nerfies"):
        data.save(tmp_path / "other", cast(Any, "x"))
