"""What is said of a set of views, and that each warning can come."""

from dataclasses import replace

import pytest
import torch

from unrender.data.summary import summarise
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable


def views(count: int = 6) -> Views:
    poses = turntable(count, 4.0, 0.5)
    cameras = Cameras.from_focal(poses, 40.0, 32, 24)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(300, 3, generator=generator) - 0.5
    return Views(cameras, torch.rand(count, 24, 32, 4, generator=generator), points=points)


def test_facts_of_a_circle() -> None:
    found = summarise(views())
    assert found.warnings == ()
    facts = found.facts
    assert facts["views"] == "6"
    assert facts["size"] == "32×24 pixels"
    assert facts["focal length"].startswith("40 pixels (43.6")
    assert facts["distance from there"] == "4"
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
        (lambda v: v.select(torch.tensor([0])), "one view only"),
        (turned, "1 of 6 cameras look away"),
        (copied, "Views 1 and 3 were taken from one place"),
        (copied, "Images 1 and 3 are the same picture"),
        (lambda v: lensed(v, 0, 2, 31.0), "off its middle"),
        (lambda v: lensed(v, 0, 0, 90.0), "Focal lengths differ by 2.2 times"),
        (lambda v: lensed(v, 1, 1, 60.0), "not square"),
        (lambda v: replace(v, images=torch.ones_like(v.images)), "one colour"),
        (lambda v: replace(v, points=v.points + 100), "seen by any camera"),
    ],
)
def test_what_looks_wrong_is_said(wrong, sentence: str) -> None:
    assert any(sentence in each for each in summarise(wrong(views())).warnings)
