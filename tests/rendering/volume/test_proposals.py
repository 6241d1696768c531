"""Samples along rays: bins, finer bins, and the loss of proposals."""

import math

import formulas
import pytest
import torch

from unrender.rendering.volume.proposals import (
    RayInterval,
    annealed,
    dilated,
    even_edges,
    finer_edges,
    interlevel_loss,
    widened,
)


def test_spacings() -> None:
    near, far = torch.tensor([1.0]), torch.tensor([4.0])
    s = torch.tensor([[0.0, 0.5, 1.0]])
    torch.testing.assert_close(
        RayInterval(near, far).distance(s), torch.tensor([[1.0, 2.5, 4.0]])
    )
    found = RayInterval(near, far, "disparity").distance(s)
    torch.testing.assert_close(1 / found, torch.tensor([[1.0, 0.625, 0.25]]))


@pytest.mark.parametrize("far", [10.0, 1e3, 1e5, 1e7])
def test_disparity_reaches_the_far_edge(far: float) -> None:
    """1/t is linear in s, in double precision; by a slope from 1/near it is off by up to 5%."""
    near, s = 0.3, torch.linspace(0, 1, 65)[None]
    found = RayInterval(torch.tensor([near]), torch.tensor([far]), "disparity").distance(s)
    ends = (torch.tensor([end]).double().numpy() for end in (near, far))
    expected = torch.from_numpy(formulas.disparity_distance(*ends, s.double().numpy()))
    torch.testing.assert_close(found.double(), expected, rtol=3e-7, atol=0)
    assert float(found[0, 0]) == pytest.approx(near, rel=1e-7)
    assert float(found[0, -1]) == pytest.approx(far, rel=1e-6)


def test_disparity_reaches_infinity() -> None:
    """Rays of an unbounded scene may have no far edge."""
    near, far = torch.tensor([0.5]), torch.tensor([math.inf])
    found = RayInterval(near, far, "disparity").distance(torch.tensor([[0.0, 0.5, 1.0]]))
    assert found.tolist() == [[0.5, 1.0, math.inf]]


def test_disparity_keeps_the_mean_distance_robust() -> None:
    """With weight 0.99 from 1 to 2, and 0.01 near infinity."""
    near, far = torch.tensor([1.0]), torch.tensor([1e4])
    weights = torch.tensor([[0.99, 0.0, 0.01]])
    edges = torch.tensor([[1.0, 2.0, 9998.0, 1e4]])
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    s = (1 - 1 / middles) / (1 - 1 / far)
    found = RayInterval(near, far, "disparity").distance((weights * s).sum(1, keepdim=True))
    assert 1.3 < float(found) < 1.6
    s = (middles - 1) / (far - 1)
    found = RayInterval(near, far).distance((weights * s).sum(1, keepdim=True))
    torch.testing.assert_close(found[0], torch.tensor([0.99 * 1.5 + 0.01 * 9999]))


def test_even_edges_are_jittered_by_half_a_bin() -> None:
    edges = even_edges(100, 8, torch.Generator().manual_seed(0))
    still = even_edges(100, 8, None)
    assert bool((edges.diff(dim=1) > 0).all())
    assert bool(((edges - still).abs() <= 0.5 / 8).all())
    assert torch.equal(edges[:, [0, -1]], still[:, [0, -1]])


def test_finer_edges_share_the_mass_equally() -> None:
    edges = torch.tensor([[0.0, 0.25, 0.5, 1.0]])
    weights = torch.tensor([[0.0, 3.0, 1.0]])
    found = finer_edges(edges, weights, 4, None)
    torch.testing.assert_close(
        found, torch.tensor([[0.25, 0.25 + 1 / 12, 0.25 + 2 / 12, 0.5, 1.0]])
    )
    moved = finer_edges(edges, weights, 4, torch.Generator().manual_seed(0))
    assert bool((moved.diff(dim=1) >= 0).all())


