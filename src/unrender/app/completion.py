"""Completion of commands and options by the Tab key, in bash, zsh and fish."""

import os
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from unrender.app.extension import Extension
from unrender.app.options import Option, combined, options_of
from unrender.errors import InputError
from unrender.files import make_folder, write_atomically

BASH = """\
_unrender() {
    local IFS=$'\\n'
    COMPREPLY=($(unrender --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _unrender unrender
"""
ZSH = """\
#compdef unrender
_unrender() {
    local -a found
    found=(${(f)"$(unrender --complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -a found; else _files; fi
}
compdef _unrender unrender
"""
FISH = """\
complete -c unrender -a \
'(unrender --complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
FILES = {
    "bash": ".local/share/bash-completion/completions/unrender",
    "zsh": ".zfunc/_unrender",
    "fish": ".config/fish/completions/unrender.fish",
}
"""Where each shell looks for it, below the home folder."""
LINES = {
    "bash": "If Tab does nothing there, add this line to ~/.bashrc:\n  source {path}",
    "zsh": "Add these lines to ~/.zshrc:\n  autoload -Uz compinit && compinit\n  source {path}",
    "fish": "",
}


def install(arguments: Sequence[str]) -> str:
    """Write the completion script of a shell, by default the user's; says where. InputError."""
    shell = arguments[0] if arguments else Path(os.environ.get("SHELL", "bash")).name
    if shell not in SCRIPTS:
        raise InputError(f"--install-completion {shell}: give one of {', '.join(SCRIPTS)}")
    try:
        path = Path.home() / FILES[shell]
    except RuntimeError as error:
        raise InputError(
            "--install-completion: you have no home folder: set HOME to one"
        ) from error
    make_folder(path.parent)
    write_atomically(path, SCRIPTS[shell].encode())
    told = f"Wrote {path}; it works in every new {shell}."
    return f"{told}\n{LINES[shell].format(path=path)}".strip()


def answer(
    words: Sequence[str],
    commands: Mapping[str, object],
    load: Callable[[str], tuple[Any, Any]],
) -> list[str]:
    """What may stand in place of the last of these words, which follow `unrender`.

    Nothing where a path is expected: the shell completes these by itself.
    """
    *before, current = words or [""]
    if not before:
        return [name for name in commands if name.startswith(current)]
    if before[0] not in commands:
        return []
    function, extend = load(before[0])
    options = options_of(function)
    if extend is not None:
        try:
            extension: Extension = extend(before[1:])
            options = combined(options, extension.options)
        except InputError:
            pass
    flags = [flag for option in options for flag in option.flags]
    if current.startswith("-"):
        return [flag for flag in (*flags, "--help") if flag.startswith(current)]
    return [value for value in _values(options, before) if value.startswith(current)]


def _values(options: Sequence[Option], before: Sequence[str]) -> list[str]:
    """The values that may follow."""
    last = before[-1]
    if last.startswith("-"):
        found = next((option for option in options if last in option.flags), None)
        if found is not None and typing.get_origin(found.kind) is Literal:
            return list(typing.get_args(found.kind))
        return []
    if len(before) > 1:
        return []
    if before[0] == "fit":
        from unrender.methods.presets import PRESETS  # noqa: PLC0415

        return list(PRESETS)
    if before[0] == "study":
        from unrender.app.commands.study import STUDIES  # noqa: PLC0415

        return list(STUDIES)
    return []
