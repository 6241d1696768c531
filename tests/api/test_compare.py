"""Runs compared on the same views: read, never written."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrender.api.compare import compare
from unrender.api.fit import fit
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.errors import InputError

pytestmark = pytest.mark.fit

BOX: dict[str, Any] = {
    "bins": 12,
    "rays": 32,
    "log_every": 4,
    "device": "cpu",
    "progress": False,
}


@pytest.fixture(scope="module")
def runs(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The same method for 4 and for 8 steps, in folders."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        fit("box", small_scene, steps=steps, out=folder / f"box{steps}", **BOX)
        for steps in (4, 8)
    ]


def content(runs: list[Run]) -> dict[str, bytes]:
    files = [file for run in runs if run.path for file in run.path.rglob("*")]
    return {str(file): file.read_bytes() for file in sorted(files) if file.is_file()}


def test_runs_stay_as_they_are(runs: list[Run], small_scene: Dataset, tmp_path: Path) -> None:
    before = content(runs)
    page = tmp_path / "compare.html"
    paths = [run.path for run in runs if run.path is not None]
    found = compare(paths, out=page, data=small_scene, device="cpu", progress=False)
    assert content(runs) == before
    assert list(found) == ["box4", "box8"]
    assert len(found) == 2
    assert found.path == page
    text = page.read_text()
    assert "box4" in text
    assert "box8" in text
    for run, scores in zip(runs, found.values(), strict=True):
        own = run.evaluate()
        assert scores["psnr"] == own["psnr"]
        assert scores["ssim"] == own["ssim"]
        assert scores["seconds"] == run.seconds
        assert f"{own['psnr']:.1f}" in repr(found)
    assert found._repr_html_().count("<tr>") == 3


def test_runs_in_memory_are_numbered(runs: list[Run], small_scene: Dataset) -> None:
    memory = [fit("box", small_scene, steps=steps, **BOX) for steps in (4, 8)]
    found = compare(memory, progress=False)
    assert list(found) == ["box", "box (2)"]
    assert found.path is None
    # The data of the first run are those of all.
    kept = compare(runs, progress=False)
    for name, other in (("box4", "box"), ("box8", "box (2)")):
        assert kept[name]["psnr"] == found[other]["psnr"]


def test_one_name_in_two_folders_is_told_apart(runs: list[Run], tmp_path: Path) -> None:
    saved = []
    for folder, run in zip("ab", runs, strict=True):
        (tmp_path / folder).mkdir()
        saved.append(run.save(tmp_path / folder / "run"))
    found = compare(saved, progress=False)
    assert list(found) == [str(tmp_path / folder / "run") for folder in "ab"]


def test_what_cannot_be_compared_is_refused(
    runs: list[Run], flow_run: Run, small_scene: Dataset, tmp_path: Path
) -> None:
    none = Dataset.of_views(small_scene.train)
    bare = [dataclasses.replace(run, data=None) for run in runs]
    faults: list[tuple[Callable[[], object], str]] = [
        (lambda: compare([]), "no run was given"),
        (lambda: compare([flow_run, runs[0]]), "flow: is not a radiance field's run"),
        (lambda: compare(runs, out=tmp_path / "a.txt"), "does not end in .html"),
        (lambda: compare(runs, out=tmp_path / "no" / "a.html"), "is not a writable folder"),
        (lambda: compare([tmp_path / "no"]), "is not a run folder"),
        (lambda: compare(runs, data=none), "no held-out views"),
        (lambda: compare(bare), "data in memory"),
    ]
    for call, message in faults:
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
