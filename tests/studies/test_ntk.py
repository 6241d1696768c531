"""The study of the tangent kernel writes its page, and the page says what was measured."""

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unrender.errors import InputError
from unrender.report.findings import write_findings
from unrender.studies.ntk import TangentKernel
from unrender.studies.ntk_picture import face

SHORT = TangentKernel(
    octaves=(0, 2, 3, 6), scales=(2.0,), widths=(16, 128), steps=60, repeats=2, size=10
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Products as small as these only lose time where threads wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def page(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output: list[str] = []
    findings = SHORT.run(0, output.append)
    assert len(output) == 4
    return write_findings(findings, tmp_path_factory.mktemp("page"), "ntk")


def records(page: Path, part: str) -> list[dict[str, str]]:
    with page.with_suffix(".csv").open() as file:
        return [row for row in csv.DictReader(file) if row["part"] == part]


def test_the_page_has_its_pictures(page: Path) -> None:
    text = page.read_text().split("<body>")[1]
    assert not re.search(r">[^<]*\bnan\b", text)
    assert text.count("<figure") == 7
    assert all("<path" in svg for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL))


def test_encodings_narrow_the_kernel_and_widen_its_spectrum(page: Path) -> None:
    rows = records(page, "kernels")
    widths = [float(row["full width, 128 units"]) for row in rows[1:4]]
    assert widths[0] > widths[1] > widths[2]
    learned = [int(row["learned, of 128 directions"]) for row in rows[:4]]
    assert learned == sorted(learned)
    assert learned[0] < learned[-1]


def test_wide_networks_do_as_predicted(page: Path) -> None:
    rows = records(page, "regression and networks")
    off = {
        units: [float(r["regression, same steps"]) for r in rows if r["units"] == units]
        for units in ("16", "128")
    }
    assert sum(off["128"]) < sum(off["16"])
    for row in rows:
        assert float(row["without the inverse"]) > 2 * float(row["regression, same steps"])


def test_slow_waves_are_learned_first(page: Path) -> None:
    rows = records(page, "what is learned first")
    for kind in ("predicted", "measured"):
        for encoding in ("no encoding", "3 octaves"):
            last = [
                float(r[kind]) for r in rows if r["encoding"] == encoding and r["step"] == "60"
            ]
            assert last[0] < last[1] < last[2]


def test_a_seed_says_all(page: Path) -> None:
    _, measured = SHORT._picture(0)
    written = [row["held out, converged"] for row in records(page, "an image")]
    assert [f"{row['held out, converged']:.6g}" for row in measured] == written
    _, other = SHORT._picture(1)
    assert other != measured


@pytest.mark.parametrize(
    "options",
    [{"octaves": (-1, 2)}, {"scales": ()}, {"widths": (0,)}, {"steps": 0}, {"size": 2}],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"--{next(iter(options))} .*give"):
        replace(SHORT, **options).run(0, lambda _: None)


def test_the_face_is_a_picture() -> None:
    picture = face(16)
    assert picture.shape == (16, 16)
    assert 0 <= float(picture.min()) < 0.2
    assert 0.7 < float(picture.max()) <= 1
    torch.testing.assert_close(picture.mean(), face(32).mean())
