"""The entry point of the `unrender` command and of `python -m unrender`."""

import os


def main() -> None:
    """Run the command line, with threads that sleep while they wait.

    Between torch's parallel loops its threads would spin, on the cores that our own kernels need
    by then; and beside any other busy process that makes everything several times slower. OpenMP
    reads these settings once, when torch is imported, so they come first.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from unrender.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
