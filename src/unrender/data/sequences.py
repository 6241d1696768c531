"""Many scenes below one folder: sequences of RealEstate10K, ACID, CO3D, scenes of any format.

A model that is trained on many scenes reads them one by one:

    for sequence in sequences("RealEstate10K/train"):
        views = sequence.load(LoadOptions(downscale=4))
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from unrender.data.formats.realestate10k import find_frames, lists_of_cameras
from unrender.data.load import FORMATS, load_dataset
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.views import Views, joined
from unrender.errors import InputError
from unrender.files import check_exists
from unrender.files.data_folder import is_hidden
from unrender.notes import note

LISTED = "realestate10k"
SCENES = [each for each in FORMATS if each.name not in {LISTED, "npz"}]
"""Formats whose scene is a folder."""


@dataclass(frozen=True)
class ImageSequence:
    """Posed images of one scene, which are not read yet."""

    name: str
    """Its path below the folder that was searched, with slashes and without ending."""
    format: str
    """The name of its format: `realestate10k`, `co3d`, `colmap`, …"""
    path: Path

    def load(self, options: LoadOptions = DEFAULTS) -> Views:
        """All of its views, training and test. InputError, as `unrender.load` has it."""
        data = load_dataset(self.path, replace(options, hold_out=0))
        return joined([data.train, data.test]) if len(data.test) else data.train


def sequences(path: str | Path) -> list[ImageSequence]:
    """All scenes below a folder, sorted by name, or the one that `path` itself is.

    They are lists of cameras of RealEstate10K and ACID, with the frames that `find_frames`
    finds, and folders of every other format that `unrender.load` reads, CO3D's among them.
    Images are not opened. Lists without frames are left out, with a note. Raises InputError if
    there are no scenes.
    """
    root = Path(path)
    check_exists(root)
    if root.is_file():
        known = next((each.name for each in FORMATS if each.recognizes(root)), None)
        found = [] if known is None else [ImageSequence(root.stem, known, root)]
        alone: list[Path] = []
    else:
        found, alone = _below(root)
    without = f"{len(alone)} lists of cameras without frames" + (
        f", such as {alone[0].name}" if alone else ""
    )
    if not found and alone:
        raise InputError(
            f"{root}: has {without}: put those of ID.txt in the folder ID beside it, each "
            "named by its time"
        )
    if not found:
        raise InputError(
            f"{root}: has no scene that unrender.load reads: give a folder of sequences, such "
            "as ID.txt beside ID/ with frames (RealEstate10K, ACID), or imgs/ and poses/ (CO3D)"
        )
    if alone:
        note(f"{root}: {without}: they are left out, and {len(found)} sequences are read")
    return sorted(found, key=lambda each: each.name)


def _below(root: Path) -> tuple[list[ImageSequence], list[Path]]:
    """Scenes in a folder, and lists of cameras without frames."""
    found: list[ImageSequence] = []
    alone: list[Path] = []
    for folder, names in _walked(root):
        below = folder.relative_to(root)
        lists = {file: find_frames(file) for file in lists_of_cameras(folder)}
        for file, frames in lists.items():
            if frames is None:
                alone.append(file)
                continue
            found.append(ImageSequence((below / file.stem).as_posix(), LISTED, file))
            # A folder of frames has nothing else, and may hold very many files.
            if frames.parent == folder.absolute() and frames.name in names:
                names.remove(frames.name)
        known = next((x.name for x in SCENES if not lists and x.recognizes(folder)), None)
        if known is not None:
            name = root.resolve().name if folder == root else below.as_posix()
            found.append(ImageSequence(name, known, folder))
            names.clear()
    return found, alone


def _walked(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders, each with a list of those in it that are next; links are followed once."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check it")

    seen: set[Path] = set()
    for above, names, _ in os.walk(root, onerror=refuse, followlinks=True):
        folder = Path(above)
        whole = folder.resolve()
        names[:] = sorted(name for name in names if not is_hidden(name))
        if whole in seen:
            names.clear()
            continue
        seen.add(whole)
        yield folder, names
