"""The outline of a flat rectangle in a photograph: its four corners, to a fraction of a pixel.

Candidates are regions of similar color, by thresholds on several channels of a small image,
whose convex hull is nearly a quadrilateral. Of those with an edge along all four sides the
largest is taken, so that pictures printed on a card are not taken for it. Its sides are then
fitted to where colors change most across them, in the photograph itself, without the corners,
which may be round, and intersected.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float
from skimage.color import rgb2lab
from skimage.filters import threshold_multiotsu
from skimage.measure import approximate_polygon, label, regionprops
from torch import Tensor
from torch.nn.functional import grid_sample

from unrender.files.arrays import Array
from unrender.imaging.resize import area_average

SMALL = 400
"""Longer side, in pixels, of the image in which regions are sought."""
LEAST_AREA, LARGEST_AREA = 0.004, 0.85
"""Of regions, relative to the image."""
SOLID = 0.8
"""Least share of its convex hull that a region, with its holes filled, covers."""
OVERLAP = 0.94
"""Least intersection over union of the hull and the quadrilateral."""
UNLIKE = (2.5, 3.5, 5.0, 7.0, 10.0)
"""Differences from the colors at the border, in their standard deviations, of candidates."""
TOLERANCES = (0.008, 0.012, 0.018, 0.027, 0.04)
"""Distances by which the sides of a polygon may be off a region's outline, relative to it."""
MARGIN = 0.1
"""Share of each side at its ends that is left out, where corners may be round."""
PROFILES = 48
"""Places along each side where the change of color across it is looked at."""
SUPPORT = 0.7
"""Least share of the places along each side where colors change most there."""
CHANGE = 0.02
"""Least change of color across a side, in display colors."""
FITS = 8
"""Reweighted fits of a line."""


