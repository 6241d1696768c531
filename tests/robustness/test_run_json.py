"""Run folders whose JSON is damaged are refused in one line that names the file and the key."""

import copy
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import unrender as ur
from unrender.api.resume import resume
from unrender.app.inspect import inspect_run, runs_below
from unrender.errors import InputError
from unrender.training.run_folder import RunFolder
from unrender.training.run_json import checked_config, checked_state

STATE = {"step": 3, "seconds": 1.5, "finished": False, "sums": {"loss": 0.5}, "count": 1}
VIEWS = {
    "width": 8,
    "height": 6,
    "intrinsics": [[9.0, 0, 4], [0, 9.0, 3], [0, 0, 1]],
    "radius": [3.0, 4.0],
    "elevation_deg": [-10.0, 60.0],
    "background": [1, 1, 1],
    "opaque": False,
}
CONFIG = {"format": 1, "method": {}, "fit": {}, "data": {"source": "a"}, "views": VIEWS}
ODD = (None, True, "x", [], {}, math.nan, math.inf, -(10**400), -1, "\x1b[31m")


def keys(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every number and text inside a value."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from keys(inner, (*before, key))
    else:
        yield before


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    content = copy.deepcopy(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


def test_what_is_right_passes() -> None:
    assert checked_state("state.json", STATE, "") == STATE
    assert checked_config("config.json", CONFIG) == CONFIG
    assert checked_config("config.json", {"format": 1}) == {"format": 1}


@pytest.mark.parametrize("value", ODD, ids=lambda value: f"{value!r:.9}")
def test_every_number_of_a_state_is_checked(value: Any) -> None:
    for place in keys(STATE):
        right = (place == ("finished",) and value is True) or (
            place[0] == "sums" and value == -1
        )
        if right:
            checked_state("state.json", changed(STATE, place, value), "fit again")
            continue
        with pytest.raises(InputError) as caught:
            checked_state("state.json", changed(STATE, place, value), "fit again")
        said = str(caught.value)
        assert said.startswith("state.json: ")
        assert str(place[-1]) in said
        assert said.endswith("; fit again")
        assert len(said) < 300


@pytest.mark.parametrize("key", STATE)
def test_every_key_of_a_state_is_needed(key: str) -> None:
    with pytest.raises(InputError, match=key):
        checked_state("state.json", {k: v for k, v in STATE.items() if k != key}, "fit again")


@pytest.mark.parametrize("value", [None, True, "x", [], {}, math.nan, math.inf, -(10**400)])
def test_every_number_of_the_views_is_checked(value: Any) -> None:
    for place in keys({"views": VIEWS}):
        if place == ("views", "opaque") and value is True:
            continue
        with pytest.raises(InputError, match=rf"^config\.json: views\.{place[1]}"):
            checked_config("config.json", changed(CONFIG, place, value))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run with two checkpoints, and its data beside it."""
    folder = tmp_path_factory.mktemp("runs")
    ur.load("bricks", downscale=10).train[:6].save(folder / "views.npz")
    options: dict[str, Any] = {"rays": 16, "bins": 8, "hold_out": 0, "device": "cpu"}
    data = str(folder / "views.npz")
    out = folder / "run"
    loop: dict[str, Any] = {"steps": 4, "checkpoint_every": 2, "log_every": 1}
    ur.fit("box", data, out=out, progress=False, **loop, **options)
    return out


DAMAGE: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "step": ("state.json", ("step",), "4"),
    "sums": ("state.json", ("sums",), True),
    "width": ("config.json", ("views", "width"), 0),
    "radius": ("config.json", ("views", "radius"), []),
    "source": ("config.json", ("data", "source"), 3),
    "downscale": ("config.json", ("data", "downscale"), "x"),
    "log_every": ("config.json", ("fit", "log_every"), 0),
    "bins": ("config.json", ("method", "options", "bins"), 10**12),
    "method": ("config.json", ("method",), []),
    "name": ("config.json", ("method", "name"), []),
    "seed": ("config.json", ("fit", "seed"), None),
    "device": ("config.json", ("fit", "device"), "x"),
    "ball": ("config.json", ("data", "ball"), [1, 2]),
}


@pytest.mark.fit
@pytest.mark.parametrize("name", DAMAGE)
def test_no_command_traces_back(fitted: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted, run)
    file, place, value = DAMAGE[name]
    path = run / file
    if file == "state.json":
        path = RunFolder(run).checkpoints()[-1] / file
    path.write_text(json.dumps(changed(json.loads(path.read_text()), place, value)))
    with pytest.raises(InputError, match=str(place[-1])):
        resume(run, steps=6, progress=False)
    for look in (inspect_run, lambda run: ur.open(run).load_data()):
        with suppress(InputError):
            look(run)
    assert len(runs_below(tmp_path)) == 1


@pytest.mark.fit
def test_a_damaged_newest_checkpoint_says_how_to_go_on(fitted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted, run)
    (RunFolder(run).checkpoints()[-1] / "model.safetensors").write_bytes(b"damaged")
    wanted = "delete the folder step_00000004 to go on from step_00000002"
    with pytest.raises(InputError, match=wanted):
        resume(run, progress=False)
    shutil.rmtree(run / "checkpoints/step_00000004")
    assert resume(run, progress=False).steps == 4
    (RunFolder(run).checkpoints()[-1] / "model.safetensors").write_bytes(b"damaged")
    shutil.rmtree(run / "checkpoints/step_00000002")
    with pytest.raises(InputError, match="fit again"):
        resume(run, progress=False)


@pytest.mark.fit
def test_other_data_at_the_same_place_are_refused(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    shutil.copy(fitted.parent / "views.npz", folder)
    monkeypatch.chdir(folder)
    options: dict[str, Any] = {"rays": 16, "bins": 8, "hold_out": 0, "device": "cpu"}
    run = ur.fit("box", "views.npz", out="run", steps=1, progress=False, **options)
    assert run.source == str(folder / "views.npz")
    monkeypatch.chdir(tmp_path)
    assert len(ur.open("first/run").load_data().train) == 6
    (folder / "views.npz").rename(folder / "moved.npz")
    with pytest.raises(InputError, match=r"no longer at .*views\.npz: --data PATH"):
        ur.open("first/run").load_data()
    assert len(ur.open("first/run").load_data(folder / "moved.npz").train) == 6
    ur.load("bricks", downscale=10).train[6:9].save(folder / "views.npz")
    with pytest.raises(InputError, match="was fitted to other data than those now at"):
        ur.open("first/run").load_data()
    assert len(ur.open("first/run").load_data(folder / "views.npz").train) == 3
