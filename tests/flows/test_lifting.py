import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.flows.lifting import (
    LIFTINGS,
    POSE_NUMBERS,
    Lifting,
    PluckerLifting,
    RepeatLifting,
)
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance, so3_exp

RADIUS = torch.tensor(4.0)
LIFTING = RepeatLifting()


def cameras(num: int, seed: int, size: int = 32) -> Cameras:
    generator = torch.Generator().manual_seed(seed)
    rotation = so3_exp(torch.randn(num, 3, generator=generator))
    translation = 3 * torch.randn(num, 3, 1, generator=generator)
    return Cameras.from_focal(torch.cat([rotation, translation], -1), 1.25 * size, size, size)


@pytest.mark.parametrize("lifting", LIFTINGS.values(), ids=LIFTINGS)
@given(seed=st.integers(0, 50), size=st.sampled_from([6, 8, 32]))
@settings(deadline=None)
def test_unlifting_undoes_lifting(lifting: Lifting, seed: int, size: int) -> None:
    truth = cameras(5, seed, size)
    reading = lifting.unlift(lifting.lift(truth, RADIUS), truth, RADIUS)
    torch.testing.assert_close(
        reading.world_from_camera, truth.world_from_camera, rtol=1e-4, atol=1e-4
    )
    assert reading.rotation_spread.max() < 1e-4
    assert reading.translation_spread.max() < 1e-4


def test_layout() -> None:
    """Entry (c, y, x) is number (c H W + y W + x) mod 12."""
    truth = cameras(2, 0, 8)
    lifted = LIFTING.lift(truth, RADIUS)
    numbers = torch.cat([truth.rotations.flatten(1), truth.centers / RADIUS], dim=1)
    for c, y, x in [(0, 0, 0), (0, 0, 7), (1, 3, 2), (3, 7, 7)]:
        entry = lifted[:, c, y, x]
        assert torch.equal(entry, numbers[:, (c * 64 + y * 8 + x) % POSE_NUMBERS])
    assert torch.equal(lifted.flatten(1), numbers[:, LIFTING.index(8, 8).flatten()])


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("patch", [4, 8])
def test_every_patch_sees_all_twelve_numbers(size: int, patch: int) -> None:
    index = LIFTING.index(size, size)
    patches = index.unfold(1, patch, patch).unfold(2, patch, patch)
    for square in patches.permute(1, 2, 0, 3, 4).flatten(0, 1).flatten(1):
        assert len(square.unique()) == POSE_NUMBERS


def test_copies_average_out_noise() -> None:
    """Averaging about 340 copies of each number reduces the error by a factor of √340."""
    truth = cameras(64, 3)
    noise = torch.randn(64, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    reading = LIFTING.unlift(LIFTING.lift(truth, RADIUS) + 0.1 * noise, truth, RADIUS)
    error = so3_distance(reading.world_from_camera[:, :, :3], truth.rotations)
    # Nine numbers of variance 0.01 are as far as an angle of 0.1 √(9 / 2); of the nine
    # directions of noise three turn the rotation, each by 0.1 / √2.
    torch.testing.assert_close(
        reading.rotation_spread, torch.full((64,), 0.1 * 4.5**0.5), rtol=0.1, atol=0
    )
    expected = 0.1 * 1.5**0.5 / (4096 / POSE_NUMBERS) ** 0.5
    assert float(error.square().mean().sqrt()) == pytest.approx(expected, rel=0.25)
    torch.testing.assert_close(
        reading.translation_spread, torch.full((64,), 4 * 0.1 * 3**0.5), rtol=0.15, atol=0
    )


def test_readings_are_rotations() -> None:
    noise = torch.randn(16, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    rotation = LIFTING.unlift(noise, cameras(1, 0), RADIUS).world_from_camera[:, :, :3]
    identity = torch.eye(3).expand(16, 3, 3)
    torch.testing.assert_close(rotation @ rotation.mT, identity, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(16))


def test_plucker_channels_are_rays() -> None:
    """d has unit length, and the moment is that of the camera's centre."""
    truth = cameras(3, 1)
    lifted = PluckerLifting().lift(truth, RADIUS)
    direction, moment = lifted.movedim(1, -1).split(3, dim=-1)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(3, 32, 32))
    y, x = 5, 20
    rays = truth.rays(torch.arange(3), torch.tensor([x + 0.5, y + 0.5]).expand(3, 2))
    torch.testing.assert_close(direction[:, y, x], rays.directions)
    expected = torch.linalg.cross(rays.origins, rays.directions) / RADIUS
    torch.testing.assert_close(moment[:, y, x], expected)


def test_plucker_knows_the_field_of_view() -> None:
    truth = cameras(2, 1)
    wider = Cameras.from_focal(truth.world_from_camera, 20.0, 32, 32)
    lifting = PluckerLifting()
    assert (lifting.lift(truth, RADIUS) - lifting.lift(wider, RADIUS)).abs().max() > 0.1


def test_plucker_averages_out_noise() -> None:
    """Errors are those of least squares: the noise over the root of the number of copies."""
    truth = cameras(64, 3)
    noise = torch.randn(64, 6, 32, 32, generator=torch.Generator().manual_seed(0))
    lifting = PluckerLifting()
    reading = lifting.unlift(lifting.lift(truth, RADIUS) + 0.1 * noise, truth, RADIUS)
    spread = torch.full((64,), 0.1 * 3**0.5)
    torch.testing.assert_close(reading.rotation_spread, spread, rtol=0.1, atol=0)
    torch.testing.assert_close(reading.translation_spread, 4 * spread, rtol=0.1, atol=0)
    # A turn by ω moves a ray's direction d by ω × d: the information is Σ (I − d dᵀ).
    rays = lifting.lift(truth, RADIUS)[0, :3].flatten(1).double()
    information = 1024 * torch.eye(3).double() - rays @ rays.T
    expected = 0.1 * float(torch.linalg.inv(information).trace().sqrt())
    error = so3_distance(reading.world_from_camera[:, :, :3], truth.rotations)
    assert float(error.square().mean().sqrt()) == pytest.approx(expected, rel=0.25)
    # So does a shift of the centre its moment; the error of the rotation adds to it.
    center = (reading.world_from_camera[:, :, 3] - truth.centers) / RADIUS
    assert 0.8 * expected < float(center.square().sum(1).mean().sqrt()) < 2 * expected
