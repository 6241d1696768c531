"""Lenses against their formulas, and images made straight again."""

import torch

from unrender.geometry.distortion import LensDistortion, undistort_image


def test_radial_and_tangential_terms() -> None:
    x, y, r2 = 0.3, -0.2, 0.13
    xy = torch.tensor([[x, y]])
    torch.testing.assert_close(
        LensDistortion(k1=0.1, k2=0.02, k3=-0.3).distort(xy),
        xy * (1 + 0.013 + 0.02 * r2**2 - 0.3 * r2**3),
    )
    expected = [[x + 2 * 0.01 * x * y, y + 0.01 * (r2 + 2 * y * y)]]
    torch.testing.assert_close(LensDistortion(p1=0.01).distort(xy), torch.tensor(expected))
    expected = [[x + 0.01 * (r2 + 2 * x * x), y + 2 * 0.01 * x * y]]
    torch.testing.assert_close(LensDistortion(p2=0.01).distort(xy), torch.tensor(expected))
    assert not LensDistortion()
    assert LensDistortion(k1=1e-9)


def test_undistortion_inverts_distortion() -> None:
    """A scene that is a function of the ray, seen through the lens and by the pinhole."""
    intrinsics = torch.tensor([[60.0, 0, 33], [0, 62, 22], [0, 0, 1]])
    lens = LensDistortion(k1=-0.2, k2=0.05, p1=0.01, p2=-0.02)
    y, x = torch.meshgrid(torch.arange(44) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    ideal = torch.stack([(x - 33) / 60, (y - 22) / 62], dim=-1)

    def scene(xy: torch.Tensor) -> torch.Tensor:
        return torch.stack([(6 * xy[..., 0]).sin(), (5 * xy[..., 1]).cos()], dim=-1)

    # The inverse by repetition: which ideal point does each pixel of the lens see?
    found = ideal
    for _ in range(30):
        found = found - (lens.distort(found) - ideal)
    straight = undistort_image(scene(found), intrinsics, lens)
    difference = (straight - scene(ideal)).abs()[6:-6, 6:-6]
    assert float(difference.max()) < 5e-3
    assert float((scene(found) - scene(ideal)).abs().max()) > 0.05
