"""Frustums' Gaussians against quadrature of the frustums themselves."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.geometry.cameras import Cameras
from unrender.geometry.frustums import frustum_gaussians, frustum_moments
from unrender.geometry.paths import turntable


@settings(deadline=None)
@given(
    start=st.floats(0, 20), length=st.floats(0.01, 20), radius=st.floats(1e-4, 0.5)
)  # fmt: skip
def test_moments_are_those_of_the_solid(start: float, length: float, radius: float) -> None:
    t = torch.linspace(start, start + length, 20_001, dtype=torch.float64)
    # A slice at t is a disc of radius r t: area π r² t², and variance r² t² / 4 along x.
    area = t.square()
    total = torch.trapezoid(area, t)
    mean = torch.trapezoid(area * t, t) / total
    along = torch.trapezoid(area * (t - mean).square(), t) / total
    across = torch.trapezoid(area * (radius * t).square() / 4, t) / total
    ends = torch.tensor([start, start + length, radius], dtype=torch.float64)
    for found, expected in zip(
        frustum_moments(*ends), (mean, along, across), strict=True
    ):  # fmt: skip
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-12)


def test_thin_frustums_keep_their_digits() -> None:
    """In float32, where the definition's difference of fifth powers would cancel."""
    starts = torch.tensor([100.0])
    _, along, _ = frustum_moments(starts, starts + 1e-2, torch.tensor([1e-3]))
    torch.testing.assert_close(along, torch.tensor([1e-4 / 12]), rtol=1e-2, atol=0)


def test_gaussians_lie_along_the_ray() -> None:
    cameras = Cameras.from_focal(turntable(3, 4.0, 0.4), 40.0, 32, 32)
    rays = cameras.rays(torch.arange(3), torch.rand(3, 2) * 32)
    edges = torch.tensor([2.0, 3.0, 5.0]).expand(3, 3)
    found = frustum_gaussians(rays, edges)
    assert found.mean.shape == (3, 2, 3)
    mean, along, across = frustum_moments(
        edges[:, :-1], edges[:, 1:], rays.pixel_radius[:, None]
    )
    direction = rays.directions[:, None]
    torch.testing.assert_close(found.mean, rays.origins[:, None] + mean[..., None] * direction)
    stretched = (found.covariance @ direction[..., None])[..., 0]
    torch.testing.assert_close(stretched, along[..., None] * direction)
    trace = found.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, along + 2 * across)