def find_rectangle(image: Float[Tensor, "height width 3"]) -> Float[Tensor, "4 2"] | None:
    """Corners (x, y) in pixels, clockwise in the image; None if there is no such outline.

    All of the outline must be in the image, which has display colors. Which corner is first is
    arbitrary.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SMALL / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = area_average(image[None], *size)[0] if scale < 1 else image
    factor = torch.tensor([width / size[0], height / size[1]], dtype=torch.float64)
    best: tuple[float, Tensor] | None = None
    for quad in _candidates(small.numpy()):
        corners = torch.from_numpy(quad) * factor
        if best is not None and _area(corners) <= 1.05 * best[0]:
            continue
        found = refined(image, corners, 2.5 / scale)
        if found is not None and (best is None or _area(found) > best[0]):
            best = _area(found), found
    return None if best is None else best[1]


def refined(
    image: Float[Tensor, "height width 3"], corners: Float[Tensor, "4 2"], reach: float
) -> Float[Tensor, "4 2"] | None:
    """Corners whose sides lie where colors change most, within `reach` pixels of these ones.

    None unless that is along most of all four sides.
    """
    while True:
        sides = [
            _side(image, corners[k], corners[(k + 1) % 4], reach, corners.mean(0))
            for k in range(4)
        ]
        lines = [side for side in sides if side is not None]
        if len(lines) < 4:
            return None
        moved = torch.stack([_meeting(lines[k - 1], lines[k]) for k in range(4)])
        if not bool(moved.isfinite().all()) or float((moved - corners).abs().max()) > 4 * reach:
            return None
        corners = moved
        if reach <= 2:
            break
        reach = max(2.0, reach / 3)
    height, width = image.shape[:2]
    inside = (corners >= 0) & (corners <= torch.tensor([width, height]))
    return corners if bool(inside.all()) and _area(corners) > 0 else None


def _candidates(image: Array) -> Iterator[Array]:
    """Quadrilaterals [4, 2] around regions of similar color, clockwise in the image."""
    height, width = image.shape[:2]
    seen: set[tuple[int, ...]] = set()
    for mask in _masks(rgb2lab(image.clip(0, 1))):
        labels: Array = np.asarray(label(mask, connectivity=1))
        # Most regions are specks.
        large = np.bincount(labels.ravel()) >= 0.5 * LEAST_AREA * height * width
        for region in regionprops(np.where(large[labels], labels, 0)):
            top, left, bottom, right = region.bbox
            inside = min(top, left) > 0 and bottom < height and right < width
            filled = float(region.area_filled) / (height * width)
            if not inside or not LEAST_AREA <= filled <= LARGEST_AREA:
                continue
            if float(region.area_filled) < SOLID * float(region.area_convex):
                continue
            quad = _quadrilateral(region.image_convex)
            if quad is None:
                continue
            quad = quad + np.array([left, top])
            key = tuple((quad / 3).round().astype(int).ravel().tolist())
            if key not in seen:
                seen.add(key)
                yield quad


def _masks(lab: Array) -> Iterator[Array]:
    """Pixels unlike those at the border, and those within thresholds of one channel."""
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    spread = np.linalg.inv(np.cov(border.T) + np.eye(3))
    away = lab - np.median(border, axis=0)
    away = np.sqrt(np.einsum("hwi,ij,hwj->hw", away, spread, away))
    yield from (away > level for level in UNLIKE)
    for k in range(3):
        for classes in (2, 3):
            try:
                levels = threshold_multiotsu(lab[..., k], classes)
            except ValueError:
                continue
            for level in levels:
                yield lab[..., k] > level
                yield lab[..., k] <= level


def _quadrilateral(hull: Array) -> Array | None:
    """Four corners of a convex region, if a quadrilateral nearly covers it."""
    padded = np.pad(hull, 1)
    rows, columns = np.nonzero(padded & ~_eroded(padded))
    points = np.stack([columns, rows], axis=1) - 0.5
    middle = points.mean(0)
    around = np.arctan2(points[:, 1] - middle[1], points[:, 0] - middle[0]).argsort()
    outline = points[around]
    # Begin at a corner: the point farthest from the middle.
    outline = np.roll(outline, -int(np.linalg.norm(outline - middle, axis=1).argmax()), axis=0)
    outline = np.concatenate([outline, outline[:1]])
    extent = float(np.linalg.norm(np.ptp(outline, axis=0)))
    x, y = np.meshgrid(np.arange(padded.shape[1]) - 0.5, np.arange(padded.shape[0]) - 0.5)
    best, most = None, OVERLAP
    for tolerance in TOLERANCES:
        corners = _four_sides(approximate_polygon(outline, tolerance * extent)[:-1], extent)
        if corners is None:
            continue
        inside = np.ones(padded.shape, bool)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
        overlap = (inside & padded).sum() / max(1, (inside | padded).sum())
        if overlap >= most:
            best, most = corners, overlap
    return best


def _four_sides(outline: Array, extent: float) -> Array | None:
    """Where the four longest edges of a polygon meet: its corners may be round."""
    if len(outline) < 4:
        return None
    edges = np.roll(outline, -1, axis=0) - outline
    sides = np.sort(np.linalg.norm(edges, axis=1).argsort()[-4:])
    corners = np.empty((4, 2))
    for k in range(4):
        one, other = sides[k - 1], sides[k]
        matrix = np.stack([edges[one], -edges[other]], axis=1)
        if abs(np.linalg.det(matrix)) < 1e-3 * extent:
            return None
        share = np.linalg.solve(matrix, outline[other] - outline[one])[0]
        corners[k] = outline[one] + share * edges[one]
    return corners


def _eroded(mask: Array) -> Array:
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return inner


def _area(corners: Float[Tensor, "4 2"]) -> float:
    """Positive for corners that are clockwise in the image, whose y points down."""
    x, y = corners.unbind(1)
    return float((x * y.roll(-1) - y * x.roll(-1)).sum() / 2)


def _side(
    image: Float[Tensor, "height width 3"],
    start: Float[Tensor, "2"],
    end: Float[Tensor, "2"],
    reach: float,
    middle: Float[Tensor, "2"],
) -> tuple[Tensor, Tensor] | None:
    """A point and the direction of the line where colors change most, between two corners."""
    length = float((end - start).norm())
    if length < 8:
        return None
    along = (end - start) / length
    across = torch.stack([along[1], -along[0]])
    if float((middle - start) @ across) > 0:
        across = -across
    count = 2 * math.ceil(4 * reach) + 1
    places = torch.linspace(MARGIN, 1 - MARGIN, PROFILES, dtype=torch.float64)
    shifts = torch.linspace(-reach, reach, count, dtype=torch.float64)
    points = start + places[:, None, None] * (end - start) + shifts[None, :, None] * across
    height, width = image.shape[:2]
    scaled = 2 * points / torch.tensor([width, height]) - 1
    profile = grid_sample(
        image.permute(2, 0, 1)[None], scaled[None].to(image), padding_mode="border",
        align_corners=False,
    )[0].double()  # fmt: skip
    # The change over about a pixel.
    half = max(1, round(0.5 / float(shifts[1] - shifts[0])))
    change = (profile[:, :, 2 * half :] - profile[:, :, : -2 * half]).norm(dim=0)
    inner = shifts[half:-half]
    strength, index = change.max(1)
    clear = strength > CHANGE
    at = index.clamp(1, len(inner) - 2)
    left, peak, right = (change.gather(1, (at + k)[:, None])[:, 0] for k in (-1, 0, 1))
    bend = (left - 2 * peak + right).clamp_max(-1e-9)
    offset = inner[at] + (0.5 * (left - right) / bend).clamp(-1, 1) * (inner[1] - inner[0])
    if float(clear.double().mean()) < SUPPORT:
        return None
    mean, level, slope, misfit = _line(places * length, offset, clear)
    if float(((misfit < 0.25 * reach + 0.5) & clear).double().mean()) < SUPPORT:
        return None
    point = start + mean * along + level * across
    direction = along + slope * across
    return point, direction / direction.norm()


def _line(
    position: Float[Tensor, "places"],
    offset: Float[Tensor, "places"],
    clear: Bool[Tensor, "places"],
) -> tuple[Tensor, Tensor, Tensor, Float[Tensor, "places"]]:
    """A robust line through offsets at positions: its middle, the offset there, its slope, and
    how far each offset is from it.
    """

    def fitted(weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        total = weights.sum().clamp_min(1e-9)
        mean, level = (weights * position).sum() / total, (weights * offset).sum() / total
        spread = (weights * (position - mean).square()).sum().clamp_min(1e-9)
        slope = (weights * (position - mean) * (offset - level)).sum() / spread
        return mean, level, slope, (offset - level - slope * (position - mean)).abs()

    line = fitted(clear.double())
    for _ in range(FITS):
        scale = float(line[3][clear].median()) * 2 + 0.1
        line = fitted(clear / (1 + (line[3] / scale) ** 2) ** 2)
    return line


def _meeting(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Float[Tensor, "2"]:
    """Where two lines meet; not finite if they are parallel."""
    matrix = torch.stack([one[1], -other[1]], dim=1)
    if abs(float(torch.linalg.det(matrix))) < 1e-6:
        return torch.full((2,), math.nan, dtype=torch.float64)
    return one[0] + torch.linalg.solve(matrix, other[0] - one[0])[0] * one[1]
