"""How the command line helps, refuses, completes and ends, without any fit."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

from unrender import __version__
from unrender.api.data import SceneLayout
from unrender.app import choices, cli
from unrender.app.commands import pose, study
from unrender.app.completion import answer
from unrender.app.options import Option, fields_of, options_of
from unrender.app.output import default_folder
from unrender.app.parsing import convert, parse
from unrender.data.options import Split
from unrender.data.validate import Background
from unrender.errors import InputError
from unrender.imaging.files import write_image
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.methods.presets import PRESETS
from unrender.shapes.files.shape import Up
from unrender.studies import EXPERIMENTS, FILM_STUDIES, STUDIES, VIEW_STUDIES
from unrender.training.options import FitOptions

Command = Callable[..., str]
Helped = Callable[..., str]


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Helped:
    """What `unrender ARGUMENTS` prints when it ends with code 0 before anything is computed."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["unrender", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_overview_names_every_command(helped: Helped, arguments: tuple[str, ...]) -> None:
    shown = helped(*arguments)
    for name, command in cli.COMMANDS.items():
        assert f" {name} " in shown
        assert command.group in shown
    assert "--install-completion" in shown


def test_the_version(helped: Helped) -> None:
    assert helped("--version").strip() == f"unrender {__version__}"


HELPED = """
import contextlib, io, sys
from unrender.app.cli import COMMANDS, main
for words in ([], ["--version"], ["fit"], ["study"], ["redner"], ["fit", "instant-npg"],
              *([name, "--help"] for name in COMMANDS)):
    sys.argv = ["unrender", *words]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main()
        except SystemExit:
            pass
    assert not {"torch", "numpy", "matplotlib"} & set(sys.modules), words
"""


def test_help_and_errors_come_without_torch() -> None:
    command = [sys.executable, "-c", HELPED]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr


OTHERS = """
import contextlib, io, sys
from unrender.app.cli import main
sys.argv = ["unrender", "fit", "box", "--help"]
with contextlib.redirect_stdout(io.StringIO()):
    try:
        main()
    except SystemExit:
        pass
loaded = {name.split(".")[2] for name in sys.modules if name.startswith("unrender.methods.")}
assert loaded <= {"box", "presets"}
"""


def test_help_of_a_method_imports_no_other() -> None:
    command = [sys.executable, "-c", OTHERS]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("name", [*cli.COMMANDS, "fit box"])
