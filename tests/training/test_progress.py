"""Progress where there is no terminal: a line for every tenth, or nothing at all."""

import sys

import pytest
from tqdm import tqdm

from unrender.training import progress
from unrender.training.progress import progress_bar, told_progress


def test_a_line_for_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(200, "fuse") as bar:
        for _ in range(200):
            bar.update()
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        f"fuse: {percent}%" for percent in range(10, 101, 10)
    ]
    assert not captured.out


def test_large_steps_skip_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(100.0, "fit", percent=True) as bar:
        for share in (4.0, 36.0, 36.4, 99.9, 100.0):
            bar.update(share - bar.n)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["fit: 30%", "fit: 90%", "fit: 100%"]


def test_values_stand_behind_the_share(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(10, "fit") as bar:
        bar.set_postfix({"step": 50, "loss": "0.25"}, refresh=False)
        bar.update()
        bar.write("half of the batch")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("fit: 10%, 0 s")
    assert first.endswith("step 50, loss 0.25")
    assert second == "half of the batch"


def test_nothing_to_do_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(0, "none") as bar:
        bar.update()
    assert capsys.readouterr().err.startswith("none: 100%")


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(10, "fit", show=False) as bar:
        bar.set_postfix({"loss": "1"})
        bar.update(10)
        bar.write("not shown")
        assert bar.n == 10
    with told_progress("render", "frame", show=False) as tell:
        tell(1, 2)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_told_bar_begins_with_its_first_call(capsys: pytest.CaptureFixture[str]) -> None:
    with told_progress("render", "frame"):
        pass
    assert not capsys.readouterr().err
    with told_progress("render", "frame") as tell:
        for done in (1, 3, 4):
            tell(done, 4)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "render: 20%",
        "render: 70%",
        "render: 100%",
    ]


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    bar = progress_bar(3, "fit")
    assert isinstance(bar, tqdm)
    bar.close()
