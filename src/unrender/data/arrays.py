"""Reading .npy files, numbers only, never more than the file holds."""

import math
import tokenize
from pathlib import Path
from typing import Any

import numpy as np

from unrender.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
"""What numpy raises on files that are damaged; their headers are Python's literals."""


def read_npy(path: Path) -> Array:
    """The array of a .npy file. InputError where it holds no numbers or is damaged."""
    try:
        with path.open("rb") as stream:
            if np.lib.format.read_magic(stream) == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            else:
                shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            held = path.stat().st_size - stream.tell()
            if dtype.kind not in "fiu":
                raise InputError(f"{path}: is of type {dtype}; it must hold numbers")
            if math.prod(shape) * dtype.itemsize != held:
                raise InputError(
                    f"{path}: claims {math.prod(shape) * dtype.itemsize} bytes but holds "
                    f"{held}; it is damaged: copy it again"
                )
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(
            f"{path}: cannot be read as .npy ({' '.join(str(error).split())}); copy it again"
        ) from error
