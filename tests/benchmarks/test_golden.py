"""Every preset's first losses are those that were committed, and a difference is found."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import golden
import pytest
import record

COMMITTED: dict[str, Any] = record.read(golden.OUT)["golden"]
HERE = record.registers()
ONE = {"losses": [(0.5).hex(), (0.25).hex(), (0.125).hex()], "rendering": "0123456789abcdef"}


@pytest.mark.golden
@pytest.mark.skipif(HERE not in COMMITTED, reason=f"no values for registers of {HERE}")
@pytest.mark.parametrize("name", golden.PRESETS)
def test_a_preset_has_the_committed_losses(name: str) -> None:
    # In a process of its own: torch's threads keep the settings that they were started with.
    script = Path(golden.__file__)
    command = [sys.executable, str(script), "--only", name]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_values_do_not_differ() -> None:
    assert golden.differences({"machine": "any", "one": ONE}, {"one": ONE}, ["one"]) == []


def test_an_altered_loss_is_found() -> None:
    altered = copy.deepcopy(ONE)
    altered["losses"][1] = (0.25 + 2**-54).hex()
    (line,) = golden.differences({"one": ONE}, {"one": altered})
    assert line.startswith("one: the loss of step 2 differs: 0.25 ")
    assert str(ONE["losses"][1]) in line
    assert altered["losses"][1] in line


def test_an_altered_rendering_is_found() -> None:
    (line,) = golden.differences({"one": ONE}, {"one": {**ONE, "rendering": "f" * 16}})
    assert "the rendering differs" in line


def test_presets_that_are_new_or_gone_are_found() -> None:
    lines = golden.differences({"old": ONE}, {"new": ONE}, ["new"])
    assert [line.split(":")[0] for line in lines] == ["new", "old"]


def test_every_preset_has_committed_values_for_some_processor() -> None:
    found = set[str]()
    for values in COMMITTED.values():
        presets = values.keys() - set(golden.NOTES)
        assert len(values) == len(presets) + len(golden.NOTES)
        assert all(len(values[name]["losses"]) == golden.STEPS for name in presets)
        found |= presets
    assert found == set(golden.PRESETS)


def test_values_for_another_processor_alone_are_not_compared() -> None:
    name, other = list(golden.PRESETS)[:2]
    content = {"512 bits": {"machine": "any", name: ONE}, "256 bits": {other: ONE}}
    assert golden.elsewhere_only(content, "512 bits") == {other}
    assert golden.elsewhere_only(content, "256 bits") == {name}
