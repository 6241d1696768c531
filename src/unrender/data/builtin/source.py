"""How the scenes are compiled, and what tells one version of them from another.

Numba keeps machine code by the source of the outermost function alone: a change in a function
that it calls, in another file, would go unseen. So only the outermost are kept, under a key
that holds the hash of all sources.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, cast

import numba

Function = Callable[..., Any]


def part(function: Function) -> Function:
    """Compile a function as a part of those that call it; it is not kept by itself."""
    compiler = numba.njit(nogil=True, fastmath=True, error_model="numpy")
    return cast(Function, compiler(function))


@cache
def version() -> str:
    """Hash the sources of all scenes."""
    digest = hashlib.sha256()
    for source in sorted(
        files("unrender.data.builtin").iterdir(), key=lambda entry: entry.name
    ):
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()
