"""Files that data name: found in the folder of the data, and nowhere that was not meant.

Data come from other people and other machines. Their names may have backslashes, percent
encoding, another case or no ending, and full paths of the machine that wrote them.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from unrender.errors import InputError
from unrender.files import shown
from unrender.notes import note

ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
"""A full path, once its backslashes are slashes."""


class DataFolder:
    """Finds the files that data in a folder name.

    They may lie in the folder and below, in the folder above it and below, and where links
    inside these lead; with `outside`, anywhere. A full path of another machine is looked for by
    its last components in the folder itself.
    """

    def __init__(self, folder: Path, outside: bool = False):
        self.folder = folder.resolve()
        self.outside = outside
        above = self.folder.parent
        # Below the root of the file system is everything.
        self.allowed = self.folder if above == above.parent else above
        self._moved: list[tuple[str, Path]] = []
        self._renamed: list[tuple[str, Path]] = []
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, label: str, what: str, value: Any, endings: Sequence[str]) -> Path | None:
        """The file that `value` names, or None if there is none.

        `endings` are tried where it has none, and in place of one of them where that file is
        not there. `label` and `what` name the entry in messages. Raises InputError if `value`
        is not a name, or names a place outside.
        """
        if not isinstance(value, str) or not value or "\0" in value:
            raise InputError(f"{label}: {what} is {shown(value)}, not a file name; correct it")
        left = False
        for spelling in _spellings(value):
            target = Path(os.path.normpath(self.folder / spelling))
            if self.outside or target.is_relative_to(self.allowed):
                found = self._existing(value, target, endings)
                if found is not None:
                    return found
            else:
                left = True
            if ABSOLUTE.match(spelling):
                parts = [part for part in spelling.split("/") if part not in ("", ".", "..")]
                for k in range(1, len(parts)):
                    found = self._existing(value, self.folder.joinpath(*parts[k:]), endings)
                    if found is not None:
                        self._moved.append((value, found))
                        return found
        if left:
            raise InputError(
                f"{label}: {what} {shown(value)} leaves {self.allowed}; move the file there, "
                "or give --outside (outside=True) if you trust the data"
            )
        return None

    def name(self, path: Path) -> str:
        """A found file's path relative to the folder, with slashes."""
        return Path(os.path.relpath(path, self.folder)).as_posix()

    def tell(self, source: Path) -> None:
        """Say which files of those that `source` names were found elsewhere than it says."""
        for found, how in (
            (self._moved, "is read from the folder of the data, as"),
            (self._renamed, "is not there, and is read as"),
        ):
            if found:
                (value, path), others = found[0], len(found) - 1
                more = f", and {others} more likewise" if others else ""
                note(f"{source}: {shown(value)} {how} {self.name(path)}{more}")
        self._moved, self._renamed = [], []

    def _existing(self, value: str, target: Path, endings: Sequence[str]) -> Path | None:
        """The file of this name, of any case, and with any ending where it has none."""
        folder = self._folder(target.parent)
        if folder is None or target == self.folder:
            return None
        for ending in ("", *endings):
            if os.path.isfile(folder / (target.name + ending)):
                return folder / (target.name + ending)
        for ending in ("", *endings):
            known = self._known(folder, target.name + ending)
            if len(known) == 1:
                return known[0]
        if target.suffix.lower() in endings:
            known = [path for e in endings for path in self._known(folder, target.stem + e)]
            if len(known) == 1:
                self._renamed.append((value, known[0]))
                return known[0]
        return None

    def _folder(self, path: Path) -> Path | None:
        """The folder of this name, or of this name in another case if there is only one."""
        if os.path.isdir(path):
            return path
        if path == path.parent:
            return None
        above = self._folder(path.parent)
        if above is None:
            return None
        names = self._listing(above).get(path.name.lower(), [])
        known = [above / name for name in names if os.path.isdir(above / name)]
        return known[0] if len(known) == 1 else None

    def _known(self, folder: Path, name: str) -> list[Path]:
        """The files of a folder with this name, in any case."""
        names = self._listing(folder).get(name.lower(), [])
        return [folder / each for each in names if os.path.isfile(folder / each)]

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder by their lower case; none if it cannot be read."""
        if folder not in self._listings:
            found: dict[str, list[str]] = {}
            try:
                names = sorted(os.listdir(folder))
            except OSError:
                names = []
            for name in names:
                if not is_hidden(name):
                    found.setdefault(name.lower(), []).append(name)
            self._listings[folder] = found
        return self._listings[folder]


def _spellings(value: str) -> list[str]:
    """The name as it is, with slashes for backslashes, and without percent encoding."""
    local = value.removeprefix("file://")
    slashes = local.replace("\\", "/")
    decoded = unquote(local)
    found = (local, slashes, decoded, decoded.replace("\\", "/"))
    return [name for name in dict.fromkeys(found) if name and "\0" not in name]


def is_hidden(name: str) -> bool:
    """Whether a file is none of the data: hidden, as macOS's `._*`, or of Windows' folders."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")
