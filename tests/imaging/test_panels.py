"""Panels side by side show all of each image, below its label."""

import torch

from unrender.imaging.panels import GAP, MARGIN, MIN_SIDE, panels

SIDE = MIN_SIDE


def dot(row: int) -> torch.Tensor:
    """A white image with one black pixel."""
    image = torch.ones(SIDE, SIDE, 3)
    image[row, 10] = 0
    return image


def test_every_pixel_of_an_image_without_white_rows_is_kept() -> None:
    image = torch.rand(SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0))
    sheet = panels({"left": image, "right": image})
    assert sheet.shape[1] == 2 * (SIDE + GAP)
    (left, top) = (GAP // 2, sheet.shape[0] - SIDE - GAP)
    assert torch.equal(sheet[top : top + SIDE, left : left + SIDE], image)


def test_rows_that_are_white_in_all_panels_are_left_out() -> None:
    one = panels({"a": dot(80)})
    assert one.shape[0] < SIDE
    both = panels({"a": dot(60), "b": dot(100)})
    assert both.shape[0] == one.shape[0] + 40
    assert int((both == 0).all(dim=2)[-(2 * MARGIN + 41 + GAP) :].sum()) == 2


def test_images_of_several_sizes_and_white_ones_stay_whole() -> None:
    assert panels({"a": torch.ones(SIDE, SIDE, 3)}).shape[0] > SIDE
    sheet = panels({"a": torch.ones(SIDE, SIDE, 3), "b": torch.zeros(2 * SIDE, SIDE, 3)})
    assert sheet.shape[0] > 2 * SIDE


def test_a_long_label_has_a_second_line() -> None:
    short, long = (
        panels({"a": dot(80)}),
        panels({"a label of many words, which does not fit into a line": dot(80)}),
    )
    assert short.shape[0] < long.shape[0]
