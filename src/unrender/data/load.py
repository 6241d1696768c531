"""Posed images from wherever they are: a built-in scene, an .npz, a Blender folder."""

from pathlib import Path

from unrender.data.blender import hold_out, load_blender, load_blender_views
from unrender.data.npz import load_npz
from unrender.data.procedural import NAMES, make_scene
from unrender.data.validate import Background
from unrender.data.views import Scene, Views
from unrender.errors import InputError


def load_scene(source: str, background: Background = "auto") -> Scene:
    """Load the views to train on and to test on.

    `source` is a built-in scene's name, an .npz, of which every tenth view is held out, or
    what `load_blender` reads; a path that exists comes before a name. Raises InputError.
    """
    path = _path(source)
    if path is None:
        return make_scene(source)
    if path.suffix == ".npz":
        return hold_out(path.stem, load_npz(path, background))
    return load_blender(path, background)


def load_views(source: str, background: Background = "auto") -> Views:
    """Load all views of an .npz, or the training views of anything else. Raises InputError."""
    path = _path(source)
    if path is None:
        return make_scene(source).train
    if path.suffix == ".npz":
        return load_npz(path, background)
    return load_blender_views(path, background)


def _path(source: str) -> Path | None:
    """None for a built-in scene."""
    path = Path(source)
    if path.exists():
        return path
    if source in NAMES:
        return None
    raise InputError(
        f"{source}: is neither a file or folder nor a built-in scene; "
        f"give a path or one of {', '.join(NAMES)}"
    )
