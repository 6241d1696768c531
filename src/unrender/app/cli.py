"""The `unrender` command: finds the command that was typed, parses its options, and runs it.

Every command is a function in a module of its own, which is imported only when it is typed.
Until its options are parsed nothing imports torch, so that help texts and errors come at once.
"""

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from unrender import __version__
from unrender.app import streams
from unrender.app.completion import answer, install
from unrender.app.extension import Extension
from unrender.app.layout import box, help_text, reflow, usage, width
from unrender.app.options import combined, describe, options_of
from unrender.app.output import note_loading
from unrender.app.parsing import did_you_mean, parse, with_dataclasses
from unrender.errors import InputError
from unrender.notes import silenced
from unrender.training.interruption import Stopped, stopped_by_exception


@dataclass(frozen=True)
class Command:
    """A command in the overview."""

    group: str
    summary: str
    place: str
    """Its module in `unrender.app.commands`, and its function."""


def _commands() -> dict[str, Command]:
    start, data, fit, use, measure = "Get started", "Data", "Fit", "Use", "Measure"
    return {
        "demo": Command(
            start, "The whole loop in 8 minutes: images, NeRF, poses, a report.", "demo:demo"
        ),
        "doctor": Command(start, "Check the installation; run every kernel.", "doctor:doctor"),
        "process": Command(
            data, "Estimate the cameras of photos or a video (COLMAP).", "process:process"
        ),
        "degrade": Command(
            data, "Make images worse: dark, noisy, blurred, few …", "degrade:degrade"
        ),
        "inspect": Command(
            data, "Describe a dataset, run or shape, and what looks wrong.", "inspect:inspect"
        ),
        "make-views": Command(
            data, "Render random views of a run: data for a pose flow.", "make_views:make_views"
        ),
        "make-shapes": Command(
            data, "Make procedural shapes with images of them.", "make_shapes:make_shapes"
        ),
        "fit": Command(
            fit, "Fit a method: NeRF, Gaussian splatting, SDF, pose flow …", "fit:fit"
        ),
        "fit-shape": Command(
            fit, "Fit a mesh, points, voxels or a field to a shape.", "fit_shape:fit_shape"
        ),
        "render": Command(use, "Render images or a video of a run or shape.", "render:render"),
        "pose": Command(use, "Estimate the camera poses of images.", "pose:pose"),
        "novel-views": Command(
            use,
            "Make other views of an object in a photo, or of a scene.",
            "novel_views:novel_views",
        ),
        "predict": Command(use, "Predict the shape in one photo.", "predict:predict"),
        "export": Command(
            use, "Write a run as a mesh, points, splats or cameras.", "export:export"
        ),
        "evaluate": Command(measure, "Score a run on held-out data.", "evaluate:evaluate"),
        "compare": Command(
            measure, "Compare runs on the same held-out views, as a page.", "compare:compare"
        ),
        "study": Command(
            measure, "Run an experiment, and write a page about it.", "study:study"
        ),
        "compare-fields": Command(
            measure,
            "Fit every kind of neural field to one image.",
            "compare_fields:compare_fields",
        ),
        "spectrum": Command(
            measure, "One scene from flat shading to path tracing.", "spectrum:spectrum"
        ),
    }


COMMANDS = _commands()
GLOBAL = (
    ("-h, --help", "Show this help, or with a command the help of that command."),
    ("--version", "Show the version."),
    ("--install-completion", "Let the Tab key complete commands and options in your shell."),
)


def overview() -> str:
    """The help of `unrender` itself."""
    columns = width()
    least = max(len(left) for left in (*COMMANDS, *(names for names, _ in GLOBAL)))
    parts = [
        "usage: unrender COMMAND [options]",
        reflow(
            "Inverse graphics: images to scenes, poses to images, images to poses.", columns
        ),
    ]
    for title in dict.fromkeys(command.group for command in COMMANDS.values()):
        rows = [(name, each.summary) for name, each in COMMANDS.items() if each.group == title]
        parts.append(box(title, rows, columns, least))
    parts.append(box("Options", GLOBAL, columns, least))
    parts.append(
        "Begin with:\n"
        "  unrender demo                          everything once, on built-in images\n"
        "  unrender process photos --out scene    photos → cameras\n"
        "  unrender fit --help                    which method to use for what\n"
        "  unrender COMMAND --help                all options of a command"
    )
    return "\n\n".join(parts)


def run(arguments: Sequence[str]) -> None:
    """Run one command line. Raises InputError, and SystemExit(0) after a help text."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _print_and_exit(overview())
    first, *rest = arguments
    if first in ("--version", "-V"):
        _print_and_exit(f"unrender {__version__}")
    if first == "--install-completion":
        _print_and_exit(install(rest))
    if first == "--complete":
        _print_and_exit("\n".join(answer(rest, COMMANDS, load)))
    name = first.replace("_", "-")
    if name not in COMMANDS:
        what = "an option" if first.startswith("-") else "a command"
        hint = did_you_mean(name, list(COMMANDS)) or ":"
        raise InputError(f"{first!r} is not {what}{hint} `unrender --help` lists all")
    _run_command(name, rest)


def load(name: str) -> tuple[Any, Any]:
    """The function of a command, and what its module knows of further options, or None."""
    module_name, function_name = COMMANDS[name].place.split(":")
    module = import_module(f"unrender.app.commands.{module_name}")
    return getattr(module, function_name), getattr(module, "extend", None)


def _run_command(name: str, arguments: list[str]) -> None:
    function, extend = load(name)
    program = f"unrender {name}"
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    wants_help = "--help" in before or "-h" in before
    if not wants_help:
        _check_current_folder()
    options = options_of(function)
    extension: Extension = Extension() if extend is None else extend(arguments)
    options = combined(options, extension.options)
    shown_as, shown = program, options
    if extension.program is not None:
        shown_as, shown = extension.program, options[1:]
    if wants_help:
        description = extension.description or describe(function.__doc__)
        _print_and_exit(help_text(shown_as, description, shown, extension.note))
    if extension.answer is not None:
        _print_and_exit(extension.answer)
    values = parse(options, arguments, shown_as, usage(shown_as, shown))
    if "torch" not in sys.modules:  # Else `extend` has told so.
        note_loading(arguments)
    with _prepared(), silenced(bool(values.get("quiet"))):
        function(**with_dataclasses(function, values))


def _check_current_folder() -> None:
    """InputError if it was deleted: torch would end the process without saying why."""
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(
            "the current folder was deleted: change to one that exists, with cd"
        ) from error


@contextmanager
def _prepared() -> Generator[None]:
    """What the process sets for long computations; torch is imported here."""
    from unrender.kernels.runtime import process  # noqa: PLC0415 - imports torch

    process.keep_freed_memory()
    with stopped_by_exception(), process.flushed_denormals():
        yield


def _print_and_exit(text: str) -> None:
    if text:
        print(text)
    raise SystemExit(0)


def main() -> None:
    """Run the command line; bad input ends with one line and exit code 2."""
    with streams.checked():
        try:
            run(sys.argv[1:])
        except InputError as error:
            streams.complain(str(error))
            sys.exit(2)
        except KeyboardInterrupt:
            streams.complain("interrupted")
            sys.exit(130)
        except Stopped as stopped:
            streams.complain(f"stopped by {stopped.name}")
            raise
