"""A picture of the whole sphere of directions, as lenses and pinhole cameras see it.

What a lens sees is found from its formula alone, by Newton's method, not by the library's
undistortion.
"""

import math
from functools import cache

import torch
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.lenses import Lens
from unrender.geometry.undistortion import Calibration

WIDTH, HEIGHT = 160, 120
LENSES = {
    "SIMPLE_RADIAL": {"k1": 0.1},
    "RADIAL": {"k1": -0.15, "k2": 0.02},
    "OPENCV": {"k1": -0.2, "k2": 0.05, "p1": 0.01, "p2": -0.02},
    "FULL_OPENCV": {
        "k1": 0.3, "k2": 0.1, "p1": 0.003, "p2": -0.002,
        "k3": 0.02, "k4": 0.4, "k5": 0.15, "k6": 0.01,
    },
    "SIMPLE_FISHEYE": {},
    "SIMPLE_RADIAL_FISHEYE": {"k1": 0.05},
    "RADIAL_FISHEYE": {"k1": 0.06, "k2": -0.01},
    "OPENCV_FISHEYE": {"k1": 0.05, "k2": -0.01, "k3": 0.003, "k4": -0.001},
    "THIN_PRISM_FISHEYE": {
        "k1": 0.03, "k2": 0.01, "p1": 0.002, "p2": -0.003,
        "k3": -0.002, "k4": 0.001, "sx1": 0.004, "sy1": -0.003,
    },
    "RAD_TAN_THIN_PRISM_FISHEYE": {
        "k0": 0.03, "k1": 0.01, "k5": 0.001, "p0": 0.002, "p1": -0.003, "s0": 0.004,
        "s1": 0.001, "s2": -0.003, "s3": 0.002,
    },
    "FOV": {"omega": 0.9},
    "SIMPLE_DIVISION": {"k": -0.2},
    "EUCM": {"alpha": 0.5, "beta": 1.1},
}  # fmt: skip


def calibration(model: str) -> Calibration:
    """A camera off the center, with a focal length shorter for lenses that see more."""
    lens = Lens.of(model, LENSES[model])
    focal = 140.0 if lens.projection == "perspective" else 70.0
    return Calibration(lens, focal, focal * 1.03, 83.0, 58.0, WIDTH, HEIGHT)


def centered(lens: Lens, focal: float) -> Calibration:
    return Calibration(lens, focal, focal, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)


def centers(width: int = WIDTH, height: int = HEIGHT) -> Tensor:
    x, y = (torch.arange(n, dtype=torch.float64) + 0.5 for n in (width, height))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def pattern(directions: Tensor) -> Tensor:
    """A smooth picture of the whole sphere."""
    a, b, c = (directions / directions.norm(dim=-1, keepdim=True)).unbind(-1)
    waves = [(5 * a + 3 * b).sin(), (4 * b - 3 * c).cos(), (6 * a * c + b).sin()]
    return 0.5 + 0.4 * torch.stack(waves, -1)


def seen_by_pinhole(cameras: Cameras, index: int = 0) -> Tensor:
    """The picture as a pinhole camera in the world sees it."""
    width, height = cameras.sizes[index]
    camera = torch.full((height, width), index)
    return pattern(cameras.rays(camera, centers(width, height).float()).directions)


def seen_by_lens(source: Calibration, rotation: Tensor | None = None) -> Tensor:
    """The picture as a lens sees it; `rotation` maps camera directions to the world."""
    rays = rays_of_lens(source)
    return pattern(rays if rotation is None else rays @ rotation.to(rays).T)


@cache
def rays_of_lens(source: Calibration) -> Tensor:
    """Directions in the camera frame that the pixels of a photograph see."""
    if source.lens.projection == "equirectangular":
        middle = torch.tensor([source.cx, source.cy], dtype=torch.float64)
        scale = torch.tensor([source.fx, source.fy], dtype=torch.float64)
        angles = (centers(source.width, source.height) - middle) / scale
        longitude, latitude = angles.unbind(-1)
        x, y, z = longitude.sin(), latitude.tan(), longitude.cos()
        return torch.stack([x, y, z], -1)
    target = centers(source.width, source.height)
    # Rays as an angle times a unit vector across the axis, which covers more than a half-space.
    start = (target - target.new_tensor([source.cx, source.cy])) / source.fx

    def rays(q: Tensor) -> Tensor:
        angle = q.norm(dim=-1, keepdim=True)
        return torch.cat([q * torch.sinc(angle / math.pi), angle.cos()], -1)

    q = start.clone()
    for _ in range(20):
        found = source.pixels(rays(q))
        columns = [
            (source.pixels(rays(q + 1e-6 * q.new_tensor(step))) - found) / 1e-6
            for step in ((1, 0), (0, 1))
        ]
        move = torch.linalg.solve(torch.stack(columns, -1), (target - found)[..., None])[..., 0]
        q = q + 0.7 * move.clamp(-0.2, 0.2)
    return rays(q)
