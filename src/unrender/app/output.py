"""What commands print, and where they write."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unrender.errors import plain
from unrender.evaluation.scores import UNITS, Scores, with_unit
from unrender.files.streams import stderr

NAMES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "rotation_deg_median": "rotation error (median)",
    "translation_percent_median": "position error (median)",
    "chamfer": "chamfer distance",
    "chamfer_percent": "chamfer distance",
    "iou": "IoU",
    "voxel_iou": "IoU of voxels",
    "normal_consistency": "normal consistency",
}
"""Names of the main scores, in words."""


def note(text: str, quiet: bool = False) -> None:
    """Tell what is going on, on stderr: what is printed on stdout is the outcome."""
    if not quiet:
        stderr().write(f"{plain(text)}\n")


def note_loading(arguments: Sequence[str]) -> None:
    """Tell what a command waits for before anything else: torch takes seconds to import."""
    note("Loading PyTorch", bool({"-h", "--help", "-q", "--quiet"} & set(arguments)))


def default_folder(data: str, method: str) -> Path:
    """The first free runs/DATA/METHOD/NUMBER."""
    name = Path(data).resolve().stem if Path(data).exists() else Path(data).stem
    above = Path("runs") / (name or "data") / method
    number = 1
    while (above / str(number)).exists():
        number += 1
    return above / str(number)


def main_scores(scores: Scores) -> str:
    """The scores that matter in one line, with units: "PSNR 24.1 dB, SSIM 0.871"."""
    flat = {name.removeprefix("poses."): value for name, value in scores.flat().items()}
    shown = [name for name in NAMES if name in flat]
    if "chamfer_percent" in shown and "chamfer" in shown:
        shown.remove("chamfer")
    parts = [f"{NAMES[name]} {with_unit(name, flat[name])}" for name in shown]
    thresholds, f1 = scores.get("thresholds", ()), scores.get("f1", ())
    if isinstance(f1, Sequence) and f1:
        parts.append(f"F1 {f1[0]:.3f} at {thresholds[0]:g} of the size")
    return ", ".join(parts)


def print_scores(scores: Scores) -> None:
    """A line for each score that is a number, with its unit."""
    rows = {name: float(value) for name, value in scores.flat().items()}
    thresholds, f1 = scores.get("thresholds", ()), scores.get("f1", ())
    if isinstance(f1, Sequence):
        for threshold, value in zip(thresholds, f1, strict=True):
            rows[f"f1 at {threshold:g}"] = value
    for name, value in rows.items():
        unit = UNITS.get(name.removeprefix("poses."), "")
        print(f"{name:34} {value:.4g}{'' if unit in ('', '°', '%') else ' '}{unit}")
    if scores.get("lpips_net") == "weights not given":
        print(f"{'lpips':34} not known: its weights were not given with --lpips")


def print_facts(
    facts: Mapping[str, object], warnings: Sequence[str], notes: Sequence[str] = ()
) -> None:
    """What is known, a line each, then what was adjusted, then what looks wrong."""
    width = max(map(len, facts))
    for name, value in facts.items():
        # What files hold may have escape sequences.
        print(f"{plain(name):{width}}  {plain(str(value))}")
    for adjusted in notes:
        print(f"note: {plain(adjusted)}")
    for warning in warnings:
        print(f"warning: {plain(warning)}")
