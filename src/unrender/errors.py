"""The one error that a user can cause and mend."""


class InputError(ValueError):
    """Bad input: its one-line message names the file, the value found and the remedy.

    The command line prints the message alone and exits with code 2.
    """
