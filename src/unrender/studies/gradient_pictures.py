"""Derivatives of pixels as pictures, and their errors as plots."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.report.pictures import Row
from unrender.report.plots import draw_curves, draw_scatter
from unrender.studies.findings import Plot, Record, Strip
from unrender.studies.gradient_scenes import PARAMETERS
from unrender.studies.gradient_techniques import Truth


def diverging(
    values: Float[Tensor, "*batch height width"], limit: float
) -> Float[Tensor, "*batch height width 3"]:
    """Blue below 0, white there and red above it; full at ±limit."""
    colors = mpl.colormaps["RdBu_r"]((values / limit).clamp(-1, 1).numpy() / 2 + 0.5)
    return torch.from_numpy(colors[..., :3]).float()


def derivative_images(
    name: str, true: Truth, found: Mapping[str, Float[Tensor, "4 height width 3"]]
) -> Strip:
    """Of each technique a row, of each parameter a column, which has one scale."""
    limits = true.derivatives.mean(3).abs().flatten(1).quantile(0.995, dim=1)

    def row(rows: Float[Tensor, "4 height width 3"]) -> Float[Tensor, "4 height width 3"]:
        return torch.stack(
            [
                diverging(own.mean(2), float(limit))
                for own, limit in zip(rows, limits, strict=True)
            ]
        )

    shown = torch.cat([true.image[None].clamp(0, 1), row(true.derivatives)])
    rows: list[Row] = [("truth", shown)]
    blank = torch.ones_like(shown[:1])
    rows += [
        (technique.replace(", ", "\n"), torch.cat([blank, row(own)]))
        for technique, own in found.items()
    ]
    return Strip(
        name.replace(" ", "-"),
        rows,
        f"The {name}: the image, and what its pixels do by {', '.join(PARAMETERS)}: red grows, "
        "blue falls, and each column has one scale.",
        ["image", *PARAMETERS],
    )


def width_and_cost(records: Sequence[Record]) -> list[Plot]:
    """Errors by position, over the width of an edge and over the cost."""
    widths: dict[str, tuple[list[float], list[float]]] = {}
    costs: dict[str, tuple[list[float], list[float]]] = {}
    for row in records:
        if row["parameter"] != "position":
            continue
        error, cost, width = float(row["error"] or 0), float(row["cost"] or 0), row["width"]
        xs, ys = costs.setdefault(str(row["kind"]), ([], []))
        xs.append(cost)
        ys.append(error)
        if width is not None:
            xs, ys = widths.setdefault(f"{row['kind']}, {row['scene']}", ([], []))
            xs.append(float(width))
            ys.append(error)
    return [
        Plot(
            "widths",
            draw_curves(
                widths, "width of an edge: blur or β, in pixels", "relative error, position",
                log_x=True, marker="o",
            ),
            "Wide edges are biased, and narrower ones than a pixel are met by luck; where "
            "faces are as small as the blur, soft ones mix.",
        ),
        Plot(
            "cost",
            draw_scatter(costs, "cost, over a plain image", "relative error, position"),
            "What a derivative by position costs, and how wrong it is: a point for each scene.",
        ),
    ]  # fmt: skip
