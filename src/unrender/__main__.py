"""The entry point of the `unrender` command and of `python -m unrender`."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line, with threads that spin only briefly while they wait.

    Between torch's parallel loops its threads would spin for milliseconds, on the cores that
    our own kernels need by then; and beside another busy process that makes everything several
    times slower. Some 10 µs bridge the gaps within torch. OpenMP reads the setting once, when
    torch is imported, so it comes first.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    from unrender.app import cli, streams  # noqa: PLC0415 - after the setting

    streams.prepare()
    cli.main()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Ctrl-C while modules are imported: nothing has begun that would have to be ended.

    An exception may be lost or changed on its way through an import, so none is raised.
    """
    os.write(2, b"unrender: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
