"""The exception for bad user input."""


class InputError(ValueError):
    """Bad input. The one-line message names the file, the value and how to fix it.

    The command line prints the message alone and exits with code 2.

    >>> import unrender as ur
    >>> ur.load("no such folder")
    Traceback (most recent call last):
    unrender.errors.InputError: ...
    """


def one_line(error: BaseException) -> str:
    """The error's message on one line, or the name of its type if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__
