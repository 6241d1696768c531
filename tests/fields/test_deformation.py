"""Deformation fields: windows, rigid motions, elastic energy."""

import math

import pytest
import torch

from unrender.errors import InputError
from unrender.fields.deformation import (
    DeformationField,
    RigidMotions,
    TimeCodes,
    drawn,
    elastic_energy,
    geman_mcclure,
    window,
    windowed_encoding,
)
from unrender.fields.encodings import with_identity
from unrender.geometry.poses import se3_exp, so3_exp


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


@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("translation_only", [False, True])
def test_motions_begin_near_none_and_follow_the_code(translation_only: bool, skip: int) -> None:
    generator = torch.Generator().manual_seed(0)
    field = RigidMotions(4, 6, 16, 3, skip, generator, translation_only)
    points = torch.rand(20, 3, generator=generator) - 0.5
    codes = torch.randn(3, 4, generator=generator)
    offsets = torch.tensor([0, 5, 5, 20])
    moved = field(points, codes, offsets, 6.0)
    assert 0 < float((moved - points).detach().abs().max()) < 0.01
    codes.requires_grad_()
    (gradient,) = torch.autograd.grad(field(points, codes, offsets, 6.0).sum(), codes)
    assert bool((gradient[1] == 0).all()), "the second ray has no points"
    gradient = gradient[[0, 2]]
    assert bool(gradient.isfinite().all())
    assert bool((gradient != 0).any())


def test_one_screw_for_all_points_is_a_rigid_motion_and_costs_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    field = RigidMotions(1, 2, 8, 2, 0, generator)
    screw = torch.tensor([0.3, -1.2, 0.4, 0.1, 0.5, -0.2])
    with torch.no_grad():
        field.last.weight.zero_()
        field.last.bias.copy_(screw)
    points = torch.rand(5, 3, generator=generator)

    moved = field(points, torch.zeros(1, 1), torch.tensor([0, 5]), 2.0)
    pose = se3_exp(screw)
    torch.testing.assert_close(moved, points @ pose[:, :3].T + pose[:, 3])
    jacobians = field.jacobians(points, torch.zeros(5, 1), 2.0)
    torch.testing.assert_close(jacobians, so3_exp(screw[:3]).expand(5, 3, 3))
    assert float(elastic_energy(jacobians).detach().max()) < 1e-10


def bent(codes: int = 2, frequencies: int = 3) -> RigidMotions:
    """A field whose motions differ from point to point."""
    field = RigidMotions(codes, frequencies, 16, 2, 0, torch.Generator().manual_seed(3))
    with torch.no_grad():
        field.last.weight.mul_(3e3)
    return field


@pytest.mark.parametrize("skip", [0, 1])
def test_packed_motions_and_jacobians_agree_with_points_one_by_one(skip: int) -> None:
    generator = torch.Generator().manual_seed(0)
    field = RigidMotions(2, 3, 16, 2, skip, generator)
    with torch.no_grad():
        field.last.weight.mul_(3e3)
    points = torch.rand(6, 3, generator=generator)
    codes = torch.randn(2, 2, generator=generator)
    moved = field(points, codes, torch.tensor([0, 2, 6]), 1.7)
    each = codes[torch.tensor([0, 0, 1, 1, 1, 1])]
    jacobians = field.jacobians(points, each, 1.7)
    for k in range(6):

        def place(point: torch.Tensor, code: torch.Tensor = each[k : k + 1]) -> torch.Tensor:
            return field(point[None], code, torch.tensor([0, 1]), 1.7)[0]

        torch.testing.assert_close(place(points[k]), moved[k])
        alone = torch.autograd.functional.jacobian(place, points[k])
        assert isinstance(alone, torch.Tensor)
        torch.testing.assert_close(alone, jacobians[k], rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(elastic_energy(jacobians).sum(), field.last.weight)
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().max()) > 0


def test_codes_are_those_of_moments_and_interpolated_between_them() -> None:
    times = torch.tensor([1.0, 2.0, 4.0])
    codes = TimeCodes(times, 3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(codes(times), codes.codes)
    torch.testing.assert_close(
        codes(torch.tensor([2.5]))[0], 0.75 * codes.codes[1] + 0.25 * codes.codes[2]
    )
    assert codes.span == (1.0, 4.0)
    # A held-out frame may be the first or the last: the next one's code serves.
    codes.check(torch.tensor([-1.0, 6.0]))
    torch.testing.assert_close(codes(torch.tensor([0.5]))[0], codes.codes[0])
    with pytest.raises(
        InputError, match=r"^time 6.5 is outside of the film, which lasts from 1 to 4"
    ):
        codes.check(torch.tensor([2.0, 6.5]))


def test_the_elastic_loss_of_drawn_samples_is_that_of_all_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    times = torch.linspace(0, 1, 4)
    field = DeformationField(times, bent(), 2, 1, generator)
    field.alpha.fill_(3.0)
    points, weights = torch.rand(50, 3), torch.rand(50, requires_grad=True)
    at = times[torch.randint(4, (50,), generator=generator)]
    every = field.elastic_loss(*drawn(points, at, weights, 0, generator))
    some = field.elastic_loss(*drawn(points, at, weights, 20_000, generator)).detach()
    assert float(some) == pytest.approx(float(every.detach()), rel=0.02)
    assert float(every.detach()) > 0.1
    # Rendering weights say where the loss counts, and are not changed by it.
    every.backward()
    assert weights.grad is None
    nothing = field.elastic_loss(*drawn(points, at, torch.zeros(50), 8, generator))
    assert float(nothing.detach()) == 0


def test_the_background_loss_is_the_mean_distance_moved() -> None:
    generator = torch.Generator().manual_seed(0)
    motions = RigidMotions(2, 3, 8, 2, 0, generator, translation_only=True)
    with torch.no_grad():
        motions.last.weight.zero_()
        motions.last.bias.copy_(torch.tensor([0.3, 0.0, 0.4]))
    field = DeformationField(torch.linspace(0, 1, 4), motions, 2, 1, generator)
    loss = field.background_loss(torch.rand(9, 3), generator)
    assert float(loss.detach()) == pytest.approx(0.5)


def test_keeping_points_still_costs_the_robust_distance_weighted_by_what_is_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    times, points = torch.linspace(0, 1, 4), torch.rand(9, 3)
    weights, at = torch.rand(9), torch.full((9,), 1 / 3)
    for distance in (0.0, 0.03, 5.0):
        motions = RigidMotions(2, 3, 8, 2, 0, generator, translation_only=True)
        with torch.no_grad():
            motions.last.weight.zero_()
            motions.last.bias.copy_(torch.tensor([0.6, 0.0, 0.8]) * distance)
        field = DeformationField(times, motions, 2, 1, generator)
        expected = weights.sum() * geman_mcclure(torch.tensor(distance**2))
        every = field.still_loss(points, at, weights)
        torch.testing.assert_close(every.detach(), expected, rtol=1e-3, atol=1e-6)
        some = field.still_loss(*drawn(points, at, weights, 6, generator))
        torch.testing.assert_close(some.detach(), expected, rtol=1e-3, atol=1e-6)
        assert float(every.detach()) <= 2 * float(weights.sum())


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
