"""Run folders that hold nothing yet: of fits that ended before their first checkpoint."""

from pathlib import Path

from unrender.files.locks import LOCK, locked
from unrender.files.temporaries import NAMED, remove_folder
from unrender.training.run_folder import CAMERAS

PARTS = {"config.json", "metrics.jsonl", "checkpoints", CAMERAS, LOCK}
"""What a run folder holds before its first checkpoint, at most."""


def discard_if_abandoned(path: Path) -> None:
    """Remove what a fit left that ended before its first checkpoint.

    A folder with anything else in it stays. InputError if a fit is writing into it.
    """
    if not (path / "config.json").is_file():
        return
    entries = [*path.glob("*"), *path.glob("checkpoints/*")]
    names = {entry.name for entry in entries if not NAMED.fullmatch(entry.name)}
    if names <= PARTS:
        with locked(path):
            remove_folder(path)
