"""One or a few views of an object, and the cameras around it from which others are wanted."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch

from unrender.data.capture import is_cut_out
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions
from unrender.data.object_ball import object_ball
from unrender.data.object_photograph import object_views, read_object
from unrender.data.views import Views, joined
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.scores import Scores
from unrender.evaluation.view_consistency import scene_consistency
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.coverage import upright_axes
from unrender.geometry.paths import spread_out, typical_camera
from unrender.geometry.poses import look_at
from unrender.imaging.files import is_image_file
from unrender.notes import note
from unrender.ranges import Range
from unrender.training.data_kinds.posed_images import PosedImages
from unrender.training.method import Description, Evaluation, Fitted, Method
from unrender.training.score_guidance import ScoreGuidance

GOLDEN = (1 + 5**0.5) / 2
LOWEST, HIGHEST = math.radians(0), math.radians(60)
"""Elevations of the cameras around an object, which reach to those of the inputs."""


@dataclass(frozen=True)
class FewViewsOptions(LoadOptions):
    """How a photograph of an object, or a few views of a scene, are read."""

    inputs: Annotated[int, Range(0, 1 << 16)] = 0
    """Training views that are given to the model, far apart from one another; the others are
    held out. 0 for all."""
    around: Annotated[int, Range(2, 1 << 12)] = 24
    """Cameras around the object, from which views are generated or rendered."""
    mask: str | None = None
    """For a photograph: an image of its size that is white where the object is."""
    elevation: Annotated[float | None, Range(-89, 89)] = None
    """For a photograph: degrees above the horizon from which it was taken; by default 20."""
    fov: Annotated[float | None, Range(1, 150)] = None
    """For a photograph: its horizontal field of view in degrees; by default that of its EXIF
    data, or what frames the object in 40°."""


DEFAULTS = FewViewsOptions()


@dataclass(frozen=True)
class FewViews:
    """Views that are given, and the cameras from which others are wanted."""

    inputs: Views
    targets: Cameras
    """Around the object, with square images."""
    generated: Views | None = None
    """Views that a model has generated, all square and of one size: given, or once a method has
    prepared the data."""
    guide: ScoreGuidance | None = None
    """What a flow says of renderings, where a method distills scores."""

    def to(self, device: torch.device | str) -> "FewViews":
        """The views and cameras on a device, before a method prepares them."""
        return FewViews(self.inputs.to(device), self.targets.to(device))


class FewPosedImages(PosedImages):
    """A photograph of an object, or a few of a scene's training views."""

    name: ClassVar[str] = "a few views"
    options: ClassVar[type[Any]] = FewViewsOptions

    def read(self, source: object, options: LoadOptions) -> Dataset:
        assert isinstance(options, FewViewsOptions), "options are of this kind of data"
        if isinstance(source, str | Path) and is_photograph(Path(source)):
            path = Path(source)
            mask = None if options.mask is None else Path(options.mask)
            heights = () if options.elevation is None else (options.elevation,)
            views = object_views([read_object(path, mask)], (0,), heights, options.fov)
            data = Dataset.of_views(views, path.stem)
            return dataclasses.replace(data, source=str(path), options=options)
        data = without_times(super().read(source, options))
        return dataclasses.replace(chosen_inputs(data, options.inputs), options=options)

    def training(self, data: Dataset) -> FewViews:  # pyright: ignore[reportIncompatibleMethodOverride]
        return FewViews(data.train, cameras_around(data.train, _options(data).around))

    def describe(self, data: Dataset) -> Description:
        """As of posed images; the cameras include those around the object."""
        described = super().describe(data)
        around = self.training(data).targets
        names = tuple(f"around {k}" for k in range(len(around)))
        return dataclasses.replace(
            described,
            cameras=concatenate([described.cameras, around]),
            names=described.names + names,
        )

    def evaluate(
        self, fitted: Fitted[Any], data: Dataset, lpips: LPIPS | None = None
    ) -> Evaluation:
        """As of posed images; and how consistent the scene and the generated views are."""
        found = super().evaluate(fitted, data, lpips)
        generated: Views = fitted.model.generated
        if len(generated) < 2:
            return found
        try:
            pair = scene_consistency(fitted.renderer, generated)
        except InputError:
            return found  # No surface is seen twice, in a scene that is nearly empty.
        own, others = (each.psnr if math.isfinite(each.psnr) else None for each in pair)
        more = {"consistency": own, "generated_consistency": others}
        return dataclasses.replace(found, scores=Scores({**found.scores, **more}))

    def remarks(self, method: Method[Any, Any], data: Dataset) -> list[str]:
        if is_cut_out(data.train):
            return []
        return [
            "note: the images show a background: only what is in the middle between the "
            "cameras is fitted; cut the object out with --masks"
        ]


