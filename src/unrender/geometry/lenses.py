"""Lens models: where in the image a direction of the camera frame appears.

The models have the names, numbers and parameters of COLMAP
(https://colmap.github.io/cameras.html). Each is a projection of directions to coordinates that
do not depend on the focal length, followed by a distortion of these. `OPENCV`, `FULL_OPENCV`
and `OPENCV_FISHEYE` are also OpenCV's: https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html
and https://docs.opencv.org/4.x/db/d58/group__calib3d__fisheye.html.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Projection = Literal["perspective", "fisheye", "division", "fov", "eucm", "equirectangular"]
TINY = 1e-12
"""Angle in radians below which a direction is on the optical axis."""


@dataclass(frozen=True)
class LensModel:
    """A lens model of COLMAP."""

    number: int
    """In COLMAP's binary files."""
    projection: Projection
    focal: tuple[str, ...]
    """Names of the parameters that make up K, in order: one focal length or two."""
    coefficients: tuple[str, ...] = ()
    """Names of the parameters that follow, in order, as `Lens.of` takes them."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters in COLMAP's order."""
        return self.focal + self.coefficients


ONE, TWO = ("f", "cx", "cy"), ("fx", "fy", "cx", "cy")
LENS_MODELS = {
    "SIMPLE_PINHOLE": LensModel(0, "perspective", ONE),
    "PINHOLE": LensModel(1, "perspective", TWO),
    "SIMPLE_RADIAL": LensModel(2, "perspective", ONE, ("k1",)),
    "RADIAL": LensModel(3, "perspective", ONE, ("k1", "k2")),
    "OPENCV": LensModel(4, "perspective", TWO, ("k1", "k2", "p1", "p2")),
    "OPENCV_FISHEYE": LensModel(5, "fisheye", TWO, ("k1", "k2", "k3", "k4")),
    "FULL_OPENCV": LensModel(
        6, "perspective", TWO, ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    ),
    "FOV": LensModel(7, "fov", TWO, ("omega",)),
    "SIMPLE_RADIAL_FISHEYE": LensModel(8, "fisheye", ONE, ("k1",)),
    "RADIAL_FISHEYE": LensModel(9, "fisheye", ONE, ("k1", "k2")),
    "THIN_PRISM_FISHEYE": LensModel(
        10, "fisheye", TWO, ("k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1")
    ),
    "RAD_TAN_THIN_PRISM_FISHEYE": LensModel(
        11, "fisheye", TWO,
        (*(f"k{n}" for n in range(6)), "p0", "p1", "s0", "s1", "s2", "s3"),
    ),
    "SIMPLE_DIVISION": LensModel(12, "division", ONE, ("k",)),
    "DIVISION": LensModel(13, "division", TWO, ("k",)),
    "SIMPLE_FISHEYE": LensModel(14, "fisheye", ONE),
    "FISHEYE": LensModel(15, "fisheye", TWO),
    "EUCM": LensModel(16, "eucm", TWO, ("alpha", "beta")),
    "EQUIRECTANGULAR": LensModel(17, "equirectangular", ("w", "h")),
}  # fmt: skip
"""All models that are read, by COLMAP's names."""


