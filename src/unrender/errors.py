"""The exception for bad user input, and plain text for what users are told."""

MAX_CHARACTERS = 300
"""Maximum length of a message."""


class InputError(ValueError):
    """Bad input. The one-line message names the file, the value and how to fix it.

    The message is one line of printable characters, at most 300, whatever names and values it
    quotes: see `plain`. The command line prints it alone and exits with code 2.

    >>> import unrender as ur
    >>> ur.load("no such folder")
    Traceback (most recent call last):
    unrender.errors.InputError: ...
    """

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


def plain(text: str, most: int = MAX_CHARACTERS) -> str:
    r"""The text on one line of printable characters, its middle left out beyond `most`.

    Names of files and what is in files may hold escape sequences, which a terminal would obey,
    and bytes that are no text: they are written as in Python, `\x1b`. Beginning and end, which
    name the file and the remedy, are kept.
    """
    if len(text) > 100 * most:
        text = f"{text[: 50 * most]} {text[-50 * most :]}"
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    if len(line) <= most:
        return line
    tail = most // 2
    return f"{line[: most - tail - 3]} … {line[-tail:]}"


def one_line(error: BaseException) -> str:
    """The error's message on one line, or the name of its type if the message is empty."""
    return plain(str(error)) or type(error).__name__
