"""How posed images are read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from unrender.data.builtin import BuiltInLight
from unrender.data.validate import Background
from unrender.ranges import Range

HOLD_OUT_EVERY = 10
"""Without a test split, every tenth view (0, 10, 20, …) is held out for testing."""
Split = Literal["test", "val"]


@dataclass(frozen=True)
class LoadOptions:
    """How posed images are read."""

    background: Background = "auto"
    """Color behind images without alpha: white, black, or opaque for photographs whose
    background belongs to the scene; auto takes the color of most of the images' borders if
    that is white or black, else opaque."""
    downscale: int = 1
    """Integer factor by which images are downscaled, while they are read."""
    hold_out: int = HOLD_OUT_EVERY
    """Hold out every N-th view for testing, where the data have no test split; 0 for none. Of a
    film, the first and last frame are kept for training."""
    split: Split = "test"
    """The split that is held out, where the data have several: test, or else val where there is
    no test split; or val."""
    masks: str | None = None
    """Folder with a mask for each image, of the same name and size: white where the object is,
    black elsewhere."""
    ball: tuple[float, float, float, float] | None = None
    """Center (x, y, z) and radius of the scene's bounding sphere, in the data's units; by
    default estimated from the cameras."""
    light: BuiltInLight = "direct"
    """Light in a built-in scene: direct, or path for soft shadows and indirect light, which
    takes minutes to render the first time. The lamp has direct light; shiny is path-traced."""
    outside: bool = False
    """Read images wherever the data say, also outside the folder above theirs."""
    fov: Annotated[float | None, Range(1, 150)] = None
    """For a light field whose names have no lens: the images' horizontal field of view in
    degrees."""
    reference_plane: Annotated[float | None, Range(0, 1e9)] = None
    """For such a light field: depth of the plane to which its images were rectified, in the
    unit of the names; 0 for images that were not."""


DEFAULTS = LoadOptions()
