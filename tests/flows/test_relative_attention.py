"""PRoPE: the world's frame does not matter, and a camera's own patches are at their places."""

import pytest
import torch

from unrender.flows.relative_attention import attention, image_from_world, placement
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, so3_exp

SETS, VIEWS, GRID, HEADS, WIDTH = 2, 3, 2, 2, 16


def cameras(seed: int) -> Cameras:
    generator = torch.Generator().manual_seed(seed)
    rotation = so3_exp(torch.randn(SETS * VIEWS, 3, generator=generator))
    center = torch.randn(SETS * VIEWS, 3, 1, generator=generator)
    return Cameras.from_focal(torch.cat([rotation, center], dim=-1), 20.0, 16, 16)


def moved(given: Cameras, seed: int) -> Cameras:
    """The cameras in another frame of the world."""
    generator = torch.Generator().manual_seed(seed)
    frame = torch.cat(
        [so3_exp(torch.randn(3, generator=generator)), torch.randn(3, 1, generator=generator)],
        1,
    )
    return given.with_poses(compose(frame.expand(len(given), 3, 4), given.world_from_camera))


def heads(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SETS, VIEWS, GRID**2, HEADS, WIDTH, generator=generator)


def result(to: Cameras, of: Cameras) -> torch.Tensor:
    places = [placement(each, SETS, GRID, WIDTH) for each in (to, of)]
    return attention(heads(0), heads(1), heads(2), places[0], places[1])


@pytest.mark.parametrize("seed", range(3))
def test_the_frame_of_the_world_does_not_matter(seed: int) -> None:
    to, of = cameras(seed), cameras(seed + 10)
    expected = result(to, of)
    torch.testing.assert_close(
        result(moved(to, seed), moved(of, seed)), expected, rtol=1e-3, atol=1e-3
    )
    assert not torch.allclose(result(moved(to, seed), of), expected, atol=1e-2)


def test_scores_and_values_follow_the_definition() -> None:
    """For one head of four tokens: D of blocks, D⁻¹ by inversion, softmax by hand."""
    to, of = cameras(0), cameras(1)
    q, k, v = (heads(seed).double() for seed in range(3))

    def blocks(given: Cameras) -> torch.Tensor:
        """D of each view and token."""
        projection = image_from_world(given).double().unflatten(0, (SETS, VIEWS))
        found = torch.zeros(SETS, VIEWS, GRID**2, WIDTH, WIDTH, dtype=torch.float64)
        for token in range(GRID**2):
            row, column = divmod(token, GRID)
            for start in range(0, WIDTH // 2, 4):
                found[:, :, token, start : start + 4, start : start + 4] = projection
            angles = [f * place for place in (column, row) for f in (1.0, 100**-0.5)]
            for pair, angle in enumerate(angles):
                a, b = WIDTH // 2 + pair, WIDTH // 2 + len(angles) + pair
                turn = torch.tensor(angle, dtype=torch.float64)
                found[:, :, token, a, a] = found[:, :, token, b, b] = turn.cos()
                found[:, :, token, a, b], found[:, :, token, b, a] = -turn.sin(), turn.sin()
        return found

    here, there = blocks(to), torch.linalg.inv(blocks(of))
    q = torch.einsum("svtji,svthj->svthi", here, q).flatten(1, 2)
    k = torch.einsum("svtij,svthj->svthi", there, k).flatten(1, 2)
    v = torch.einsum("svtij,svthj->svthi", there, v).flatten(1, 2)
    weight = (torch.einsum("sahi,sbhi->shab", q, k) / WIDTH**0.5).softmax(-1)
    mixed = torch.einsum("shab,sbhi->sahi", weight, v).unflatten(1, (VIEWS, -1))
    expected = torch.einsum("svtij,svthj->svthi", here, mixed).flatten(3).float()
    torch.testing.assert_close(result(to, of), expected, rtol=1e-3, atol=1e-3)


def test_points_are_projected() -> None:
    """The matrix takes a point to its pixel, in units of the image, 0 at its center."""
    given = cameras(3)
    point = torch.randn(len(given), 3, generator=torch.Generator().manual_seed(0))
    pixel, depth = given.project(torch.arange(len(given)), point)
    homogeneous = torch.cat([point, torch.ones(len(given), 1)], dim=1)
    x, y, z, one = (image_from_world(given) @ homogeneous[..., None])[..., 0].unbind(1)
    torch.testing.assert_close(torch.stack([x / z, y / z], dim=1), pixel / 16 - 0.5)
    torch.testing.assert_close(z, depth)
    torch.testing.assert_close(one, torch.ones_like(one))
