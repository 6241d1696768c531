"""Images of pixel derivatives, and plots of their errors."""

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
    """Diverging color map: blue below 0, white at 0, red above; saturates at ±limit."""
    colors = mpl.colormaps["RdBu_r"]((values / limit).clamp(-1, 1).numpy() / 2 + 0.5)
    return torch.from_numpy(colors[..., :3]).float()


def derivative_images(
    name: str, true: Truth, found: Mapping[str, Float[Tensor, "4 height width 3"]]
) -> Strip:
    """Derivative images: a row for each technique, a column and scale for each parameter."""
    limits = true.derivatives.mean(3).abs().flatten(1).quantile(0.995, dim=1)

    def row(rows: Float[Tensor, "4 height width 3"]) -> Float[Tensor, "4 height width 3"]:
        return torch.stack(
            [
                diverging(own.mean(2), float(limit))
                for own, limit in zip(rows, limits, strict=True)
            ]
        )

    shown = torch.cat([true.image[None].clamp(0, 1), row(true.derivatives)])
    rows: list[Row] = [("ground truth", shown)]
    blank = torch.ones_like(shown[:1])
    rows += [
        (technique.replace(", ", "\n"), torch.cat([blank, row(own)]))
        for technique, own in found.items()
    ]
    return Strip(
        name.replace(" ", "-"),
        rows,
        f"The {name}: the image and its derivatives by {', '.join(PARAMETERS)}. Red is "
        "positive, blue negative; each column has one scale.",
        ["image", *PARAMETERS],
    )


def width_and_cost(records: Sequence[Record]) -> list[Plot]:
    """Error of the derivative by position over the width of an edge, and over the cost."""
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
                widths, "width of an edge: blur or β (pixels)", "relative error, position",
                log_x=True, marker="o",
            ),
            "Wide edges are biased; edges narrower than a pixel are hit only by chance, which "
            "raises the variance. Soft rasterization blends faces as small as the blur.",
        ),
        Plot(
            "cost",
            draw_scatter(costs, "cost (plain images)", "relative error, position"),
            "Error of the derivative by position over its cost; one point for each scene.",
        ),
    ]  # fmt: skip