def test_widened_weights_bound_the_weights_from_above() -> None:
    weights = torch.rand(20, 9)
    assert bool((widened(weights, 0.0) >= weights / 2).all())
    spike = torch.tensor([[0.0, 0, 1, 0, 0]])
    torch.testing.assert_close(
        widened(spike, 0.01), torch.tensor([[0.01, 0.51, 1.01, 0.51, 0.01]])
    )


def test_single_jitter_moves_a_ray_as_a_whole() -> None:
    edges = even_edges(50, 8, torch.Generator().manual_seed(0), single=True)
    moved = (edges - even_edges(50, 8, None))[:, 1:-1]
    torch.testing.assert_close(moved, moved[:, :1].expand(-1, 7))
    assert float(moved[:, 0].std()) > 0.02


def test_piecewise_spacing_is_even_then_in_disparity() -> None:
    near, far = torch.tensor([0.1]), torch.tensor([1e3])
    interval = RayInterval(near, far, "piecewise", unit=2.0)
    t = interval.distance(torch.linspace(0, 1, 1001)[None])[0]
    torch.testing.assert_close(t[[0, -1]], torch.tensor([0.1, 1e3]), rtol=1e-3, atol=0)
    inner, outer = t[t < 1.9], t[t > 2.1]
    torch.testing.assert_close(inner.diff(), inner.diff()[:1].expand(len(inner) - 1))
    steps = (1 / outer.double()).diff()
    torch.testing.assert_close(steps, steps[:1].expand(len(steps)), rtol=1e-2, atol=0)


def test_dilation_is_the_greatest_density_nearby() -> None:
    """Mip-NeRF 360: against its definition at random positions."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.rand(3, 7, generator=generator).sort(dim=1).values
    edges[:, 0], edges[:, -1] = 0, 1
    weights = torch.rand(3, 6, generator=generator)
    finer, mass = dilated(edges, weights, 0.03)
    assert bool((finer.diff(dim=1) >= 0).all())
    torch.testing.assert_close(mass.sum(1), torch.ones(3))
    density = weights / edges.diff(dim=1)
    place = torch.rand(3, 100, generator=generator)
    low, high = edges[:, :-1] - 0.03, edges[:, 1:] + 0.03
    near = (low[:, None] <= place[..., None]) & (place[..., None] < high[:, None])
    expected = torch.where(near, density[:, None], 0.0).amax(2)
    bin_of = torch.searchsorted(finer, place, right=True) - 1
    found = (mass / finer.diff(dim=1).clamp_min(1e-12)).gather(1, bin_of)
    ratio = found / expected
    torch.testing.assert_close(ratio, ratio[:, :1].expand(-1, 100), rtol=1e-3, atol=0)


def test_annealing_goes_from_flat_to_unchanged() -> None:
    weights = torch.rand(3, 5)
    assert torch.equal(annealed(weights, 0.0), torch.ones(3, 5))
    torch.testing.assert_close(annealed(weights, 1.0), weights)


def test_the_interlevel_loss_is_zero_for_a_bound() -> None:
    edges = torch.linspace(0, 1, 9).expand(6, 9)
    weights = torch.rand(6, 8)
    assert float(interlevel_loss(edges, weights, edges, weights)) == 0
    coarse = weights.view(6, 4, 2).sum(2)
    assert float(interlevel_loss(edges, weights, edges[:, ::2], coarse)) < 1e-12
    # A proposal that lacks mass has the loss (w − bound)² / w.
    lacking = weights - 0.25 * weights
    found = interlevel_loss(edges, weights, edges, lacking)
    torch.testing.assert_close(found, (weights / 16).mean(), rtol=1e-4, atol=1e-6)


def test_only_the_proposal_has_gradients() -> None:
    edges = torch.linspace(0, 1, 5).expand(2, 5)
    weights = torch.rand(2, 4, requires_grad=True)
    proposal = (0.5 * torch.rand(2, 4)).requires_grad_()
    interlevel_loss(edges, weights, edges, proposal).backward()
    assert weights.grad is None
    assert proposal.grad is not None
    assert bool((proposal.grad <= 0).all())
