"""Logs of training runs, whole or cut short."""

import json
import os
from pathlib import Path

import pytest

from unrender.errors import InputError
from unrender.files import MAX_TEXT_BYTES
from unrender.training.metrics import columns, read_metrics


def lines(count: int) -> list[dict[str, float]]:
    return [{"step": 50.0 * i, "seconds": 1.5 * i, "loss": 1 / (i + 1)} for i in range(count)]


def test_all_lines_come_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines(3)))
    assert read_metrics(path) == lines(3)


def test_a_log_cut_anywhere_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    content = "".join(json.dumps(line) + "\n" for line in lines(3)).encode()
    for end in range(len(content) + 1):
        path.write_bytes(content[:end])
        entries = read_metrics(path)
        assert entries == lines(3)[: len(entries)]
        assert len(entries) >= content[:end].count(b"\n")


def test_nothing_logged_is_no_error(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "missing.jsonl") == []
    (tmp_path / "empty.jsonl").write_text("")
    assert read_metrics(tmp_path / "empty.jsonl") == []


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[1]",
        "3",
        '{"loss": "1"}',
        '{"loss": null}',
        '{"loss": [1]}',
        "[" * 100_000,
        '{"loss": 1' + "0" * 400 + "}",
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 1}\n' + bad + '\n{"loss": 2}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl:2") as caught:
        read_metrics(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        read_metrics(tmp_path)


def test_a_log_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 1}\n')
    os.truncate(path, MAX_TEXT_BYTES + 1)
    with pytest.raises(InputError, match="is larger than"):
        read_metrics(path)


def test_columns_take_the_lines_that_have_both() -> None:
    entries = [{"seconds": 1.0, "loss": 2.0}, {"seconds": 2.0}, {"seconds": 3.0, "loss": 4.0}]
    assert columns(entries, "seconds", "loss") == ([1.0, 3.0], [2.0, 4.0])
