"""Lines that say what was adjusted in what a user gave, and then accepted.

They are warnings of the logger "unrender", so that a program can keep, redirect or silence
them with `logging`; otherwise Python writes them on stderr. Commands show them as well, and
with --quiet they do not.
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from unrender.errors import plain

LOGGER = logging.getLogger("unrender")


def note(line: str) -> None:
    """Say one line, which names the file, what is odd about it, and what was done instead."""
    LOGGER.warning("note: %s", plain(line))


@contextmanager
def silenced(quiet: bool = True) -> Generator[None]:
    """Without the notes that are said inside."""
    before = LOGGER.disabled
    LOGGER.disabled = quiet or before
    try:
        yield
    finally:
        LOGGER.disabled = before


@contextmanager
def collected() -> Generator[list[str]]:
    """The notes that are said inside, in a list instead of on stderr."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage().removeprefix("note: "))
    before = LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    try:
        yield found
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = before
