"""Times of training and held-out views."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import unrender as ur
from unrender.api.described import fingerprint
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.imaging.color import premultiply
from unrender.training.data_kinds.posed_images import POSED_IMAGES


def film(times: list[float] | None, elevation: float = 0.3) -> Views:
    count = 9 if times is None else len(times)
    cameras = Cameras.from_focal(turntable(count, 4.0, elevation), 10.0, 4, 4)
    if times is not None:
        cameras = cameras.at_times(torch.tensor(times))
    return Views(cameras, premultiply(torch.rand(count, 4, 4, 4)))


def loaded(folder: Path, train: list[float] | None, test: list[float] | None) -> ur.Dataset:
    ur.Dataset("film", film(train), film(test, 0.5)).save(folder)
    return ur.load(folder)


def test_times_in_any_order_are_read_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train = loaded(tmp_path / "film", [0.5, 0.0, 1.0, 0.25], [0.75, 0.125]).train
    assert train.cameras.times is not None
    assert train.cameras.times.tolist() == [0.5, 0.0, 1.0, 0.25]
    assert not caplog.messages


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([2.0, 2.0, 2.0], [2.0], "all 3 training views have one time, 2: nothing can be"),
        ([0.0, 0.5, 1.0], [0.5, 1.5], "1 of 2 held-out views are at times outside those of"),
    ],
)
def test_times_that_look_wrong_are_told(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    train: list[float],
    test: list[float],
    message: str,
) -> None:
    loaded(tmp_path / "film", train, test)
    (line,) = caplog.messages
    assert message in line


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0.0, 1.0], None, "the training views have times and the held-out views have none"),
        (None, [0.0, 1.0], "the held-out views have times and the training views have none"),
    ],
)
def test_times_of_one_split_alone_are_refused(
    tmp_path: Path, train: list[float] | None, test: list[float] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        loaded(tmp_path / "film", train, test)


@pytest.mark.parametrize("every", [2, 3, 8, 10, 30])
def test_of_a_film_the_first_and_last_moments_are_trained_on(
    tmp_path: Path, every: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where its frames are not in order, and two cameras film each moment."""
    moments = [3.0, 1.0, 0.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
    film(moments).save(tmp_path / "film.npz")
    data = ur.load(tmp_path / "film.npz", hold_out=every)
    train, test = data.train.cameras.times, data.test.cameras.times
    assert train is not None
    assert test is not None
    assert sorted([*train.tolist(), *test.tolist()]) == sorted(moments)
    held_out = sorted(test.tolist())
    assert len(held_out) >= 1
    assert all(b - a == every for a, b in pairwise(held_out))
    assert (float(train.min()), float(train.max())) == (0, 11)
    assert not caplog.messages


def test_a_film_of_one_frame_is_refused(tmp_path: Path) -> None:
    film([0.0]).save(tmp_path / "film.npz")
    with pytest.raises(InputError, match="has only one view; give at least two"):
        ur.load(tmp_path / "film.npz")


def test_a_film_is_told_from_one_with_other_times() -> None:
    """So that a run is not evaluated or continued on it."""
    data = ur.Dataset.of_views(film([0.0, 0.5, 1.0]))
    other = data.train.cameras.at_times(torch.tensor([0.0, 1.0, 2.0]))
    views = [data.train, replace(data.train, cameras=other)]
    moments = torch.arange(3)
    views.append(replace(data.train, ids=ViewIds(moments, moments, 0 * moments)))
    prints = [
        fingerprint(POSED_IMAGES.describe(ur.Dataset.of_views(each)).tensors) for each in views
    ]
    assert len(set(prints)) == 3
