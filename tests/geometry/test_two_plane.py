"""Rays as four numbers: where they meet two parallel planes."""

import pytest
import torch
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.poses import so3_exp
from unrender.geometry.two_plane import TwoPlanes

RANDOM = torch.Generator().manual_seed(0)


def turned(first: float = 0.0, second: float = 2.0) -> TwoPlanes:
    rotation = so3_exp(torch.randn(3, generator=RANDOM))
    shift = torch.randn(3, 1, generator=RANDOM)
    return TwoPlanes(torch.cat([rotation, shift], dim=1), first, second)


@pytest.mark.parametrize("second", [2.0, -1.5])
def test_rays_are_their_coordinates(second: float) -> None:
    planes = turned(0.5, second)
    coordinates = torch.randn(50, 4, generator=RANDOM)
    origins, directions = planes.rays(coordinates)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(50))
    torch.testing.assert_close(planes.coordinates(origins, directions), coordinates)
    # Wherever on the line a ray begins, and whichever way it goes.
    moved = origins + torch.randn(50, 1, generator=RANDOM) * directions
    again = planes.coordinates(moved, -3 * directions)
    torch.testing.assert_close(again, coordinates, rtol=1e-4, atol=1e-4)
    # All directions are towards the same side.
    assert bool((directions @ planes.world_from_planes[:, 2] > 0).all())


def test_a_ray_goes_through_both_points() -> None:
    planes = turned(0.5, 3.0)
    coordinates = torch.randn(20, 4, generator=RANDOM)
    origins, directions = planes.rays(coordinates)
    rotation, shift = planes.world_from_planes[:, :3], planes.world_from_planes[:, 3]
    for place, depth in ((coordinates[:, :2], 0.5), (coordinates[:, 2:], 3.0)):
        point = torch.cat([place, torch.full((20, 1), depth)], dim=1) @ rotation.T + shift
        off = torch.linalg.cross(point - origins, directions)
        torch.testing.assert_close(off, torch.zeros(20, 3), rtol=0, atol=1e-5)


def test_coordinates_are_differentiable() -> None:
    planes = turned()
    planes = TwoPlanes(planes.world_from_planes.double(), 0.0, 2.0)
    origins = torch.randn(4, 3, generator=RANDOM).double().requires_grad_()
    directions = normalize(planes.world_from_planes[:, 2] + 0.3, dim=0)
    directions = directions.expand(4, 3).clone().requires_grad_()
    assert torch.autograd.gradcheck(planes.coordinates, (origins, directions))


def test_rays_parallel_to_the_planes_are_refused() -> None:
    planes = TwoPlanes(torch.eye(3, 4), 0.0, 1.0)
    directions = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    with pytest.raises(InputError, match="ray 1: is parallel to the two planes"):
        planes.coordinates(torch.zeros(2, 3), directions)
    with pytest.raises(InputError, match="depths 1 and 1: give two depths"):
        TwoPlanes(torch.eye(3, 4), 1.0, 1.0)
