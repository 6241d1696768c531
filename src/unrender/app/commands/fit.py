"""`unrender fit`: fit a method to data, or continue a fit."""

import dataclasses
import inspect
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from unrender.app.extension import Extension
from unrender.app.layout import box, reflow, width
from unrender.app.options import REQUIRED, Description, Option, Words, fields_of
from unrender.app.output import default_folder, note, note_loading
from unrender.errors import InputError
from unrender.methods.presets import PRESETS, Preset, find_preset
from unrender.methods.presets.automatic import AUTO
from unrender.methods.presets.listing import Presets
from unrender.methods.presets.renamed import RENAMED
from unrender.training.options import FitOptions

if TYPE_CHECKING:
    from unrender.api.run import Run

HERE = Path("<the folder of --out>")
"""The value of `--resume` without a folder."""
DATA = {
    "posed images": "Posed images: a Blender, nerfstudio, COLMAP, LLFF, IDR or CO3D folder, an "
    ".npz of `unrender make-views`, a film with times in the layout of Nerfies, D-NeRF or "
    "Non-Rigid NeRF, or a built-in scene: bricks, chair, hotdog; lamp, which moves; shiny, of "
    "metal, glass and a hologram.",
    "a few views": "A photograph of an object, with alpha or on a plain background, or posed "
    "images as for a radiance field, of which --inputs are given.",
    "one image": "An image: PNG, JPEG, WebP, BMP, TIFF, GIF or PPM.",
    "a shape": "A mesh (.obj, .ply, .glb, .gltf, .off, .stl), points (.ply, .xyz, .npz) or "
    "voxels (.binvox, .npz).",
    "sets of views": "objects, which are procedural chairs, tables, lamps and cars rendered "
    "while training goes on; or a posed scene, or a folder of posed scenes.",
    "images paired with shapes": "An .npz of `unrender make-shapes`, or a folder of ShapeNet's "
    "models with renderings.",
}
"""What `--data` is, by the kind of data that a method is fitted to."""
POSED_IMAGES = "posed images"
"""The kind of data among whose methods `auto` chooses."""
DATA_WORDS = Words(metavar="DATA", hidden=("--image",), box="data")


def fit(
    method: Annotated[str | None, Words(positional=True, metavar="METHOD")] = None,
    data: Annotated[str | None, DATA_WORDS] = None,
    out: Annotated[Path | None, Words(metavar="FOLDER", box="training")] = None,
    resume: Annotated[Path | None, Words(metavar="RUN", bare=HERE, box="training")] = None,
    quiet: Annotated[bool, Words(box="training")] = False,
    training: FitOptions = FitOptions(),
    **options: Any,
) -> None:
    """Fit a method to data: a radiance field, a surface, a pose flow, a shape or an image.

    Args:
        method: One of the methods above; without one, `auto`, which chooses by what the data
            are.
        data: What to fit to; the kind of data depends on the method.
        out: The run folder to make (default: runs/DATA/METHOD/NUMBER).
        resume: Continue this run from its last checkpoint, with the options that it was begun
            with; a larger --minutes or --steps trains a finished run further.
        quiet: Print the run folder only.
        training: The training loop.
        **options: The method, and how the data are read.

    Examples:
        unrender fit auto --data scene --minutes 5
        unrender fit gaussian-splatting-fast -d scene -m 5 -o runs/garden
        unrender fit --resume runs/garden --minutes 10
    """
    if resume is not None:
        run = _resumed(resume, method, data, out, training, options, quiet)
    else:
        run = _fitted(method, data, out, training, options, quiet)
    from unrender.app.outcome import report_fit  # noqa: PLC0415 - imports torch

    if run is not None:
        report_fit(run, quiet)


