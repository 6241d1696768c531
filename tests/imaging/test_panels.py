"""Panels side by side show all of each image, below its label."""

import pytest
import torch

from unrender.imaging.panels import GAP, MIN_SIDE, panels, trimmed

SIDE = MIN_SIDE


def dot(row: int, column: int = 10, side: int = SIDE) -> torch.Tensor:
    """A white image with one black pixel."""
    image = torch.ones(side, side, 3)
    image[row, column] = 0
    return image


def test_every_pixel_of_an_image_without_white_margins_is_kept() -> None:
    image = torch.rand(SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))
    sheet = panels({"left": image, "right": image})
    assert sheet.shape[1] == 2 * (SIDE + GAP)
    (left, top) = (GAP // 2, sheet.shape[0] - SIDE - GAP)
    assert torch.equal(sheet[top : top + SIDE, left : left + SIDE], image)


def test_margins_that_are_white_in_all_images_are_left_out() -> None:
    one = trimmed([dot(80, 70)])[0]
    assert max(one.shape[:2]) < SIDE / 4
    both = trimmed([dot(60, 70), dot(100, 75)])
    assert {each.shape for each in both} == {(one.shape[0] + 40, one.shape[1] + 5, 3)}
    assert [int((each == 0).all(dim=2).sum()) for each in both] == [1, 1]


def test_images_of_several_resolutions_are_cut_in_the_same_proportions() -> None:
    fine, coarse = trimmed([dot(80, 80)[None], dot(10, 20, side=32)])
    assert fine.shape[1:] == (5 * coarse.shape[0], 5 * coarse.shape[1], 3)
    assert int((fine == 0).all(dim=3).sum()) == int((coarse == 0).all(dim=2).sum()) == 1


def test_images_of_several_proportions_and_white_ones_stay_whole() -> None:
    white = torch.ones(SIDE, SIDE, 3)
    assert torch.equal(trimmed([white])[0], white)
    assert panels({"a": white}).shape[0] > SIDE
    sheet = panels({"a": white, "b": torch.zeros(2 * SIDE, SIDE, 3)})
    assert sheet.shape[0] > 2 * SIDE


def test_a_sheet_that_is_not_trimmed_has_the_images_size() -> None:
    sheet = panels({"a": dot(80)}, trim=False)
    assert sheet.shape[0] > SIDE
    assert sheet.shape[1] == SIDE + GAP


def test_a_long_label_has_a_second_line() -> None:
    image = torch.zeros(SIDE, SIDE, 3)
    short = panels({"a": image})
    long = panels({"a label of many words, which does not fit into a line": image})
    assert short.shape[0] < long.shape[0]


@pytest.mark.parametrize("word", ["a", "electroencephalographically"])
def test_a_word_is_never_cut(word: str) -> None:
    sheet = panels({word: dot(80)})
    assert float(sheet[:, :1].min()) == float(sheet[:, -1:].min()) == 1
    assert float(sheet[:25].min()) < 0.5
