"""What no file may import: pickle, and torchvision, which does not load beside every torch.

The one exception are tests that write checkpoints as PyTorch Lightning does, and hostile ones,
for `unrender.files.pickled`, which reads pickles as data. It needs no exception itself.
"""

import ast
import re

import pytest
from inputs import ROOT

FOLDERS = ("src", "tests", "examples", "benchmarks", "docs")

MAY_WRITE_PICKLES = (
    "tests/files/test_checkpoints.py",
    "tests/flows/test_zero123.py",
    "tests/zero123_checkpoints.py",
)

# joblib, dill, cloudpickle and shelve are pickle by other names.
BANNED = {
    "torchvision",
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
}

MENTION = re.compile("|".join([*BANNED, "allow_pickle", r"torch\s*\.\s*(load|save)"]))
"""What a file holds that `banned_uses` finds something in; most need not be parsed."""


def banned_uses(source: str) -> list[str]:
    """Banned imports, and calls that would read a pickle all the same."""
    uses: list[str] = []
    if not MENTION.search(source):
        return uses
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
        elif isinstance(node, ast.Call):
            last = getattr(node.func, "attr", getattr(node.func, "id", ""))
            function = ast.unparse(node.func) if last in ("load", "save") else last
            # import_module(...) and __import__(...) name a module in a string.
            if last in ("import_module", "__import__"):
                constants = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                names = [value for value in constants if isinstance(value, str)]
            if function in ("torch.load", "torch.save"):
                uses.append(f"line {node.lineno}: {function} reads or writes a pickle")
            for keyword in node.keywords:
                allowed = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg == "allow_pickle" and not allowed:
                    uses.append(f"line {node.lineno}: allow_pickle")
        uses += [
            f"line {node.lineno}: imports {name}"
            for name in names
            if name.split(".")[0] in BANNED
        ]
    return uses


def test_nothing_imports_what_is_banned() -> None:
    found: list[str] = []
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if name not in MAY_WRITE_PICKLES:
                found += [f"{name}, {use}" for use in banned_uses(file.read_text())]
    assert not found, "\n".join(found)


def test_what_may_write_pickles_does() -> None:
    """An exception that is not needed any more is removed."""
    for name in MAY_WRITE_PICKLES:
        assert banned_uses((ROOT / name).read_text())
        assert name.startswith("tests/")


@pytest.mark.parametrize(
    "source",
    [
        "import torchvision",
        "from torchvision.transforms import v2",
        "import numpy, pickle",
        "def f():\n    import pickle as p",
        "importlib.import_module('torchvision.io')",
        "__import__('pickle')",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
    ],
)
def test_the_ban_can_be_broken(source: str) -> None:
    assert banned_uses(source)


@pytest.mark.parametrize(
    "source",
    ["import torch", "from . import pickle_free", "np.load(path, allow_pickle=False)"],
)
def test_the_ban_lets_the_allowed_through(source: str) -> None:
    assert not banned_uses(source)
