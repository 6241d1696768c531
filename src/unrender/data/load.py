"""Posed images from wherever they are: a built-in scene, a file, a folder of a known layout."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unrender.data.blender import hold_out, load_blender, load_blender_views
from unrender.data.co3d import load_co3d
from unrender.data.colmap import find_colmap, load_colmap
from unrender.data.idr import find_idr, load_idr
from unrender.data.llff import POSES, load_llff
from unrender.data.multiscale import FILE, load_multiscale
from unrender.data.npz import load_npz
from unrender.data.procedural import NAMES, make_scene
from unrender.data.validate import Background
from unrender.data.views import Scene, Views
from unrender.errors import InputError


@dataclass(frozen=True)
class Format:
    """A layout of posed images on disk."""

    name: str
    what: str
    """How one tells it: shown where nothing was recognised."""
    recognises: Callable[[Path], bool]
    load: Callable[[Path, Background], Scene]


def _held_out(load: Callable[[Path], Views]) -> Callable[[Path, Background], Scene]:
    """Of a capture, whose background is a part of it; every tenth view is held out."""
    return lambda path, _background: hold_out(path.resolve().name, load(path))


def _is_blender(path: Path) -> bool:
    names = ("transforms_train.json", "transforms.json")
    return path.suffix == ".json" or any((path / name).is_file() for name in names)


# Where a folder holds several, the first: LLFF scenes come with the COLMAP model behind them.
FORMATS = (
    Format(
        "npz",
        "an .npz of images, poses and focal",
        lambda path: path.suffix == ".npz",
        lambda path, background: hold_out(path.stem, load_npz(path, background)),
    ),
    Format(
        "blender",
        "transforms_train.json or transforms.json (Blender, nerfstudio, instant-ngp)",
        _is_blender,
        load_blender,
    ),
    Format(
        "multiscale",
        "metadata.json (mip-NeRF's Blender scenes at several sizes)",
        lambda path: (path / FILE).is_file(),
        load_multiscale,
    ),
    Format(
        "llff",
        "poses_bounds.npy (LLFF)",
        lambda path: (path / POSES).is_file(),
        _held_out(load_llff),
    ),
    Format(
        "idr",
        "cameras.npz or cameras_sphere.npz (IDR, NeuS, DTU)",
        lambda path: find_idr(path) is not None,
        _held_out(load_idr),
    ),
    Format(
        "colmap",
        "sparse/0 with cameras, images and points3D (COLMAP)",
        lambda path: find_colmap(path) is not None,
        _held_out(load_colmap),
    ),
    Format(
        "co3d",
        "imgs and poses (CO3D, PyTorch3D)",
        lambda path: (path / "imgs").is_dir() and (path / "poses").is_dir(),
        _held_out(load_co3d),
    ),
)


def recognise(path: Path) -> Format:
    """The layout of a file or folder. InputError if it is none that is known."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    for known in FORMATS:
        if known.recognises(path):
            return known
    raise InputError(
        f"{path}: is no scene that is known; give {'; '.join(known.what for known in FORMATS)}"
    )


def load_scene(source: str, background: Background = "auto", downscale: int = 1) -> Scene:
    """Load the views to train on and to test on, at a whole fraction of their size.

    `source` is a built-in scene's name or a path, which comes before a name. Where the data
    have no test split, every tenth view is held out. Raises InputError.
    """
    path = _path(source)
    scene = make_scene(source) if path is None else recognise(path).load(path, background)
    if downscale == 1:
        return scene
    width, height = scene.train.cameras.width, scene.train.cameras.height
    if not 1 <= downscale <= min(width, height):
        raise InputError(
            f"--downscale {downscale}: images are {width}x{height}: give a factor from 1 to "
            f"{min(width, height)}"
        )
    size = width // downscale, height // downscale
    return replace(scene, train=scene.train.resized(*size), test=scene.test.resized(*size))


def load_views(source: str, background: Background = "auto") -> Views:
    """Load all views of an .npz, or the training views of anything else. Raises InputError."""
    path = _path(source)
    if path is None:
        return make_scene(source).train
    if path.suffix == ".npz":
        return load_npz(path, background)
    if _is_blender(path):
        return load_blender_views(path, background)
    return recognise(path).load(path, background).train


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
