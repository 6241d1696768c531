"""Inverting deformations that are known."""

import pytest
import torch
from torch import Tensor

from unrender.fields.inverse_deformation import TOLERANCE, invert
from unrender.geometry.poses import so3_exp

RADIUS = 2.0


def cloud(count: int = 500, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def bent(points: Tensor) -> Tensor:
    """A turn about z that grows with z, and a wave: far from the identity, and smooth."""
    angle = 1.5 * points[:, 2]
    x, y, z = points.unbind(1)
    wave = 0.2 * (3 * x).sin()
    return torch.stack(
        [angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y, z + wave], dim=1
    )


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0])
def test_a_rigid_motion_is_undone(angle: float) -> None:
    """Also a turn by more than 60°, of which a fixed-point iteration does not converge."""
    turn, shift = so3_exp(torch.tensor([0.1, -0.2, angle])), torch.tensor([0.3, -0.1, 0.2])
    points = cloud()
    target = points @ turn.mT + shift
    found = invert(lambda x: x @ turn.mT + shift, target, target, RADIUS)
    assert bool(found.found.all())
    assert float((found.points - points).norm(dim=1).max()) <= 1.01 * TOLERANCE * RADIUS


@pytest.mark.parametrize("radius", [0.02, 2.0, 200.0])
def test_the_inverse_of_the_deformation_is_the_identity(radius: float) -> None:
    """In scenes of any size."""
    scale = radius / RADIUS
    target = bent(cloud()) * scale
    found = invert(lambda x: scale * bent(x / scale), target, target, radius)
    there = scale * bent(found.points / scale)
    errors = (there - target).norm(dim=1)
    assert bool((errors[found.found] <= TOLERANCE * radius).all())
    assert float(found.found.float().mean()) > 0.95
    near = invert(lambda x: scale * bent(x / scale), target, cloud() * scale, radius)
    assert bool(near.found.all())


def test_what_nothing_is_mapped_to_is_not_found() -> None:
    """All space is mapped onto the half below z = 0.25: targets above have no solution."""

    def folded(points: Tensor) -> Tensor:
        x, y, z = points.unbind(1)
        return torch.stack([x, y, 0.25 - (z - 0.25).square()], dim=1)

    target = cloud()
    found = invert(folded, target, target, RADIUS)
    assert torch.equal(found.found, (folded(found.points) - target).norm(dim=1) <= 2e-4)
    reached = target[:, 2] < 0.25
    assert not bool(found.found[target[:, 2] > 0.2503].any())
    assert float(found.found[reached].float().mean()) > 0.9
    assert bool(found.points.isfinite().all())


def test_a_map_without_a_derivative_ends() -> None:
    found = invert(torch.zeros_like, cloud(5), cloud(5), RADIUS)
    assert not bool(found.found.any())
    assert bool(found.points.isfinite().all())
    assert len(invert(torch.zeros_like, cloud(0), cloud(0), RADIUS).points) == 0
