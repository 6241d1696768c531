"""The standard streams of a command: open, for any character, and checked at the end."""

import codecs
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, cast

from unrender.errors import one_line
from unrender.files.streams import stderr

LIKENESS = str.maketrans(
    {
        **dict.fromkeys("╭╮╰╯", "+"),
        **dict.fromkeys("─–—−‐", "-"),
        **dict.fromkeys("‘’", "'"),
        **dict.fromkeys("“”", '"'),
        "│": "|",
        "→": "->",
        "←": "<-",
        "×": "x",
        "·": "*",
        "±": "+-",
        "≤": "<=",
        "≥": ">=",
        "√": "sqrt ",
        "π": "pi",
        "°": " deg",
    }
)
"""What stands for characters that a terminal cannot show."""
READER_IS_GONE = 141
"""Exit code of a program that SIGPIPE ends, 128 + 13."""


def ascii_likeness(text: str) -> str:
    """The text in ASCII: letters without their accents, and "?" for what has no likeness."""
    alike = (unicodedata.normalize("NFKD", letter) for letter in text.translate(LIKENESS))
    return "".join(each.encode("ascii", "ignore").decode() or "?" for each in alike)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_likeness(error.object[error.start : error.end]), error.end


class Output(io.TextIOWrapper):
    """A text stream that takes any character and remembers what kept it from being written."""

    failure: OSError | None = None

    def write(self, text: str, /) -> int:
        with self._remembering():
            return super().write(text)

    def flush(self) -> None:
        with self._remembering():
            super().flush()

    @contextmanager
    def _remembering(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            raise


def prepare() -> None:
    """Make standard output and stderr such that printing a text fails on no machine.

    Streams that were closed when the process started lead nowhere: otherwise the first files
    that are opened would take their numbers, and receive what libraries print. Characters that
    the encoding of a terminal or pipe lacks are replaced.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It takes the lowest number, which is this one.
    codecs.register_error("unrender.ascii", _replace)
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the end
        if type(stream) is io.TextIOWrapper:  # Not a stand-in, such as an editor's.
            encoding, lines = stream.encoding, stream.line_buffering
            stream = Output(stream.detach(), encoding, "unrender.ascii", line_buffering=lines)
            setattr(sys, f"__{name}__", stream)
        setattr(sys, name, stream)
    # Progress and remarks are not worth the work that they tell of.
    sys.stderr = cast(Any, stderr())


def complain(line: str) -> None:
    """Print a command's last words on stderr; where these cannot be written, its code tells."""
    stderr().write(f"unrender: {line}\n")


@contextmanager
def checked() -> Generator[None]:
    """End the process when the machine fails the block, or cannot write what it printed.

    Quietly and with code 141 if the reader of the output, such as `head`, has enough;
    otherwise, as on a full disk or without a folder for temporary files, with one line and
    code 1.
    """
    try:
        yield
    except OSError as error:
        if error is not _failure():
            complain(one_line(error))
            sys.exit(1)
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        if failure := _failure():
            _leave(failure)


def _failure() -> OSError | None:
    """What kept standard output from being written."""
    return sys.stdout.failure if isinstance(sys.stdout, Output) else None


def _leave(failure: OSError) -> NoReturn:
    # What is still buffered goes nowhere, so that the interpreter's end does not trip on it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if failure.errno == errno.EPIPE:
        sys.exit(READER_IS_GONE)
    complain(
        f"standard output cannot be written ({failure.strerror}): free space on its disk, or "
        "redirect it elsewhere"
    )
    sys.exit(1)
