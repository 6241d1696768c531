"""Metrics of solids: ideal for the ground truth itself, and exact for simple shapes."""

import pytest
import torch

from unrender.evaluation.solids import eikonal_rms, score_solid
from unrender.shapes.implicit.differences import central_differences
from unrender.shapes.implicit.sdf import SDF, box, sphere
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import cube, icosphere


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_shape_is_itself() -> None:
    scores = score_solid(icosphere(2), icosphere(2), 2000, generator())
    assert scores.chamfer_percent < 1e-4
    assert scores.iou == 1
    assert scores.normal_consistency == pytest.approx(1, abs=1e-3)


def test_a_grown_cube_is_known() -> None:
    """Cubes of side 1 and 1.1: a volume ratio of 1.331, and faces 0.05 apart."""
    grown = cube().with_vertices(1.1 * cube().vertices)
    scores = score_solid(grown, cube(), 20_000, generator())
    assert scores.iou == pytest.approx(1 / 1.331, rel=0.02)
    assert scores.completeness == pytest.approx(0.05, rel=1e-3)
    # Beyond the cube's sides, its edges and corners are a little farther than 0.05.
    assert 0.05 < scores.accuracy < 0.06
    assert scores.chamfer_percent == pytest.approx(
        50 * (scores.accuracy + scores.completeness) / 3**0.5
    )


def test_inside_out_is_seen() -> None:
    turned = Mesh(icosphere(2).vertices, icosphere(2).faces.flip(1))
    assert score_solid(turned, icosphere(2), 2000, generator()).normal_consistency < -0.99


def test_distances_have_slope_1_and_others_do_not() -> None:
    points = torch.rand(1000, 3, generator=generator()) + 0.1

    def rms(sdf: SDF) -> float:
        return eikonal_rms(central_differences(sdf, points, 1e-3))

    assert rms(sphere(0.5)) < 1e-3
    # Points at the same distance from two faces are few.
    assert rms(box((0.2, 0.2, 0.2))) < 0.05
    assert rms(lambda p: 2 * sphere(0.5)(p)) == pytest.approx(1, rel=1e-3)


def test_the_eikonal_error_is_a_root_mean_square() -> None:
    """Of slopes 1.3 and 0.9: their mean absolute deviation would be 0.2."""
    gradients = torch.tensor([[1.3, 0, 0], [0, -0.9, 0]])
    assert eikonal_rms(gradients) == pytest.approx((0.05) ** 0.5, rel=1e-6)
