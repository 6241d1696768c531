"""Coordinates of rays: the same for a line, wherever its origin lies."""

from dataclasses import replace

import pytest
import torch

from unrender.fields.ray_coordinates import RayCoordinates
from unrender.geometry.cameras import Cameras, Rays


def grid() -> Cameras:
    poses = torch.eye(3, 4).repeat(9, 1, 1)
    x = torch.tensor([-1.0, 0.0, 1.0])
    poses[:, :2, 3] = torch.cartesian_prod(x, x)
    return Cameras.from_focal(poses, 20.0, 16, 12)


def some_rays() -> Rays:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(9, 10, 2, generator=generator) * 12
    return grid().rays(torch.arange(9)[:, None].expand(9, 10), pixels)


@pytest.mark.parametrize("kind", ["plucker", "planes"])
def test_a_line_has_the_same_coordinates_wherever_it_begins(kind: str) -> None:
    coordinates = RayCoordinates()
    if kind == "planes":
        coordinates.use_planes(grid(), 3.0)
    else:
        coordinates.use_plucker(torch.tensor([0.0, 0.0, 3.0, 2.0]))
    rays = some_rays()
    found = coordinates(rays)
    assert found.shape == (9, 10, 6)
    moved = replace(rays, origins=rays.origins + 1.7 * rays.directions)
    torch.testing.assert_close(coordinates(moved), found, atol=1e-5, rtol=1e-5)
    # Other lines have others.
    aside = replace(rays, origins=rays.origins + torch.tensor([0.3, 0.0, 0.0]))
    assert float((coordinates(aside) - found).abs().amax(-1).min()) > 0.01
    restored = RayCoordinates()
    restored.load_state_dict(coordinates.state_dict())
    assert torch.equal(restored(rays), found)


def test_planes_tell_the_camera_and_the_point() -> None:
    """The first two numbers are the camera's place, the next two that on the second plane."""
    coordinates = RayCoordinates()
    coordinates.use_planes(grid(), 4.0)
    rays = some_rays()
    found = coordinates(rays)
    reach = 2**0.5
    torch.testing.assert_close(found[..., :2], rays.origins[..., :2] / reach)
    point = rays.origins + 4 / rays.directions[..., 2:] * rays.directions
    torch.testing.assert_close(found[..., 2:4], point[..., :2] / 4)
    assert not found[..., 4:].any()
