"""The method that `auto` takes, by facts about the data."""

import dataclasses

import pytest
import torch

from unrender.data.capture import Capture, capture_of
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.methods.presets import PRESETS
from unrender.methods.presets.automatic import choose_preset

AROUND = Capture(views=50, cut_out=False, arc_deg=360.0, one_way=False, one_place=False)


@pytest.mark.parametrize(
    ("facts", "preset", "words"),
    [
        ({"cut_out": True}, "instant-ngp-fast", "an object without background"),
        ({"cut_out": True, "one_way": True}, "instant-ngp-fast", "an object"),
        ({}, "gaussian-splatting-fast", "from all around something"),
        ({"arc_deg": 140.0}, "gaussian-splatting-fast", "from 140° around something"),
        ({"one_way": True, "arc_deg": 20.0}, "instant-ngp-capture", "look one way"),
        ({"moving": True}, "nerfies-capture", "a scene that moves, with its background"),
        ({"moving": True, "cut_out": True}, "nerfies-fast", "that moves, without background"),
    ],
)
def test_each_kind_of_data_has_its_preset(
    facts: dict[str, object], preset: str, words: str
) -> None:
    choice = choose_preset(dataclasses.replace(AROUND, **facts))
    assert choice.preset == preset
    assert preset in PRESETS
    assert words in choice.reason
    assert not choice.advice
    few = choose_preset(dataclasses.replace(AROUND, views=8, **facts))
    assert (few.preset, few.reason) == (choice.preset, choice.reason)
    assert "only 8 training images" in few.advice


def test_what_no_method_can_reconstruct_is_refused() -> None:
    with pytest.raises(InputError, match="3 images: too few"):
        choose_preset(dataclasses.replace(AROUND, views=3))
    with pytest.raises(InputError, match="all cameras stand in one place"):
        choose_preset(dataclasses.replace(AROUND, one_place=True))


def views(**fields: object) -> Views:
    cameras = Cameras.from_focal(turntable(12, 4.0, 0.5), 40.0, 32, 24)
    images = torch.ones(12, 24, 32, 4)
    return dataclasses.replace(Views(cameras, images), **fields)


def test_facts_of_a_circle() -> None:
    assert capture_of(views()) == dataclasses.replace(AROUND, views=12)
    assert capture_of(views(images=torch.zeros(12, 24, 32, 4))).cut_out
    assert capture_of(views(images=torch.ones(12, 24, 32, 3), background=torch.ones(3))).cut_out


def test_a_film_of_a_scene_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that COLMAP placed, by points that stand still, is left to whoever filmed it."""
    still = views()
    times = still.cameras.at_times(torch.arange(12.0))
    found = capture_of(dataclasses.replace(still, cameras=times))
    assert (found.moving, found.filmed) == (True, False)
    one = capture_of(dataclasses.replace(still, cameras=still.cameras.at_times(2.0)))
    assert (one.moving, one.filmed) == (False, False)
    points = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    placed = dataclasses.replace(still, cameras=times, points=points)
    film = capture_of(placed)
    assert (film.moving, film.filmed) == (False, True)
    assert "if the scene moves, fit nerfies-capture" in choose_preset(film).advice
    moment = torch.arange(12)
    known = dataclasses.replace(placed, ids=ViewIds(moment, moment, 0 * moment))
    assert capture_of(known).moving


def test_a_panorama_is_known_by_its_points() -> None:
    """Of cameras that move by less than a hundredth of the distance to what they see."""
    poses = turntable(12, 0.01, 0.0)
    poses[:, :, 2] *= -1
    poses[:, :, 0] *= -1
    cameras = Cameras.from_focal(poses, 40.0, 32, 24)
    points = 5 * torch.nn.functional.normalize(torch.randn(300, 3), dim=1)
    assert capture_of(views(cameras=cameras, points=points)).one_place
    assert not capture_of(views(points=points)).one_place


def test_a_wall_is_remarked_on() -> None:
    """Its points lie in a plane but for outliers; those of a room do not."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(300, 3, generator=generator)
    assert not capture_of(views(points=points)).flat
    wall = points * torch.tensor([1.0, 0.01, 1.0])
    wall[:15] = 10 * points[:15]
    flat = capture_of(views(points=wall))
    assert flat.flat
    assert "flat, as a wall" in choose_preset(flat).advice
    assert not capture_of(views(points=wall[:50])).flat
