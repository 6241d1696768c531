"""Sets of views, one for each object or scene: what models of novel views are trained on."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from unrender.data.builtin.families import FAMILIES
from unrender.data.view_sets.objects import ObjectStream
from unrender.data.view_sets.scenes import read_scenes
from unrender.data.view_sets.view_sets import ViewPool, ViewSets
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.scores import Scores
from unrender.evaluation.view_sets import score_view_sets
from unrender.files import check_exists
from unrender.training.method import DataKind, Description, Evaluation, Fitted

OBJECTS = "objects"
"""The name of the built-in procedural objects."""
HELD_OUT = 256
"""Objects of the built-in ones that are evaluated on."""


@dataclass(frozen=True)
class ViewSetOptions:
    """How sets of views are read, or made."""

    image_size: int = 32
    """Pixels per side of the images."""
    family: Literal["all", "chair", "table", "lamp", "car"] = "all"
    """What the built-in objects are."""
    pool_size: int = 4096
    """Built-in objects to draw from at a time."""
    fresh: int = 8
    """Built-in objects that are replaced by new ones at each step."""
    views: int = 12
    """Images of each built-in object."""


@dataclass(frozen=True)
class ViewSetDataset:
    """Sets of views to train on, and held-out ones."""

    name: str
    train: ViewSets
    held_out: Callable[[], ViewPool]
    """Sets of other objects or scenes: made when they are asked for."""
    options: ViewSetOptions
    source: str | None = None


class SetsOfViews(DataKind[ViewSetDataset, ViewSets]):
    """The built-in objects, a posed scene, or a folder of posed scenes."""

    name: ClassVar[str] = "sets of views"
    options: ClassVar[type[Any]] = ViewSetOptions

    def read(self, source: object, options: ViewSetOptions) -> ViewSetDataset:
        if isinstance(source, ViewSetDataset):
            return source
        if not isinstance(source, str | Path):
            raise InputError(
                f"{type(source).__name__}: is not sets of views: give {OBJECTS!r} or a path"
            )
        if str(source) == OBJECTS:
            families = tuple(FAMILIES) if options.family == "all" else (options.family,)
            stream = ObjectStream(
                families, options.pool_size, options.fresh, options.views, options.image_size
            )
            held_out = lambda: stream.held_out(HELD_OUT)  # noqa: E731
            return ViewSetDataset(OBJECTS, stream, held_out, options, OBJECTS)
        path = Path(source)
        check_exists(path)
        train, test = read_scenes(path, options.image_size)
        return ViewSetDataset(path.resolve().name, train, lambda: test, options, str(path))

    def training(self, data: ViewSetDataset) -> ViewSets:
        return data.train

    def describe(self, data: ViewSetDataset) -> Description:
        batch = data.train.draw(1, 2, 0, torch.Generator().manual_seed(0))
        source = {"source": data.source, "scene": data.name, **dataclasses.asdict(data.options)}
        tensors: tuple[Tensor, ...] = (batch.images, batch.world_from_camera)
        names = ("view 0", "view 1")
        return Description(source, batch.cameras(0), names, tensors, keep_cameras=False)

    def evaluate(
        self, fitted: Fitted[Any], data: ViewSetDataset, lpips: LPIPS | None = None
    ) -> Evaluation:
        """PSNR and SSIM over white of views of held-out objects, from one image each."""
        return Evaluation(Scores(score_view_sets(fitted.novel_views, data.held_out())))


VIEW_SETS = SetsOfViews()
