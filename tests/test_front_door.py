"""What `import unrender` gives: every public name, at once, and without torch."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import unrender

STUB = Path(unrender.__file__).with_suffix(".pyi")
SECONDS = 0.5


def test_the_import_is_quick_and_takes_no_torch() -> None:
    code = (
        "import sys, time; began = time.perf_counter(); import unrender; "
        "print(time.perf_counter() - began); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'tyro')))"
    )
    seconds: list[float] = []
    # The best of a few: other processes may hold the cores.
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        seconds.append(float(done.stdout))
        if min(seconds) < SECONDS:
            break
        time.sleep(0.5)
    assert min(seconds) < SECONDS


def test_the_environment_is_set_before_torch() -> None:
    code = "import os, unrender; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip()


def stub_names() -> set[str]:
    """What the stub exports: `import X as X`, and variables."""
    names: set[str] = set()
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname for alias in node.names if alias.asname is not None}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_the_stub_names_what_the_module_has() -> None:
    assert stub_names() == set(unrender.__all__)
    assert len(unrender.__all__) == len(set(unrender.__all__))


def test_the_stub_says_where_each_name_lives() -> None:
    homes = {
        alias.asname: node.module
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is not None
    }
    assert {**homes, "open": "unrender.api.run"} == unrender._PLACES


@pytest.mark.parametrize("name", unrender.__all__)
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(unrender, name)
    assert value is getattr(unrender, name)
    if name != "__version__":
        assert value.__doc__


def test_dir_lists_the_public_names() -> None:
    assert dir(unrender) == sorted(unrender.__all__)


@pytest.mark.parametrize(
    ("wrong", "right"), [("turntabel", "turntable"), ("Meshes", "Mesh"), ("loads", "load")]
)
def test_a_wrong_name_has_a_hint(wrong: str, right: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{wrong}'. Did you mean '{right}'"):
        getattr(unrender, wrong)


def test_what_is_like_nothing_has_no_hint() -> None:
    with pytest.raises(AttributeError) as caught:
        unrender.xyzzy  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
    assert "Did you mean" not in str(caught.value)
