"""Signals that ask a process to stop: noted until the work is kept, or raised at once."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in dir(signal)
)
"""Ctrl-C, the request to end, and the end of the terminal, which Windows does not have."""


class Stopped(SystemExit):
    """A request to end other than Ctrl-C; the exit code is 128 plus the signal's number."""

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


def _stop(number: int, _frame: FrameType | None) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Stopped(number)


@contextmanager
def _handled(
    handler: Callable[[int, FrameType | None], None], ignored: tuple[int, ...] = ()
) -> Generator[None]:
    """Let a function take the signals, and of those that `nohup` and "&" ignore only `ignored`.

    Signals belong to the main thread: elsewhere there is nothing to take.
    """
    here = threading.current_thread() is threading.main_thread()
    taken = [
        number
        for number in STOPPING
        if here and (number in ignored or signal.getsignal(number) is not signal.SIG_IGN)
    ]
    before = {number: signal.signal(number, handler) for number in taken}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)


@contextmanager
def stopped_by_exception() -> Generator[None]:
    """Let the signals raise exceptions, so that temporary files are removed."""
    with _handled(_stop):
        yield


@contextmanager
def noted() -> Generator[Callable[[], bool]]:
    """Whether a signal asks to stop, where the work at hand can be ended in good order.

    A second one ends it at once. After the block a request to end takes the effect that it had
    before, and Ctrl-C none: what was stopped says so by itself.
    """
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            _stop(number, frame)

    with _handled(note, ignored=(signal.SIGINT,)):
        yield lambda: bool(seen)
    if seen and seen[0] != signal.SIGINT:
        signal.raise_signal(seen[0])
