"""The docs' tables are those of the committed results, in words."""

import re
import shutil
from pathlib import Path

import pytest
import record
import tables
from grids import Grid
from inputs import ROOT
from page_tables import GRIDS, HIDDEN, RESULTS

PAGES = pytest.mark.parametrize("page", list(GRIDS))


@PAGES
def test_the_committed_tables_are_those_of_the_results(page: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    committed = ROOT / f"docs/{page}.md"
    copy = shutil.copy(committed, tmp_path / "docs")
    tables.rewrite(page, root=tmp_path)
    assert Path(copy).read_text() == committed.read_text(), "run benchmarks/tables.py"


@pytest.mark.parametrize("name", sorted({name for names in RESULTS.values() for name in names}))
def test_every_figure_of_the_results_is_shown(name: str) -> None:
    shown = set(tables.ALIASES.values()) | HIDDEN
    for page, names in RESULTS.items():
        if name in names:
            shown |= {
                key for grids in GRIDS[page].values() for g in grids for key in g.cell_keys()
            }
    figures = record.read(ROOT / f"benchmarks/results/{name}.json")["figures"]
    assert {key for key, figure in figures.items() if figure["value"] is not None} <= shown


@PAGES
def test_tables_have_no_identifiers_bounds_or_commits(page: str) -> None:
    for name in GRIDS[page]:
        text = "\n".join(tables.lines_of(page, name, tables.figures_of(page)))
        assert text
        # A preset's name is code; scene names such as lego_200 are those of the data set.
        plain = re.sub(r"`[^`]*`|lego_\d+", "", text)
        assert not re.search(r"[a-z]_[a-z]|asked|\b[0-9a-f]{12}\b", plain)


def test_rows_and_columns_without_values_are_left_out() -> None:
    grid = Grid("Title", "row", {"a": "a_{}", "b": "b_{}"}, {"x (s)": "x", "y": "y"})
    figures = {
        "a_x": {"value": 1234.5, "unit": "s"},
        "b_x": {"value": None, "unit": "s", "reason": "not measured"},
    }
    expected = ["**Title**", "", "| row | x (s) |", "|---|---:|", "| a | 1,234 |"]
    assert grid.lines(figures) == expected
    assert grid.lines({}) == []
