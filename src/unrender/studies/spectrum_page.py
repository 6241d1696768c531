"""The page of one scene under seven kinds of light."""

from collections.abc import Sequence
from pathlib import Path

import torch

from unrender.report.compare import wipe
from unrender.report.page import Cell, Page, image_grid, paragraph, section, table
from unrender.studies.spectrum import Stage

COLUMNS = 4


def write_spectrum(path: Path, stages: Sequence[Stage], samples: int) -> None:
    """Write the page, whole or not at all."""
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
        f"One scene of {width}×{height} pixels, from one normal a face to the rendering "
        f"equation; {samples} paths a pixel in the last two.",
        (
            section(
                "Seven kinds of light",
                paragraph(
                    "Each asks a question that the one before it did not, and takes longer "
                    "for it."
                ),
                *grids,
            ),
            section("Any two", wipe(versions, 0, "move the edge")),
            section("What each adds", table(("light", "asks", "seconds"), rows)),
        ),
    )
    page.write(path)