def test_help_fits_the_terminal(
    helped: Helped, monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    before, _, _ = helped(*name.split(), "--help").partition("Examples:")
    assert max(map(len, before.splitlines())) <= columns
    boxed = [line for line in before.splitlines() if line.startswith("│")]
    assert len({len(line) for line in boxed}) == 1


@pytest.mark.parametrize(
    "name", [*cli.COMMANDS, "fit sit", "fit sdf", "study ntk", "study novel-views"]
)
def test_every_option_is_explained(helped: Helped, name: str) -> None:
    function, extend = cli.load(name.split(maxsplit=1)[0])
    options = options_of(function)
    if extend is not None:
        options += extend(name.split()[1:]).options
    shown = helped(*name.split(), "--help")
    for option in options:
        assert option.text, f"{name}: {option.name}"
        assert option.flag in shown or len(name.split()) > 1
    assert "None" not in shown
    assert "**" not in shown


def test_fit_lists_the_methods_by_what_they_are_for(helped: Helped) -> None:
    for arguments in (("fit",), ("fit", "--help")):
        shown = helped(*arguments)
        words = " ".join(shown.replace("│", " ").split())
        for preset in PRESETS.values():
            assert preset.name in words
            assert preset.purpose in words
            assert preset.paper in words
        assert "Radiance fields" in shown


def test_help_of_a_method_has_its_paper_and_three_boxes(helped: Helped) -> None:
    shown = helped("fit", "nerf-tiny", "--help")
    assert "Fit nerf-fast (Mildenhall et al., ECCV 2020)" in shown
    titles = [line.split()[1] for line in shown.splitlines() if line.startswith("╭")]
    assert titles == ["data", "training", "nerf-fast"]
    assert "-d, --data DATA" in shown
    assert "--image" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("redner",), "did you mean render?"),
        (("--verison",), "is not an option"),
        (("fit", "instant-npg"), "Did you mean instant-ngp"),
        (("fit", "box", "--iters", "100"), "did you mean --steps?"),
        (("fit", "instant-ngp", "--sampels", "100"), "did you mean --samples?"),
        (("fit", "box", "--minutes", "two"), "--minutes: 'two' is not a number"),
        (("fit", "box", "--steps", "1.5"), "--steps: '1.5' is not a whole number"),
        (("fit", "box", "--device", "gpu"), "--device: 'gpu' is not one of auto, cpu, cuda"),
        (("fit", "box"), "--data DATA is missing"),
        (("fit", "box", "--data"), "--data: needs a value"),
        (
            ("fit", "box", "--data", "x", "y"),
            "'y': unrender fit box does not expect this argument",
        ),
        (("fit", "--resume"), "name the run folder"),
        (("render",), "RUN|SHAPE|GRID is missing; usage: unrender render"),
        (("render", "x.obj"), "--out FILE|FOLDER is missing"),
        (("render", "x.obj", "-o", "a.gif", "--what", "colour"), "did you mean color?"),
        (("render", "x.obj", "-o", "a.gif", "--cameras", "turntabel"), "mean turntable?"),
        (("render", "x.obj", "-o", "a.gif", "--background", "1", "2"), "three numbers"),
        (("study", "gradient"), "did you mean gradients?"),
        (("make-views", "runs/x", "-o", "a.npz", "--radius", "3"), "needs 2 values, not 1"),
        (("--install-completion", "tcsh"), "bash, zsh, fish"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refusals_say_what_to_type_instead(
    refused: Command, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(*arguments)


def test_options_are_read_in_every_usual_way() -> None:
    options = [
        Option("many", tuple[int, ...], (), ""),
        Option("pair", tuple[float, float], None, ""),
        Option("quiet", bool, False, ""),
        Option("light", bool, True, ""),
        Option("out", Path, None, ""),
        *fields_of(FitOptions, FitOptions(), "training", "training"),
    ]
    words = ["--many", "1", "2", "--pair", "-1e-3", "-.5", "-q", "--no-light", "-oa/b"]
    found = parse(options, [*words, "--log_every=7", "-n", "3"], "unrender x", "")
    assert found["many"] == (1, 2)
    assert found["pair"] == (-1e-3, -0.5)
    assert found["quiet"] is True
    assert found["light"] is False
    assert found["out"] == Path("a/b")
    training = FitOptions(**found["training"])
    assert training == FitOptions(steps=3, log_every=7)
    with pytest.raises(InputError, match="--many: needs a value"):
        parse(options, ["--many"], "unrender x", "")


@pytest.mark.parametrize(("kind", "word"), [(int, "one"), (float, ""), (bool, "maybe")])
def test_values_of_the_wrong_kind(kind: type, word: str) -> None:
    with pytest.raises(InputError, match="--x"):
        convert(kind, word, "--x")


def test_what_the_command_line_repeats_of_the_library() -> None:
    """It does so where the library's own module would import torch."""
    assert get_args(choices.Background) == get_args(Background)
    assert get_args(choices.SceneLayout) == get_args(SceneLayout)
    assert get_args(choices.Split) == get_args(Split)
    assert get_args(choices.Up) == get_args(Up)
    parameters = inspect.signature(pose.pose).parameters
    for field in RenderAndCompare.__dataclass_fields__.values():
        assert parameters[field.name].default == field.default
    assert set(study.OF_A_FLOW) == set(STUDIES)
    assert set(study.OF_VIEW_MODELS) == set(VIEW_STUDIES)
    assert set(study.OF_FILMS) == set(FILM_STUDIES)
    assert set(study.ALONE) == set(EXPERIMENTS)
    every = {**STUDIES, **VIEW_STUDIES, **FILM_STUDIES, **EXPERIMENTS}
    for name, (place, _) in study.STUDIES.items():
        assert type(every[name]).__name__ == place.split(":")[1]


def completed(*words: str) -> list[str]:
    return answer(words, cli.COMMANDS, cli.load)


def test_completion() -> None:
    assert completed("rend") == ["render"]
    assert set(completed("")) == set(cli.COMMANDS)
    assert "--cameras" in completed("render", "--c")
    assert completed("render", "runs/x", "--device", "c") == ["cpu", "cuda"]
    assert "nerf-fast" in completed("fit", "ner")
    assert "--levels" in completed("fit", "instant-ngp", "--lev")
    assert completed("study", "grad") == ["gradients"]
    assert completed("render", "runs/") == []
    assert completed("nothing", "--x") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(
    helped: Helped, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    told = helped("--install-completion", shell)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert str(file) in told
    assert "unrender --complete" in file.read_text()


def test_bash_completes(tmp_path: Path) -> None:
    """The script in a real shell, which asks the command."""
    command = tmp_path / "unrender"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m unrender "$@"\n')
    command.chmod(0o755)
    script = "\n".join(
        [
            "HOME=$1 unrender --install-completion bash > /dev/null",
            'source "$1/.local/share/bash-completion/completions/unrender"',
            "COMP_WORDS=(unrender comp); COMP_CWORD=1",
            '_unrender; echo "${COMPREPLY[@]}"',
        ]
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    arguments = ["bash", "-c", script, "bash", str(tmp_path)]
    result = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert result.stdout.split() == ["compare", "compare-fields"], result.stderr


def test_a_reader_that_has_enough_ends_the_command_quietly() -> None:
    command = f'"{sys.executable}" -m unrender fit --help | head -n 1'
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.stdout.startswith("usage")
    assert result.stderr == ""


EARLY = """
import os, signal, sys
import unrender.app.cli
# A shell starts what it runs in the background with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
unrender.app.cli.main = lambda: os.kill(os.getpid(), signal.SIGINT)
from unrender.__main__ import main
main()
"""


def test_an_early_ctrl_c_ends_the_command_quietly() -> None:
    """Whatever is being imported then."""
    command = [sys.executable, "-c", EARLY]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 130
    assert result.stderr == "unrender: interrupted\n"


def test_ctrl_c_while_a_command_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "unrender: interrupted\n"


def test_runs_are_numbered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_folder("bricks", "nerf-fast") == Path("runs/bricks/nerf-fast/1")
    Path("runs/bricks/nerf-fast/1").mkdir(parents=True)
    assert default_folder("bricks", "nerf-fast") == Path("runs/bricks/nerf-fast/2")
    Path("scene").mkdir()
    assert default_folder("./scene/", "box") == Path("runs/scene/box/1")
    monkeypatch.chdir("scene")
    assert default_folder(".", "box") == Path("runs/scene/box/1")


def test_plain_photos_need_their_cameras(refused: Command, tmp_path: Path) -> None:
    for k in range(3):
        write_image(tmp_path / f"{k}.png", torch.rand(8, 8, 3))
    for arguments in (("inspect", tmp_path), ("fit", "box", "--data", tmp_path)):
        line = refused(*arguments)
        assert "3 images without camera poses" in line
        assert f"unrender process {tmp_path} --out SCENE" in line


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("film.mp4", "is a film without camera poses: run `unrender process"),
        ("photo.jpg", "is one image, and a scene needs many"),
        ("cow.obj", "is a shape, not posed images: unrender fit-shape"),
    ],
)
def test_what_is_no_posed_images_is_sent_to_its_command(
    refused: Command, tmp_path: Path, name: str, remedy: str
) -> None:
    (tmp_path / name).write_bytes(b"")
    for method in (("auto",), ("box",), ()):
        out = tmp_path / "run"
        assert remedy in refused("fit", *method, "--data", tmp_path / name, "-o", out)
        assert not out.exists()


def test_auto_needs_data_and_leaves_options_to_methods(refused: Command) -> None:
    assert "--data DATA is missing" in refused("fit", "auto")
    assert "--levels: unrender fit auto has no such option" in refused(
        "fit", "--data", "bricks", "--levels", 3
    )


def test_inspect_advises_a_method(command: Command, scene_folder: Path) -> None:
    said = command("inspect", scene_folder)
    assert f"unrender fit auto --data {scene_folder} takes instant-ngp-fast, because" in said
    assert "unrender fit auto --data bricks takes" in command("inspect", "bricks")
