"""The compiled solids of the built-in scenes are the library's signed distances."""

from collections.abc import Callable

import pytest
import torch

from unrender.data.builtin import solids
from unrender.shapes.implicit.sdf import SDF, capsule, length, smooth_minimum
from unrender.shapes.implicit.solids import extruded, rounded_box
from unrender.shapes.implicit.warps import rounded

START, END = (-0.3, 0.2, 0.1), (0.5, -0.1, 0.4)


def rounded_cylinder(points: torch.Tensor) -> torch.Tensor:
    inner = extruded(lambda at: length(*at.unbind(1)) - 0.45, 0.25)
    return rounded(inner, 0.05)(points)


@pytest.mark.parametrize(
    ("compiled", "library"),
    [
        (lambda x, y, z: solids.box(x, y, z, 0.5, 0.3, 0.2, 0.05),
         rounded_box((0.5, 0.3, 0.2), 0.05)),
        (lambda x, y, z: solids.cylinder(x, y, z, 0.5, 0.3, 0.05), rounded_cylinder),
        (lambda x, y, z: solids.cone(x, y, z, *START, *END, 0.2, 0.2),
         capsule(START, END, 0.2)),
        (lambda x, y, z: solids.smooth_min(x, y, 0.3),
         lambda points: smooth_minimum(points[:, 0], points[:, 1], 0.3)),
    ],
)  # fmt: skip
def test_solids_are_the_signed_distances(
    compiled: Callable[[float, float, float], float], library: SDF
) -> None:
    points = 2 * torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) - 1
    found = torch.tensor([compiled(*map(float, point)) for point in points])
    torch.testing.assert_close(found, library(points), atol=1e-6, rtol=1e-5)