def extend(arguments: Sequence[str]) -> Extension:
    """The options of the method that was typed; without one, the list of methods."""
    name = _method_in(arguments)
    if name == AUTO or (name is None and _names_data(arguments)):
        note_loading(arguments)
        return _automatic(_resumes(arguments))
    if name is None:
        if _resumes(arguments):
            note_loading(arguments)
        text = listing()
        answer = f"usage: unrender fit METHOD --data DATA [options]\n\n{text}"
        return Extension(note=text, answer=None if _resumes(arguments) else answer)
    preset = find_preset(name)
    note_loading(arguments)
    method = preset.method()
    assert dataclasses.is_dataclass(method)
    own = [field.name for field in dataclasses.fields(method)]
    kind = method.data
    found = [
        Option(
            "data",
            str,
            REQUIRED if not _resumes(arguments) else None,
            DATA[kind.name],
            DATA_WORDS,
            "data",
        )
    ]
    found += fields_of(kind.options, kind.options(), "data", without=own)
    found += fields_of(type(method), method, preset.name)
    text = inspect.cleandoc(inspect.getdoc(type(method)) or "").split("\n\n")[0]
    size = ", ".join([preset.size, *preset.plan])
    details = f"{preset.purpose[0].upper()}{preset.purpose[1:]}; {size}."
    summary = f"Fit {preset.name} ({preset.paper})."
    example = f"unrender fit {preset.name} --data {_example(kind.name)}"
    description = Description(summary, f"{details}\n\n{text}", {}, (example,))
    return Extension(found, description, f"unrender fit {preset.name}")


def _automatic(resumes: bool) -> Extension:
    """The options of `auto`: how posed images are read."""
    from unrender.data.load import LoadOptions  # noqa: PLC0415 - imports torch

    needed = None if resumes else REQUIRED
    found = [Option("data", str, needed, DATA[POSED_IMAGES], DATA_WORDS, "data")]
    found += fields_of(LoadOptions, LoadOptions(), "data")
    description = Description(
        "Fit the method that suits the data.",
        "instant-ngp-fast for an object without background, gaussian-splatting-fast for "
        "photographs all around something, instant-ngp-capture for photographs that look one "
        "way, and nerfies-fast or nerfies-capture for films of scenes that move. Says which "
        "one and why. To change options of that method, name it.",
        {},
        (f"unrender fit {AUTO} --data scene --minutes 5",),
    )
    return Extension(found, description, f"unrender fit {AUTO}")


def listing() -> str:
    """Every method by what it is for, one line each."""
    columns = width()
    presets = Presets()
    least = max(map(len, PRESETS))
    intro = (
        "Start with `unrender fit auto --data DATA`, which chooses by what the data are. "
        "METHOD has the size of the paper, METHOD-fast is for minutes on two CPU cores. "
        "`unrender fit METHOD --help` shows the options of a method."
    )
    parts = [reflow(intro, columns)]
    for title, group in presets.by_task():
        rows = [(each.name, each.summary) for each in group]
        parts.append(box(title, rows, columns, least))
    return "\n\n".join(parts)


def _fitted(
    method: str | None,
    data: str | None,
    out: Path | None,
    training: FitOptions,
    options: dict[str, Any],
    quiet: bool,
) -> "Run":
    from unrender.api.automatic import read_and_choose, reason_of  # noqa: PLC0415 - imports torch
    from unrender.api.fit import check_free, choose, fit_to  # noqa: PLC0415
    from unrender.training.fit import pick_device  # noqa: PLC0415

    named = None if method in (None, AUTO) else find_preset(method)
    if data is None:
        name = AUTO if named is None else named.name
        raise InputError(
            f"--data DATA is missing: unrender fit {name} --data DATA; try --data bricks"
        )
    if out is not None:
        check_free(out)
    if named is None:
        note(f"Reading {data}", quiet)
        source, choice = read_and_choose(data, options)
        preset, reason = choice.preset, reason_of(choice)
        note(f"Method: {preset}, {reason}", quiet)
        if choice.advice:
            note(f"note: {choice.advice}", quiet)
        chosen, _, _ = choose(preset, {})
    else:
        preset, reason = named.name, None
        for line in remarks(str(method), named, pick_device(training.device).type):
            note(line, quiet)
        chosen, _, reading = choose(preset, options)
        note(f"Reading {data}", quiet)
        source = chosen.data.read(data, reading)
        if not quiet and named.task == "radiance field":
            note_of_choice(source, named)
    folder = out or default_folder(data, preset)
    return fit_to(
        chosen, source, training, preset=preset, reason=reason, out=folder, progress=not quiet
    )


