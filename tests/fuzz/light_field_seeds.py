"""Small valid light fields, whose names are in a file, so that mutations damage these too."""

from pathlib import Path
from typing import Any

from fuzz.seeds import Files, encoded, pixels

from unrender.api.light_fields import refocus
from unrender.app import inspect as inspection
from unrender.data.load import load_dataset

NAMES = "names.txt"


def light_field(name: str, rows: int = 2, columns: int = 3, between: bool = False) -> Files:
    """Images 0.png, 1.png, …; the names that they get, one a line, are in `names.txt`."""
    places = [(row, column) for row in range(rows) for column in range(columns)]
    if between:
        places += [(row + 0.5, column + 0.5) for row in range(rows - 1) for column in range(2)]
    names = [
        name.format(
            row=round(10 * row), column=round(10 * column), down=row / 4, right=column / 4
        )
        for row, column in places
    ]
    found = {f"{k}.png": encoded(pixels(k)) for k in range(len(names))}
    return {NAMES: "\n".join(names).encode(), **found}


def light_fields() -> list[Files]:
    lens = "out_{row:02d}_{column:02d}_{down:.6f}_{right:.6f}_30_36.png"
    return [
        light_field(lens),
        light_field(lens, 3, 3, between=True),
        light_field("{row}_{column}_-{down:.3f}_{right:.3f}_.png"),
        light_field(lens, 1, 4),
        light_field(lens, 1, 1),
    ]


def read_light_field(folder: Path) -> Any:
    """The light field as `inspect`, `fit` and `render` read it."""
    listed = folder / NAMES
    names = (
        listed.read_bytes().decode("utf-8", "replace").split("\n") if listed.is_file() else []
    )
    grid = folder / "grid"
    grid.mkdir()
    for k, name in enumerate(names):
        image = folder / f"{k}.png"
        usable = name and not set(name) & {"/", "\0"} and name not in (".", "..")
        if image.exists() and usable and len(name.encode()) < 200:
            image.rename(grid / name)
    data = load_dataset(grid)
    rendering = refocus(data, aperture=0.2, progress=False) if len(data.train) > 1 else None
    return data, inspection.inspect(grid).summary, rendering
