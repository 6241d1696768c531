"""Scores by name, as `Run.evaluate` returns them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

UNITS = {
    "psnr": "dB",
    "seconds_per_view": "s",
    "model_mb": "MB",
    "rotation_deg_median": "°",
    "rotation_deg_mean": "°",
    "translation_percent_median": "%",
    "translation_percent_mean": "%",
    "chamfer_percent": "%",
    "consistency": "dB",
    "generated_consistency": "dB",
}
"""Units of the scores that have one."""
FIRST = (
    "psnr",
    "ssim",
    "lpips",
    "rotation_deg_median",
    "translation_percent_median",
    "chamfer_percent",
    "chamfer",
    "iou",
    "f1",
    "normal_consistency",
)
"""Shown first, and alone in a `repr`."""


@dataclass(frozen=True)
class Scores(Mapping[str, Any]):
    """Scores of a model on held-out data: `scores.psnr`, `scores["psnr"]`.

    Images have `psnr` (dB), `ssim` and, where its weights are given, `lpips`; poses have
    `rotation_deg_median` and `translation_percent_median`; shapes `chamfer`, `f1` and others.
    A score that is not finite, such as the PSNR of identical images, is None.

    >>> import unrender as ur
    >>> ur.Scores({"psnr": 35.52, "ssim": 0.98765})
    Scores(psnr=35.5 dB, ssim=0.988)
    """

    values_by_name: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "values_by_name" or name not in self.values_by_name:
            raise AttributeError(
                f"no score {name!r}; there are {', '.join(self.values_by_name)}"
                if name != "values_by_name"
                else name
            )
        return self.values_by_name[name]

    def flat(self) -> dict[str, float]:
        """All scores that are one number, those of poses with "poses." before their names."""
        numbers: dict[str, float] = {}
        for name, value in self.values_by_name.items():
            if isinstance(value, Mapping):
                parts = {f"{name}.{key}": each for key, each in value.items()}
            else:
                parts = {name: value}
            numbers |= {k: v for k, v in parts.items() if isinstance(v, int | float)}
        return numbers

    def __repr__(self) -> str:
        flat = {name.removeprefix("poses."): value for name, value in self.flat().items()}
        shown = [name for name in FIRST if name in flat] or list(flat)[:4]
        return f"Scores({', '.join(f'{n}={with_unit(n, flat[n])}' for n in shown)})"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """A table of all scores that are one number."""
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td style='text-align:right'>"
            f"{escape(with_unit(name.removeprefix('poses.'), value))}</td></tr>"
            for name, value in self.flat().items()
        )
        return f"<table>{rows}</table>" if rows else ""


def with_unit(name: str, value: float) -> str:
    """A score in words: 35.5 dB, 0.988, 0.21°."""
    unit = UNITS.get(name, "")
    if isinstance(value, int) or not math.isfinite(value):
        text = str(value)
    elif unit == "dB":
        text = f"{value:.1f}"
    else:
        text = f"{value:.3g}"
    space = "" if unit in ("°", "%") else " "
    return f"{text}{space}{unit}" if unit else text
