"""What may be wrong with a capture, as options. Nothing here imports torch."""

from dataclasses import dataclass
from typing import Annotated

from unrender.errors import InputError
from unrender.ranges import Range, check_ranges


@dataclass(frozen=True)
class Degradation:
    """What is wrong with a capture. The defaults change nothing."""

    motion_blur: Annotated[float, Range(0, 500)] = 0.0
    """Length of the trails that the camera's motion during the exposure leaves, in pixels: the
    median over each image. The camera moves toward its nearest neighbor."""
    defocus: Annotated[float, Range(0, 500)] = 0.0
    """Diameter of the circle of confusion, in pixels: how far the lens is out of focus."""
    blurred_share: Annotated[float, Range(0, 1, above=True)] = 1.0
    """Share of the images that are blurred, by motion and defocus; the seed says which."""
    downscale: Annotated[int, Range(1, 1 << 10)] = 1
    """Factor by which the sensor has fewer pixels along each side."""
    photons: Annotated[float | None, Range(1, 1e9)] = None
    """Photons that a white pixel gathers, after a right exposure; by default so many that there
    is no noise. Bright daylight gives a phone some 5,000, a dim room some 50."""
    read_noise: Annotated[float, Range(0, 1e6)] = 0.0
    """Standard deviation of the noise of reading a pixel, in electrons; needs `photons`."""
    underexposure: Annotated[float, Range(0, 16)] = 0.0
    """Stops by which the images are too dark: each halves the light, and the photons."""
    exposure_jitter: Annotated[float, Range(0, 8)] = 0.0
    """Standard deviation of the exposure from image to image, in stops."""
    white_balance_jitter: Annotated[float, Range(0, 4)] = 0.0
    """Standard deviation of the gains of red and blue from image to image, in stops."""
    bits: Annotated[int, Range(1, 8)] = 8
    """Bits per channel to which display-referred values are rounded."""
    jpeg: Annotated[int | None, Range(1, 100)] = None
    """Quality of JPEG compression."""
    video: Annotated[int | None, Range(0, 51)] = None
    """Constant rate factor of H.264 compression, of the images in their order as a film: 18 is
    hardly seen, 40 is poor."""
    count: Annotated[int | None, Range(2, 1 << 24)] = None
    """Number of images that are kept, evenly spread."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.read_noise and self.photons is None:
            raise InputError(
                f"read_noise {self.read_noise:g}: is in electrons, of which a white pixel has "
                "as many as photons: give photons too"
            )
