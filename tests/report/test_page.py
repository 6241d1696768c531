"""A page holds all it needs, says what it is given and nothing else, and is written whole."""

import base64
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unrender.errors import InputError
from unrender.imaging.video import write_video
from unrender.report.page import (
    MAX_IMAGE_SIDE,
    Fragment,
    Page,
    beside,
    code,
    collapsible,
    figure,
    image_grid,
    number,
    paragraph,
    png_uri,
    section,
    table,
    tiles,
    video,
)
from unrender.report.plots import draw_curves, svg

EVIL = """<script>alert("1")</script>'&<img src=x onerror=y>"""

VOID = {"meta", "img", "input", "br", "link"}


class Balance(HTMLParser):
    """Checks that elements close in the order they opened, and collects what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} runs {name}"
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "data", "action", "poster"):
                self.addresses.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data


def parsed(markup: str) -> Balance:
    parser = Balance()
    parser.feed(markup)
    parser.close()
    assert not parser.open, f"never closed: {parser.open}"
    return parser


def png(uri: str) -> np.ndarray:
    kind, content = uri.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def everything(tmp_path: Path) -> Page:
    films = [tmp_path / "film.mp4", tmp_path / "film.gif"]
    images = torch.rand(3, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    for film in films:
        write_video(film, images, 10)
    plot = svg(draw_curves({"a": ([1, 2], [3, 4]), "b": ([1, 2], [4, 5])}, "s", "dB"))
    return Page(
        "A title",
        "A subtitle",
        (
            tiles([("30 dB", "scene", "PSNR")]),
            section(
                "Things",
                paragraph("Words."),
                image_grid([("truth", images[:2])], ["view 0", "view 1"]),
                beside(figure(plot, "One."), figure(plot, "The same once more.")),
                *(video(film, "A video.") for film in films),
                collapsible("More", table(("a", "b"), [(code("x"), 1.5)])),
            ),
        ),
    )


def test_a_page_is_well_formed_and_asks_for_nothing(tmp_path: Path) -> None:
    markup = everything(tmp_path).html()
    page = parsed(markup)
    assert len(page.addresses) == 4 + markup.count("<use ")
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "http" not in re.sub(r"http-equiv|base64,[\w+/=]*", "", markup)
    assert "@import" not in markup
    assert page.tags.count("h1") == 1
    assert "default-src &#x27;none&#x27;" in markup


def test_ids_are_unique_and_all_references_have_a_target(tmp_path: Path) -> None:
    markup = everything(tmp_path).html()
    ids = parsed(markup).ids
    assert ids
    assert len(ids) == len(set(ids))
    targets = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', markup)
    assert targets
    assert {a or b for a, b in targets} <= set(ids)


def test_the_same_pieces_make_the_same_page(tmp_path: Path) -> None:
    assert everything(tmp_path).html() == everything(tmp_path).html()


@pytest.mark.parametrize(
    "piece",
    [
        section(EVIL),
        paragraph(EVIL),
        code(EVIL),
        collapsible(EVIL),
        tiles([(EVIL, EVIL, EVIL)]),
        table([EVIL], [[EVIL]]),
        image_grid([(EVIL, torch.zeros(1, 2, 2, 3))], [EVIL]),
        figure(Fragment(""), EVIL),
        figure(svg(draw_curves({EVIL: ([0, 1], [0, 1]), "b": ([0], [1])}, EVIL, EVIL)), ""),
    ],
)
def test_text_stays_text(piece: Fragment) -> None:
    page = parsed(piece.markup)
    assert EVIL in page.text
    assert "script" not in page.tags
    assert not [address for address in page.addresses if address == "x"]


def test_titles_are_text_too() -> None:
    page = parsed(Page(EVIL, EVIL).html())
    assert page.text.count(EVIL) == 3
    assert page.tags.count("script") == 1


def test_images_come_back_as_they_were() -> None:
    image = torch.rand(5, 7, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(png(png_uri(image)), (image * 255).round().byte().numpy())


def test_values_outside_the_range_are_clamped() -> None:
    image = torch.tensor([-1.0, 0.5, 2.0]).expand(1, 1, 3)
    assert png(png_uri(image)).tolist() == [[[0, 128, 255]]]


def test_large_images_are_averaged_down() -> None:
    shown = png(png_uri(torch.full((30, 10 * MAX_IMAGE_SIDE, 3), 0.2)))
    assert shown.shape == (3, MAX_IMAGE_SIDE, 3)
    assert (shown == 51).all()


def test_each_version_of_a_view_lies_in_its_column() -> None:
    versions = [("render", torch.zeros(2, 4, 4, 3)), ("truth", torch.ones(2, 4, 4, 3))]
    markup = image_grid(versions, ["first", "second"]).markup
    alternatives = re.findall(r'alt="([^"]*)"', markup)
    assert alternatives == ["render, first", "render, second", "truth, first", "truth, second"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (3, "3"),
        (50.0, "50"),
        (0.95, "0.95"),
        (30.81234, "30.81"),
        (0.00012345, "0.0001234"),
        (1234.5, "1,234"),
        (2e9, "2,000,000,000"),
        (3e-7, "3.0e-07"),
        (-2.5, "-2.5"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (math.nan, "–"),
    ],
)
def test_numbers_read_well(value: float, shown: str) -> None:
    assert number(value) == shown


def test_videos_are_inside_the_page(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_video(path, torch.rand(3, 32, 32, 3), 10)
    markup = video(path, "A video.").markup
    content = re.search(r"base64,([\w+/=]+)", markup)
    assert content is not None
    assert base64.b64decode(content[1]) == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("film.mp4", None, "no such file"),
        ("film.mp4", b"GIF89a", r"is not a valid \.mp4"),
        ("film.gif", b"", r"is not a valid \.gif"),
        ("film.html", b"<script>", "is not a video"),
    ],
)
def test_what_is_not_a_video_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        video(path, "")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_video_that_is_too_large_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"\0\0\0\0ftyp")
    monkeypatch.setattr("unrender.report.page.MAX_VIDEO_BYTES", 4)
    with pytest.raises(InputError, match="is larger than 4 bytes"):
        video(path, "")


def test_writing_replaces_the_whole_page(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    page = Page("Größe", "≤ 1°")
    page.write(path)
    assert path.read_text(encoding="utf-8") == page.html()
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing" / "report.html", tmp_path / "file" / "report.html"):
        with pytest.raises(InputError, match="cannot be written") as caught:
            Page("", "").write(path)
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="is a folder"):
        Page("", "").write(tmp_path)


def test_a_failure_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="No space left"):
        Page("", "").write(path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
