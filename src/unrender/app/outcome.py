"""How a fit ends on the command line: scores, a preview, and what to do next."""

import dataclasses
import time
from pathlib import Path

import torch

from unrender.api.automatic import choice_for
from unrender.api.run import Run
from unrender.app.output import main_scores, note
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError, one_line
from unrender.files import write_json
from unrender.geometry.paths import evenly
from unrender.geometry.sizes import ImageSizes
from unrender.methods.presets import find_preset
from unrender.report.pictures import write_picture
from unrender.training.data_kinds.posed_images import ViewsEvaluation
from unrender.training.method import Evaluation
from unrender.training.record import provenance

VIEWS = 8
"""Held-out views that are rendered after a fit, at most."""
SHOWN = 3
"""Number of these views that are shown in preview.png."""
SECONDS = 30.0
"""Time that rendering them may take; fewer or smaller views are rendered where it is short."""
OVERFITTED = 3.0
"""Decibels by which training views may be better than held-out ones without a remark."""
ENTRIES = 5
"""Last entries of the log whose mean is taken for the quality of training views."""
MIN_SIDE = 16
PROBE = 32
"""Pixels of the longer side of the render that measures the speed."""
FILES = ("fitted.png", "progress.gif")
"""Images that a fit leaves in its folder by itself."""


def report_fit(run: Run, quiet: bool = False) -> None:
    """Print how good a fit is and what to do next; exit with code 130 if it was interrupted."""
    if not run.finished:
        note(f"Stopped after {run.steps} steps; continue: unrender fit --resume {run.path}")
        raise SystemExit(130)
    if quiet:
        print(run.path)
        return
    print(f"Fitted in {run.seconds:.0f} s, {run.steps} steps.")
    for line in _quality(run):
        print(line)
    print(f"Run: {run.path}")
    print(f"Next: {next_command(run)}")


def next_command(run: Run) -> str:
    """What one does with such a run first."""
    method, path = run.method, run.path
    if method.predicts_shapes:
        return f"unrender predict {path} photo.png --out shape.glb"
    if method.finds_poses:
        return f"unrender pose {path} photo.png"
    if not method.makes_images:
        return f"unrender evaluate {path}"
    return f"unrender render {path} --out clip.{'gif' if method.has_shape else 'mp4'}"


def keep_evaluation(run: Run, evaluation: Evaluation) -> list[Path]:
    """Write evaluation.json, and of views report.html, into the run's folder."""
    assert run.path is not None, "only runs in folders are kept"
    return write_evaluation(run, evaluation, run.path)


def write_evaluation(run: Run, evaluation: Evaluation, folder: Path) -> list[Path]:
    """evaluation.json, and of views report.html, in a folder; returns the files. InputError."""
    scores = folder / "evaluation.json"
    write_json(scores, {**evaluation.scores, **provenance()})
    found = evaluation.details
    if not isinstance(found, ViewsEvaluation):
        return [scores]
    from unrender.report.run import write_run_report  # noqa: PLC0415 - matplotlib is slow

    page = folder / "report.html"
    write_run_report(page, run.record, found.views, found.images, found.estimate, found.poses)
    return [scores, page]


def _quality(run: Run) -> list[str]:
    """Scores and the preview, in lines. Whatever fails here, the run is complete."""
    try:
        if isinstance(run.data, Dataset):
            return _quality_of_views(run, run.data)
        evaluation = run.evaluation(progress=True)
        keep_evaluation(run, evaluation)
        lines = [f"Scores: {main_scores(evaluation.scores)}"]
        assert run.path is not None
        return lines + [f"Preview: {run.path / f}" for f in FILES if (run.path / f).exists()]
    except InputError as error:
        return [f"Not scored: {error}"]
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        return [f"Not scored: {one_line(error)}"]


def _quality_of_views(run: Run, data: Dataset) -> list[str]:
    if not len(data.test):
        return ["Not scored: there are no held-out views."]
    total = len(data.test)
    views, share = data.test.select(torch.tensor(evenly(VIEWS, total))), 1.0
    if run.method.makes_images and run.image_size is None:
        views, share = _affordable(run, views)
    evaluation = run.evaluation(dataclasses.replace(data, test=views), progress=True)
    some = f"{len(views)} of {total}" if len(views) < total else str(total)
    smaller = f", at {views.cameras.sizes}" if share < 1 else ""
    lines = [f"Held-out views: {main_scores(evaluation.scores)} ({some} views{smaller})"]
    lines += _overfitted(run, evaluation.scores.get("psnr"))
    details = evaluation.details
    assert isinstance(details, ViewsEvaluation)
    if details.images is None:
        return lines
    assert run.path is not None
    path = run.path / "preview.png"
    shown = evenly(SHOWN, len(views))
    rows = [("ground truth", details.images.truth), ("render", details.images.rendered)]
    write_picture(path, [(label, [images[k] for k in shown]) for label, images in rows], 150)
    return [*lines, f"Preview: {path}"]


def _overfitted(run: Run, psnr: float | None) -> list[str]:
    """What to say where the training views are fitted much better than held-out ones."""
    logged = [entry["psnr"] for entry in run.metrics if "psnr" in entry]
    if len(logged) < ENTRIES or psnr is None:
        return []
    training = sum(logged[-ENTRIES:]) / ENTRIES
    if training - psnr < OVERFITTED:
        return []
    return [
        f"warning: training views reach {training:.1f} dB, held-out views only {psnr:.1f} dB: "
        + _remedy(run)
    ]


def _remedy(run: Run) -> str:
    """What to do about a fit that shows its training views only."""
    try:
        choice = choice_for(run.data)
    except InputError as error:
        return str(error)
    if find_preset(choice.preset).base != find_preset(run.preset).base:
        return f"fit `{choice.preset}`, because {choice.reason}"
    if choice.advice:
        return f"{choice.advice}; take more"
    return f"check the cameras with `unrender inspect {run.source or 'DATA'}`"


def _affordable(run: Run, views: Views) -> tuple[Views, float]:
    """As many of the views, or as large, as are rendered within SECONDS, and what share."""
    sizes, first = views.cameras.sizes, views.cameras[0]
    probe = first.with_sizes(first.sizes.with_longer_side(PROBE))
    with torch.no_grad():
        run.renderer(probe)  # Kernels are compiled when they first run.
        began = time.perf_counter()
        run.renderer(probe)
    pixel = (time.perf_counter() - began) / (probe.width * probe.height)
    view = pixel * float(sizes.areas.double().mean())
    count = min(len(views), max(SHOWN, int(SECONDS / view)))
    views = views.select(torch.tensor(evenly(count, len(views))))
    share = SECONDS / (count * view)
    if share >= 1:
        return views, share
    rows = views.cameras.sizes.scaled(share**0.5).rows
    return views.with_sizes(ImageSizes(rows.clamp_min(MIN_SIDE))), share
