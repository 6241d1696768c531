"""Rounds of generated views, and on what each is conditioned."""

from dataclasses import dataclass, field

import torch
from view_models import FakeViews, fitted

from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.training.view_rounds import (
    angle_to_nearest,
    conditions_of,
    generate_in_rounds,
    given_views,
)

SIZE = 8
CENTER = torch.zeros(3)


def ring(count: int, size: int = SIZE) -> Cameras:
    return Cameras.from_focal(turntable(count, 4.0, 0.3), 1.4 * size, size, size)


@dataclass(frozen=True)
class Places(FakeViews):
    """Images that say from where they are seen; it keeps what it was given."""

    asked: list[tuple[int, int]] = field(default_factory=list)

    def novel_views(self, model, inputs, targets, generator):  # type: ignore[no-untyped-def]
        self.asked.append((len(inputs), len(targets)))
        colors = (targets.centers + 5) / 10
        images = torch.ones(len(targets), SIZE, SIZE, 4)
        images[..., :3] = colors[:, None, None]
        return images


def made(inputs: int, targets: int, conditions: int, rounds: int) -> tuple[Views, Places]:
    model = Places(side=SIZE)
    views = Views(ring(12, 16)[:inputs], torch.rand(inputs, 16, 16, 4))
    given = given_views(fitted(model), views)
    assert given.images.shape == (inputs, SIZE, SIZE, 4)
    wanted = ring(targets, 16)
    found = generate_in_rounds(
        fitted(model), given, wanted, torch.Generator(), conditions, rounds
    )
    return found, model


def test_views_are_in_the_order_of_their_cameras() -> None:
    for rounds in (1, 3, 20):
        found, _ = made(2, 7, 3, rounds)
        assert torch.equal(found.cameras.centers, ring(7).centers)
        assert found.cameras.width == SIZE
        expected = (ring(7).centers + 5) / 10
        torch.testing.assert_close(found.images[:, 0, 0, :3], expected)


def test_later_rounds_see_earlier_ones() -> None:
    _, model = made(1, 6, 3, 1)
    assert model.asked == [(1, 6)]
    _, model = made(1, 6, 3, 2)
    assert model.asked[0] == (1, 3)
    # The input and two of the three views that were generated.
    assert {given for given, _ in model.asked[1:]} == {3}
    assert sum(count for _, count in model.asked) == 6


def test_a_second_round_is_farther_from_the_inputs() -> None:
    angles = angle_to_nearest(ring(12), ring(12)[:1], CENTER)
    assert angles[0] < 1e-3
    assert angles.argmax() == 6
    torch.testing.assert_close(angles[1:6], angles[7:].flip(0), rtol=0, atol=1e-3)


def test_inputs_are_not_left_out() -> None:
    targets, known = ring(12), ring(12)
    # Eleven views that were generated, some of which stand where the targets do.
    sets = conditions_of(targets, known, 1, 3, CENTER)
    assert sets.shape == (12, 3)
    assert (sets[:, 0] == 0).all()
    sets = conditions_of(targets, known, 6, 3, CENTER)
    assert ((sets < 6).sum(1) == 2).all()
    assert ((sets >= 6).sum(1) == 1).all()
    # The nearest inputs where nothing was generated.
    sets = conditions_of(targets, known, 12, 2, CENTER)
    assert all(k in row for k, row in enumerate(sets.tolist()))
    assert conditions_of(targets, known[:2], 2, 4, CENTER).tolist() == [[0, 1]] * 12
    # One place is for an input.
    assert (conditions_of(targets, known, 3, 1, CENTER) < 3).all()
