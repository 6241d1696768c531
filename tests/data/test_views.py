"""Views as a sequence, their short description, and their colours on a background."""

from dataclasses import replace

import pytest
import torch

from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras


def some_views(count: int = 5) -> Views:
    generator = torch.Generator().manual_seed(0)
    eyes = torch.randn(count, 3, generator=generator)
    cameras = Cameras.look_at(eyes / eyes.norm(dim=1, keepdim=True) * 3, size=(8, 6))
    images = torch.rand(count, 6, 8, 4, generator=generator)
    names = tuple(f"{k}.png" for k in range(count))
    depths = torch.rand(count, 6, 8, generator=generator)
    return Views(cameras, images, names=names, depths=depths)


def test_views_are_a_sequence() -> None:
    views = some_views()
    for k, view in enumerate(views):
        assert len(view) == len(view.cameras) == 1
        assert torch.equal(view.images, views.images[k : k + 1])
        assert torch.equal(views[k - 5].images, view.images)
        assert view.names == (f"{k}.png",)
        assert view.depths is not None
    index = torch.tensor([3, 1])
    assert views.select(index).names == ("3.png", "1.png")
    some = views[1:4:2]
    assert some.names == ("1.png", "3.png")
    assert torch.equal(some.images, views.images[1:4:2])
    assert torch.equal(some.cameras.centers, views.cameras.centers[1:4:2])
    assert len(list(views[5:])) == 0
    for outside in (5, -6):
        with pytest.raises(IndexError, match="out of range"):
            views[outside]


def test_views_print_on_one_short_line() -> None:
    views = some_views()
    assert repr(views) == "Views(5 × 8×6 RGBA, fov 40.0°, radius 3.0)"
    assert repr(views[0]) == "Views(1 × 8×6 RGBA, fov 40.0°)"
    plain = Views(views.cameras[:0], views.images[:0, ..., :3], torch.ones(3))
    assert repr(plain) == "Views(0 × 8×6 RGB)"
    data = Dataset("some", views[:4], views[4:])
    assert repr(data) == "Dataset(some: train=4 views of 8×6, test=1)"
    assert repr(replace(data, train=views[:1])).startswith("Dataset(some: train=1 view of 8×6")


def test_over_takes_names_numbers_and_tensors() -> None:
    views = some_views()
    color = torch.tensor([1.0, 0.0, 0.0])
    expected = views.images[..., :3] + (1 - views.images[..., 3:]) * color
    for background in ("red", (1, 0, 0), color):
        assert torch.equal(views.over(background), expected)
    plain = Views(views.cameras, views.images[..., :3], torch.ones(3))
    assert torch.equal(plain.over("black"), plain.images)
    with pytest.raises(InputError, match="unknown; give white"):
        views.over("wite")
