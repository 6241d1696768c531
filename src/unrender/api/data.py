"""Data of the front door: load posed images, and place the cameras of plain ones."""

import dataclasses
from pathlib import Path
from typing import Any

from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.structure_from_motion import process as reconstruct
from unrender.errors import InputError
from unrender.files import check_exists
from unrender.methods.presets import nearest
from unrender.ranges import check_ranges
from unrender.training.progress import progress_bar


def load(source: str | Path, **options: Any) -> Dataset:
    """Load posed images: training views and held-out views.

    Args:
        source: A built-in scene ("bricks", "chair", "hotdog"; "lamp", which moves; "shiny", of
            metal, glass and a hologram), or a path: Blender, nerfstudio, COLMAP, LLFF, IDR,
            CO3D, Nerfies or Non-Rigid NeRF folder, a light field's folder of images named
            NAME_ROW_COLUMN_V_U, or an .npz of images, poses and focal.
        **options: `downscale=2`, `hold_out=8` (every N-th view is held out where there is no
            test split), `background="white"`, `masks="folder"`, `ball=(x, y, z, radius)`,
            `light="path"` for built-in scenes, `fov=40.0` and `reference_plane=0.0` for light
            fields; see `unrender.data.load.LoadOptions`.

    Raises InputError for a path that is missing or holds no such data: for a folder of plain
    photographs, whose cameras `unrender.process` estimates first.

    >>> import unrender as ur
    >>> ur.load("bricks", downscale=2)
    Dataset(bricks: train=100 views of 80×80, test=50)
    """
    known = [field.name for field in dataclasses.fields(LoadOptions)]
    for name in options:
        if name not in known:
            raise InputError(f"load: has no option {name!r}{nearest(name, known)}")
    chosen = LoadOptions(**options)
    check_ranges(chosen)
    return load_dataset(source, chosen)


def process(
    source: str | Path,
    out: str | Path,
    *,
    frames: int = 100,
    size: int = 1600,
    progress: bool = True,
) -> Dataset:
    """Estimate the cameras of photographs or of a video by COLMAP.

    Needs the extra `sfm` (pycolmap): pip install 'unrender[sfm]'.

    Args:
        source: A folder of photographs, or a video.
        out: The folder to make: images/ and a COLMAP model in sparse/0/; of a video also
            times.json, the seconds of its frames, which become `cameras.times`.
        frames: Frames taken of a video: the sharpest of as many equal intervals.
        size: Pixels of the longer side; larger images are downscaled.
        progress: Whether to show progress bars.

    Returns the posed images, as `load` reads them from `out`. InputError if too few
    photographs can be registered.

    >>> import unrender as ur
    >>> ur.process("no such folder", out="scene")
    Traceback (most recent call last):
    unrender.errors.InputError: no such folder: no such file or folder; check the path
    """
    reconstruct_scene(Path(source), Path(out), frames, size, progress)
    return load(out)


def reconstruct_scene(
    source: Path, out: Path, frames: int, size: int, progress: bool = True
) -> Any:
    """What `process` does before it loads the outcome; returns the reconstruction's figures."""
    check_exists(source)
    bars: dict[str, Any] = {}

    def stage(name: str, done: int, total: int) -> None:
        if name not in bars:
            bars[name] = progress_bar(total, name, show=progress)
        bars[name].update(done - bars[name].n)

    try:
        return reconstruct(source, out, frames, size, stage)
    finally:
        for bar in bars.values():
            bar.close()