@dataclass(frozen=True)
class Lens:
    """A projection, and the coefficients of the distortion that follows it.

    With (u, v) the projected coordinates and r their length, the distorted ones are

        u (1 + k1 r² + k2 r⁴ + …) / (1 + d1 r² + …)
            + 2 p1 u v + p2 (r² + 2 u²) + sx1 r² + sx2 r⁴

    and likewise for v, with p1 and p2 swapped.
    """

    projection: Projection = "perspective"
    shape: tuple[float, ...] = ()
    """Parameters of the projection itself: ω of `fov`, k of `division`, α and β of `eucm`."""
    radial: tuple[float, ...] = ()
    """k1, k2, …"""
    denominator: tuple[float, ...] = ()
    """d1, d2, …: k4, k5 and k6 of OpenCV's rational model."""
    tangential: tuple[float, float] = (0.0, 0.0)
    """p1 and p2."""
    prism: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """sx1, sx2, sy1, sy2."""
    in_sequence: bool = False
    """Whether tangential and prism terms take coordinates that the radial ones distorted."""

    @classmethod
    def of(cls, model: str, values: Mapping[str, float]) -> "Lens":
        """The lens of a model by its name in `LENS_MODELS`; missing coefficients are 0."""

        def get(*names: str) -> tuple[float, ...]:
            return tuple(float(values.get(name, 0.0)) for name in names)

        projection = LENS_MODELS[model].projection
        if projection == "equirectangular":
            return cls(projection)
        if projection in ("division", "fov", "eucm"):
            return cls(projection, shape=get(*LENS_MODELS[model].coefficients))
        if model == "RAD_TAN_THIN_PRISM_FISHEYE":
            (p_u, p_v), (sx1, sx2, sy1, sy2) = get("p0", "p1"), get("s0", "s1", "s2", "s3")
            radial = get(*(f"k{n}" for n in range(6)))
            return cls(
                projection, radial=radial, tangential=(p_v, p_u), prism=(sx1, sx2, sy1, sy2),
                in_sequence=True,
            )  # fmt: skip
        p1, p2 = get("p1", "p2")
        sx1, sy1 = get("sx1", "sy1")
        fisheye = projection == "fisheye"
        return cls(
            projection,
            radial=get("k1", "k2", "k3", *(("k4",) if fisheye else ())),
            denominator=() if fisheye else get("k4", "k5", "k6"),
            tangential=(p1, p2),
            prism=(sx1, 0.0, sy1, 0.0),
        )

    def __bool__(self) -> bool:
        """Whether images of this lens differ from those of a pinhole camera."""
        return self.projection != "perspective" or self._distorts

    @property
    def _distorts(self) -> bool:
        return any((*self.radial, *self.denominator, *self.tangential, *self.prism))

    def project(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
        """Coordinates in the image, in focal lengths from the principal point.

        Directions are in the camera frame, of any length. Coordinates of directions that the
        lens does not see are NaN, infinite or those of another direction.
        """
        uv = self._projected(directions)
        return self.distort(uv) if self._distorts else uv

    def _projected(self, directions: Tensor) -> Tensor:
        x, y, z = directions.unbind(-1)
        if self.projection == "equirectangular":
            return torch.stack([torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))], dim=-1)
        if self.projection == "eucm":
            alpha, beta = self.shape
            length = (beta * (x * x + y * y) + z * z).sqrt()
            return directions[..., :2] / (alpha * length + (1 - alpha) * z)[..., None]
        if self.projection == "fisheye":
            across = torch.hypot(x, y)
            near_axis = across < TINY * z
            factor = torch.atan2(across, z) / across.clamp_min(torch.finfo(x.dtype).tiny)
            return directions[..., :2] * torch.where(near_axis, 1 / z, factor)[..., None]
        uv = directions[..., :2] / z[..., None]
        if self.projection == "division":
            root = (1 - 4 * self.shape[0] * uv.square().sum(-1, keepdim=True)).sqrt()
            return uv * (2 / (1 + root))
        if self.projection == "fov" and self.shape[0]:
            (omega,) = self.shape
            r = uv.norm(dim=-1, keepdim=True).clamp_min(TINY)
            return uv * torch.atan(2 * r * math.tan(omega / 2)) / (r * omega)
        return uv

    def distort(self, uv: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """The distortion alone, of coordinates that are already projected."""
        r2 = uv.square().sum(-1, keepdim=True)
        radial = _polynomial(self.radial, r2) / _polynomial(self.denominator, r2)
        scaled = uv * radial
        if self.in_sequence:
            uv, r2 = scaled, scaled.square().sum(-1, keepdim=True)
        p1, p2 = self.tangential
        across = uv.new_tensor([p2, p1])
        sx1, sx2, sy1, sy2 = self.prism
        prism = r2 * (uv.new_tensor([sx1, sy1]) + r2 * uv.new_tensor([sx2, sy2]))
        along = 2 * (uv * across).sum(-1, keepdim=True)
        return scaled + along * uv + r2 * across + prism


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """The polynomial 1 + c1 x + c2 x² and so on."""
    found = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        found = (found + coefficient) * x
    return found + 1
