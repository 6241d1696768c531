"""No command is silent: each says what it does before it imports torch, which takes seconds."""

import subprocess
import sys

import pytest

from unrender.app.cli import COMMANDS

WATCH = """
import os, sys

class Watched:
    def write(self, text):
        late = "torch" in sys.modules
        os.write(1, f"{'after' if late else 'before'} torch: {text}".encode())
        os._exit(0)

    def flush(self):
        pass

    def isatty(self):
        return False

sys.stdout = sys.stderr = Watched()
sys.argv[0] = "unrender"
from unrender.app.cli import main
main()
"""
"""Runs a command up to the first words that it prints."""
TYPED = {
    "demo": "",
    "doctor": "",
    "process": "photos --out scene",
    "degrade": "scene --out dark --photons 50",
    "inspect": "scene",
    "make-views": "run --out views.npz",
    "make-shapes": "--out shapes.npz",
    "fit": "auto --data scene",
    "fit-shape": "cow.obj --as mesh",
    "render": "run --out film.mp4",
    "pose": "run photo.png",
    "novel-views": "photo.png --out film.mp4",
    "predict": "run photo.png --out chair.glb",
    "export": "run mesh.glb",
    "evaluate": "run",
    "compare": "one two",
    "study": "turntable --run flow --scene run",
    "compare-fields": "image.png",
    "spectrum": "",
}
OTHERS = ["fit nerf-fast --data scene", "fit --data scene", "fit --resume run"]


def first_words(arguments: str) -> str:
    command = [sys.executable, "-c", WATCH, *arguments.split()]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize(
    "arguments", [f"{name} {words}" for name, words in TYPED.items()] + OTHERS
)
def test_a_command_speaks_before_it_imports_torch(arguments: str) -> None:
    said = first_words(arguments)
    assert said.startswith("before torch: ")
    # It says what it does, not what is wrong with what was typed.
    assert "unrender: " not in said
    assert "usage" not in said


def test_all_commands_are_tried() -> None:
    assert set(TYPED) == set(COMMANDS)
