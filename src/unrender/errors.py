"""The one error that a user can cause and mend."""


class InputError(ValueError):
    """Bad input: its one-line message names the file, the value found and the remedy.

    The command line prints the message alone and exits with code 2.
    """


def one_line(error: BaseException) -> str:
    """What the error says, without line breaks; its type if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
