"""`unrender evaluate`: scores of a run on held-out data."""

from pathlib import Path
from typing import Annotated, Any

from unrender.app.choices import Background, Split
from unrender.app.options import Words
from unrender.app.output import note, print_scores
from unrender.errors import InputError
from unrender.files import make_folder
from unrender.training.options import Device


def evaluate(
    run: Annotated[Path, Words(positional=True, metavar="RUN")],
    data: Annotated[str | None, Words(metavar="DATA")] = None,
    out: Annotated[Path | None, Words(metavar="FOLDER")] = None,
    background: Background = "auto",
    split: Split | None = None,
    outside: bool = False,
    lpips: Annotated[Path | None, Words(metavar="FILE")] = None,
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Score a run on held-out views or shapes.

    On the held-out part of what the run was fitted to, the scores are kept in the run's folder:
    evaluation.json, and for images report.html. Scores on other data are only printed, unless
    --out names a folder for them.

    Args:
        run: The run folder.
        data: Where the run's data are now, or other data to evaluate on, read as its own were.
        out: Folder for evaluation.json and report.html.
        background: Color behind images without alpha, where it is not that of the run's data.
        split: The split to evaluate on, test or val; by default the one that the run's data
            were read with.
        outside: Read images wherever the data say, also outside the folder above theirs.
        lpips: LPIPS weights (.safetensors); without them LPIPS is left out, since the weights
            are not part of this library (evaluation/lpips.py says how to get them).
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Do not show progress.

    Examples:
        unrender evaluate runs/bricks
        unrender evaluate runs/flow --data bricks --out flow-on-photos
    """
    from unrender.api.recorded import is_own  # noqa: PLC0415 - imports torch
    from unrender.api.run import Run  # noqa: PLC0415
    from unrender.app.outcome import keep_evaluation, write_evaluation  # noqa: PLC0415

    if out is not None:
        make_folder(out)
    opened = Run.open(run, device)
    note(f"Reading {data or opened.source}", quiet)
    given = _data(opened, data, background, split, outside)
    kind = opened.method.data
    own = _as_fitted(opened, background, split) and (
        data is None or is_own(opened.record, kind, given)
    )
    evaluation = opened.evaluation(given, lpips=lpips, progress=not quiet)
    print_scores(evaluation.scores)
    files: list[Path] = []
    if out is not None:
        files = write_evaluation(opened, evaluation, out)
    elif own:
        files = keep_evaluation(opened, evaluation)
    else:
        note("These are not the run's own held-out data: --out FOLDER keeps the scores.", quiet)
    for file in files:
        print(file)


def _as_fitted(run: Any, background: Background, split: Split | None) -> bool:
    """Whether the held-out views are read as the run's own were."""
    own = run.config.get("data", {}).get("split", "test")
    return background == "auto" and split in (None, own)


def _data(
    run: Any, data: str | None, background: Background, split: Split | None, outside: bool
) -> Any:
    """What to evaluate on, read as the run's own data but for these options. InputError."""
    from unrender.api.recorded import read_recorded  # noqa: PLC0415 - imports torch

    if background == "auto" and split is None and not outside:
        return run.load_data(data)
    changed: dict[str, Any] = {} if background == "auto" else {"background": background}
    changed |= {} if split is None else {"split": split}
    changed |= {"outside": True} if outside else {}
    if "background" not in run.config.get("data", {}):
        name, value = next(iter(changed.items()))
        option = "--outside" if name == "outside" else f"--{name} {value}"
        raise InputError(f"{option}: the run was not fitted to images: omit it")
    return read_recorded(run.record, run.method.data, data, **changed)
