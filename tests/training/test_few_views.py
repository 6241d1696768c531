"""A photograph or a few views as data: which are given, and which cameras are around them."""

import dataclasses
from pathlib import Path

import pytest
import torch

from unrender.data.builtin import render_scene
from unrender.data.dataset import Dataset
from unrender.data.object_ball import object_ball
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import coverage
from unrender.geometry.paths import turntable
from unrender.geometry.poses import compose, se3_exp
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image
from unrender.methods.distilled import Distilled
from unrender.notes import collected
from unrender.training.data_kinds.few_views import (
    FEW_VIEWS,
    FewViewsOptions,
    cameras_around,
)


def scene(count: int = 12, held_out: int = 2) -> Dataset:
    cameras = Cameras.from_focal(turntable(count + held_out, 4.0, 0.3), 22.0, 16, 12)
    images = torch.rand(len(cameras), 12, 16, 4, generator=torch.Generator().manual_seed(0))
    views = Views(cameras, images)
    return Dataset("scene", views[:count], views[count:])


def centers(views: Views) -> set[tuple[float, ...]]:
    return {tuple(center.tolist()) for center in views.cameras.centers}


def test_inputs_are_chosen_and_the_others_held_out() -> None:
    before = scene()
    found = FEW_VIEWS.read(before, FewViewsOptions(inputs=3))
    assert len(found.train) == 3
    assert len(found.test) == 11
    assert centers(found.train) | centers(found.test) == (
        centers(before.train) | centers(before.test)
    )
    assert not centers(found.train) & centers(found.test)
    # They are far apart: on the ring, about a third of a turn.
    azimuths = coverage(found.train.cameras).azimuths.sort().values
    assert azimuths.diff().min() > 1.5


def test_all_are_inputs_by_default() -> None:
    assert FEW_VIEWS.read(scene(), FewViewsOptions()).train is not None
    assert len(FEW_VIEWS.read(scene(), FewViewsOptions()).train) == 12
    assert len(FEW_VIEWS.read(scene(), FewViewsOptions(inputs=12)).test) == 2


def test_more_inputs_than_views() -> None:
    with pytest.raises(InputError, match="--inputs 13: scene has 12 training views: give 1 to"):
        FEW_VIEWS.read(scene(), FewViewsOptions(inputs=13))


def test_cameras_around_look_at_the_object_from_all_sides() -> None:
    inputs = scene().train[:1]
    found = cameras_around(inputs, 40)
    center = object_ball(inputs)[:3]
    assert (found.width, found.height) == (12, 12)
    assert torch.equal(found.focal, inputs.cameras.focal.expand(40))
    pixel, depth = found.project(torch.arange(40), center.expand(40, 3))
    torch.testing.assert_close(pixel, torch.full((40, 2), 6.0), rtol=0, atol=1e-3)
    torch.testing.assert_close(depth, torch.full((40,), 4.0), rtol=1e-4, atol=0)
    side = coverage(found)
    assert side.surrounds
    assert -0.02 < side.elevations.min() < 0.1
    assert 0.9 < side.elevations.max() < 1.08
    # No two are nearly the same, and no gap is wide.
    apart = torch.cdist(found.centers, found.centers).fill_diagonal_(9.0)
    assert apart.min() > 0.4
    assert apart.amin(1).max() < 1.5


def test_cameras_around_follow_the_world() -> None:
    """Moved and turned about z, the cameras are so too; the focus point is only nearly so."""
    inputs = scene().train[:3]
    turn = se3_exp(torch.tensor([0.0, 0.0, 0.7, 1.0, 2.0, -0.5]))
    poses = compose(turn.expand(3, -1, -1), inputs.cameras.world_from_camera)
    moved = dataclasses.replace(inputs, cameras=inputs.cameras.with_poses(poses))
    expected = compose(turn.expand(7, -1, -1), cameras_around(inputs, 7).world_from_camera)
    found = cameras_around(moved, 7).world_from_camera
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02)


def test_inputs_from_below_are_surrounded_too() -> None:
    low = Cameras.look_at((4, 0, -3), size=(16, 16))
    found = cameras_around(Views(low, torch.zeros(1, 16, 16, 4)), 30)
    assert coverage(found).elevations.min() < -0.5


def test_a_photograph_is_one_view(tmp_path: Path) -> None:
    path = tmp_path / "chair.png"
    camera = Cameras.from_focal(turntable(1, 4.0, 0.35), 45.0, 32, 32)
    write_image(path, unpremultiply(render_scene("chair", camera, 1).images[0]))
    with collected() as notes:
        options = FewViewsOptions(elevation=35.0, around=9)
        found = FEW_VIEWS.read(str(path), options)
    assert any("field of view" in line for line in notes)
    assert found.name == "chair"
    assert found.source == str(path)
    assert len(found.train) == 1
    assert len(found.test) == 0
    center = found.train.cameras.centers[0]
    assert float((center[2] / center.norm()).asin().rad2deg()) == pytest.approx(35, abs=0.1)
    part = FEW_VIEWS.training(found)
    assert len(part.targets) == 9
    described = FEW_VIEWS.describe(found)
    assert len(described.cameras) == len(described.names) == 10
    assert coverage(described.cameras).surrounds
    again = FEW_VIEWS.read_again(described.source)
    assert torch.equal(again.train.images, found.train.images)


def test_a_background_is_remarked_on() -> None:
    opaque = Dataset.of_views(
        Views(scene().train.cameras, torch.ones(12, 12, 16, 3).mul(0.5), None)
    )
    method = Distilled()
    assert "--masks" in FEW_VIEWS.remarks(method, opaque)[0]
    assert not FEW_VIEWS.remarks(method, scene())