def without_times(data: Dataset) -> Dataset:
    """The data as of a scene that stands still; says so where it has times."""
    if data.train.cameras.times is None:
        return data
    note(f"{data.name}: its times are not used: the views are taken as of one moment")
    train, test = (
        dataclasses.replace(views, cameras=views.cameras.at_times(None))
        for views in (data.train, data.test)
    )
    return dataclasses.replace(data, train=train, test=test)


def is_photograph(path: Path) -> bool:
    """Whether a path is an image file, and no folder or file of posed images."""
    return path.is_file() and is_image_file(path)


def chosen_inputs(data: Dataset, count: int) -> Dataset:
    """The data with `count` training views that are far apart; the others are held out.

    0 keeps all. InputError if there are fewer.
    """
    total = len(data.train)
    if not count or count == total:
        return data
    if count > total:
        raise InputError(
            f"--inputs {count}: {data.name} has {total} training views: give 1 to {total}"
        )
    kept = torch.zeros(total, dtype=torch.bool)
    kept[spread_out(data.train.cameras, count)] = True
    rest = data.train.select(~kept)
    test = joined([data.test, rest]) if len(data.test) else rest
    return dataclasses.replace(data, train=data.train.select(kept), test=test)


def cameras_around(inputs: Views, count: int) -> Cameras:
    """Cameras that look at the object from everywhere but below, evenly spread.

    They stand on a spiral about the vertical axis, in steps of the golden angle, at the mean
    distance of the inputs, from 0° to 60° above the horizon or as low and high as the inputs.
    Images are square, with the focal length of a typical input and its shorter side.
    """
    cameras = inputs.cameras
    center = object_ball(inputs)[:3].to(cameras.centers)
    axes = upright_axes(cameras).to(center)
    local = (cameras.centers - center) @ axes
    distance = local.norm(dim=1)
    heights = (local[:, 2] / distance).clamp(-1, 1)
    low = min(math.sin(LOWEST), float(heights.min()))
    high = max(math.sin(HIGHEST), float(heights.max()))
    place = (torch.arange(count).to(center) + 0.5) / count
    height = low + (high - low) * place
    first = torch.atan2(local[0, 1], local[0, 0])
    turn = 2 * math.pi * ((torch.arange(count).double() + 1) / GOLDEN % 1).to(center)
    flat = (1 - height.square()).clamp_min(0).sqrt()
    angle = first + turn
    directions = torch.stack([flat * angle.cos(), flat * angle.sin(), height], dim=1)
    eyes = center + distance.mean() * directions @ axes.T
    like = typical_camera(cameras)
    side = min(like.sizes[0])
    poses = look_at(eyes, center.expand_as(eyes), axes[:, 2])
    return Cameras.from_focal(poses, float(like.focal), side, side)


def _options(data: Dataset) -> FewViewsOptions:
    """How the data were read; data in memory have the defaults."""
    return data.options if isinstance(data.options, FewViewsOptions) else DEFAULTS


FEW_VIEWS = FewPosedImages()
