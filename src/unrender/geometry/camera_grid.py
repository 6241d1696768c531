"""Cameras in rows and columns that look one way: the (u, v) samples of a light field."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras

SAME_LINE = 0.35
"""Cameras are in one row or column if they are closer than this share of the distance between
neighboring cameras."""
ALIKE = 0.02
"""Radians by which the rotations of cameras of a grid may differ."""
FLAT = 0.05
"""Distance of cameras from their plane, per distance between neighbors, up to which they are in
it."""
FILLED = 0.7
"""Share of the places of a grid that must have a camera."""
EVEN = 0.05
"""Relative difference of the distances of lines up to which they are evenly spaced."""


@dataclass(frozen=True)
class CameraGrid:
    """Rows and columns of parallel cameras in a plane. Holes are filled by nearest cameras."""

    frame: Float[Tensor, "3 4"]
    """World from grid: the axes of the cameras, about the mean of their centers."""
    columns: Float[Tensor, "columns"]
    """Positions along the frame's x axis, in scene units, ascending."""
    rows: Float[Tensor, "rows"]
    """Positions along the frame's y axis, which points down, ascending."""
    camera: Int[Tensor, "rows columns"]
    """Number of the camera at each place; at a hole, that of the nearest."""
    present: Bool[Tensor, "rows columns"]
    """Whether a place has a camera of its own."""

    @classmethod
    def of(cls, label: str, cameras: Cameras) -> "CameraGrid":
        """The grid in which cameras stand. InputError, which `label` begins, if they do not."""
        remedy = (
            "a light field needs cameras in rows and columns that look one way; fit a model to "
            "other captures"
        )
        if len(cameras) < 2:
            raise InputError(f"{label}: has {len(cameras)} view: {remedy}")
        cameras = cameras.to("cpu")
        rotation = cameras.rotations[0]
        apart = (cameras.rotations - rotation).flatten(1).norm(dim=1).max()
        angle = 2 * (apart / 8**0.5).clamp_max(1).asin()
        if float(angle) > ALIKE:
            raise InputError(
                f"{label}: is no light field: its cameras look up to "
                f"{float(angle.rad2deg()):.0f}° apart: {remedy}"
            )
        middle = cameras.centers.mean(0)
        local = (cameras.centers - middle) @ rotation
        distances = torch.cdist(
            local, local, compute_mode="donot_use_mm_for_euclid_dist"
        ).fill_diagonal_(torch.inf)
        step = float(distances.amin(1).median())
        if not step:
            raise InputError(
                f"{label}: is no light field: its cameras stand in one place: {remedy}"
            )
        if float(local[:, 2].abs().max()) > FLAT * max(step, 1e-6):
            raise InputError(
                f"{label}: is no light field: its cameras stand in front of one another, up to "
                f"{float(local[:, 2].abs().max()):.3g} off a plane: {remedy}"
            )
        columns, column = _lines(local[:, 0], SAME_LINE * step)
        rows, row = _lines(local[:, 1], SAME_LINE * step)
        if len(cameras) < FILLED * len(rows) * len(columns):
            raise InputError(
                f"{label}: is no light field: its {len(cameras)} cameras are in {len(rows)} "
                f"rows and {len(columns)} columns, too many places of which are empty: {remedy}"
            )
        present = torch.zeros(len(rows), len(columns), dtype=torch.bool)
        present[row, column] = True
        places = torch.stack(
            [columns.expand(present.shape), rows[:, None].expand(present.shape)], dim=-1
        )
        nearest = torch.cdist(places.flatten(0, 1), local[:, :2]).argmin(1)
        number = nearest.view(present.shape).clone()
        # Of two cameras in one place the first.
        for k in reversed(range(len(cameras))):
            number[row[k], column[k]] = k
        frame = torch.cat([rotation, middle[:, None]], dim=1)
        return cls(frame, columns, rows, number, present)

    @property
    def num_holes(self) -> int:
        """Places without a camera."""
        return int((~self.present).sum())

    @cached_property
    def uneven(self) -> bool:
        """Whether distances between neighboring rows, or columns, differ by more than 5%."""
        for line in (self.columns, self.rows):
            steps = line.diff()
            if len(steps) and float(steps.max() - steps.min()) > EVEN * float(steps.mean()):
                return True
        return False

    @property
    def middle(self) -> int:
        """Number of the camera in the middle."""
        return int(self.camera[len(self.rows) // 2, len(self.columns) // 2])

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height between the outermost cameras, in scene units."""
        across, down = (float(line[-1] - line[0]) for line in (self.columns, self.rows))
        return across, down

    def contains(self, places: Float[Tensor, "*batch 2"]) -> Bool[Tensor, "*batch"]:
        """Whether positions (x, y) in the plane are between the outermost rows and columns."""
        inside = torch.ones(places.shape[:-1], dtype=torch.bool)
        tolerance = 1e-4 * max(self.extent)
        for axis, line in enumerate((self.columns, self.rows)):
            along = places[..., axis]
            inside &= (along >= line[0] - tolerance) & (along <= line[-1] + tolerance)
        return inside

    def weights(
        self, places: Float[Tensor, "*batch 2"]
    ) -> tuple[Int[Tensor, "*batch 4"], Float[Tensor, "*batch 4"]]:
        """Four cameras around positions in the plane, and their weights, which sum to 1.

        Bilinear between rows and columns. A position outside the grid gets the weights of the
        nearest inside.
        """
        (left, right, x), (above, below, y) = (
            _between(line, places[..., axis].contiguous())
            for axis, line in enumerate((self.columns, self.rows))
        )
        corners = ((above, left), (above, right), (below, left), (below, right))
        numbers = torch.stack([self.camera[row, column] for row, column in corners], dim=-1)
        shares = [(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]
        return numbers, torch.stack(shares, dim=-1)


def _lines(
    positions: Float[Tensor, "cameras"], apart: float
) -> tuple[Float[Tensor, "lines"], Int[Tensor, "cameras"]]:
    """Mean positions of groups between which there are gaps, and the group of each camera."""
    ordered, order = positions.sort()
    group = torch.zeros(len(order), dtype=torch.long)
    group[1:] = (ordered.diff() > apart).cumsum(0)
    count = torch.bincount(group)
    means = torch.zeros(len(count)).index_add(0, group, ordered.float()) / count
    numbers = torch.empty_like(group)
    numbers[order] = group
    return means, numbers


def _between(
    line: Float[Tensor, "lines"], positions: Float[Tensor, "*batch"]
) -> tuple[Int[Tensor, "*batch"], Int[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """The lines before and after positions, and how far they are from the first, in [0, 1]."""
    if len(line) == 1:
        zero = torch.zeros(positions.shape, dtype=torch.long)
        return zero, zero, torch.zeros_like(positions)
    before = (torch.searchsorted(line, positions, right=True) - 1).clamp(0, len(line) - 2)
    share = (positions - line[before]) / (line[before + 1] - line[before])
    return before, before + 1, share.clamp(0, 1)
