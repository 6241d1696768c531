"""`unrender demo`: the whole loop on one scene."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from unrender.app.options import Words
from unrender.training.options import Device


@dataclass(frozen=True)
class DemoOptions:
    """The whole loop on one scene."""

    data: Annotated[str, Words(metavar="DATA")] = "bricks"
    """A built-in scene (bricks, chair, hotdog), or posed images as for `unrender fit`."""
    out: Annotated[Path | None, Words(metavar="FOLDER")] = None
    """New folder for all results (default: runs/demo-NAME, with a number if that exists)."""
    minutes: float = 8.0
    """Time for everything: 18.5% for fitting the scene, 50% for training the pose flow."""
    views: int = 4000
    """Images that the fitted scene renders for the pose flow to learn from."""
    seed: int = 0
    """Seed of all random numbers."""
    device: Device = "auto"
    """Where to compute; auto takes a CUDA GPU if there is one, else the CPU."""


def demo(options: Annotated[DemoOptions, Words(box="options")] = DemoOptions()) -> None:
    """Run the whole loop: images → scene → views → pose flow → images and poses → a report.

    Fits the method that suits the posed images, renders thousands of views with it, trains a
    flow-matching transformer on these, and evaluates both on held-out views: images of poses,
    and poses of images. Everything is in report.html, in the folder that is printed, with what
    did not go well. Large photographs are downscaled, and of oblong ones the flow sees the
    central squares.

    Examples:
        unrender demo
        unrender demo --data scene
        unrender demo --data hotdog --minutes 15
    """
    from tqdm import tqdm  # noqa: PLC0415

    from unrender.app.demo import run_demo  # noqa: PLC0415 - imports torch

    print(run_demo(options, tqdm.write))
