"""Material libraries of OBJ files (MTL).

Read: Kd and map_Kd with its options -s, -o and -clamp (u·s + o, as other programs have it), and
illum 0, which is a constant color. The other options change nothing of the base color's place
and are passed over. Whatever cannot be read is noted, and the material has no color.
"""

import re
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.files import read_text
from unrender.imaging.files import read_image
from unrender.notes import note
from unrender.shapes.files.contents import Material, sibling_file, unit_colors

OPTIONS = {
    "-blendu": 1,
    "-blendv": 1,
    "-bm": 1,
    "-boost": 1,
    "-cc": 1,
    "-clamp": 1,
    "-imfchan": 1,
    "-mm": 2,
    "-texres": 1,
    "-type": 1,
}
"""Options of an image and their numbers of words; -s, -o and -t take one to three numbers."""

Library = dict[str, tuple[Path, dict[str, str]]]
"""The lines of materials by their keys, in small letters, with their file."""


def lines_of(text: str) -> list[str]:
    """Lines of a text with any line endings, with continued lines joined."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    return plain.replace("\\\n", " ").split("\n")


def read_libraries(path: Path, named: list[str]) -> tuple[Library, bool]:
    """The materials of the libraries that an OBJ file names, and whether all are there.

    A line may name several. Those that cannot be read are noted.
    """
    found: Library = {}
    whole = True
    for line in dict.fromkeys(named):
        for name in _names(path, line):
            try:
                file = sibling_file(path, name)
                text = read_text(file)
            except InputError as error:
                note(f"{error}; the mesh is read without its colors")
                whole = False
                continue
            current: dict[str, str] = {}
            for row in lines_of(text):
                key, _, rest = row.strip().replace("\t", " ").partition(" ")
                if key.lower() == "newmtl":
                    current = {}
                    found[rest.strip()] = file, current
                else:
                    current[key.lower()] = rest.strip()
    return found, whole


def _names(path: Path, line: str) -> list[str]:
    """The names in a line: one with spaces if there is such a file, else several."""
    quoted = re.findall(r'"([^"]+)"', line)
    words = line.split()
    if quoted or len(words) < 2:
        return quoted or [line]
    plain = line.partition(" #")[0].strip()
    try:
        alone = (path.parent / plain).is_file()
    except (OSError, ValueError):
        alone = False
    several = re.findall(r".+?\.mtl(?=\s|$)", plain, re.IGNORECASE)
    return [plain] if alone or len(several) < 2 else [name.strip() for name in several]


def material_of(library: Library, name: str) -> Material | None:
    """A material of a library; None if it has no color that can be read, which is noted."""
    file, lines = library[name]
    unlit = lines.get("illum", "").split(" ")[0] == "0"
    if "map_kd" in lines:
        try:
            return _with_image(file, lines["map_kd"], unlit)
        except InputError as error:
            note(f"{error}; {name[:40]!r} is read without color")
            return None
    color = _color(file, name, lines.get("kd", "1 1 1").partition("#")[0].split())
    return None if color is None else Material(color, unlit=unlit)


def _color(file: Path, name: str, words: list[str]) -> Float[Tensor, "3"] | None:
    """Kd: three numbers, or one for all."""
    try:
        numbers = [float(word) for word in words[:3]]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3):
        note(f"{file}: Kd of {name[:60]!r} is {' '.join(words)[:60]!r}: it is not read")
        return None
    color = torch.tensor(numbers, dtype=torch.float64).expand(3).clone()[None]
    found = unit_colors(file, f"Kd of {name[:40]!r}", color)
    return None if found is None else found[0].float()


def _with_image(file: Path, text: str, unlit: bool) -> Material:
    """The material of an image with options. Raises InputError if it cannot be read."""
    scale, offset, clamp = [1.0, 1.0], [0.0, 0.0], False
    while (option := re.match(r"(-[A-Za-z]+)\s+", text)) is not None:
        key, words = option[1].lower(), text.split()
        if key in ("-s", "-o", "-t"):
            numbers = _numbers(words[1:4])
            chosen = {"-s": scale, "-o": offset}.get(key, [0.0, 0.0])
            chosen[: len(numbers[:2])] = numbers[:2]
            used = 1 + len(numbers)
        elif key in OPTIONS:
            clamp = clamp or (key == "-clamp" and words[1:2] == ["on"])
            used = 1 + OPTIONS[key]
        else:
            break
        text = text.split(maxsplit=used)[used] if len(words) > used else ""
    name = text.strip()
    try:
        source = sibling_file(file, name)
    except InputError:
        if " #" not in name:
            raise
        source = sibling_file(file, name.partition(" #")[0])
    image = read_image(source)[..., :3]
    changed = scale != [1.0, 1.0] or offset != [0.0, 0.0]
    transform = torch.tensor([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
    return Material(
        torch.ones(3),
        image,
        ("clamp", "clamp") if clamp else ("repeat", "repeat"),
        unlit,
        transform.double() if changed else None,
    )


def _numbers(words: list[str]) -> list[float]:
    """The numbers that a list of words begins with."""
    found: list[float] = []
    for word in words:
        if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", word):
            break
        found.append(float(word))
    return found
