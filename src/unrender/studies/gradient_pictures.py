"""Images of pixel derivatives, and plots of their errors."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from unrender.report.findings import Plot, Record, Strip
from unrender.report.pictures import Row
from unrender.report.plots import PALETTE, draw_curves, log_axis, panels
from unrender.studies.gradient_scenes import PARAMETERS
from unrender.studies.gradient_techniques import Truth


def diverging(
    values: Float[Tensor, "*batch height width"], limit: float
) -> Float[Tensor, "*batch height width 3"]:
    """Diverging color map: blue below 0, white at 0, red above; saturates at ±limit."""
    colors = mpl.colormaps["RdBu_r"]((values / limit).clamp(-1, 1).numpy() / 2 + 0.5)
    return torch.from_numpy(colors[..., :3]).float()


def derivative_images(
    name: str, true: Truth, found: Mapping[str, Float[Tensor, "4 height width 3"]]
) -> Strip:
    """Images and derivatives: a row and a scale for each parameter, a column a technique."""
    limits = true.derivatives.mean(3).abs().flatten(1).quantile(0.995, dim=1)
    rows: list[Row] = []
    for k, (parameter, limit) in enumerate(zip(PARAMETERS, limits, strict=True)):
        rendered = true.changed[:, k].clamp(0, 1)
        each = torch.stack([own[k].mean(2) for own in (true.derivatives, *found.values())])
        rows.append((parameter, torch.cat([rendered, diverging(each, float(limit))])))
    return Strip(
        name.replace(" ", "-"),
        rows,
        f"The {name}, with each parameter decreased and increased, and the derivatives of its "
        "pixels. Red is positive, blue negative; each row has one scale.",
        ["decreased", "increased", "ground truth", *found],
    )


def width_and_cost(records: Sequence[Record]) -> list[Plot]:
    """Error of the derivative by position over the width of an edge, and over the cost."""
    widths: dict[str, tuple[list[float], list[float]]] = {}
    for row in records:
        if row["parameter"] != "position":
            continue
        error, width = float(row["error"] or 0), row["width"]
        if width is not None:
            xs, ys = widths.setdefault(f"{row['kind']}, {row['scene']}", ([], []))
            xs.append(float(width))
            ys.append(error)
    return [
        Plot(
            "widths",
            draw_curves(
                widths, "width of an edge: blur or β (pixels)", "relative error by position",
                log_x=True, marker="o",
            ),
            "Wide edges are biased; edges narrower than a pixel are hit only by chance, which "
            "raises the variance. Soft rasterization blends faces as small as the blur.",
        ),
        Plot(
            "cost",
            _draw_costs(records),
            "Error of the derivative by position over its cost, on average over the scenes.",
        ),
    ]  # fmt: skip


def _draw_costs(records: Sequence[Record]) -> Figure:
    """One named point for each technique."""
    with panels(6.4, 3.8) as (figure, ((axes,),)):
        colors: dict[str, str] = {}
        for technique in dict.fromkeys(str(row["technique"]) for row in records):
            own = [
                row
                for row in records
                if row["technique"] == technique and row["parameter"] == "position"
            ]
            cost, error = (
                sum(float(row[key] or 0) for row in own) / len(own) for key in ("cost", "error")
            )
            kind = str(own[0]["kind"])
            color = colors.setdefault(kind, PALETTE[len(colors) % len(PALETTE)])
            axes.scatter(cost, error, s=24, color=color)
            axes.annotate(
                technique, (cost, error), (5, 3), textcoords="offset points", fontsize=8
            )
        log_axis(axes, "x")
        axes.margins(0.18, 0.1)
        axes.set(
            xlabel="cost (× that of one plain image)",
            ylabel="relative error by position",
            ylim=(0, None),
        )
        return figure
