"""Progress bars: in a terminal, in a notebook, and as lines of text anywhere else."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol, cast, runtime_checkable

from tqdm import tqdm

from unrender.files.streams import stderr

LINES = 10
"""Lines in which progress is told where there is no terminal."""
STILL = 20.0
"""Seconds between lines about work that does not say how far it is."""


@runtime_checkable
class Bar(Protocol):
    """What is used of tqdm's bars."""

    n: float

    def update(self, n: int | float = 1) -> bool | None: ...
    def set_postfix(self, ordered_dict: Any = None, refresh: bool | None = True) -> None: ...
    def write(self, s: str) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> "Bar": ...
    def __exit__(self, kind: Any, value: Any, traceback: TracebackType | None) -> None: ...


class _Lines:
    """A line for every tenth of the work, for logs and pipes."""

    def __init__(self, total: int | float, desc: str, done: int | float = 0):
        self.total, self.desc = total, desc
        self.n, self._told, self._text = done, 0, ""
        self._began = time.perf_counter()

    def update(self, n: int | float = 1) -> None:
        self.n += n
        tenths = int(LINES * self.n / self.total + 1e-9) if self.total else LINES
        if tenths > self._told:
            self._told = tenths
            seconds = time.perf_counter() - self._began
            text = f"{self.desc}: {100 * tenths // LINES}%, {seconds:.0f} s"
            self.write(text + (f", {self._text}" if self._text else ""))

    def set_postfix(self, ordered_dict: Any = None, refresh: bool | None = True) -> None:
        values = dict(ordered_dict or {})
        self._text = ", ".join(f"{name} {value}" for name, value in values.items())

    def write(self, s: str) -> None:
        stderr().write(s + "\n")

    def close(self) -> None:
        pass

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, kind: Any, value: Any, traceback: TracebackType | None) -> None:
        self.close()


class _Silent(_Lines):
    """No bar at all."""

    def update(self, n: int | float = 1) -> None:
        self.n += n

    def write(self, s: str) -> None:
        pass


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which displays rich output."""
    return "ipykernel" in sys.modules


def progress_bar(
    total: int | float,
    desc: str,
    unit: str = "",
    show: bool = True,
    percent: bool = False,
    done: int | float = 0,
) -> Bar:
    """A bar on stderr: tqdm's in a terminal or a notebook, lines of text elsewhere.

    `percent`: the total is 100 and only the share is shown, not the count. `done` was done
    before, so that it does not count for the time that is left.
    """
    if not show:
        return _Silent(total, desc, done)
    bars: Any = None
    if in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as bars  # noqa: PLC0415 - only in a notebook
    elif stderr().isatty() or in_notebook():
        bars = partial(tqdm, file=stderr())
    if bars is None:
        return _Lines(total, desc, done)
    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    shape = {"bar_format": layout} if percent else {}
    return cast(Bar, bars(total=total, desc=desc, unit=unit or "it", initial=done, **shape))


def tell(text: str) -> None:
    """Print a line on stderr, above a bar if there is one."""
    tqdm.write(text, file=stderr())


@contextmanager
def working(desc: str, show: bool = True) -> Generator[None]:
    """Tell at once what is being done, and from time to time that it is still going on.

    For work that does not say how far it is.
    """
    began, done = time.perf_counter(), threading.Event()

    def repeat() -> None:
        while not done.wait(STILL):
            tell(f"{desc}: {time.perf_counter() - began:.0f} s")

    if show:
        tell(desc)
        threading.Thread(target=repeat, daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextmanager
def told_progress(
    desc: str, unit: str = "", show: bool = True
) -> Generator[Callable[[int, int], None]]:
    """A function of (done, total) that shows a bar from its first call on."""
    bar: Bar | None = None

    def tell(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = progress_bar(total, desc, unit, show)
        bar.update(done - bar.n)

    try:
        yield tell
    finally:
        if bar is not None:
            bar.close()
