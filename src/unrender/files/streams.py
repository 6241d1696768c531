"""Streams for progress and remarks, which never end or hold up the work that they tell of."""

import select
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any

PATIENCE = 2.0
"""Seconds that a terminal or pipe which takes nothing is waited for, once."""


class Unfailing:
    """A text stream that drops what cannot be written.

    It may be closed, its reader gone, its disk full, or its terminal stopped with Ctrl-S, in
    which case a plain write would wait until somebody continues it.
    """

    def __init__(self, stream: Any):
        self.stream, self._stalled = stream, False

    def write(self, text: str) -> int:
        if self.stream is not None:
            with suppress(OSError, ValueError):
                if self._ready(self.stream):
                    self.stream.write(text)
                    self.stream.flush()
        return len(text)

    def flush(self) -> None:
        """Nothing: every text is written at once."""

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self.stream is not None and self.stream.isatty()
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _ready(self, stream: Any) -> bool:
        """Whether a text can be written without waiting for its reader."""
        if sys.platform == "win32":
            return True
        try:
            number = stream.fileno()
        except (OSError, ValueError):  # It is in memory, as in tests and notebooks.
            return True
        wait = 0.0 if self._stalled else PATIENCE
        self._stalled = not select.select([], [number], [], wait)[1]
        return not self._stalled


def stderr() -> Unfailing:
    """sys.stderr as it is now, as a stream that never fails."""
    current: Any = sys.stderr
    return current if isinstance(current, Unfailing) else _around(current)


@lru_cache(maxsize=1)
def _around(stream: Any) -> Unfailing:
    return Unfailing(stream)
