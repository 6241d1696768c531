"""Several runs, judged on the same views."""

import math
from pathlib import Path

import torch

from unrender.api.opened_run import open_run
from unrender.api.tasks import evaluate_run, scene_of
from unrender.data.validate import Background
from unrender.errors import InputError
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.report.compare import Compared, write_comparison
from unrender.report.pictures import evenly
from unrender.report.sections import view_labels

SHOWN = 4


def compare_runs(
    paths: list[Path],
    out: Path,
    data: str | None,
    background: Background,
    device: torch.device,
) -> None:
    """Evaluate scenes' runs on the same test views, and write the page that compares them."""
    if not paths:
        raise InputError("compare: no run was given: name two or more run folders")
    opened = [open_run(path, device) for path in paths]
    scene = scene_of(opened[0], data, background)
    chosen = torch.tensor(evenly(SHOWN, len(scene.test)))
    views = scene.test.select(chosen)
    behind = WHITE if views.background is None else views.background
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    found: list[Compared] = []
    for name, run in zip(names, opened, strict=True):
        if run.fixed_size is not None:
            raise InputError(
                f"{run.run.path}: is a flow, of another size: compare scenes' runs"
            )
        figures, _ = evaluate_run(run, scene)
        if figures["psnr"] is None:
            figures["psnr"] = math.inf
        made = render_in_parts(run.renderer, views.cameras).over(behind).clamp(0, 1)
        found.append(
            Compared(
                name,
                str(run.run.config["method"]["name"]),
                figures,
                float(run.run.load().state["seconds"]),
                run.megabytes,
                run.run.metrics,
                made,
            )
        )
    labels = view_labels(views, list(range(len(views))))
    write_comparison(out, f"{scene.name}: {len(found)} runs", found, views.over(behind), labels)
