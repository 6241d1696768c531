"""Run folders that hold nothing yet: of fits that ended before their first checkpoint."""

import os
import shutil
from pathlib import Path

from unrender.training.run_folder import CAMERAS, RunFolder

PARTS = {"config.json", "metrics.jsonl", "checkpoints", CAMERAS}
"""What a run folder holds before its first checkpoint, at most."""


def discard_if_abandoned(path: Path) -> None:
    """Remove what a fit left that ended before its first checkpoint.

    A folder with anything else in it stays, and so does that of a fit that is running.
    """
    entries = {entry.name for entry in path.glob("*")}
    if "config.json" not in entries or not entries <= PARTS:
        return
    if any((path / "checkpoints").glob("*")):
        return
    if not is_running(RunFolder(path).config.get("process")):
        shutil.rmtree(path)


def is_running(process: object) -> bool:
    """Whether another process of that number is running on this machine."""
    if not isinstance(process, int) or process == os.getpid() or os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
