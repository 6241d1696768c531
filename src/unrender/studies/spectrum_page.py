"""The page of one scene under seven shading models."""

from collections.abc import Sequence
from pathlib import Path

import torch

from unrender.report.compare import wipe
from unrender.report.page import Cell, Page, image_grid, paragraph, section, table
from unrender.studies.spectrum import Stage

COLUMNS = 4


def write_spectrum(path: Path, stages: Sequence[Stage], samples: int) -> None:
    """Write the page atomically."""
    height, width, _ = stages[0].image.shape
    rows: list[tuple[Cell, ...]] = [
        (stage.name, stage.adds, round(stage.seconds, 3)) for stage in stages
    ]
    grids = [
        image_grid(
            [("", torch.stack([stage.image for stage in part]))],
            [f"{stage.name}\n{stage.seconds:.2g} s" for stage in part],
        )
        for part in (stages[k : k + COLUMNS] for k in range(0, len(stages), COLUMNS))
    ]
    versions = [(stage.name, stage.image[None]) for stage in stages]
    page = Page(
        "The photorealism spectrum",
        f"One scene at {width}×{height} pixels, from flat shading to path tracing; "
        f"{samples} paths per pixel in the last two.",
        (
            section(
                "Seven shading models",
                paragraph(
                    "Each adds an effect that the one before it lacks, and takes longer."
                ),
                *grids,
            ),
            section("Compare any two", wipe(versions, 0, "move the edge")),
            section("What each adds", table(("model", "adds", "seconds"), rows)),
        ),
    )
    page.write(path)
