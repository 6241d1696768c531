"""`unrender compare`: several runs on the same held-out views."""

from pathlib import Path
from typing import Annotated

from unrender.app.choices import Background
from unrender.app.options import Words
from unrender.app.output import note
from unrender.errors import InputError
from unrender.files import check_target
from unrender.training.options import Device


def compare(
    runs: Annotated[tuple[Path, ...], Words(positional=True, metavar="RUN")],
    out: Annotated[Path, Words(metavar="FILE.html")] = Path("comparison.html"),
    data: Annotated[str | None, Words(metavar="DATA")] = None,
    background: Background = "auto",
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Compare runs on the same held-out views, and write one page. The runs are only read.

    Args:
        runs: Run folders of radiance fields and surfaces.
        out: The page to write.
        data: Views to evaluate on; by default the held-out views of what the first run was
            fitted to, at the size that it was fitted to.
        background: Color behind images without alpha, where it is not that of the first run.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the page only.

    Examples:
        unrender compare runs/bricks/*/* --out comparison.html
    """
    from unrender.api.compare import compare as compare_runs  # noqa: PLC0415 - imports torch
    from unrender.api.recorded import read_recorded  # noqa: PLC0415
    from unrender.api.run import Run  # noqa: PLC0415
    from unrender.evaluation.scores import with_unit  # noqa: PLC0415

    if not runs:
        raise InputError("compare: no run was given: name two or more")
    check_target(out, (".html",))
    opened = [Run.open(path, device) for path in runs]
    sizes = {(run.view_ranges["width"], run.view_ranges["height"]) for run in opened}
    if len(sizes) > 1:
        listed = ", ".join(f"{width}×{height}" for width, height in sorted(sizes))
        note(
            f"note: the runs were fitted to images of {listed}; the first one's are used", quiet
        )
    note(f"Reading {data or opened[0].source}", quiet)
    found: object = data
    if background != "auto":
        first = opened[0]
        found = read_recorded(first.record, first.method.data, data, background=background)
    comparison = compare_runs(opened, out=out, data=found, progress=not quiet)
    if not quiet:
        width = max(map(len, comparison))
        for name, scores in comparison.items():
            shown = [("PSNR", "psnr"), ("SSIM", "ssim")]
            values = ", ".join(f"{label} {with_unit(k, scores[k])}" for label, k in shown)
            print(f"{name:{width}}  {values}")
    print(out)
