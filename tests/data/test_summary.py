"""Facts about a dataset, and that each warning can occur."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unrender.data.formats.npz import save_npz
from unrender.data.load import load_dataset
from unrender.data.summary import camera_facts, camera_warnings, summarize, time_facts
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.paths import turntable


def views(count: int = 6) -> Views:
    poses = turntable(count, 4.0, 0.5)
    cameras = Cameras.from_focal(poses, 40.0, 32, 24)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(300, 3, generator=generator) - 0.5
    return Views(cameras, torch.rand(count, 24, 32, 4, generator=generator), points=points)


def test_facts_of_a_circle() -> None:
    found = summarize(views())
    assert found.warnings == ()
    facts = found.facts
    assert facts["views"] == "6"
    assert facts["size"] == "32×24 pixels"
    assert facts["focal length"].startswith("40 pixels (43.6")
    assert facts["distance to focus"] == "4"
    assert facts["points"] == "300"
    # Opposite cameras both look down by half a radian.
    assert facts["largest angle between two"] == "123°"


def turned(given: Views) -> Views:
    """One camera looks the other way."""
    pose = given.cameras.world_from_camera.clone()
    pose[2, :, :2] *= torch.tensor([1.0, -1.0])
    pose[2, :, 2] *= -1
    return replace(given, cameras=given.cameras.with_poses(pose))


def copied(given: Views) -> Views:
    pose = given.cameras.world_from_camera.clone()
    pose[3] = pose[1]
    images = given.images.clone()
    images[3] = images[1]
    return replace(given, cameras=given.cameras.with_poses(pose), images=images)


def lensed(given: Views, row: int, column: int, value: float) -> Views:
    matrix = given.cameras.intrinsics.clone()
    matrix[1, row, column] = value
    return replace(given, cameras=replace(given.cameras, intrinsics=matrix))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda v: v.select(torch.tensor([0])), "only one view"),
        (turned, "1 of 6 cameras look away"),
        (copied, "Same camera pose: view 1 and view 3"),
        (copied, "Same image: view 1 and view 3"),
        (lambda v: lensed(v, 0, 2, 31.0), "off the center"),
        (lambda v: lensed(v, 0, 0, 90.0), "Focal lengths differ by a factor of 2.2"),
        (lambda v: lensed(v, 1, 1, 60.0), "not square"),
        (lambda v: replace(v, images=torch.ones_like(v.images)), "One constant color: view 0"),
        (lambda v: replace(v, points=v.points + 100), "visible to any camera"),
    ],
)
def test_what_looks_wrong_is_said(wrong, sentence: str) -> None:
    assert any(sentence in each for each in summarize(wrong(views())).warnings)


def test_cameras_that_are_close_are_not_copies() -> None:
    """More cameras than `torch.cdist` computes exactly by default, 0.001 apart at radius 4."""
    angle = 1.0 + 0.001 / 4 * torch.arange(200, dtype=torch.float64)
    eyes = 4 * torch.stack([angle.cos(), angle.sin(), 0.3 * torch.ones_like(angle)], dim=1)
    cameras = Cameras.look_at(eyes.float(), size=(32, 24))
    facts = camera_facts(cameras)
    nearest = facts["nearest-camera distance"]
    assert float(nearest.split()[0]) == pytest.approx(0.001, rel=2e-3)
    assert nearest.endswith("(median 0.001)")
    assert not any("Same camera pose" in each for each in camera_warnings(cameras))


def test_images_that_are_alike_are_not_copies_and_copies_are_found() -> None:
    given = views(60)
    flat = torch.full_like(given.images, 0.9)
    flat[:, 0, 0, 0] = torch.linspace(0, 0.5, 60)
    alike = replace(given, images=flat)
    assert not any("Same image" in each for each in summarize(alike).warnings)
    copied = flat.clone()
    copied[50] = copied[7]
    warnings = summarize(replace(given, images=copied)).warnings
    assert "Same image: view 7 and view 50." in warnings


def test_views_of_a_file_are_named_by_their_index_in_it(tmp_path: Path) -> None:
    """Also where every N-th view is held out, which changes their order."""
    given = views(12)
    pose = given.cameras.world_from_camera.clone()
    pose[7] = pose[10]
    cameras, images = given.cameras.with_poses(pose), given.images[..., :3].contiguous()
    save_npz(tmp_path / "a.npz", Views(cameras, images, torch.ones(3)))
    data = load_dataset(tmp_path / "a.npz")
    assert data.test.names == ("view 0", "view 10")
    order = Views(
        concatenate([data.train.cameras, data.test.cameras]),
        torch.cat([data.train.images, data.test.images]),
        torch.ones(3),
        names=(*data.train.names, *data.test.names),
    )
    warnings = summarize(order).warnings
    assert "Same camera pose: view 7 and view 10; one may be a copy." in warnings


def test_times_and_ids_in_words() -> None:
    cameras = views(4).cameras
    assert time_facts(cameras, None, 0) == {}
    moving = cameras.at_times(torch.tensor([0.0, 0.5, 2.0, 0.25]))
    assert time_facts(moving, None, 1) == {
        "times": "4 moments from 0 to 2, in the order of the views",
        "views per moment": "1",
        "time between moments": "0.25 to 1.5",
    }
    assert "not in the order" in time_facts(moving, None, 0)["times"]
    ids = ViewIds(torch.tensor([0, 0, 0, 1]), torch.arange(4), torch.tensor([0, 0, 0, 1]))
    found = time_facts(moving, ids, 0)
    assert "not in the order" not in found["times"]
    assert found["ids"] == "2 appearances, 4 moments, 2 cameras"
    still = time_facts(cameras.at_times(3.0), None, 0)
    assert still == {"times": "one moment, 3", "views per moment": "4"}


def test_a_scene_may_look_alike_at_two_times() -> None:
    moving = views()
    moving = Views(
        moving.cameras.at_times(torch.arange(6.0)),
        moving.images[:1].expand(6, -1, -1, -1).contiguous(),
    )
    assert summarize(moving).warnings == ()
    copies = replace(moving, cameras=moving.cameras.at_times(1.0))
    assert any("Same image" in line for line in summarize(copies).warnings)
