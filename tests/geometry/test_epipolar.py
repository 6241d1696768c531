"""Epipolar geometry: where a ray's points are in other cameras' images."""

import torch
from torch import Tensor

from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.epipolar import (
    EpipolarLines,
    epipolar_lines,
    fundamental_matrices,
    inside_images,
)

EYES = [(4.0, 0.0, 1.0), (3.0, 2.0, 0.5), (3.5, -1.0, 1.5)]


def cameras() -> Cameras:
    """Three cameras with different lenses, whose pixels are not square."""
    found = Cameras.look_at(EYES, size=(64, 48))
    intrinsics = found.intrinsics.clone()
    intrinsics[:, 0, 0] *= torch.tensor([1.0, 1.3, 0.8])
    intrinsics[:, 0, 1] = 2.0
    intrinsics[:, :2, 2] += torch.tensor([3.0, -2.0])
    return Cameras(found.world_from_camera, intrinsics, 64, 48)


def some_rays(count: int = 20) -> tuple[Rays, Tensor]:
    """Rays of the first camera, [1, rays], and their pixels."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, count, 2, generator=generator) * torch.tensor([64.0, 48.0])
    return cameras().rays(torch.zeros(1, count, dtype=torch.long), pixels), pixels


def lines() -> EpipolarLines:
    return epipolar_lines(some_rays()[0], cameras(), torch.tensor([[1, 2]]))


def test_points_are_where_the_cameras_see_them() -> None:
    rays, _ = some_rays()
    distances = torch.tensor([2.0, 3.0, 4.5])
    pixels, ahead = lines().pixels(1 / distances)
    assert pixels.shape == (1, 2, 20, 3, 2)
    assert bool(ahead.all())
    for k, view in enumerate((1, 2)):
        for j, distance in enumerate(distances):
            points = rays.origins + distance * rays.directions
            camera = torch.full((1, 20), view)
            wanted, depth = cameras().project(camera, points)
            assert bool((depth > 0).all())
            torch.testing.assert_close(pixels[:, k, :, j], wanted, rtol=1e-4, atol=1e-3)


def test_points_at_infinity_are_vanishing_points() -> None:
    """Far points approach them, and they do not depend on where the ray begins."""
    pixels, _ = lines().pixels(torch.tensor([0.0, 1e-5]))
    torch.testing.assert_close(pixels[..., 0, :], pixels[..., 1, :], rtol=0, atol=0.05)
    rays, _ = some_rays()
    moved = Rays(rays.origins + 1, rays.directions, rays.pixel_radius, rays.camera_index)
    again = epipolar_lines(moved, cameras(), torch.tensor([[1, 2]]))
    torch.testing.assert_close(again.vanishing_points, lines().vanishing_points)


def test_points_lie_on_the_line_of_the_fundamental_matrix() -> None:
    _, pixels = some_rays()
    found, _ = lines().pixels(torch.linspace(0.05, 0.5, 7))
    first = torch.cat([pixels[0], torch.ones(20, 1)], dim=1).double()
    for k, view in enumerate((1, 2)):
        matrix = fundamental_matrices(cameras()[0], cameras()[view])[0].double()
        across = first @ matrix.T
        across = across / across[:, :2].norm(dim=1, keepdim=True)
        second = torch.cat([found[0, k], torch.ones(20, 7, 1)], dim=2).double()
        # Distances from the line, in pixels.
        assert float((second * across[:, None]).sum(-1).abs().max()) < 2e-3
        # The net catches a point that is a pixel off the line.
        off = (second[..., :2] + across[:, None, :2]) * across[:, None, :2]
        assert float((off.sum(-1) + across[:, None, 2]).abs().min()) > 0.99


def test_a_fundamental_matrix_has_rank_two() -> None:
    matrices = fundamental_matrices(cameras()[:2], cameras()[1:])
    for matrix in matrices:
        values = torch.linalg.svdvals(matrix.double())
        assert float(values[2]) < 1e-6
        assert float(values[1]) > 1e-9
    torch.testing.assert_close(matrices.flatten(1).norm(dim=1), torch.ones(2))
    # Of two cameras in one place there is none.
    assert not fundamental_matrices(cameras()[0], cameras()[0]).any()


def test_points_behind_a_camera_are_told() -> None:
    """A ray past a camera that looks the other way, and one that it sees."""
    origin = torch.zeros(1, 2, 3)
    towards = torch.tensor([[[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]])
    rays = Rays(origin, towards, torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.long))
    ahead_of = Cameras.look_at((2, 0.0, 0.1), (4, 0, 0.1), size=(8, 8))
    pixels, ahead = epipolar_lines(rays, ahead_of, torch.tensor([[0]])).pixels(
        1 / torch.tensor([1.0, 3.0])
    )
    assert ahead[0, 0].tolist() == [[False, True], [False, False]]
    assert bool(pixels.isfinite().all())


def test_lines_follow_the_rays_that_are_selected() -> None:
    chosen = torch.tensor([3, 5])
    some = lines().select(chosen).pixels(torch.tensor([0.3]))[0]
    assert torch.equal(some, lines().pixels(torch.tensor([0.3]))[0][:, :, chosen])


def test_pixels_are_inside_up_to_the_borders() -> None:
    pixels = torch.tensor([[0.0, 0.0], [8.0, 6.0], [8.1, 3.0], [4.0, -0.1], [6.5, 7.0]])
    sizes = torch.tensor([8.0, 6.0])
    assert inside_images(pixels, sizes).tolist() == [True, True, False, False, False]
