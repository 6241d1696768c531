"""Options of a run's mesh. Nothing here imports torch, so that errors come at once."""

import math
from dataclasses import dataclass

from unrender.errors import InputError

FACES, TEXTURED_FACES = 100_000, 20_000
"""Most faces of a mesh by default, with vertex colors and with a texture."""

MAX_FRAMES, MAX_FPS = 10_000, 1000
"""Of a mesh that moves."""

Box = tuple[float, float, float, float, float, float]
"""The lower corner of a box, and the upper one."""


@dataclass(frozen=True)
class MeshOptions:
    """How a fitted model becomes a mesh: the arguments of `Run.mesh`, where they are described.

    Raises InputError for values out of range.
    """

    faces: int | None = None
    crop: Box | None = None
    all_parts: bool = False
    texture: int | None = None
    upright: bool = True
    voxels: int | None = None
    half_width: float | None = None
    time: float | None = None

    def __post_init__(self) -> None:
        if self.voxels is not None and not 16 <= self.voxels <= 512:
            raise InputError(f"voxels {self.voxels}: give 16 to 512")
        if self.half_width is not None and not 0 < self.half_width < math.inf:
            raise InputError(f"half_width {self.half_width}: give a positive length")
        if self.faces is not None and self.faces < 4:
            raise InputError(f"faces {self.faces}: give at least 4")
        if self.texture is not None and not 16 <= self.texture <= 8192:
            raise InputError(f"texture {self.texture}: give 16 to 8192 pixels")
        if self.crop is None:
            return
        if self.half_width is not None:
            raise InputError("give crop or half_width, not both: both say what is kept")
        if len(self.crop) != 6 or not all(map(math.isfinite, self.crop)):
            raise InputError(f"crop {self.crop}: give six numbers: two corners of a box")
        if not all(low < high for low, high in zip(self.crop[:3], self.crop[3:], strict=True)):
            corners = " ".join(f"{x:g}" for x in self.crop)
            raise InputError(f"crop {corners}: is empty: give the lower corner X Y Z first")

    @property
    def most_faces(self) -> int:
        """Faces of a mesh that is made from views, at most."""
        return self.faces or (FACES if self.texture is None else TEXTURED_FACES)


@dataclass(frozen=True)
class Frames:
    """The frames of a mesh that moves. Raises InputError for values out of range."""

    count: int
    times: tuple[float, float] | None = None
    """The first and the last time; None for the whole film."""
    fps: float | int = 24
    """Frames per second, where a file holds an animation."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_FRAMES:
            raise InputError(f"sequence {self.count}: give 1 to {MAX_FRAMES} frames")
        if not 0 < self.fps <= MAX_FPS:
            raise InputError(f"fps {self.fps:g}: give more than 0 and at most {MAX_FPS}")
