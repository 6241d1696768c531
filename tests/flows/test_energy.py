"""Energy minimization on smooth functions of the pose with known minima."""

import math

import pytest
import torch
from torch import Tensor

from unrender.flows.energy import Prior, Residuals, find_mode, fit_temperature, quadratic
from unrender.geometry.poses import compose, invert, se3_exp, se3_log, so3_distance

NUM, NUMBERS, RADIUS = 200, 60, 3.0
SCALE = torch.tensor([1, 1, 1, RADIUS, RADIUS, RADIUS])


def poses(num: int, seed: int, size: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return se3_exp(size * SCALE * torch.randn(num, 6, generator=generator))


def images(pose: Tensor) -> Tensor:
    """Nonlinear functions of the pose, with various curvatures."""
    matrix = torch.randn(12, NUMBERS, generator=torch.Generator().manual_seed(9))
    flat = torch.cat([pose[:, :, :3].flatten(1), pose[:, :, 3] / RADIUS], dim=1)
    return (flat @ matrix).sin()


def compared_with(expected: Tensor) -> Residuals:
    return lambda pose: images(pose) - expected


def nowhere(pose: Tensor) -> Prior:
    """An uninformative prior."""
    return Prior(pose, torch.full((len(pose),), 1e3), torch.full((len(pose),), 1e3))


def test_the_mode_of_a_clear_image_is_its_pose() -> None:
    truth = poses(NUM, 0, 0.5)
    start = compose(poses(NUM, 1, 0.05), truth)
    mode = find_mode(
        compared_with(images(truth)), start, nowhere(start), 1.0, 8, RADIUS
    ).world_from_camera
    assert so3_distance(mode[:, :, :3], truth[:, :, :3]).max() < 1e-3
    assert (mode - truth)[:, :, 3].abs().max() < 1e-2


def test_no_image_is_generated_twice() -> None:
    """One at the start, twelve for each quadratic model, and one at each proposed pose."""
    truth = poses(5, 0, 0.5)
    start, generated = compose(poses(5, 1, 0.05), truth), list[Tensor]()

    def counting(pose: Tensor) -> Tensor:
        assert not any(torch.equal(pose, before) for before in generated)
        generated.append(pose)
        return images(pose) - images(truth)

    find_mode(counting, start, nowhere(start), 1.0, 3, RADIUS)
    assert len(generated) == 1 + 3 * (12 + 1) + 12


def test_a_cold_prior_holds_and_a_warm_one_yields() -> None:
    """The mode lies between prior and image, depending on their precisions."""
    truth = poses(20, 0, 0.5)
    start = compose(poses(20, 1, 0.05), truth)
    apart = so3_distance(start[:, :, :3], truth[:, :, :3])

    def moved(spread: float) -> Tensor:
        prior = Prior(start, torch.full((20,), spread), torch.full((20,), RADIUS * spread))
        mode = find_mode(compared_with(images(truth)), start, prior, 1.0, 8, RADIUS)
        return so3_distance(mode.world_from_camera[:, :, :3], start[:, :, :3]) / apart

    assert moved(1e-4).max() < 0.01
    assert moved(1e2).min() > 0.9
    assert 0.01 < float(moved(0.2).median()) < 1


def test_it_never_climbs() -> None:
    """Convergence also from far away, where a full step would overshoot."""
    truth, start = poses(NUM, 0, 0.5), poses(NUM, 1, 1.0)
    residuals = compared_with(images(truth))
    mode = find_mode(residuals, start, nowhere(start), 1.0, 6, RADIUS).world_from_camera
    before, after = (residuals(pose).square().sum(1) for pose in (start, mode))
    assert (after <= before).all()
    assert (after < before).float().mean() > 0.9


def test_the_precision_tells_the_error() -> None:
    """With noise of variance T, squared errors follow a χ² distribution with six degrees."""
    noise = 0.1
    truth = poses(NUM, 0, 0.5)
    generator = torch.Generator().manual_seed(5)
    expected = images(truth) + noise * torch.randn(NUM, NUMBERS, generator=generator)
    mode = find_mode(compared_with(expected), truth, nowhere(truth), noise**2, 8, RADIUS)
    twist = se3_log(compose(truth, invert(mode.world_from_camera)))[..., None]
    distance = (twist.mT @ mode.precision @ twist).flatten()
    assert float(distance.mean()) == pytest.approx(6, rel=0.15)


def test_the_temperature_is_the_variance_of_the_noise() -> None:
    noise = 0.1
    truth = poses(NUM, 0, 0.5)
    generator = torch.Generator().manual_seed(5)
    expected = images(truth) + noise * torch.randn(NUM, NUMBERS, generator=generator)
    found = fit_temperature(compared_with(expected), truth, nowhere(truth), truth, RADIUS)
    assert abs(math.log(found / noise**2)) < math.log(1.5)


def test_the_gradient_is_that_of_half_the_squares() -> None:
    pose, other = poses(3, 0, 0.5), poses(3, 1, 0.5)
    residuals = compared_with(images(other))
    twist = torch.zeros(3, 6, requires_grad=True)
    half = residuals(compose(se3_exp(twist), pose)).square().sum() / 2
    (expected,) = torch.autograd.grad(half, twist)
    found = quadratic(residuals, pose, RADIUS).gradient
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
