"""Self-contained HTML pages, composed of fragments.

A Fragment is markup that is safe to show; functions turn plain values into fragments and escape
all text. A page needs no network: images, videos, styles and scripts are embedded, and a
content security policy forbids the browser to fetch anything else.
"""

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import count
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.files import read_bytes, write_atomically
from unrender.imaging.files import png_bytes
from unrender.imaging.resize import area_average
from unrender.imaging.save import ImageList

MAX_IMAGE_SIDE = 400
"""Maximum side of an embedded image in pixels; larger images are downscaled."""

MAX_VIDEO_BYTES = 32_000_000

SCRIPTS = ("cameras.js", "wipe.js")

_NUMBER = ' class="number"'
_VIDEO_STARTS = {".mp4": (4, b"ftyp"), ".gif": (0, b"GIF8")}


@dataclass(frozen=True)
class Fragment:
    """Markup whose text is already escaped."""

    markup: str


Cell = str | int | float | Fragment | None
"""Content of a table cell: text, a number, a fragment, or None for what is unknown."""


@dataclass(frozen=True)
class Page:
    """A complete HTML page."""

    title: str
    subtitle: str
    pieces: tuple[Fragment, ...] = ()

    def html(self) -> str:
        """The page as text; deterministic in its pieces."""
        style = _resource("page.css")
        script = "\n".join(f"{{{_resource(name)}}}" for name in SCRIPTS)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = (
            "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'"
        )
        body = _with_own_ids("\n".join(piece.markup for piece in self.pieces))
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">
<title>{escape(self.title)}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{escape(self.title)}</h1>
<p>{escape(self.subtitle)}</p>
</header>
<main>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""

    def write(self, path: Path) -> None:
        """Write the page atomically. Raises InputError if the path cannot be written."""
        write_atomically(path, self.html().encode())


def group(*pieces: Fragment) -> Fragment:
    """Pieces stacked vertically."""
    return Fragment("\n".join(piece.markup for piece in pieces))


def beside(*pieces: Fragment) -> Fragment:
    """Pieces side by side where the page is wide enough."""
    return Fragment(f'<div class="beside">{group(*pieces).markup}</div>')


def section(title: str, *pieces: Fragment) -> Fragment:
    return Fragment(f"<section><h2>{escape(title)}</h2>{group(*pieces).markup}</section>")


def paragraph(text: str) -> Fragment:
    return Fragment(f"<p>{escape(text)}</p>")


def prose(text: str) -> Fragment:
    """Paragraphs with blank lines between them, **bold** words, and lists of lines `- …`."""
    marked = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text))
    blocks: list[str] = []
    for block in marked.split("\n\n"):
        if block.startswith("- "):
            items = "".join(f"<li>{item}</li>" for item in block[2:].split("\n- "))
            blocks.append(f"<ul>{items}</ul>")
        else:
            blocks.append(f"<p>{block}</p>")
    return Fragment("\n".join(blocks))


def code(text: str) -> Fragment:
    """Inline code, such as a name or a command."""
    return Fragment(f"<code>{escape(text)}</code>")


def collapsible(summary: str, *pieces: Fragment) -> Fragment:
    """Pieces that are hidden until the reader expands them."""
    inside = group(*pieces).markup
    return Fragment(f"<details><summary>{escape(summary)}</summary>{inside}</details>")


