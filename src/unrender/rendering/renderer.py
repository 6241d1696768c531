"""The common interfaces of renderers and of pose estimators."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.files import check_target
from unrender.files.arrays import write_arrays
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance
from unrender.imaging.color import Color, as_color
from unrender.imaging.files import png_bytes
from unrender.imaging.save import (
    contact_sheet,
    save_images,
    show_image,
)


@dataclass(frozen=True)
class Rendering:
    """What every renderer returns, for pixels of any layout.

    >>> import unrender as ur
    >>> images = ur.render(ur.Mesh.torus(), ur.turntable(4), size=32, progress=False)
    >>> images.over("white").shape
    torch.Size([4, 32, 32, 3])
    """

    color: Float[Tensor, "*batch 3"]
    """Display-referred RGB in [0, 1], premultiplied: over black, before any background."""
    opacity: Float[Tensor, "*batch"]
    """Opacity of the scene in the pixel, in [0, 1]."""
    depth: Float[Tensor, "*batch"]
    """Mean distance along the ray in scene units; 0 where nothing is hit."""
    normals: Float[Tensor, "*batch 3"] | None = None
    """Unit length, in the world frame."""
    cameras: Cameras | None = None
    """The cameras of whole images, where these are known."""

    def to(self, device: torch.device | str) -> "Rendering":
        return dataclasses.replace(
            self,
            color=self.color.to(device),
            opacity=self.opacity.to(device),
            depth=self.depth.to(device),
            normals=None if self.normals is None else self.normals.to(device),
        )

    @property
    def rgba(self) -> Float[Tensor, "*batch 4"]:
        """Color and opacity, premultiplied."""
        return torch.cat([self.color, self.opacity[..., None]], dim=-1)

    def over(self, background: Color = "white") -> Float[Tensor, "*batch 3"]:
        """RGB over a background: a color's name, three numbers, or a tensor [..., 3]."""
        behind = as_color(background).to(self.color)
        return self.color + (1 - self.opacity[..., None]) * behind

    def __len__(self) -> int:
        return len(self.color)

    def __getitem__(self, index: int | slice) -> "Rendering":
        """One image, or several, as a `Rendering`."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        return Rendering(
            self.color[rows],
            self.opacity[rows],
            self.depth[rows],
            None if self.normals is None else self.normals[rows],
            None if self.cameras is None else self.cameras.select(rows),
        )

    def __iter__(self) -> Iterator["Rendering"]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        *batch, height, width = self.opacity.shape if self.opacity.ndim > 2 else (1, 1)
        if not batch:
            return f"Rendering({'×'.join(map(str, self.opacity.shape))} rays)"
        normals = "" if self.normals is None else ", normals"
        return f"Rendering({'×'.join(map(str, batch))} × {width}×{height}{normals})"

    def images(
        self, what: str = "color", background: Color = "white"
    ) -> Float[Tensor, "images height width 3"]:
        """Whole images in [0, 1] of "color", "depth", "normals" or "opacity". InputError."""
        from unrender.rendering.channels import as_images  # noqa: PLC0415 - it imports this

        return as_images(self, what, as_color(background))

    def save(
        self,
        path: str | Path,
        *,
        what: str = "color",
        background: Color = "white",
        fps: int = 24,
    ) -> None:
        """Save images as the ending says.

        Args:
            path: .png, .jpg or .webp for an image each (several are numbered), .mp4 or .gif for
                a video, .npz for all numbers (color, opacity, depth, normals and cameras), or a
                folder for one .png each.
            what: "color", "depth", "normals" or "opacity"; several with commas between them
                stand side by side.
            background: Color behind what is transparent.
            fps: Frames per second of a video.

        InputError for other endings and places that cannot be written.

        >>> import unrender as ur
        >>> images = ur.render(ur.Mesh.torus(), ur.turntable(2), size=32, progress=False)
        >>> images.save("torus.gif")
        """
        target = Path(path)
        if target.suffix.lower() == ".npz":
            self._save_arrays(target)
            return
        shown = [self.images(each, background) for each in what.split(",")]
        save_images(target, torch.cat(shown, dim=2), fps)

    def show(self, *, what: str = "color", background: Color = "white") -> None:
        """Show the images: in a notebook inline, on a desktop in a window, else in a file."""
        show_image(contact_sheet(self.images(what, background)), "rendering")

    def _repr_png_(self) -> bytes | None:
        if self.opacity.ndim != 3:
            return None
        return png_bytes(contact_sheet(self.over().clamp(0, 1)))

    def _save_arrays(self, path: Path) -> None:
        arrays = {
            "color": self.color,
            "opacity": self.opacity,
            "depth": self.depth,
            "normals": self.normals,
        }
        if self.cameras is not None:
            arrays |= {
                "world_from_camera": self.cameras.world_from_camera,
                "intrinsics": self.cameras.intrinsics,
                "times": self.cameras.times,
            }
        kept = {name: value for name, value in arrays.items() if value is not None}
        check_target(path)
        write_arrays(path, {k: v.detach().cpu().numpy() for k, v in kept.items()}, True)


def concatenated(parts: Sequence[Rendering]) -> Rendering:
    """Concatenate renderings along the first axis; with normals if all of them have some."""
    normals = [part.normals for part in parts if part.normals is not None]
    return Rendering(
        torch.cat([part.color for part in parts]),
        torch.cat([part.opacity for part in parts]),
        torch.cat([part.depth for part in parts]),
        torch.cat(normals) if len(normals) == len(parts) else None,
    )


@dataclass(frozen=True)
class PoseModes:
    """Modes of the posterior over each camera's pose, the best one first."""

    world_from_camera: Float[Tensor, "cameras modes 3 4"]
    share: Float[Tensor, "cameras modes"]
    """Posterior mass of each mode: sums to 1 for each camera, and is 0 for padding."""


