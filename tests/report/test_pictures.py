"""Labeled grids of images."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from unrender.report.pictures import draw_picture, write_picture

LABELS = [
    "truth",
    "the flow at\nits pose",
    "gaussian-splatting-fast",
    "mip-nerf-360-object-fast",
]


@pytest.mark.parametrize("label", LABELS)
def test_labels_stay_inside(label: str) -> None:
    figure = draw_picture([("a", torch.rand(3, 4, 6, 3)), (label, torch.rand(3, 4, 6, 3))])
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 6
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    assert len(boxes) == 2
    for box in boxes:
        assert box.x0 >= 0
        assert box.height <= figure.bbox.height / 2


@pytest.mark.parametrize("columns", [1, 2, 3, 8])
@pytest.mark.parametrize("label", LABELS)
def test_labels_take_less_than_a_third(label: str, columns: int) -> None:
    figure = draw_picture([(label, torch.rand(columns, 4, 6, 3))] * 2)
    assert figure.axes[0].get_position().x0 < 1 / 3


@pytest.mark.parametrize("heads", [(), ("a long title of a column", "b")])
@pytest.mark.parametrize("label", LABELS)
def test_no_text_touches_the_edge(
    label: str, heads: tuple[str, ...], tmp_path: Path, cropped: Callable[[Path], bool]
) -> None:
    path = tmp_path / "a.png"
    write_picture(path, [(label, torch.ones(2, 4, 6, 3))] * 2, heads=heads)
    assert not cropped(path)


def test_heads_stand_over_the_columns_and_inside() -> None:
    figure = draw_picture([("a", torch.rand(2, 4, 6, 3))], ["image", "light"])
    FigureCanvasAgg(figure).draw()
    for axes, head in zip(figure.axes, ("image", "light"), strict=True):
        assert axes.get_title() == head
        assert axes.title.get_window_extent().y0 >= axes.get_window_extent().y1
        assert axes.title.get_window_extent().y1 <= figure.bbox.height


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_pictures_have_the_format_of_their_ending(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    write_picture(path, [("a", torch.rand(2, 4, 6, 3))])
    with Image.open(path) as picture:
        assert picture.format == {".png": "PNG", ".jpg": "JPEG"}[ending]
