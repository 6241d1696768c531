"""The entry point of the `unrender` command and of `python -m unrender`."""

import os


def main() -> None:
    """Run the command line, with threads that spin only briefly while they wait.

    Between torch's parallel loops its threads would spin for milliseconds, on the cores that
    our own kernels need by then; and beside another busy process that makes everything several
    times slower. Some 10 µs bridge the gaps within torch. OpenMP reads the setting once, when
    torch is imported, so it comes first.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    from unrender.app.cli import main as run  # noqa: PLC0415
    from unrender.kernels.runtime.process import prepare_process  # noqa: PLC0415

    prepare_process()
    run()


if __name__ == "__main__":
    main()
