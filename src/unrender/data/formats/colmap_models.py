"""Which of several COLMAP models of a data set is read.

COLMAP writes a model for each group of images that it could connect: sparse/0, sparse/1, …
"""

import struct
from pathlib import Path

from unrender.notes import note

FOLDERS = (".", "sparse/*", "sparse", "colmap/sparse/*", "colmap/sparse")
"""Folders that may contain a model, relative to the data set; a star is any name."""


def find_models(path: Path) -> list[Path]:
    """The folders of a data set that contain a model, 0 before 1 before 10."""
    found: list[Path] = []
    for name in FOLDERS:
        above, star = (path / name).parent, name.endswith("*")
        folders = sorted(above.glob("*"), key=_by_number) if star else [path / name]
        found += [each for each in folders if _ending(each) is not None]
    return found


def find_colmap(path: Path) -> Path | None:
    """The folder of the model with most images, or None if there is no model."""
    models = find_models(path) if path.is_dir() else []
    # The first of the largest ones.
    return max(models, key=count_images, default=None)


def note_others(path: Path, chosen: Path) -> None:
    """Say which model is read, if there are others."""
    counts = {each: count_images(each) for each in find_models(path)}
    others = [each for each in counts if each != chosen]
    if others:
        listed = ", ".join(f"{each.relative_to(path)} ({counts[each]})" for each in others[:4])
        more = f" and {len(others) - 4} more" if len(others) > 4 else ""
        note(
            f"{path}: has {len(counts)} COLMAP models: {chosen.relative_to(path)} is read, "
            f"with most images ({counts[chosen]}), not {listed}{more}"
        )


def count_images(folder: Path) -> int:
    """Images that a model says it has; 0 where that cannot be told."""
    ending = _ending(folder)
    file = folder / f"images.{ending}"
    try:
        if ending == "bin":
            with file.open("rb") as stream:
                (count,) = struct.unpack("<Q", stream.read(8))
            return count if count * 64 <= file.stat().st_size else 0
        with file.open("rb") as stream:
            # Two lines an image, of which the second may be empty.
            return (sum(not line.startswith(b"#") for line in stream) + 1) // 2
    except (OSError, struct.error):
        return 0


def _ending(folder: Path) -> str | None:
    """Of the model's files; None if there is no model."""
    for ending in ("bin", "txt"):
        if (folder / f"cameras.{ending}").is_file():
            return ending
    return None


def _by_number(folder: Path) -> tuple[int, str]:
    number = int(folder.name) if folder.name.isdecimal() and len(folder.name) < 10 else 10**9
    return number, folder.name
