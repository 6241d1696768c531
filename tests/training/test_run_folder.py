"""Run folders: whole or not at all, and one line for what is wrong with one."""

import json
from pathlib import Path

import pytest
import torch

from unrender.errors import InputError
from unrender.files import read_json_object, write_json
from unrender.training.record import Checkpoint
from unrender.training.run_folder import RunFolder


def checkpoint(step: int, value: float = 1.0, finished: bool = False) -> Checkpoint:
    tensors = {"weight": torch.full((3,), value)}
    state = {"step": step, "seconds": 1.0, "finished": finished, "sums": {}, "count": 0}
    return Checkpoint(tensors, {"0.exp_avg": torch.ones(3)}, state)


def test_checkpoints_round_trip_and_old_ones_go(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {"method": {"name": "toy"}})
    for step in (10, 20, 30):
        run.save(checkpoint(step, value=step))
    assert [path.name for path in run.checkpoints()] == ["step_00000020", "step_00000030"]
    loaded = run.load(training=True)
    assert loaded.state["step"] == 30
    assert torch.equal(loaded.model["weight"], torch.full((3,), 30.0))
    assert torch.equal(loaded.optimizer["0.exp_avg"], torch.ones(3))


def test_the_same_step_can_be_saved_again(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    run.save(checkpoint(10))
    run.save(checkpoint(10, value=2, finished=True))
    assert [path.name for path in run.checkpoints()] == ["step_00000010"]
    assert run.load().state["finished"]


def test_config_says_what_made_the_run(tmp_path: Path) -> None:
    config = RunFolder.create(tmp_path / "run", {"seed": 3}).config
    assert config["seed"] == 3
    assert {"command", "commit", "versions", "machine", "format"} <= set(config)


def test_an_existing_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        RunFolder.create(tmp_path / "run", {})
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RunFolder.create(tmp_path / "file" / "run", {})


def test_no_run_and_no_checkpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        RunFolder.open(tmp_path / "nothing")
    with pytest.raises(InputError, match="no checkpoint"):
        RunFolder.create(tmp_path / "run", {}).load()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("keep", [0, 5, 0.5, 0.99])
def test_a_truncated_checkpoint_is_named(tmp_path: Path, name: str, keep: float) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    run.save(checkpoint(10))
    file = run.checkpoints()[-1] / name
    content = file.read_bytes()
    file.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content)) - 2])
    with pytest.raises(InputError, match=name):
        run.load(training=True)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000])
def test_a_broken_config_is_named(tmp_path: Path, text: str) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    (run.path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        RunFolder.open(run.path)


def test_another_format_is_named(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    write_json(run.path / "config.json", {"format": 99})
    with pytest.raises(InputError, match="format 99"):
        RunFolder.open(run.path)


def test_log_lines_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    for step in (1, 2, 3):
        run.log({"step": step, "loss": 0.5})
    with run.metrics_file.open("a") as file:
        file.write('{"step": 4, "lo')
    run.forget_after(2)
    assert [json.loads(line)["step"] for line in run.metrics_file.read_text().splitlines()] == [
        1,
        2,
    ]


def test_json_is_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_json_object(tmp_path / "a.json", "") == {"a": 1}
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert read_json_object(tmp_path / "a.json", "") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_only_a_folder_without_a_checkpoint_is_discarded(tmp_path: Path) -> None:
    unused, used = (
        RunFolder.create(tmp_path / "unused", {}),
        RunFolder.create(tmp_path / "used", {}),
    )
    unused.log({"step": 1, "loss": 0.5})
    used.save(checkpoint(1))
    for run in (unused, used):
        run.discard_if_unused()
    assert [path.name for path in tmp_path.iterdir()] == ["used"]
