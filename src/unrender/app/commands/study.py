"""`unrender study`: an experiment, and a page about it."""

import dataclasses
import inspect
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from unrender.app.extension import Extension
from unrender.app.layout import box, width
from unrender.app.options import Description, Words, fields_of
from unrender.app.output import note_loading
from unrender.app.parsing import did_you_mean
from unrender.errors import InputError
from unrender.files import make_folder
from unrender.training.options import Device

OF_A_FLOW = {
    "reconstruction": (
        "reconstruction:Reconstruction",
        "Quality of the images, by steps and views.",
    ),
    "robustness": ("robustness:Robustness", "Images and poses far from the training poses."),
    "inversion": ("inversion:Inversion", "Ways to invert the flow, and what each costs."),
    "interpolation": ("interpolation:Interpolation", "Images between two poses."),
    "turntable": ("turntable:Turntable", "A full circle: how smooth its images and poses are."),
    "loop": ("loop:Loop", "Pose to image to pose, many times over: the drift."),
    "ablations": ("ablations:Ablations", "The flow trained without each of its parts."),
}
"""Studies of a pose flow: class in `unrender.studies`, and a summary."""
OF_VIEW_MODELS = {
    "novel-views": (
        "novel_views:NovelViews",
        "Novel views by inputs, guidance, steps and conditions.",
    ),
    "distillation": (
        "distillation:Distillation",
        "Ways to distill a scene: quality, diversity, the Janus problem.",
    ),
}
"""Studies of models of novel views."""
OF_FILMS = {
    "moving-scenes": (
        "moving_scenes:MovingScenes",
        "Nerfies without each of its parts, and by the detail of its motions.",
    ),
}
"""Studies of films of scenes that move."""
ALONE = {
    "ntk": ("ntk:TangentKernel", "The neural tangent kernel of encodings of coordinates."),
    "gradients": ("gradients:Gradients", "Gradients of differentiable rasterizers, measured."),
    "inverse-problems": (
        "inverse_problems:InverseProblems",
        "Pose, light, texture and shape recovered from images.",
    ),
}
"""Experiments that need no run."""
STUDIES = {**OF_A_FLOW, **OF_VIEW_MODELS, **OF_FILMS, **ALONE}


