"""Posed images, split into those to learn from and those to be evaluated on."""

from dataclasses import dataclass
from typing import Any

import torch

from unrender.data.views import Views


@dataclass(frozen=True)
class Dataset:
    """Training views and held-out test views of one scene.

    >>> import unrender as ur
    >>> data = ur.load("bricks")
    >>> data
    Dataset(bricks: train=100 views of 160×160, test=50)
    """

    name: str
    train: Views
    test: Views
    source: str | None = None
    """The path or built-in name that it was loaded from; None if it was made in memory."""
    options: Any = None
    """How it was read: the `LoadOptions`, where it was loaded."""

    @classmethod
    def of_views(cls, views: Views, name: str = "views") -> "Dataset":
        """All of these views to train on, and none held out."""
        return cls(name, views, views.select(torch.zeros(0, dtype=torch.long)))
