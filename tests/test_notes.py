"""Notes on what was adjusted: said once, on one line, where the user sees or collects them."""

import logging

import pytest

from unrender.notes import collected, note, silenced


def test_a_note_is_one_line_of_the_library_s_logger(caplog: pytest.LogCaptureFixture) -> None:
    note("a.png:\n  has no alpha")
    assert caplog.messages == ["note: a.png: has no alpha"]
    assert caplog.records[0].name == "unrender"
    assert caplog.records[0].levelno == logging.WARNING


def test_collected_notes_are_not_said(caplog: pytest.LogCaptureFixture) -> None:
    with collected() as found:
        note("a.png: is opaque")
    assert found == ["a.png: is opaque"]
    assert not caplog.messages
    note("b.png: is opaque")
    assert caplog.messages == ["note: b.png: is opaque"]


def test_silence(caplog: pytest.LogCaptureFixture) -> None:
    with silenced(), silenced(quiet=False):
        note("a.png: is opaque")
    assert not caplog.messages
