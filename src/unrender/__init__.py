"""Inverse graphics: images to scenes, poses to images, images to poses.

>>> import unrender as ur
>>> data = ur.load("bricks", downscale=4)                       # or a folder of posed images
>>> run = ur.fit("instant-ngp-fast", data, steps=20, progress=False)
>>> run.render(ur.turntable(4), size=64, progress=False).save("bricks.gif")

Everything named here is public and documented with an example; everything else may change.
Attributes are imported when they are first used, so that `import unrender` comes at once and
without torch.
"""

import os as _os
import sys as _sys
from importlib import import_module as _import_module

__version__ = "0.1.0"

_HOMES = {
    "unrender.api.cameras": ("CameraPath", "interpolate", "spiral", "turntable"),
    "unrender.api.compare": ("Comparison", "compare"),
    "unrender.api.data": ("degrade", "load", "process"),
    "unrender.api.fit": ("fit", "fit_shape"),
    "unrender.api.light_fields": ("refocus",),
    "unrender.api.novel_views": ("NovelViews", "novel_views"),
    "unrender.api.pose": ("read_images",),
    "unrender.api.run": ("Run",),
    "unrender.api.shapes": ("load_shape", "predict", "render"),
    "unrender.data.dataset": ("Dataset",),
    "unrender.data.views": ("Views",),
    "unrender.errors": ("InputError",),
    "unrender.evaluation.scores": ("Scores",),
    "unrender.geometry.cameras": ("Cameras",),
    "unrender.imaging.panels": ("save_panels",),
    "unrender.rendering.renderer": ("PoseEstimate", "Rendering"),
    "unrender.shapes.mesh": ("Mesh",),
    "unrender.shapes.mesh_sequence": ("MeshSequence",),
    "unrender.shapes.points": ("PointCloud",),
    "unrender.shapes.voxels": ("VoxelGrid",),
}
"""Where each public name lives; `__init__.pyi` says the same to type checkers."""
_PLACES = {name: home for home, names in _HOMES.items() for name in names}
_PLACES["open"] = "unrender.api.run"

__all__ = ["__version__", "methods", *_PLACES]  # pyright: ignore[reportUnsupportedDunderAll]

# Between torch's parallel loops its threads would spin for milliseconds on the cores that our
# own kernels need by then. OpenMP reads the setting once, when torch is imported.
if "torch" not in _sys.modules:
    _os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def __getattr__(name: str) -> object:
    if name == "methods":
        return _import_module("unrender.methods")
    if name not in _PLACES:
        raise AttributeError(f"module 'unrender' has no attribute {name!r}{_hint(name)}")
    module = _import_module(_PLACES[name])
    value = module.open_run if name == "open" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _hint(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - for an error only

    close = get_close_matches(name, __all__, n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
