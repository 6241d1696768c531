"""Posed scenes as sets of views: one scene, or a folder of them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from unrender.data.capture import is_cut_out
from unrender.data.dataset import Dataset
from unrender.data.load import load_dataset, recognize
from unrender.data.options import LoadOptions
from unrender.data.squares import squares
from unrender.data.view_sets.view_sets import ViewBatch, ViewPool, ViewSets
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.bounds import scene_center
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import to_bytes

HELD_OUT_EVERY = 10
"""Of several scenes, every tenth is held out."""
TEST_VIEWS = 12
"""Views of a held-out scene, at most: an input, and targets."""


@dataclass(frozen=True)
class SceneImages:
    """Square images of one scene, packed, and their cameras about its center."""

    images: UInt8[Tensor, "views height width 4"]
    cameras: Cameras

    @classmethod
    def of(cls, views: Views, center: Float[Tensor, "3"], size: int) -> "SceneImages":
        """The central squares of the images, of `size` pixels a side, about this center."""
        cut = squares(views, size)
        images = cut.rgba if is_cut_out(views) else cut.opaque
        return cls(to_bytes(unpremultiply(images)), cut.cameras.translated(-center))

    def pool(self, index: list[int]) -> ViewPool:
        """These views, as a single set."""
        pose, matrix = self.cameras.world_from_camera, self.cameras.intrinsics
        return ViewPool(self.images[index][None], pose[index][None], matrix[index][None])


class SceneSets(ViewSets):
    """Random views of random scenes."""

    def __init__(self, scenes: list[SceneImages], size: int):
        self.scenes, self.size = scenes, size

    @property
    def views(self) -> int:
        return min(len(scene.images) for scene in self.scenes)

    def draw(self, sets: int, views: int, step: int, generator: torch.Generator) -> ViewBatch:
        chosen = torch.randint(len(self.scenes), (sets,), generator=generator)
        parts: list[ViewPool] = []
        for number in chosen.tolist():
            scene = self.scenes[number]
            order = torch.randperm(len(scene.images), generator=generator)
            parts.append(scene.pool(order[:views].tolist()))
        every = torch.arange(views).expand(sets, -1)
        return joined(parts).batch(torch.arange(sets), every)


def joined(parts: list[ViewPool]) -> ViewPool:
    """The sets of several pools, with equally many views each."""
    return ViewPool(
        torch.cat([part.images for part in parts]),
        torch.cat([part.world_from_camera for part in parts]),
        torch.cat([part.intrinsics for part in parts]),
    )


def read_scenes(path: Path, size: int) -> tuple[SceneSets, ViewPool]:
    """Training scenes and held-out views of a posed scene, or of a folder of such scenes.

    Of a folder of several scenes every tenth is held out (at least one); of one scene, its
    held-out views, after one training view. Raises InputError.
    """
    folders = [path]
    if path.is_dir() and not _is_scene(path):
        folders = sorted(entry for entry in path.iterdir() if _is_scene(entry))
    if not folders:
        raise InputError(
            f"{path}: holds no posed scenes: give a scene, or a folder whose folders are scenes"
        )
    datasets = [load_dataset(folder, LoadOptions()) for folder in folders]
    if len(datasets) == 1:
        return _of_one(datasets[0], size)
    scenes = [SceneImages.of(each.train, _center(each), size) for each in datasets]
    every = min(HELD_OUT_EVERY, len(scenes))
    held_out = [scene for k, scene in enumerate(scenes) if k % every == every - 1]
    kept = [scene for k, scene in enumerate(scenes) if k % every != every - 1]
    count = min(TEST_VIEWS, *(len(scene.images) for scene in held_out))
    tests = [scene.pool(evenly(count, len(scene.images))) for scene in held_out]
    return SceneSets(kept, size), joined(tests)


def _is_scene(path: Path) -> bool:
    try:
        recognize(path)
    except InputError:
        return False
    return True


def _center(dataset: Dataset) -> Float[Tensor, "3"]:
    views = dataset.train
    return scene_center(views.cameras) if views.ball is None else views.ball[:3]


def _of_one(dataset: Dataset, size: int) -> tuple[SceneSets, ViewPool]:
    center = _center(dataset)
    train, test = (SceneImages.of(part, center, size) for part in (dataset.train, dataset.test))
    if len(train.images) < 2 or not len(test.images):
        raise InputError(
            f"{dataset.name}: has too few views: give two for training, and a held-out one"
        )
    shown = test.pool(evenly(TEST_VIEWS - 1, len(test.images)))
    first = train.pool([0])
    joint = ViewPool(
        torch.cat([first.images, shown.images], dim=1),
        torch.cat([first.world_from_camera, shown.world_from_camera], dim=1),
        torch.cat([first.intrinsics, shown.intrinsics], dim=1),
    )
    return SceneSets([train], size), joint
