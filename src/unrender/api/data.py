"""Data of the front door: load posed images, and place the cameras of plain ones."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from unrender.data.builtin import SCENES
from unrender.data.dataset import Dataset
from unrender.data.degradation import Degradation
from unrender.data.degrade import degrade_dataset
from unrender.data.load import LoadOptions, has_cameras, load_dataset
from unrender.data.structure_from_motion import Reconstructed, Stage
from unrender.data.structure_from_motion import process as reconstruct
from unrender.errors import InputError
from unrender.files import check_exists, check_new, remove_folder, replacing
from unrender.inverse.card_photographs import process_card
from unrender.methods.presets import check_options
from unrender.ranges import check_ranges
from unrender.training.progress import progress_bar

SceneLayout = Literal["colmap", "blender", "nerfies"]


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
    check_options("load", options, LoadOptions)
    chosen = LoadOptions(**options)
    check_ranges(chosen)
    return load_dataset(source, chosen)


def process(
    source: str | Path,
    out: str | Path,
    *,
    frames: int = 100,
    size: int = 1600,
    layout: SceneLayout | None = None,
    card: tuple[float, float] | None = None,
    progress: bool = True,
) -> Dataset:
    """Estimate the cameras of photographs or of a video by COLMAP, or by a card's outline.

    Needs the extra `sfm` (pycolmap) without `card`: pip install 'unrender[sfm]'.

    Args:
        source: A folder of photographs, or a video. With another `layout` than colmap, also
            posed images as for `load`, which keep their cameras.
        out: The folder to make: images/ and a COLMAP model in sparse/0/; of a video also
            times.json, the seconds of its frames, which become `cameras.times`.
        frames: Frames taken of a video: the sharpest of as many equal intervals.
        size: Pixels of the longer side; larger images are downscaled.
        layout: "colmap" as above, the default; "blender", the default with `card`, or
            "nerfies" for a folder of undistorted images in that layout, as `Dataset.save`
            writes it, of which every tenth is held out.
        card: Width and height of a flat rectangle, such as (85.6, 53.98), all of which each
            photograph shows on a ground of another color: cameras follow from its outline. Its
            unit becomes the scene's, and its middle the origin.
        progress: Whether to show progress bars.

    Returns the posed images, as `load` reads them from `out`. InputError if too few
    photographs can be registered, and for another layout.

    >>> import unrender as ur
    >>> ur.process("no such folder", out="scene")
    Traceback (most recent call last):
    unrender.errors.InputError: no such folder: no such file or folder; check the path
    """
    process_scene(Path(source), Path(out), frames, size, layout, progress, card)
    return load(out)


def process_scene(
    source: Path,
    out: Path,
    frames: int,
    size: int,
    layout: SceneLayout | None = None,
    progress: bool = True,
    card: tuple[float, float] | None = None,
) -> Reconstructed | None:
    """What `process` does before it loads the outcome.

    Returns figures of the reconstruction; None where the cameras were known before.
    """
    if layout not in (None, *get_args(SceneLayout)):
        raise InputError(f"layout {layout!r}: give one of {', '.join(get_args(SceneLayout))}")
    if card is not None:
        if layout == "colmap":
            raise InputError("layout 'colmap': a card makes no COLMAP model; give blender")
        with _stages(source, progress) as stage:
            return process_card(source, out, card, frames, size, layout or "blender", stage)
    if layout in (None, "colmap"):
        return _reconstruct(source, out, frames, size, progress)
    check_new(out)
    if str(source) in SCENES or (source.exists() and has_cameras(source)):
        load_dataset(str(source)).save(out, layout)
        return None
    with replacing(out, folder=True) as folder:
        model, made = folder / "colmap", folder / layout
        found = _reconstruct(source, model, frames, size, progress)
        load_dataset(model).save(made, layout)
        remove_folder(model)
        for entry in [*made.iterdir()]:
            entry.rename(folder / entry.name)
        made.rmdir()
    return found


def _reconstruct(
    source: Path, out: Path, frames: int, size: int, progress: bool
) -> Reconstructed:
    with _stages(source, progress) as stage:
        return reconstruct(source, out, frames, size, stage)


@contextmanager
def _stages(source: Path, progress: bool) -> Generator[Stage]:
    """A progress bar for each stage of work on files that exist."""
    check_exists(source)
    bars: dict[str, Any] = {}

    def stage(name: str, done: int, total: int) -> None:
        if name not in bars:
            bars[name] = progress_bar(total, name, show=progress)
        bars[name].update(done - bars[name].n)

    try:
        yield stage
    finally:
        for bar in bars.values():
            bar.close()


def degrade(
    source: str | Path | Dataset, *, seed: int = 0, test: bool = False, **options: Any
) -> Dataset:
    """Posed images as a worse capture would have recorded them: dark, noisy, blurred or few.

    In the order of a camera: blur and fewer pixels in linear light, photons and electrons,
    gains, and the file's encoding.

    Args:
        source: What `load` reads, or a dataset.
        seed: Seed of the noise, and of what differs from image to image.
        test: Whether the held-out views are degraded too; by default they stay, as the truth.
        **options: `motion_blur=8.0` and `defocus=5.0` (pixels), `blurred_share=0.5`,
            `downscale=2`, `photons=50.0` (of a white pixel), `read_noise=2.0` (electrons),
            `underexposure=2.0`, `exposure_jitter=0.5` and `white_balance_jitter=0.2` (stops),
            `bits=6`, `jpeg=30` (quality), `video=35` (rate factor), `count=20`; see
            `unrender.data.degradation.Degradation`.

    Raises InputError for unknown options, strengths out of range, and what cannot be done to
    these images.

    >>> import unrender as ur
    >>> ur.degrade("bricks", photons=50.0, motion_blur=4.0, downscale=2)
    Dataset(bricks: train=100 views of 80×80, test=50)
    """
    check_options("degrade", options, Degradation)
    how = Degradation(**options)
    data = source if isinstance(source, Dataset) else load(source)
    return degrade_dataset(data, how, seed, test)
