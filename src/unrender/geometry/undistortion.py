"""Pinhole views of what lenses of other models see, whose images are resampled into them.

A photograph becomes one view of its own size, with the focal length of its lens, so that the
resolution in the middle stays. Where the lens does not see all of that view, the focal length
is made longer until it does: no pixel is without a source. Panoramas become the six faces of a
cube.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.lenses import Lens

MAX_FOV = math.radians(120)
"""Widest field of view of a pinhole view, horizontally and vertically."""
MAX_ZOOM = 4.0
"""Views may be narrowed by this factor, so that the lens sees all of them."""
ZOOM_PRECISION = 1e-4
SLACK = 0.5
"""Pixels by which sources may lie outside the image, where the outermost pixel is repeated."""
GRID = 65
"""Points per side by which it is determined what a lens sees."""
MIN_SCALE = 0.1
"""Least scale, in any direction, at which a lens shows what a pinhole camera shows at 1."""
STEP = 1e-5
"""Step of finite differences, in focal lengths."""
MIN_FOCAL, MAX_FOCAL = 1e-3, 1e6
"""Focal lengths that are accepted, relative to the longer side of the image."""
PANORAMA_FACES = {
    "front": (0.0, 0.0),
    "right": (90.0, 0.0),
    "back": (180.0, 0.0),
    "left": (-90.0, 0.0),
    "up": (0.0, 90.0),
    "down": (0.0, -90.0),
}
"""Names of the views of a panorama: degrees to the right of its center, and above it."""


@dataclass(frozen=True)
class Calibration:
    """Intrinsics of a camera with any lens. Pixel centers are at +0.5."""

    lens: Lens
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    @classmethod
    def checked(
        cls, label: str, lens: Lens, focal: tuple[float, float], center: tuple[float, float],
        size: tuple[int, int],
    ) -> "Calibration":  # fmt: skip
        """A calibration of plausible numbers. Raises InputError, which names `label`."""
        longer = max(size)
        for value in focal:
            if not MIN_FOCAL * longer <= value <= MAX_FOCAL * longer:
                raise InputError(
                    f"{label}: the focal length is {value:.6g} pixels, of an image of "
                    f"{size[0]}x{size[1]}; give one between {MIN_FOCAL:g} and {MAX_FOCAL:g} "
                    "times its longer side"
                )
        for value in center:
            if not abs(value) <= MAX_FOCAL * longer:
                raise InputError(
                    f"{label}: the principal point is at {center[0]:.6g}, {center[1]:.6g} "
                    "pixels; give it near the middle of the image"
                )
        numbers = (*lens.shape, *lens.radial, *lens.denominator, *lens.tangential, *lens.prism)
        for value in numbers:
            if not math.isfinite(value):
                raise InputError(f"{label}: a lens coefficient is {value}; calibrate again")
        return cls(lens, *focal, *center, *size)

    @classmethod
    def panorama(cls, width: int, height: int) -> "Calibration":
        """Equirectangular images: longitudes to the right, latitudes downwards."""
        lens = Lens("equirectangular")
        return cls(
            lens, width / (2 * math.pi), height / math.pi, width / 2, height / 2, width, height
        )

    def pixels(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
        """Where directions of the camera frame appear."""
        uv = self.lens.project(directions)
        return uv * uv.new_tensor([self.fx, self.fy]) + uv.new_tensor([self.cx, self.cy])


@dataclass(frozen=True)
class PinholeView:
    """A perspective view of what a camera with a lens sees."""

    source: Calibration
    zoom: float = 1.0
    """Focal length relative to that of the source, which is not a panorama."""
    face: str = ""
    """Name of the face of a panorama."""

    @property
    def resampled(self) -> bool:
        """Whether its pixels are not those of the source."""
        return bool(self.source.lens)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height. A panorama's views have its resolution in their middle."""
        source = self.source
        if self.face:
            side = max(1, round(source.width / math.pi))
            return side, side
        return source.width, source.height

    @property
    def intrinsics(self) -> Float[Tensor, "3 3"]:
        """K of the view: scaled about the middle of the image by `zoom`."""
        width, height = self.size
        source, zoom = self.source, self.zoom
        if self.face:
            fx = fy = width / 2
            cx = cy = width / 2
        else:
            fx, fy = zoom * source.fx, zoom * source.fy
            cx = width / 2 + zoom * (source.cx - width / 2)
            cy = height / 2 + zoom * (source.cy - height / 2)
        return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)

    @property
    def source_from_view(self) -> Float[Tensor, "3 3"]:
        """Rotation from the view's camera frame to the source's."""
        right, above = PANORAMA_FACES.get(self.face, (0.0, 0.0))
        a, b = math.radians(right), math.radians(above)
        across = torch.tensor(
            [[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]],
            dtype=torch.float64,
        )
        upwards = torch.tensor(
            [[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]],
            dtype=torch.float64,
        )
        return across @ upwards

    def source_pixels(self, pixels: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Where in the source what appears at `pixels` of the view is."""
        matrix = self.intrinsics
        xy = (pixels - matrix[:2, 2]) / matrix.diagonal()[:2]
        directions = torch.cat([xy, torch.ones_like(xy[..., :1])], dim=-1)
        if self.face:
            directions = directions @ self.source_from_view.T
        return self.source.pixels(directions)

    def source_rows(self, first: int, last: int) -> Float[Tensor, "rows width 2"]:
        """`source_pixels` of the pixel centers in rows `first` to `last` - 1."""
        x = torch.arange(self.size[0], dtype=torch.float64) + 0.5
        y = torch.arange(first, last, dtype=torch.float64) + 0.5
        return self.source_pixels(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1))

    @property
    def fully_seen(self) -> bool:
        """Whether the lens sees all of the view, in one place each."""
        width, height = self.size
        x = torch.linspace(0.5, width - 0.5, GRID, dtype=torch.float64)
        y = torch.linspace(0.5, height - 0.5, GRID, dtype=torch.float64)
        at = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        found = self.source_pixels(at)
        limits = found.new_tensor([self.source.width, self.source.height]) + SLACK
        if not bool(((found >= -SLACK) & (found <= limits)).all()):
            return False
        # Beyond where a distortion folds back, the area of its image is negative; before, it is
        # shrunk to nothing.
        step = STEP * self.intrinsics.diagonal()[:2]
        unit = STEP * found.new_tensor([self.source.fx, self.source.fy])
        across, down = (
            (self.source_pixels(at + step * at.new_tensor(axis)) - found) / unit
            for axis in ([1, 0], [0, 1])
        )
        area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
        total = across.square().sum(-1) + down.square().sum(-1)
        least = (total - (total.square() - 4 * area.square()).clamp_min(0).sqrt()) / 2
        return bool(((area > 0) & (least > MIN_SCALE**2)).all())


def pinhole_views(label: str, source: Calibration) -> tuple[PinholeView, ...]:
    """The views that an image is resampled to: one, or six of a panorama.

    Raises InputError, which names `label`, if the lens does not see the middle of the image.
    """
    if source.lens.projection == "equirectangular":
        if abs(source.width - 2 * source.height) > 0.01 * source.width:
            raise InputError(
                f"{label}: the panorama is {source.width}x{source.height}, not twice as wide "
                "as high: pad it to 360° × 180°"
            )
        return tuple(PinholeView(source, face=face) for face in PANORAMA_FACES)
    zoom = _zoom(source)
    if zoom is None:
        raise InputError(
            f"{label}: the distortion of its lens folds back or leaves the image within the "
            f"middle {1 / MAX_ZOOM:.0%} of it: calibrate again, or undistort the images first"
        )
    return (PinholeView(source, zoom),)


@lru_cache(maxsize=256)
def _zoom(source: Calibration) -> float | None:
    """The least zoom, of at least 1, at which the lens sees the whole view, or None."""
    if not source.lens:
        return 1.0
    low = 1.0
    if source.lens.projection != "perspective":
        widest = math.tan(MAX_FOV / 2)
        low = max(low, source.width / source.fx / 2 / widest)
        low = max(low, source.height / source.fy / 2 / widest)
    if PinholeView(source, low).fully_seen:
        return low
    high = low * MAX_ZOOM
    if not PinholeView(source, high).fully_seen:
        return None
    while high / low > 1 + ZOOM_PRECISION:
        middle = math.sqrt(low * high)
        if PinholeView(source, middle).fully_seen:
            high = middle
        else:
            low = middle
    return high
