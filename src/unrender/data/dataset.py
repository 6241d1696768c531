"""Posed images, split into training and test views."""

import dataclasses
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from unrender.data.origin import Origin
from unrender.data.views import Views
from unrender.errors import InputError

Layout = Literal["blender", "nerfies"]


@dataclass(frozen=True)
class Dataset:
    """Training views and held-out test views of one scene.

    >>> import unrender as ur
    >>> data = ur.load("bricks")
    >>> data
    Dataset(bricks: train=100 views of 160×160, test=50)
    >>> data.train[:10]
    Views(10 × 160×160 RGBA, fov 39.6°, radius 4.0)
    """

    name: str
    train: Views
    test: Views
    source: str | None = None
    """Path or built-in name that it was loaded from; None if it was made in memory."""
    options: Any = None
    """The `LoadOptions` it was read with, if it was loaded."""

    def __repr__(self) -> str:
        """Name, number and size of the training views, and number of test views.

        >>> import torch
        >>> import unrender as ur
        >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1)], size=(32, 24))
        >>> ur.Dataset.of_views(ur.Views(cameras, torch.zeros(2, 24, 32, 4)), "clear")
        Dataset(clear: train=2 views of 32×24, test=0)
        """
        views = f"{len(self.train)} view{'' if len(self.train) == 1 else 's'}"
        sizes, test = self.train.cameras.sizes, len(self.test)
        return f"Dataset({self.name}: train={views} of {sizes}, test={test})"

    def about(self, origin: Origin) -> "Dataset":
        """The dataset with its views about another origin: see `Views.about`."""
        train, test = self.train.about(origin), self.test.about(origin)
        return dataclasses.replace(self, train=train, test=test)

    def save(self, path: str | Path, layout: Layout = "blender") -> None:
        """Write a new folder of images and cameras of both splits, which `unrender.load` reads.

        `layout` is "blender" (transforms_train.json and transforms_test.json, with the times of
        D-NeRF) or "nerfies" (Nerfies and HyperNeRF). Both have the views' times and ids, but no
        depths and normals. Raises InputError if the folder exists or cannot be written, and for
        another layout.

        >>> import unrender as ur
        >>> ur.load("bricks", downscale=8).save("scene", layout="nerfies")
        >>> ur.load("scene")
        Dataset(scene: train=100 views of 20×20, test=50)
        """
        # These modules import this one.
        from unrender.data.formats.blender import write_blender  # noqa: PLC0415
        from unrender.data.formats.nerfies_writing import write_nerfies  # noqa: PLC0415

        target = Path(path)
        if layout == "nerfies":
            write_nerfies(target, self)
        elif layout == "blender":
            write_blender(target, self.train, self.test)
        else:
            raise InputError(f"layout {layout!r}: give one of {', '.join(get_args(Layout))}")

    def show(self) -> None:
        """Show some of the training views: in a notebook, a window or a file."""
        self.train.show()

    def _repr_html_(self) -> str:
        # Pages lie above this package: the front door draws the cameras, once it is asked.
        return import_module("unrender.api.notebook").dataset_html(self)

    @classmethod
    def of_views(cls, views: Views, name: str = "views") -> "Dataset":
        """A dataset with all of these views for training and none held out.

        >>> import unrender as ur
        >>> ur.Dataset.of_views(ur.load("bricks", downscale=8).train[:10])
        Dataset(views: train=10 views of 20×20, test=0)
        """
        return cls(name, views, views.select(torch.zeros(0, dtype=torch.long)))
