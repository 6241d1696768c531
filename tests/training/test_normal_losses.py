"""Losses on normals of densities, on spheres."""

import torch
from torch.nn.functional import normalize

from unrender.training.normal_losses import (
    density_normals,
    orientation_loss,
    smoothness_loss,
)


def ball(points: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(20 * (1 - points.norm(dim=1)))


def test_normals_of_a_ball_point_outwards() -> None:
    points = normalize(torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    found = density_normals(ball, points, 0.01)
    torch.testing.assert_close(found, points, rtol=0, atol=1e-3)
    nothing = density_normals(lambda at: torch.ones(len(at)), points, 0.01)
    assert torch.equal(nothing, torch.zeros_like(points))


def test_gradients_reach_the_density() -> None:
    center = torch.zeros(3, requires_grad=True)
    found = density_normals(lambda at: ball(at - center), torch.tensor([[1.0, 0, 0]]), 0.01)
    # The ball moves up, and the normal of the same point turns down.
    (gradient,) = torch.autograd.grad(found[0, 2], center)
    torch.testing.assert_close(gradient, torch.tensor([0.0, 0, -1]), rtol=0, atol=0.01)


def test_only_surfaces_that_face_away_are_penalized() -> None:
    directions = torch.tensor([[0.0, 0, 1]]).expand(3, 3)
    normals = torch.tensor([[0.0, 0, -1], [0, 0, 1], [1, 0, 0]])
    assert orientation_loss(normals, directions, torch.ones(3)) == torch.tensor(1 / 3)
    assert orientation_loss(normals, directions, torch.tensor([1.0, 0, 1])) == 0


def test_smoothness_is_of_neighbors_that_are_hit() -> None:
    normals = torch.zeros(1, 2, 2, 3)
    normals[..., 0] = 1
    hit = torch.ones(1, 2, 2, dtype=torch.bool)
    assert smoothness_loss(normals, hit) == 0
    normals[0, 0, 0] = torch.tensor([0.0, 1, 0])
    # Two of the four pairs differ, by √2 each.
    assert smoothness_loss(normals, hit) == 1
    hit[0, 0, 0] = False
    assert smoothness_loss(normals, hit) == 0
    assert smoothness_loss(normals, torch.zeros_like(hit)) == 0
