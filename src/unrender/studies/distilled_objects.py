"""What is distilled in a study: an object in a few views, and more of it if it is known."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import normalize

from unrender.data.builtin import NAMES, render_scene
from unrender.data.builtin.families import make_shape
from unrender.data.builtin.families.rays import render_shape
from unrender.data.dataset import Dataset
from unrender.data.object_ball import object_ball
from unrender.data.squares import squares
from unrender.data.view_sets.objects import HELD_OUT
from unrender.data.views import Views
from unrender.flows.anchoring import turned
from unrender.geometry.cameras import Cameras
from unrender.geometry.coverage import upwards
from unrender.geometry.paths import evenly, spherical_shell
from unrender.geometry.poses import look_at
from unrender.rendering.renderer import Images
from unrender.training.data_kinds.few_views import FEW_VIEWS, FewViewsOptions

FIELD_OF_VIEW = math.radians(40)
AZIMUTH, ELEVATION = math.radians(30), math.radians(20)
"""Of the first input, from the object's front and above the horizon."""
HIGHEST = math.radians(60)
"""Of the held-out views, which reach down to the horizon."""
LIGHT = (0.5, 0.7, 1.0)
SUPERSAMPLE = 3


@dataclass(frozen=True)
class KnownObject:
    """An object in views that are given, and held-out ones."""

    data: Dataset
    truth: Callable[[Cameras], Images] | None = None
    """Its images from any cameras, premultiplied RGBA; None if only its views are known."""

    def around(self, frames: int) -> Cameras:
        """The first input's camera, turned once around the object's vertical axis."""
        inputs = self.data.train
        center, up = object_ball(inputs)[:3], upwards(inputs.cameras)
        angles = [2 * math.pi * k / frames for k in range(frames)]
        return turned(inputs.cameras[:1], center, up, angles)


def procedural(family: str, number: int, inputs: int, targets: int, size: int) -> KnownObject:
    """A procedural object that no model was trained on, with as many views of each kind.

    The inputs stand evenly around it, the first 30° aside from its front and 20° above the
    horizon; the others are random, from the horizon to 60° above it.
    """
    shape = make_shape(family, HELD_OUT + number)
    reach = float(torch.from_numpy(shape.vertices).norm(dim=1).max())
    distance = 1.1 * reach / math.sin(FIELD_OF_VIEW / 2)
    light = normalize(torch.tensor([LIGHT]), dim=1)
    ball = torch.tensor([0.0, 0.0, 0.0, reach])

    def truth(cameras: Cameras) -> Images:
        lights = light.expand(len(cameras), 3)
        return render_shape(shape, cameras, lights, SUPERSAMPLE).clamp(0, 1)

    def views(poses: torch.Tensor) -> Views:
        focal = size / (2 * math.tan(FIELD_OF_VIEW / 2))
        cameras = Cameras.from_focal(poses, focal, size, size)
        return Views(cameras, truth(cameras), ball=ball)

    azimuth = AZIMUTH + 2 * math.pi * torch.arange(inputs) / inputs
    flat = math.cos(ELEVATION)
    height = torch.full((inputs,), math.sin(ELEVATION))
    # The front of procedural objects is at +y.
    eyes = torch.stack([flat * azimuth.sin(), flat * azimuth.cos(), height], dim=1) * distance
    given = look_at(eyes, torch.zeros(inputs, 3), torch.tensor([0.0, 0.0, 1.0]))
    generator = torch.Generator().manual_seed(number)
    held_out = spherical_shell(targets, (distance, distance), generator, (0.0, HIGHEST))
    return KnownObject(Dataset(f"{family} {number}", views(given), views(held_out)), truth)


def read_object(source: str, inputs: int, targets: int, size: int) -> KnownObject:
    """A photograph, or so many views of a posed scene that are far apart. InputError.

    Views become squares of `size` pixels, and at most `targets` of the others are kept. Of a
    built-in scene all other views are known too.
    """
    data = FEW_VIEWS.read(source, FewViewsOptions(inputs=inputs))
    some = torch.tensor(evenly(targets, len(data.test)), dtype=torch.long)
    ball = object_ball(data.train)

    def cut(views: Views) -> Views:
        return replace(squares(views, size).with_alpha(), ball=ball)

    small = Dataset(data.name, cut(data.train), cut(data.test.select(some)))

    def truth(cameras: Cameras) -> Images:
        return render_scene(source, cameras, SUPERSAMPLE).images

    return KnownObject(small, truth if source in NAMES else None)
