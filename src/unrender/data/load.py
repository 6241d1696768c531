"""Posed images from wherever they are: a built-in scene, an .npz, a Blender folder."""

from pathlib import Path

from unrender.data.blender import hold_out, load_blender, load_blender_views
from unrender.data.npz import load_npz
from unrender.data.validate import Background
from unrender.data.views import Scene, Views


def load_scene(source: str, background: Background = "auto") -> Scene:
    """Load the views to train on and to test on.

    `source` is an .npz, of which every tenth view is held out, or what `load_blender` reads.
    Raises InputError.
    """
    path = Path(source)
    if path.suffix == ".npz":
        return hold_out(path.stem, load_npz(path, background))
    return load_blender(path, background)


def load_views(source: str, background: Background = "auto") -> Views:
    """All views of an .npz, or the training views of anything else. Raises InputError."""
    path = Path(source)
    if path.suffix == ".npz":
        return load_npz(path, background)
    return load_blender_views(path, background)
