"""Deformation fields: windows, rigid motions, elastic energy."""

import math

import pytest
import torch

from unrender.fields.deformation import (
    RigidMotions,
    elastic_energy,
    geman_mcclure,
    window,
    windowed_encoding,
)
from unrender.fields.encodings import with_identity
from unrender.geometry.poses import so3_exp


def test_the_window_opens_one_frequency_after_the_other() -> None:
    assert window(0.0, 4).tolist() == [0, 0, 0, 0]
    assert window(2.0, 4).tolist() == [1, 1, 0, 0]
    torch.testing.assert_close(window(1.5, 3), torch.tensor([1, 0.5, 0]))
    torch.testing.assert_close(window(0.25, 1), torch.tensor([(1 - math.cos(math.pi / 4)) / 2]))
    assert window(9.0, 4).tolist() == [1, 1, 1, 1]
    # Frequencies open smoothly, and never close.
    steps = torch.stack([window(k / 50, 5) for k in range(301)])
    assert bool((steps.diff(dim=0) >= 0).all())


def test_a_closed_window_leaves_the_point_and_an_open_one_the_encoding() -> None:
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    closed = windowed_encoding(x, 4, 0.0)
    torch.testing.assert_close(closed[:, :3], x)
    assert bool((closed[:, 3:] == 0).all())
    torch.testing.assert_close(windowed_encoding(x, 4, 4.0), with_identity(x, 4))
    half = windowed_encoding(x, 4, 2.0)
    torch.testing.assert_close(half[:, :9], with_identity(x, 2)[:, :9])


@pytest.mark.parametrize("translation_only", [False, True])
def test_motions_begin_near_none_and_follow_the_code(translation_only: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    field = RigidMotions(4, 6, 16, 3, generator, translation_only)
    points = torch.rand(20, 3, generator=generator) - 0.5
    codes = torch.randn(20, 4, generator=generator)
    moved = field(points, codes, 6.0)
    assert 0 < float((moved - points).detach().abs().max()) < 0.01
    (gradient,) = torch.autograd.grad(field(points, codes.requires_grad_(), 6.0).sum(), codes)
    assert bool(gradient.isfinite().all())
    assert bool((gradient != 0).any())


def test_one_screw_for_all_points_is_a_rigid_motion_and_costs_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    field = RigidMotions(1, 2, 8, 2, generator)
    screw = torch.tensor([0.3, -1.2, 0.4, 0.1, 0.5, -0.2])
    with torch.no_grad():
        field.last.weight.zero_()
        field.last.bias.copy_(screw)
    points = torch.rand(5, 3, generator=generator)

    def place(point: torch.Tensor) -> torch.Tensor:
        return field(point[None], torch.zeros(1, 1), 2.0)[0]

    moved = torch.stack([place(point) for point in points])
    torch.testing.assert_close(torch.cdist(moved, moved), torch.cdist(points, points))
    jacobian = torch.autograd.functional.jacobian(place, points[0])
    assert isinstance(jacobian, torch.Tensor)
    torch.testing.assert_close(jacobian, so3_exp(screw[:3]))
    assert float(elastic_energy(jacobian)) < 1e-10


def test_elastic_energy_of_a_known_map() -> None:
    generator = torch.Generator().manual_seed(0)
    turns = [so3_exp(torch.randn(3, generator=generator).double()) for _ in range(2)]
    stretch = torch.diag(torch.tensor([2.0, 0.5, 3.0]).double())
    energy = elastic_energy(turns[0] @ stretch @ turns[1])
    assert float(energy) == pytest.approx(2 * math.log(2) ** 2 + math.log(3) ** 2)
    # A map that flattens everything has a finite energy.
    assert bool(elastic_energy(torch.zeros(3, 3)).isfinite())


def test_the_robust_loss_is_quadratic_for_small_residuals_and_bounded() -> None:
    x = torch.tensor([0.0, 1e-4, 0.03, 0.06, 1e3])
    found = geman_mcclure(x.square())
    assert float(found[0]) == 0
    assert float(found[1]) == pytest.approx((1e-4 / 0.03) ** 2 / 2, rel=1e-4)
    assert float(found[2]) == pytest.approx(2 / 5)
    assert float(found[3]) == pytest.approx(1)
    assert float(found[4]) == pytest.approx(2)
