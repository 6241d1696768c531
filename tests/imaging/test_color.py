"""Premultiplication and compositing."""

import pytest
import torch

from unrender.errors import InputError
from unrender.imaging.color import (
    as_color,
    display_from_linear,
    linear_from_display,
    matte,
    matte_around,
    over,
    premultiply,
    unpremultiply,
)


def test_unpremultiply_undoes_premultiply():
    image = torch.rand(5, 7, 4, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    torch.testing.assert_close(unpremultiply(premultiply(image)), image)


def test_color_is_zero_where_nothing_covers():
    image = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    assert unpremultiply(image).tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_over_mixes_by_alpha():
    image = torch.tensor([0.2, 0.5, 1.0, 0.25])
    background = torch.tensor([0.4, 0.0, 1.0])
    expected = 0.25 * image[:3] + 0.75 * background
    torch.testing.assert_close(over(premultiply(image), background), expected)


def test_matte_cuts_the_object_out_of_its_background() -> None:
    disc = torch.zeros(8, 8, 4)
    disc[2:6, 2:6] = torch.tensor([0.9, 0.4, 0.2, 1.0])
    for background in (torch.zeros(3), torch.ones(3)):
        assert torch.equal(matte(over(disc, background), background), disc)


def test_what_the_border_does_not_reach_is_no_background() -> None:
    white = torch.ones(3)
    images = torch.full((2, 8, 8, 3), 0.99)
    images[0, 2:6, 2:6] = 0.2
    images[0, 3:5, 3:5] = 1.0
    images[1, 0:8, 3:5] = 0.2  # From border to border: both sides are background.
    found = matte_around(images, white, 0.02)
    assert found[..., 3].sum((1, 2)).tolist() == [16, 16]
    assert torch.equal(found[0, 2:6, 2:6, :3], images[0, 2:6, 2:6])
    assert matte(images, white, 0.02)[0, ..., 3].sum() == 12


def test_the_displays_curve() -> None:
    color = torch.linspace(0, 1, 1001, dtype=torch.float64).requires_grad_()
    linear = linear_from_display(color)
    torch.testing.assert_close(display_from_linear(linear), color, atol=1e-7, rtol=0)
    # The middle grey of the standard, and no step where the two branches meet.
    half = linear_from_display(torch.tensor(0.5, dtype=torch.float64))
    torch.testing.assert_close(half, torch.tensor(0.21404114, dtype=torch.float64))
    assert float(linear.detach().diff().min()) > 0
    display_from_linear(linear).sum().backward()
    assert color.grad is not None
    torch.testing.assert_close(color.grad, torch.ones_like(color), atol=1e-6, rtol=0)


def test_colors_by_name_by_numbers_and_as_tensors() -> None:
    assert as_color("white").tolist() == [1, 1, 1]
    assert as_color(" Grey ").tolist() == as_color("gray").tolist()
    assert as_color((0, 0.5, 1)).tolist() == [0, 0.5, 1]
    many = torch.rand(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert as_color(many, like=torch.zeros(1)) is many
    assert as_color("red", like=many).dtype == torch.float64


@pytest.mark.parametrize(
    ("color", "message"),
    [
        ("blak", "'blak': unknown; give black"),
        ("?", "white, lightgray"),
        ((0.1, 0.2), "three numbers"),
        ((0.0, 0.5, 1.5), "three numbers in"),
        ((0.0, float("nan"), 1.0), "three numbers in"),
        (torch.zeros(4), "shape"),
    ],
)
def test_what_is_not_a_color_is_refused(color, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_color(color)
