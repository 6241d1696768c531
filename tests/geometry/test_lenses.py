"""Lens models against closed forms and against COLMAP."""

import importlib.util
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from unrender.geometry.lenses import LENS_MODELS, Lens
from unrender.geometry.undistortion import Calibration

VALUES = {
    "k": -0.05, "omega": 0.9, "alpha": 0.4, "beta": 1.1,
    "k0": 0.02, "k1": 0.03, "k2": -0.01, "k3": 0.004, "k4": 0.002, "k5": -0.001, "k6": 0.003,
    "p0": 0.002, "p1": 0.003, "p2": -0.004, "sx1": 0.002, "sy1": -0.003,
    "s0": 0.001, "s1": 0.002, "s2": -0.003, "s3": 0.004,
}  # fmt: skip


def coefficients(model: str) -> dict[str, float]:
    return {name: VALUES[name] for name in LENS_MODELS[model].coefficients}


def directions(behind: bool = False) -> Tensor:
    found = torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found[:, 2] = found[:, 2].abs() + 0.5
    if behind:
        found[:50, 2] *= -0.1
    return found


@pytest.mark.skipif(importlib.util.find_spec("pycolmap") is None, reason="needs pycolmap")
@pytest.mark.parametrize("model", LENS_MODELS)
def test_every_model_is_colmap_s(model: str) -> None:
    import pycolmap  # noqa: PLC0415 - an extra

    known = LENS_MODELS[model]
    one = known.focal[0] == "f"
    if model == "EQUIRECTANGULAR":
        parameters, calibration = [800.0, 400.0], Calibration.panorama(800, 400)
    else:
        given = coefficients(model)
        fx, fy = 300.0, 300.0 if one else 310.0
        parameters = [*([fx] if one else [fx, fy]), 410.0, 190.0, *given.values()]
        calibration = Calibration(Lens.of(model, given), fx, fy, 410.0, 190.0, 800, 400)
    camera = pycolmap.Camera(model=model, width=800, height=400, params=parameters)
    assert camera.model.value == known.number
    found = [name.strip() for name in camera.params_info.split(",")]
    assert ["k" if name == "k1" else name for name in known.parameters] in (
        found, ["k" if name == "k1" else name for name in found],
    )  # fmt: skip
    rays = directions(known.projection in ("fisheye", "equirectangular", "eucm"))
    expected = np.asarray(camera.img_from_cam(rays.numpy()))
    there = np.isfinite(expected).all(1)
    assert there.sum() >= 150
    np.testing.assert_allclose(
        calibration.pixels(rays).numpy()[there], expected[there], atol=1e-8
    )


def test_radial_and_tangential_terms() -> None:
    x, y, r2 = 0.3, -0.2, 0.13
    xy = torch.tensor([[x, y]], dtype=torch.float64)

    def distorted(**values: float) -> Tensor:
        return Lens.of("FULL_OPENCV", values).distort(xy)

    torch.testing.assert_close(
        distorted(k1=0.1, k2=0.02, k3=-0.3), xy * (1 + 0.013 + 0.02 * r2**2 - 0.3 * r2**3)
    )
    torch.testing.assert_close(
        distorted(k4=0.1, k5=0.02, k6=-0.3), xy / (1 + 0.013 + 0.02 * r2**2 - 0.3 * r2**3)
    )
    expected = xy.new_tensor([[x + 2 * 0.01 * x * y, y + 0.01 * (r2 + 2 * y * y)]])
    torch.testing.assert_close(distorted(p1=0.01), expected)
    expected = xy.new_tensor([[x + 0.01 * (r2 + 2 * x * x), y + 2 * 0.01 * x * y]])
    torch.testing.assert_close(distorted(p2=0.01), expected)
    assert not Lens()
    assert Lens.of("SIMPLE_RADIAL", {"k1": 1e-9})
    assert Lens.of("SIMPLE_FISHEYE", {})


def opencv_fisheye(angle: float) -> float:
    a = angle**2
    return angle * (1 + 0.05 * a - 0.01 * a**2 + 0.002 * a**3 + 0.001 * a**4)


def fov(angle: float) -> float:
    return math.atan(2 * math.tan(angle) * math.tan(0.4)) / 0.8


RADII: dict[str, tuple[Lens, Callable[[float], float]]] = {
    "pinhole": (Lens(), math.tan),
    "equidistant": (Lens.of("FISHEYE", {}), float),
    "OPENCV_FISHEYE": (
        Lens.of("OPENCV_FISHEYE", {"k1": 0.05, "k2": -0.01, "k3": 0.002, "k4": 0.001}),
        opencv_fisheye,
    ),
    "FOV": (Lens.of("FOV", {"omega": 0.8}), fov),
    # EUCM with α = ½ and β = 1 is the stereographic projection.
    "EUCM": (Lens.of("EUCM", {"alpha": 0.5, "beta": 1.0}), lambda t: 2 * math.tan(t / 2)),
    "prism": (
        Lens.of("THIN_PRISM_FISHEYE", {"sx1": 0.2 * 0.6, "sy1": 0.2 * 0.8}),
        lambda t: t + 0.2 * t * t,
    ),
}


@pytest.mark.parametrize("name", RADII)
def test_radius_of_an_angle(name: str) -> None:
    """How far from the principal point a direction appears, by its angle to the axis."""
    lens, radius = RADII[name]
    for angle in (1e-9, 0.2, 0.9, 1.4):
        ray = torch.tensor(
            [0.6 * math.sin(angle), 0.8 * math.sin(angle), math.cos(angle)], dtype=torch.float64
        )
        expected = ray.new_tensor([0.6, 0.8]) * radius(angle)
        torch.testing.assert_close(lens.project(ray), expected, rtol=1e-12, atol=1e-15)
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert float(lens.project(axis).norm()) == 0


def test_division_inverts_its_definition() -> None:
    lens = Lens.of("SIMPLE_DIVISION", {"k": -0.3})
    distorted = torch.tensor([[0.3, 0.4], [-0.1, 0.7]], dtype=torch.float64)
    ideal = distorted / (1 - 0.3 * distorted.square().sum(-1, keepdim=True))
    rays = torch.cat([ideal, torch.ones(2, 1, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(lens.project(rays), distorted)


def test_longitude_and_latitude_of_panoramas() -> None:
    camera = Calibration.panorama(360, 180)
    rays = torch.tensor([[0, 0, 1.0], [1, 0, 0], [-1, 0, 1], [0, 1, 1], [0, -1, 1e-9]])
    expected = torch.tensor([[180.0, 90], [270, 90], [135, 90], [180, 135], [180, 0]])
    torch.testing.assert_close(camera.pixels(rays), expected)
