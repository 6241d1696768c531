"""Several runs on the same held-out views."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch

from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.errors import InputError
from unrender.evaluation.renders import WHITE
from unrender.evaluation.scores import Scores, with_unit
from unrender.files import check_target
from unrender.training.data_kinds.posed_images import PosedImages
from unrender.training.fit import Device

SHOWN = 4
"""Views that the page shows."""
COLUMNS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "seconds": "training, s",
    "seconds_per_view": "s/image",
    "model_mb": "model, MB",
}


@dataclass(frozen=True)
class Comparison(Mapping[str, Scores]):
    """Scores by the run's name; in a notebook a table.

    >>> import unrender as ur
    >>> scores = ur.Scores({"psnr": 31.2, "ssim": 0.95})
    >>> ur.Comparison({"box": scores})["box"].psnr
    31.2
    """

    scores: Mapping[str, Scores]
    path: Path | None = None
    """The page, where one was written."""

    def __getitem__(self, name: str) -> Scores:
        return self.scores[name]

    def __iter__(self) -> Any:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {scores!r}" for name, scores in self.scores.items())

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(title)}</th>" for title in ("run", *COLUMNS.values()))
        rows = "".join(
            f"<tr><td>{escape(name)}</td>"
            + "".join(f"<td>{escape(with_unit(key, scores[key]))}</td>" for key in COLUMNS)
            + "</tr>"
            for name, scores in self.scores.items()
        )
        return f"<table><tr>{head}</tr>{rows}</table>"


def compare(
    runs: "Sequence[Run | str | Path]",
    *,
    out: str | Path | None = None,
    data: object = None,
    device: Device = "auto",
    progress: bool = True,
) -> Comparison:
    """Evaluate several runs on the same held-out views.

    Args:
        runs: Runs that render posed images of any size, or their folders.
        out: An .html file to write: a page with the figures, the images side by side and the
            training curves.
        data: The dataset to evaluate on; by default what the first run was fitted to.
        device: Where to compute runs that are given as folders.
        progress: Whether to show a progress bar.

    The runs are only read. InputError for pose flows, whose image size is fixed, and for runs
    of other data.

    >>> import unrender as ur
    >>> data = ur.load("bricks", downscale=8)
    >>> runs = [ur.fit("box", data, steps=n, progress=False) for n in (5, 10)]
    >>> ur.compare(runs, progress=False)
    box: Scores(psnr=... dB, ssim=...)
    box (2): Scores(psnr=... dB, ssim=...)
    """
    opened = [run if isinstance(run, Run) else Run.open(run, device) for run in runs]
    if not opened:
        raise InputError("compare: no run was given: name two or more")
    target = None if out is None else Path(out)
    if target is not None:
        check_target(target, (".html",))
    for run in opened:
        if not isinstance(run.method.data, PosedImages) or run.image_size is not None:
            raise InputError(f"{run.label}: is not a radiance field's run: only these compare")
    dataset: Dataset = opened[0].load_data(data)
    names = _names(opened)
    scores: dict[str, Scores] = {}
    rendered: dict[str, list[torch.Tensor]] = {}
    chosen = torch.linspace(0, len(dataset.test) - 1, min(SHOWN, len(dataset.test)))
    views = dataset.test.select(chosen.round().long())
    behind = WHITE if views.background is None else views.background
    for name, run in zip(names, opened, strict=True):
        found = run.evaluation(dataset, progress=progress).scores
        psnr = math.inf if found["psnr"] is None else found["psnr"]
        scores[name] = Scores({**found, "psnr": psnr, "seconds": run.seconds})
        if target is not None:
            made = (run.render(camera, progress=False) for camera in views.cameras)
            rendered[name] = [each.over(behind)[0].clamp(0, 1) for each in made]
    if target is not None:
        from unrender.report.compare import Compared, write_comparison  # noqa: PLC0415 - slow
        from unrender.report.sections import view_labels  # noqa: PLC0415

        compared = [
            Compared(
                name,
                run.preset,
                dict(scores[name]),
                run.seconds,
                run.fitted.megabytes,
                run.metrics,
                rendered[name],
            )
            for name, run in zip(names, opened, strict=True)
        ]
        labels = view_labels(views, list(range(len(views))))
        title = f"{dataset.name}: {len(compared)} runs"
        truth = [view.over(behind)[0] for view in views]
        write_comparison(target, title, compared, truth, labels)
    return Comparison(scores, target)


def _names(runs: Sequence[Run]) -> list[str]:
    """A name for each: its folder's, or its preset, numbered where they are not different."""
    names = [run.preset if run.path is None else run.path.resolve().name for run in runs]
    if len(set(names)) == len(names):
        return names
    if all(run.path is not None for run in runs):
        names = [str(run.path) for run in runs]
    seen: dict[str, int] = {}
    unique: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique
