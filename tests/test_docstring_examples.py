"""Every public name has an example in its docstring, and the examples print what they say."""

import doctest
import functools
from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest

import unrender as ur
from unrender.api.run_state import RunState
from unrender.data import load
from unrender.data.builtin import BuiltInLight, make_scene
from unrender.data.dataset import Dataset
from unrender.data.image_shape.make_shapes import make_shapes
from unrender.data.image_shape.pairs import save_shapes
from unrender.data.views import Views
from unrender.geometry.cameras import as_slice
from unrender.imaging.color import as_color
from unrender.methods.presets.listing import Presets

pytestmark = pytest.mark.fit

PUBLIC: dict[str, Any] = {
    name: Presets if name == "methods" else getattr(ur, name)
    for name in vars(ur)["__all__"]
    if name != "__version__"
}
OTHERS: dict[str, Any] = {
    "unrender": ur.__doc__,
    "RunState": RunState,
    "as_slice": as_slice,
    "as_color": as_color,
}
NAMES = {"ur": ur, "as_slice": as_slice, "as_color": as_color}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def found_examples(name: str, documented: Any) -> list[doctest.DocTest]:
    """The examples in the docstrings of an object and of its members."""
    if isinstance(documented, str):
        parsed = doctest.DocTestParser().get_doctest(documented, dict(NAMES), name, None, None)
        return [parsed]
    # `module=False` finds functions that a type checker has wrapped.
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(documented, name, module=False, globs=dict(NAMES))  # pyright: ignore[reportArgumentType]
    return [test for test in found if test.examples]


EXAMPLES = [
    test
    for name, documented in {**OTHERS, **PUBLIC}.items()
    for test in found_examples(name, documented)
]


@functools.cache
def quick_scene(name: str, light: BuiltInLight = "direct") -> Dataset:
    """A built-in scene with all of its views, rendered at a quarter of their size."""
    scene = make_scene(name, size=40, supersample=1, light=light)
    return Dataset(name, enlarged(scene.train), enlarged(scene.test))


def enlarged(views: Views) -> Views:
    images = views.images.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return Views(views.cameras.resized(160, 160), images)


@pytest.fixture(scope="module", autouse=True)
def quick_scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Built-in scenes take a second instead of a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNRENDER_CACHE", str(tmp_path_factory.mktemp("scenes")))
        patch.setattr(load, "built_in", quick_scene)
        yield


@pytest.fixture(scope="module")
def chairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `unrender make-shapes` writes, which the examples of `predict` are trained on."""
    path = tmp_path_factory.mktemp("shapes") / "chairs.npz"
    save_shapes(path, *make_shapes("chair", 10, 2, 32))
    return path


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_examples_print_what_they_say(
    example: doctest.DocTest,
    chairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chairs.npz").symlink_to(chairs)
    runner = doctest.DocTestRunner(verbose=False, optionflags=OPTIONS)
    report: list[str] = []
    assert not runner.run(example, out=report.append, clear_globs=False).failed, "".join(report)


def test_every_public_name_has_an_example() -> None:
    with_examples = {test.name.split(".")[0] for test in EXAMPLES}
    assert not set(PUBLIC) - with_examples


def test_every_method_of_a_run_has_an_example() -> None:
    with_examples = {test.name.split(".")[-1] for test in EXAMPLES if test.name[:3] == "Run"}
    members = {**vars(RunState), **vars(ur.Run)}
    methods = {
        name
        for name, member in members.items()
        if name[0] != "_" and (isfunction(member) or isinstance(member, classmethod))
    }
    assert {"render", "open", "training_like"} <= methods
    assert not methods - with_examples
