"""The photographs in a folder and the folders below, as cameras and phones leave them."""

import os
from pathlib import Path

from unrender.errors import InputError
from unrender.files.data_folder import is_hidden
from unrender.imaging.files import ENDINGS, is_image_file
from unrender.notes import note

UNREADABLE = (
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".psd", ".exr"),
    *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
)
"""Endings of photographs that are not read: of phones, and raw ones of cameras."""


def find_photographs(source: Path) -> list[Path]:
    """All photographs below a folder, sorted, without hidden files and folders.

    Says how many photographs there are of kinds that are not read. Raises InputError if there
    are no others, or if a folder cannot be read.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such folder or video: check the path")
    found: list[Path] = []
    others: list[Path] = []

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check it")

    # Links to folders are followed only if the folder itself is one: they may lead in circles.
    for above, folders, names in os.walk(source, onerror=refuse):
        folders[:] = [name for name in folders if not is_hidden(name)]
        paths = [Path(above) / name for name in names if not is_hidden(name)]
        found += [path for path in paths if is_image_file(path) and path.is_file()]
        others += [path for path in paths if path.suffix.lower() in UNREADABLE]
    if others:
        kinds = " and ".join(sorted({path.suffix.lower() for path in others})[:4])
        what = (
            f"{len(others)} photographs ({kinds}, such as {min(others).name}) cannot be read: "
            "convert them to JPEG or PNG"
        )
        if not found:
            raise InputError(f"{source}: its {what}")
        note(f"{source}: {what}; they are left out, and {len(found)} are taken")
    if not found:
        raise InputError(f"{source}: contains no images ({', '.join(ENDINGS)}): check the path")
    return sorted(found)
