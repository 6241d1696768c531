"""The posterior over candidates, in cases with a known number of modes."""

import math

import pytest
import torch
from torch import Tensor

from unrender.flows.candidates import MODE_ANGLE, Candidates
from unrender.geometry.paths import spherical_shell
from unrender.geometry.poses import so3_distance, so3_exp


def poses(num: int, seed: int = 0) -> Tensor:
    return spherical_shell(num, (3.0, 4.0), torch.Generator().manual_seed(seed))


def turned(pose: Tensor, degrees: float) -> Tensor:
    """The same camera after a rotation of the world about its vertical axis."""
    return so3_exp(torch.tensor([0, 0, math.radians(degrees)])) @ pose


def images(pose: Tensor, folds: int) -> Tensor:
    """Numbers that determine a camera's pose up to the object's rotational symmetry."""
    x, y, z = pose[:, :, 3].unbind(1)
    angle = folds * torch.atan2(y, x)
    flat = torch.hypot(x, y)
    return torch.stack([angle.cos() * flat, angle.sin() * flat, z], dim=1)


def candidates(folds: int, num: int = 1500) -> Candidates:
    return Candidates(poses(num), images(poses(num), folds))


def test_the_posterior_is_a_distribution_and_peaks_at_the_image_itself() -> None:
    ours = candidates(folds=1)
    posterior = ours.posterior(ours.images[:20], temperature=1e-3)
    torch.testing.assert_close(posterior.sum(1), torch.ones(20))
    assert torch.equal(posterior.argmax(1), torch.arange(20))


@pytest.mark.parametrize("folds", [1, 2, 3])
def test_it_finds_every_mode_of_a_symmetric_object(folds: int) -> None:
    ours, truth = candidates(folds), turned(poses(1), 7.0)
    chosen, share = ours.modes(ours.posterior(images(truth, folds), 0.02), count=4)
    assert share.sum(1) == pytest.approx(1, abs=1e-3)
    found = ours.world_from_camera[chosen[0, share[0] > 0.1]]
    assert len(found) == folds
    for fold in range(folds):
        other = turned(truth, 360 / folds * fold)
        assert so3_distance(found[:, :, :3], other[:, :, :3]).min() < MODE_ANGLE


def test_modes_lie_apart() -> None:
    ours = candidates(folds=2)
    chosen, share = ours.modes(ours.posterior(images(poses(30, seed=1), 2), 0.3), count=3)
    assert (share.sum(1) <= 1 + 1e-5).all()
    rotation = ours.world_from_camera[chosen][..., :3]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (so3_distance(rotation[:, a], rotation[:, b]) >= MODE_ANGLE).all()


def test_the_temperature_follows_the_noise() -> None:
    ours, truth = candidates(folds=1), poses(60, seed=1)
    generator = torch.Generator().manual_seed(2)
    clean = images(truth, 1)
    little, much = (
        ours.fit_temperature(
            clean + size * torch.randn(clean.shape, generator=generator), truth
        )
        for size in (0.1, 1.0)
    )
    assert 10 * little < much


def test_images_that_are_alike_are_told_apart() -> None:
    """Squared distances in float64; a matrix product of float32 would lose them in rounding."""
    generator = torch.Generator().manual_seed(0)
    images = 1 + torch.rand(60, 500, generator=generator)
    near = images + 1e-4 * torch.randn(60, 500, generator=generator)
    poses = torch.eye(3, 4).expand(60, 3, 4)
    found = Candidates(poses, images)._squares(near)
    expected = (near.double()[:, None] - images.double()).square().sum(2)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
