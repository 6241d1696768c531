"""What the views of a light field show of depth: facts, and epipolar-plane images."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.camera_grid import CameraGrid
from unrender.rendering.plane_sweep import depth_range, middle_cameras


def find_grid(views: Views, held_out: int = 0) -> tuple[Views, CameraGrid] | None:
    """The views whose cameras stand in a grid, and the grid; None if they do not.

    All of them, or else those before the last, which are `held_out`.
    """
    for count in (len(views), len(views) - held_out):
        some = views[:count]
        try:
            return some, CameraGrid.of("views", some.cameras)
        except InputError:
            continue
    return None


def grid_facts(views: Views, grid: CameraGrid) -> dict[str, str]:
    """Rows, columns, their distances, holes and the depths of a light field, in words."""
    holes = f", {grid.num_holes} of them empty" if grid.num_holes else ""
    facts = {
        "grid": f"{len(grid.rows)} rows and {len(grid.columns)} columns of parallel cameras, "
        f"{grid.present.numel()} places{holes}"
    }
    for name, line in (("columns", grid.columns), ("rows", grid.rows)):
        if len(line) > 1:
            facts[f"distance of {name}"] = _steps(line)
    found = depths_of(views)
    if found is not None:
        near, middle, far = found
        facts["depths"] = (
            f"{in_digits(near)} to {in_digits(far)}, the median {in_digits(middle)}, where "
            "neighboring images agree"
        )
    return facts


def depths_of(views: Views) -> tuple[float, float, float] | None:
    """The nearest, the median and the farthest depth; None for images of several sizes."""
    if views.cameras.sizes.mixed:
        return None
    some = views.select(middle_cameras(views.cameras))
    return depth_range(some.images[..., :3], some.cameras)


def epipolar_plane_image(
    views: Views, grid: CameraGrid, line: int, pixel: int, vertical: bool = False
) -> Float[Tensor, "views side 3"]:
    """One row of pixels of each view in a row of a grid, one below the other.

    Bolles, Baker, Marimont, "Epipolar-Plane Image Analysis" (1987): a point of the scene is a
    line, whose slope is its inverse depth. With `vertical` a column of pixels of each view in a
    column of the grid. `line` is the row or column of the grid, and `pixel` that of the images.
    Holes are NaN.
    """
    numbers, present = (
        (grid.camera[:, line], grid.present[:, line])
        if vertical
        else (grid.camera[line], grid.present[line])
    )
    found: list[Tensor] = []
    for number, there in zip(numbers.tolist(), present.tolist(), strict=True):
        image = views.store[number][..., :3]
        shown = image[:, pixel] if vertical else image[pixel]
        found.append(shown if there else torch.full_like(shown, torch.nan))
    return torch.stack(found)


def in_digits(depth: float) -> str:
    """Three digits of a number, without an exponent up to a million."""
    return f"{float(f'{depth:.3g}'):g}"


def _steps(line: Float[Tensor, "lines"]) -> str:
    steps = line.diff()
    low, high = float(steps.min()), float(steps.max())
    even = high - low <= 1e-3 * high
    return f"{low:.4g}" if even else f"{low:.4g} to {high:.4g}"