def tiles(figures: Sequence[tuple[str, str, str]]) -> Fragment:
    """Headline metrics: (value with its unit, name, how it was measured)."""
    items = "".join(
        f'<li><b>{escape(value)}</b><span class="what">{escape(what)}</span>'
        f'<span class="how">{escape(how)}</span></li>'
        for value, what, how in figures
    )
    return Fragment(f'<ul class="tiles">{items}</ul>')


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Fragment:
    """A table with a header row; columns of numbers are right-aligned."""
    numeric = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    titles = "".join(
        f'<th scope="col"{_NUMBER if right else ""}>{escape(title)}</th>'
        for title, right in zip(header, numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row, numeric))}</tr>" for row in rows)
    return Fragment(
        f'<div class="scroll"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure_table(rows: Sequence[tuple[str, Cell, str]]) -> Fragment:
    """Metrics as (name, value, meaning); on a narrow screen the meaning wraps below."""
    cells = [(code(name), value, meaning) for name, value, meaning in rows]
    return Fragment(
        f'<div class="figures">{table(("metric", "value", "meaning"), cells).markup}</div>'
    )


def number(value: int | float) -> str:
    """Format a number with four significant digits, and from 1000 on as an integer."""
    if not math.isfinite(value):
        return "∞" if value == math.inf else "-∞" if value == -math.inf else "–"
    if value == int(value) or abs(value) >= 1000:
        return f"{round(value):,}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def image_grid(rows: Sequence[tuple[str, ImageList]], view_labels: Sequence[str]) -> Fragment:
    """Grid of several versions of the same views, such as render, ground truth and error.

    Each version is a row and each view a column. A label may have several lines. Images are RGB
    in [0, 1] and are enlarged without smoothing.
    """
    titles = "".join(f'<th scope="col">{escape(label)}</th>' for label in view_labels)
    body = ""
    for label, images in rows:
        cells = "".join(
            f'<td><img src="{png_uri(image)}" alt="{escape(_alternative(label, view))}"></td>'
            for image, view in zip(images, view_labels, strict=True)
        )
        body += f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'
    return Fragment(
        f'<div class="scroll images" style="--views: {len(view_labels)}"><table>'
        f"<thead><tr><td></td>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _alternative(label: str, view: str) -> str:
    return ", ".join([label, *view.splitlines()])


def png_uri(image: Float[Tensor, "height width 3"]) -> str:
    """An RGB image in [0, 1] as a PNG data URI."""
    height, width, _ = image.shape
    scale = MAX_IMAGE_SIDE / max(height, width)
    if scale < 1:
        smaller = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = area_average(image[None], *smaller)[0]
    return _data_uri("image/png", png_bytes(image, optimize=True))


def figure(content: Fragment, caption: str) -> Fragment:
    """A drawing or images with their caption."""
    caption = f"<figcaption>{escape(caption)}</figcaption>"
    return Fragment(f"<figure>{content.markup}{caption}</figure>")


def video(path: Path, caption: str, wide: bool = False) -> Fragment:
    """An embedded video (.mp4 or .gif); `wide` ones fill the width of the page.

    Raises InputError if the file is neither, cannot be read, or is too large.
    """
    suffix = path.suffix.lower()
    if suffix not in _VIDEO_STARTS:
        raise InputError(f"{path}: is not a video for a page: give an .mp4 or a .gif file")
    content = read_bytes(path, MAX_VIDEO_BYTES, "give a short video that exists")
    offset, start = _VIDEO_STARTS[suffix]
    if not content[offset:].startswith(start):
        raise InputError(f"{path}: is not a valid {suffix} file: create it again")
    if suffix == ".gif":
        shown = f'<img src="{_data_uri("image/gif", content)}" alt="{escape(caption)}">'
    else:
        address = _data_uri("video/mp4", content)
        shown = f'<video src="{address}" controls loop muted autoplay playsinline></video>'
    style = "film wide" if wide else "film"
    return Fragment(
        f'<figure class="{style}">{shown}<figcaption>{escape(caption)}</figcaption></figure>'
    )


def _cell(value: Cell, right: bool) -> str:
    """A table cell; `right` if it is in a column of numbers."""
    if isinstance(value, Fragment):
        shown = value.markup
    elif isinstance(value, int | float):
        shown = number(value)
    else:
        shown = "–" if value is None else escape(value)
    return f"<td{_NUMBER if right else ''}>{shown}</td>"


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _resource(name: str) -> str:
    return files("unrender.report").joinpath(name).read_text(encoding="utf-8")


def _with_own_ids(markup: str) -> str:
    """Make ids unique within the page: each drawing numbers its own elements from 1."""
    numbers = count(1)

    def renamed(match: re.Match[str]) -> str:
        own = rf"\g<1>d{next(numbers)}-\g<2>"
        return re.sub(r'(\bid="|url\(#|href="#)([^")]+)', own, match[0])

    return re.sub(r"<svg\b.*?</svg>", renamed, markup, flags=re.DOTALL)
