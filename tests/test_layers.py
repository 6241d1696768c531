"""The layer rule: a package imports only from itself and from packages above it."""

import ast
from pathlib import Path

import pytest
from inputs import ROOT

SOURCE = ROOT / "src" / "unrender"

# `__init__` holds the version alone, so it may be imported anywhere.
LAYERS = (
    "__init__",
    "errors",
    "notes",
    "ranges",
    "files",
    "geometry",
    "imaging",
    "kernels",
    "optimizers",
    "shapes",
    "fields",
    "rendering",
    "data",
    "inverse",
    "flows",
    "evaluation",
    "training",
    "methods",
    "report",
    "viewer",
    "api",
    "studies",
    "app",
    "__main__",
)
EXTENDED = {"nerfies": ("nerf", "instant_ngp"), "hypernerf": ("nerfies",)}
"""Methods that other methods are part of, as in their papers: the canonical fields."""
FORBIDDEN = {("flows", "shapes"), ("flows", "fields"), ("viewer", "methods")}


def imported_modules(source: str, package: str) -> list[str]:
    """Dotted names of all that the source imports, wherever in the file it does so."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # The number of dots says how far to climb from the package that holds the file.
            parents = package.split(".")
            above = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join(above + ([node.module] if node.module else []))
            # `from unrender import geometry` names a package; `from x.y import f` may not.
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def broken_rules(path: Path, source: str) -> list[str]:
    """What a file at `path`, relative to the package, does against the layer rule."""
    own = path.parts[0].removesuffix(".py")
    if own not in LAYERS:
        return [f"{path}: {own} is not in the list of layers"]
    package = ".".join(("unrender", *path.parts[:-1]))
    broken: list[str] = []
    for name in imported_modules(source, package):
        parts = name.split(".")
        if parts[0] != "unrender" or len(parts) == 1:
            continue
        other = parts[1] if parts[1] in LAYERS else "__init__"
        if LAYERS.index(other) > LAYERS.index(own):
            broken.append(f"{path}: {own} imports {other}, which lies below it")
        if (own, other) in FORBIDDEN:
            broken.append(f"{path}: {own} must not import {other}")
        a_method = own == "methods" and path.name != "__init__.py"
        own_parts = {path.stem, "presets", *EXTENDED.get(path.stem, ())}
        if a_method and other == "methods" and not own_parts & {*parts[2:3]}:
            broken.append(f"{path}: a method imports another, {name}")
    return broken


def test_every_package_imports_only_from_above() -> None:
    broken: list[str] = []
    for file in sorted(SOURCE.rglob("*.py")):
        broken += broken_rules(file.relative_to(SOURCE), file.read_text())
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("geometry/a.py", "from unrender.data.views import Views"),
        ("geometry/a.py", "import unrender.app.cli"),
        ("geometry/a.py", "from unrender import methods"),
        ("geometry/a.py", "from ..data import views"),
        ("geometry/a.py", "def f():\n    from unrender.data import views"),
        ("errors.py", "from . import geometry"),
        ("flows/a.py", "from unrender.fields import networks"),
        ("viewer/a.py", "from unrender.methods.nerf import NeRF"),
        ("methods/nerf.py", "from unrender.methods.sit import SiTFlow"),
        ("methods/nerf.py", "from unrender.methods import METHODS"),
        ("methods/nerf.py", "from . import sit"),
        ("methods/nerf.py", "from .sit import SiTFlow"),
        ("helpers/a.py", ""),
    ],
)
def test_the_rule_can_be_broken(path: str, source: str) -> None:
    assert broken_rules(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("geometry/a.py", "from unrender.geometry.poses import look_at\nimport torch"),
        ("geometry/a.py", "from . import poses\nfrom .. import errors, __version__"),
        ("data/a.py", "from unrender.geometry.cameras import Cameras"),
        ("methods/__init__.py", "from unrender.methods.nerf import NeRF"),
        (
            "app/cli.py",
            "from unrender import __version__\nfrom unrender.methods import METHODS",
        ),
    ],
)
def test_the_rule_lets_the_allowed_through(path: str, source: str) -> None:
    assert not broken_rules(Path(path), source)
