"""Silence for decoders of files, which warn of damage in their own ways.

What is wrong with a file is said by us, once, as an error or not at all.
"""

import logging
import os
import threading
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress


class _Shared:
    """A change of the whole process that lasts while any thread is within it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.undo = ExitStack()

    @contextmanager
    def entered(self) -> Generator[None]:
        with self.lock:
            if self.inside == 0:
                self.undo = ExitStack()
                self.change(self.undo)
            self.inside += 1
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if self.inside == 0:
                    self.undo.close()

    def change(self, undo: ExitStack) -> None:
        raise NotImplementedError


class _Warnings(_Shared):
    def change(self, undo: ExitStack) -> None:
        undo.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        # Without a handler of the program's, Python would print what Pillow logs.
        log = logging.getLogger("PIL")
        undo.callback(setattr, log, "propagate", log.propagate)
        log.propagate = False
        nowhere = logging.NullHandler()
        log.addHandler(nowhere)
        undo.callback(log.removeHandler, nowhere)


class _StandardError(_Shared):
    """Libraries in C, such as libtiff, write to file 2."""

    def change(self, undo: ExitStack) -> None:
        with suppress(OSError):  # There may be no file 2.
            kept = os.dup(2)
            undo.callback(os.close, kept)
            undo.callback(os.dup2, kept, 2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)


_WARNINGS, _STANDARD_ERROR = _Warnings(), _StandardError()


@contextmanager
def quiet(standard_error: bool = False) -> Generator[None]:
    """Without Python's warnings, and without lines on stderr if `standard_error` is set."""
    with ExitStack() as both:
        both.enter_context(_WARNINGS.entered())
        if standard_error:
            both.enter_context(_STANDARD_ERROR.entered())
        yield
