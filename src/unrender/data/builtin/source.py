"""Compilation of the scenes, and the hash of their sources.

Numba's cache checks the source file of the outermost function only, and would miss changes of
functions that it calls from other files. Only outermost functions are therefore cached, under
a key that includes the hash of all sources.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, cast

import numba

Function = Callable[..., Any]


def part(function: Function) -> Function:
    """Compile a function for use in other compiled functions; it is not cached by itself."""
    compiler = numba.njit(nogil=True, fastmath=True, error_model="numpy")
    return cast(Function, compiler(function))


@cache
def version() -> str:
    """SHA-256 of the sources of all scenes."""
    digest = hashlib.sha256()
    folder = files("unrender.data.builtin")
    for each in (folder, folder / "families"):
        for source in sorted(each.iterdir(), key=lambda entry: entry.name):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    return digest.hexdigest()