@dataclass(frozen=True)
class PoseEstimate:
    """Camera poses estimated from images, with their expected errors.

    >>> import torch
    >>> import unrender as ur
    >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1)])
    >>> ur.PoseEstimate.isotropic(cameras, torch.full((2,), 0.01), torch.full((2,), 0.05))
    PoseEstimate(2 images, ±0.57°)
    """

    cameras: Cameras
    axis_errors: Float[Tensor, "cameras 3"]
    """Expected root mean square rotation error about each of the camera's axes, in radians."""
    translation_error: Float[Tensor, "cameras"]
    """Expected root mean square error of the camera's center, in scene units."""
    misfit: Float[Tensor, "cameras"] | None = None
    """Mean squared difference between the image rendered at the pose and the given image."""
    modes: PoseModes | None = None
    """All modes, if the estimator finds several; the first one is the estimate."""

    @classmethod
    def isotropic(
        cls,
        cameras: Cameras,
        rotation_error: Float[Tensor, "cameras"],
        translation_error: Float[Tensor, "cameras"],
    ) -> "PoseEstimate":
        """An estimate with the same rotation error about every axis."""
        return cls(cameras, (rotation_error / 3**0.5)[:, None].expand(-1, 3), translation_error)

    def __len__(self) -> int:
        return len(self.cameras)

    def errors(
        self, truth: Cameras
    ) -> tuple[Float[Tensor, "cameras"], Float[Tensor, "cameras"]]:
        """Rotation errors in degrees and distances of the centers, against true cameras.

        >>> import torch
        >>> import unrender as ur
        >>> camera = ur.Cameras.look_at((4, 0, 1))
        >>> estimate = ur.PoseEstimate.isotropic(camera, torch.zeros(1), torch.zeros(1))
        >>> estimate.errors(camera)
        (tensor([0.]), tensor([0.]))
        """
        found, true = self.cameras.world_from_camera, truth.world_from_camera
        angle = so3_distance(found[..., :3].double(), true[..., :3].double())
        return angle.rad2deg().float(), (found[..., 3] - true[..., 3]).norm(dim=-1)

    def __repr__(self) -> str:
        images = f"{len(self)} image{'' if len(self) == 1 else 's'}"
        error = self.rotation_error.rad2deg()
        expected = f", ±{float(error.median()):.2f}°" if bool(error.isfinite().any()) else ""
        return f"PoseEstimate({images}{expected})"

    @property
    def rotation_error(self) -> Float[Tensor, "cameras"]:
        """Expected root mean square rotation angle of the error, in radians."""
        return self.axis_errors.norm(dim=1)

    def to(self, device: torch.device | str) -> "PoseEstimate":
        modes = self.modes
        if modes is not None:
            modes = PoseModes(modes.world_from_camera.to(device), modes.share.to(device))
        return PoseEstimate(
            self.cameras.to(device),
            self.axis_errors.to(device),
            self.translation_error.to(device),
            None if self.misfit is None else self.misfit.to(device),
            modes,
        )


Images = Float[Tensor, "images height width 4"]
"""RGBA, premultiplied, in [0, 1]."""

Renderer = Callable[[Cameras], Rendering]
PoseEstimator = Callable[[Images], PoseEstimate]


def supersampled(renderer: Renderer, factor: int) -> Renderer:
    """Render with `factor`² rays per pixel and average them, which is a box filter.

    One ray per pixel aliases if the scene has detail smaller than a pixel.
    """

    def render(cameras: Cameras) -> Rendering:
        fine = renderer(cameras.resized(cameras.width * factor, cameras.height * factor))
        opacity = box_filtered(fine.opacity[..., None], factor)[..., 0]
        # Depth is a mean over hits, so it is averaged with opacity as the weight.
        weighted = box_filtered((fine.depth * fine.opacity)[..., None], factor)[..., 0]
        depth = mean_depth(weighted, opacity)
        return Rendering(box_filtered(fine.color, factor), opacity, depth)

    return renderer if factor == 1 else render


def mean_depth(
    weighted: Float[Tensor, "*batch"], opacity: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Depths from sums of depth times opacity; 0 where the opacity is 0."""
    seen = opacity > 0
    return torch.where(seen, weighted / torch.where(seen, opacity, 1.0), 0.0)


def box_filtered(
    image: Float[Tensor, "cameras fine_height fine_width channels"], factor: int
) -> Float[Tensor, "cameras height width channels"]:
    """Means of blocks of `factor`² pixels."""
    # Two means are twice as fast as one over both axes.
    return image.unflatten(2, (-1, factor)).mean(3).unflatten(1, (-1, factor)).mean(2)


def camera_batches(cameras: Cameras, pixels_at_once: int) -> list[Cameras]:
    """Split cameras into batches of one size and at most `pixels_at_once` pixels.

    A single camera may have more. The batches are in the cameras' order.
    """
    batches: list[Cameras] = []
    first = 0
    while first < len(cameras):
        size, last = cameras.sizes[first], first + 1
        most = first + max(1, math.floor(pixels_at_once / (size[0] * size[1])))
        while last < min(most, len(cameras)) and cameras.sizes[last] == size:
            last += 1
        batches.append(cameras.select(slice(first, last)))
        first = last
    return batches
