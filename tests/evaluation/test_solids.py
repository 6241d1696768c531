"""Metrics of solids: ideal for the ground truth itself, and exact for simple shapes."""

import pytest
import torch

from unrender.evaluation.solids import eikonal_residual, score_solid
from unrender.shapes.implicit.sdf import box, sphere
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
    assert eikonal_residual(sphere(0.5), points, 1e-3) < 1e-3
    assert eikonal_residual(box((0.2, 0.2, 0.2)), points, 1e-3) < 5e-3
    assert eikonal_residual(lambda p: 2 * sphere(0.5)(p), points, 1e-3) > 0.9
