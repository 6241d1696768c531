"""Pictures in a grid hold their labels."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from unrender.report.pictures import draw_picture


@pytest.mark.parametrize("label", ["truth", "the flow at\nits pose", "gaussian-splatting-tiny"])
def test_labels_stay_inside(label: str) -> None:
    figure = draw_picture([("a", torch.rand(3, 4, 6, 3)), (label, torch.rand(3, 4, 6, 3))])
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 6
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    assert len(boxes) == 2
    for box in boxes:
        assert box.x0 >= 0
        assert box.height <= figure.bbox.height / 2


def test_heads_stand_over_the_columns_and_inside() -> None:
    figure = draw_picture([("a", torch.rand(2, 4, 6, 3))], ["image", "light"])
    FigureCanvasAgg(figure).draw()
    for axes, head in zip(figure.axes, ("image", "light"), strict=True):
        assert axes.get_title() == head
        assert axes.title.get_window_extent().y0 >= axes.get_window_extent().y1
        assert axes.title.get_window_extent().y1 <= figure.bbox.height