def _resumed(
    resume: Path,
    method: str | None,
    data: str | None,
    out: Path | None,
    training: FitOptions,
    options: dict[str, Any],
    quiet: bool,
) -> "Run | None":
    """Continue a run; what is named beside it must be what it was begun with. InputError.

    None if it is finished, and its budget is no larger than before.
    """
    from unrender.api.described import describe_cameras  # noqa: PLC0415
    from unrender.api.fit import check_same, choose  # noqa: PLC0415
    from unrender.api.recorded import read_recorded  # noqa: PLC0415
    from unrender.api.resume import resume_run  # noqa: PLC0415
    from unrender.methods import describe, from_description  # noqa: PLC0415
    from unrender.training.run_folder import RunFolder  # noqa: PLC0415

    if resume == HERE and out is None:
        raise InputError("--resume: name the run folder: unrender fit --resume RUN")
    if resume != HERE and out not in (None, resume):
        raise InputError(f"--out {out}: a run is continued in its own folder: leave it out")
    record = RunFolder.open(out if resume == HERE and out is not None else resume)
    config = record.config
    source = f"{record.path}/config.json"
    begun: dict[str, Any] = config.get("fit", {})
    for field in dataclasses.fields(FitOptions):
        value = getattr(training, field.name)
        known = (field.default, begun.get(field.name))
        if field.name not in ("minutes", "steps") and value not in known:
            raise InputError(
                f"--{field.name.replace('_', '-')} {value}: a run is continued as it was "
                "begun: leave it out"
            )
    chosen, preset, reading = from_description(config.get("method"), source), None, None
    method = None if method == AUTO else method
    if method is not None:
        chosen, preset, reading = choose(method, options)
    note(f"Reading {data or config.get('data', {}).get('source')}", quiet)
    kind = chosen.data
    if data is not None and method is not None:
        found = kind.read(data, reading)
    else:
        found = read_recorded(record, kind, data)
    if method is not None:
        check_same(record, describe(chosen, preset), describe_cameras(kind.describe(found)))
    before = record.state.get("step") if record.finished else None
    run = resume_run(record, found, training.minutes, training.steps, not quiet)
    if run.steps == before:
        note(f"{record.path}: is finished; a larger --minutes or --steps trains it further")
        print(record.path)
        return None
    return run


def remarks(typed: str, preset: Preset, device: str) -> list[str]:
    """What to say of a preset before it is fitted: that it was renamed, that it is large."""
    found: list[str] = []
    old = typed.replace("_", "-").lower()
    if old in RENAMED:
        found.append(f"note: `{old}` is now called `{preset.name}`")
    fast = f"{preset.name}-fast"
    if device == "cpu" and fast in PRESETS:
        found.append(
            f"note: `{preset.name}` has the size of the paper, for a GPU; on a CPU, `{fast}` "
            "is good within minutes"
        )
    return found


def note_of_choice(data: Any, preset: Preset) -> None:
    """Say so where `auto` would choose another method for the data."""
    from unrender.api.automatic import choice_for  # noqa: PLC0415 - imports torch

    try:
        choice = choice_for(data)
    except InputError as error:
        note(f"warning: {error}")
        return
    if find_preset(choice.preset).base != preset.base:
        note(f"note: `auto` would take {choice.preset}, because {choice.reason}")
    if choice.advice:
        note(f"note: {choice.advice}")


def _method_in(arguments: Sequence[str]) -> str | None:
    """The method among the words that were typed: the first, or the only one that is known."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0]
    for before, word in itertools.pairwise(arguments):
        name = word.replace("_", "-").lower()
        if (name == AUTO or name in PRESETS | RENAMED) and (
            not before.startswith("-") or before in ("-q", "--quiet")
        ):
            return word
    return None


def _names_data(arguments: Sequence[str]) -> bool:
    """Whether data are named, and no run to continue."""
    words = [word.split("=")[0] for word in arguments]
    given = any(word in ("--data", "-d", "--image") or word[:2] == "-d" for word in words)
    return given and not _resumes(arguments)


def _resumes(arguments: Sequence[str]) -> bool:
    return any(word == "--resume" or word.startswith("--resume=") for word in arguments)


def _example(kind: str) -> str:
    examples = {
        "a few views": "photo.png",
        "one image": "photo.jpg",
        "a shape": "mesh.obj",
        "sets of views": "objects",
        "images paired with shapes": "shapes.npz",
    }
    return examples.get(kind, "bricks")