def study(
    name: Annotated[str, Words(positional=True, metavar="STUDY")],
    run: Annotated[Path | None, Words(metavar="RUN")] = None,
    scene: Annotated[Path | None, Words(metavar="RUN")] = None,
    flow: Annotated[Path | None, Words(metavar="RUN")] = None,
    data: Annotated[str | None, Words(metavar="DATA")] = None,
    out: Annotated[Path | None, Words(metavar="FOLDER")] = None,
    work: Annotated[Path | None, Words(metavar="FOLDER")] = None,
    seed: int = 0,
    device: Device = "auto",
    quiet: bool = False,
    **options: Any,
) -> None:
    """Run an experiment, and write a page with plots and a CSV of every measurement.

    Args:
        name: One of the studies above; `unrender study STUDY --help` shows its options.
        run: The pose flow's run folder. Of studies of view models: a run of view-regression, by
            default the weights in the package.
        scene: Run folder of the radiance field whose renders the flow was trained on.
        flow: Of studies of view models: a run of view-flow, by default the weights in the
            package.
        data: Views to evaluate on; by default the held-out views of what the radiance field was
            fitted to. Of studies of view models: a posed scene or, for distillation, a
            photograph; by default procedural objects. Of studies of films: views with times;
            by default the built-in lamp.
        out: Folder of the page; by default studies/ in the flow's run folder, or here.
        work: Folder of the models that the study trains, which are reused; by default
            studies/runs in the flow's run folder, or runs/ in the folder of the page.
        seed: Seed of the cameras, and of the models that the study trains.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the page only.
        **options: The study.

    Examples:
        unrender study turntable --run runs/flow --scene runs/bricks
        unrender study novel-views --out studies
        unrender study gradients --out studies
    """
    from unrender.studies import (  # noqa: PLC0415
        write_experiment,
        write_film_study,
        write_study,
        write_view_study,
    )
    from unrender.studies.film_study import FilmSubject  # noqa: PLC0415
    from unrender.studies.study import open_subject  # noqa: PLC0415
    from unrender.studies.view_study import ViewSubject  # noqa: PLC0415
    from unrender.training.progress import working  # noqa: PLC0415

    name = name.replace("_", "-")
    chosen = _class(name)(**options)
    say = _nothing if quiet else print
    if name in ALONE:
        given = {"run": run, "scene": scene, "flow": flow, "data": data, "work": work}
        for option, value in given.items():
            if value is not None:
                raise InputError(f"--{option} {value}: the study {name} needs no run: omit it")
        folder = out or Path("studies")
        make_folder(folder)
        with working(f"Running the study {name}", not quiet):
            page = write_experiment(chosen, folder, seed, say)
        print(page)
        return
    if name in OF_VIEW_MODELS:
        if scene is not None:
            raise InputError(
                f"--scene {scene}: the study {name} is of view models: give a scene as --data"
            )
        folder = out or Path("studies")
        kept = work or folder / "runs"
        views = ViewSubject(run, flow, data, kept, seed, device, say)
        make_folder(folder)
        with working(f"Running the study {name}", not quiet):
            page = write_view_study(chosen, views, folder)
        print(page)
        return
    if name in OF_FILMS:
        for option, value in {"run": run, "scene": scene, "flow": flow}.items():
            if value is not None:
                raise InputError(f"--{option} {value}: the study {name} is of a film: --data")
        folder = out or Path("studies")
        film = FilmSubject(data or "lamp", work or folder / "runs", seed, device, say)
        make_folder(folder)
        with working(f"Running the study {name}", not quiet):
            page = write_film_study(chosen, film, folder)
        print(page)
        return
    if flow is not None:
        raise InputError(f"--flow {flow}: the study {name} is about a pose flow: give --run")
    if run is None or scene is None:
        raise InputError(
            f"the study {name} is about a pose flow: give its --run, and as --scene the run "
            "whose renders it was trained on"
        )
    subject = open_subject(run, scene, data, work, seed, device)
    subject = dataclasses.replace(subject, say=say)
    folder = out or run / "studies"
    make_folder(folder)
    with working(f"Running the study {name}", not quiet):
        page = write_study(chosen, subject, folder)
    print(page)


def extend(arguments: Sequence[str]) -> Extension:
    """The options of the study that was typed; without one, the list of studies."""
    if not arguments or arguments[0].startswith("-"):
        text = listing()
        return Extension(note=text, answer=f"usage: unrender study STUDY [options]\n\n{text}")
    name = arguments[0].replace("_", "-")
    if name not in STUDIES:
        hint = did_you_mean(name, list(STUDIES)) or f": choose one of {', '.join(STUDIES)}"
        raise InputError(f"{arguments[0]!r} is not a study{hint}")
    note_loading(arguments)
    kind = _class(name)
    assert dataclasses.is_dataclass(kind)
    text = " ".join((inspect.getdoc(kind) or "").split())
    description = Description(f"Study {name}: {STUDIES[name][1]}", text, {}, ())
    defaults: Any = _class(name)()
    return Extension(fields_of(kind, defaults, name), description, f"unrender study {name}")


def listing() -> str:
    """Every study by what it needs."""
    columns, least = width(), max(map(len, STUDIES))
    of_a_flow = [(name, text) for name, (_, text) in OF_A_FLOW.items()]
    views = [(name, text) for name, (_, text) in OF_VIEW_MODELS.items()]
    films = [(name, text) for name, (_, text) in OF_FILMS.items()]
    alone = [(name, text) for name, (_, text) in ALONE.items()]
    return "\n\n".join(
        [
            box("about a pose flow: --run and --scene", of_a_flow, columns, least),
            box(
                "about view models: of the package, or --run and --flow",
                views,
                columns,
                least,
            ),
            box("about a film: --data, by default the built-in lamp", films, columns, least),
            box("about anything else: no run is needed", alone, columns, least),
        ]
    )


def _nothing(_: str) -> None:
    """Say nothing."""


def _class(name: str) -> Any:
    module, kind = STUDIES[name.replace("_", "-")][0].split(":")
    return getattr(import_module(f"unrender.studies.{module}"), kind)
