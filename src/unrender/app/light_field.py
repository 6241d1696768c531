"""What `unrender render` does with a light field: its lens, and its cameras."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unrender.errors import InputError
from unrender.files import ending
from unrender.training.options import Device

if TYPE_CHECKING:
    from unrender.data.dataset import Dataset
    from unrender.geometry.cameras import Cameras
    from unrender.rendering.renderer import Rendering

FILMS = (".mp4", ".gif")


@dataclass(frozen=True)
class Lens:
    """How a light field is rendered: what was typed."""

    focus: tuple[float, ...]
    aperture: float | None
    fov: float | None
    reference_plane: float | None

    def check_none(self, source: Path) -> None:
        """InputError if anything was typed."""
        for name, value in vars(self).items():
            if value not in (None, ()):
                raise InputError(
                    f"--{name.replace('_', '-')}: needs a light field, the folder of images of "
                    f"a grid of cameras; {source} is none"
                )

    def render(
        self,
        source: Path,
        out: Path,
        cameras: str,
        frames: int,
        elevation: float | None,
        radius: float | None,
        size: int | None,
        supersample: int | None,
        device: Device,
        progress: bool,
    ) -> "Rendering":
        """The images of a light field's folder along a path. InputError."""
        from unrender.api.data import load  # noqa: PLC0415 - imports torch
        from unrender.api.light_fields import checked_lens, refocus  # noqa: PLC0415

        if device not in ("auto", "cpu"):
            raise InputError(f"--device {device}: light fields are rendered on the CPU")
        depths = checked_lens(self.focus, self.aperture)
        data = load(source, hold_out=0, fov=self.fov, reference_plane=self.reference_plane)
        still = cameras == "auto" and (len(depths) == 2 or ending(out) not in FILMS)
        return refocus(
            data,
            None if still else _path(data, cameras, frames, elevation, radius),
            focus=depths or None,
            aperture=self.aperture,
            frames=frames,
            size=size,
            supersample=supersample or 1,
            progress=progress,
        )


def is_posed_images(source: Path) -> bool:
    """Whether a path is a folder of posed images, not a run."""
    from unrender.app.inspect import is_run  # noqa: PLC0415 - imports torch
    from unrender.data.load import FORMATS  # noqa: PLC0415

    return (
        source.is_dir()
        and not is_run(source)
        and any(known.recognizes(source) for known in FORMATS)
    )


def _path(
    data: "Dataset", name: str, frames: int, elevation: float | None, radius: float | None
) -> "Cameras":
    """The cameras by the name of a path, or from a file; auto is a spiral. InputError."""
    from unrender.api.cameras import as_cameras, path_by_name  # noqa: PLC0415 - imports torch

    found = path_by_name(
        "spiral" if name == "auto" else name, frames, elevation, radius, data.train.origin
    )
    if isinstance(found, str):
        if not len(data.test):
            raise InputError(f"--cameras test: {data.source} has no held-out views")
        return data.test.cameras
    return as_cameras(found, data)
