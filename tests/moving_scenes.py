"""A model of a moving scene without learning: two balls that turn together, as is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.poses import so3_exp
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import render_in_tiles
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.fit import FitOptions
from unrender.training.method import DataKind, Method

FIRST, LAST = 2.0, 6.0
"""The film's times: no shares of 1, so that these are not mistaken for them."""
TURN = 1.8
"""Angle about z from the first time to the last, in radians."""
RISE = 0.2
"""Distance along z over the same time."""
CENTERS = ((0.0, 0.0, 0.0), (0.7, 0.0, 0.0))
RADII = (0.5, 0.3)
COLORS = ((0.9, 0.5, 0.1), (0.2, 0.4, 0.8))


class Balls(nn.Module):
    """A model with one parameter, which is not used, and whether it stands still."""

    def __init__(self, still: bool = False) -> None:
        super().__init__()
        self.still = still
        self.unused = nn.Parameter(torch.zeros(1))


def pose(times: Float[Tensor, "times"]) -> Float[Tensor, "times 3 4"]:
    """world_from_canonical at the film's times; at the first it is the identity."""
    share = ((times - FIRST) / (LAST - FIRST))[:, None]
    turn = so3_exp(share * torch.tensor([0.0, 0.0, TURN]))
    return torch.cat([turn, (share * torch.tensor([0.0, 0.0, RISE]))[..., None]], dim=2)


def moved(points: Float[Tensor, "points 3"], time: float) -> Float[Tensor, "points 3"]:
    """Where points of the canonical scene are at a time."""
    now = pose(torch.tensor([time]))[0]
    return points @ now[:, :3].mT + now[:, 3]


@dataclass(frozen=True)
class TurningBalls(Method[Balls, Views]):
    """Two balls that touch, an orange one and a smaller blue one."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES
    moves: ClassVar[bool] = True

    def build(self, data: Views, generator: torch.Generator) -> Balls:
        return Balls()

    def restore(self, tensors: Mapping[str, Tensor]) -> Balls:
        return Balls()

    def optimizer(self, model: Balls) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters())

    def losses(self, model, data, progress, generator) -> Mapping[str, Tensor]:
        return {"loss": model.unused.sum()}

    def time_range(self, model: Balls) -> tuple[float, float]:
        return FIRST, LAST

    def deform(
        self, model: Balls, points: Float[Tensor, "points 3"], time: float
    ) -> Float[Tensor, "points 3"]:
        if not FIRST <= time <= LAST:
            raise InputError(f"time {time:g} is outside of the film: give 2 to 6")
        now = pose(torch.tensor([time]))[0]
        return (points - now[:, 3]) @ now[:, :3]

    def density_at(
        self, model: Balls, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        inside = [
            (points - torch.tensor(center)).norm(dim=1) < radius
            for center, radius in zip(CENTERS, RADII, strict=True)
        ]
        return 100.0 * torch.stack(inside).any(0)

    def render(self, model: Balls, cameras: Cameras) -> Rendering:
        if cameras.times is None:
            raise InputError("the cameras have no times")
        times = cameras.times
        assert bool(((times >= FIRST) & (times <= LAST)).all()), "checked before"

        def tile(rays: Rays) -> Rendering:
            now = pose(times[rays.camera_index] * (not model.still) + FIRST * model.still)
            turn = now[..., :3].mT
            origins = (turn @ (rays.origins - now[..., 3])[..., None])[..., 0]
            return intersected(origins, (turn @ rays.directions[..., None])[..., 0])

        return render_in_tiles(cameras, 1 << 16, tile)

    def canonical(self, model: Balls) -> Balls:
        return Balls(still=True)


def intersected(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
) -> Rendering:
    """What rays hit of the canonical balls, shaded by the angle to the ray."""
    nearest = torch.full((len(origins),), torch.inf)
    color = torch.zeros(len(origins), 3)
    for center, radius, own in zip(CENTERS, RADII, COLORS, strict=True):
        away = origins - torch.tensor(center)
        along = (away * directions).sum(1)
        root = along.square() - away.square().sum(1) + radius**2
        distance = torch.where(root > 0, -along - root.clamp_min(0).sqrt(), torch.inf)
        slope = (root.clamp_min(0).sqrt() / radius)[:, None]
        first = (distance < nearest) & (distance > 0)
        color = torch.where(first[:, None], slope * torch.tensor(own), color)
        nearest = torch.where(first, distance, nearest)
    hit = nearest.isfinite()
    return Rendering(color, hit.float(), torch.where(hit, nearest, 0.0))


def film_cameras(frames: int, size: int = 32, aside: float = 0.0) -> Cameras:
    """A camera that sways in front of the balls during the film."""
    share = torch.linspace(0, 1, frames)
    angle = aside + 0.8 * torch.sin(2 * torch.pi * share)
    height = 1.0 + 0.5 * torch.cos(2 * torch.pi * share)
    eyes = torch.stack([4 * angle.cos(), 4 * angle.sin(), height], dim=1)
    cameras = Cameras.look_at(eyes, (0.0, 0.0, 0.1), fov=40.0, size=(size, size))
    return cameras.at_times(FIRST + (LAST - FIRST) * share)


def film(cameras: Cameras) -> Views:
    """What the true scene looks like."""
    with torch.no_grad():
        return Views(cameras, TurningBalls().render(Balls(), cameras).rgba)


def turning_balls(frames: int = 16, size: int = 32) -> Dataset:
    return Dataset(
        "balls", film(film_cameras(frames, size)), film(film_cameras(frames, size, aside=0.4))
    )


def turning_run(data: Dataset) -> Run:
    """The fake model, in memory."""
    options = FitOptions(steps=1, device="cpu")
    return fit_to(TurningBalls(), data, options, progress=False)


def named_run(run: Run, path: Path, patch: pytest.MonkeyPatch) -> Path:
    """A folder at which commands find the run, which is in memory."""
    path.mkdir()
    real = Run.open

    def opened(place: str | Path, device: str = "auto") -> Run:
        return run if Path(place) == path else real(place, device)

    patch.setattr(Run, "open", opened)
    return path
