"""Posed images."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.bounds import focus_point
from unrender.geometry.cameras import Cameras, Rays, as_slice
from unrender.imaging.color import Color, as_color, matte
from unrender.imaging.files import png_bytes
from unrender.imaging.resize import area_average
from unrender.imaging.save import contact_sheet, show_image


@dataclass(frozen=True)
class PixelBatch:
    """Pixels sampled from views, with their rays."""

    rays: Rays
    rgba: Float[Tensor, "pixels 4"]
    """Premultiplied. Alpha is 1 if the images have none."""


@dataclass(frozen=True)
class Views:
    """Images and the cameras that took them.

    >>> import torch
    >>> import unrender as ur
    >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1), (-4, 0, 1)], size=(160, 120))
    >>> views = ur.Views(cameras, torch.zeros(3, 120, 160, 4))
    >>> views
    Views(3 × 160×120 RGBA, fov 40.0°, radius 4.1)
    >>> views[0].over("white").shape
    torch.Size([1, 120, 160, 3])
    """

    cameras: Cameras
    images: Float[Tensor, "cameras height width channels"]
    """In [0, 1], display-referred: RGBA premultiplied, or RGB on `background`."""
    background: Float[Tensor, "3"] | None = None
    """Constant background color of RGB images; None for RGBA."""
    names: tuple[str, ...] = ()
    """Image files, or `view 0`, `view 1`, … of an .npz; empty for views made in memory."""
    masks: Bool[Tensor, "cameras height width"] | None = None
    depths: Float[Tensor, "cameras height width"] | None = None
    """Distance along the ray in scene units; 0 where nothing is hit."""
    normals: Float[Tensor, "cameras height width 3"] | None = None
    """Unit length, in the world frame; 0 where nothing is hit."""
    codes: Float[Tensor, "cameras channels rows columns"] | None = None
    """Latent codes of the images, once the autoencoder of a method has encoded them."""
    points: Float[Tensor, "points 3"] | None = None
    """Surface points in the world frame, if the dataset comes with a reconstruction."""
    point_colors: Float[Tensor, "points 3"] | None = None
    ball: Float[Tensor, "4"] | None = None
    """Center and radius of the scene's bounding sphere, if it is known."""
    smaller: tuple["Views", ...] = ()
    """The same views at smaller sizes, which are used for training too."""

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, index: int | slice) -> "Views":
        """One view or several, as `Views`; tensors of indices are for `select`.

        >>> import torch
        >>> import unrender as ur
        >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1), (-4, 0, 1)], size=(32, 24))
        >>> views = ur.Views(cameras, torch.zeros(3, 24, 32, 3), torch.ones(3))
        >>> len(views[-1]), len(views[:2])
        (1, 2)
        """
        return self.select(as_slice(index, len(self)))

    def __iter__(self) -> Iterator["Views"]:
        """The views one by one, each as `Views` of length 1.

        >>> import torch
        >>> import unrender as ur
        >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1)], size=(32, 24))
        >>> [view.images.shape[0] for view in ur.Views(cameras, torch.zeros(2, 24, 32, 4))]
        [1, 1]
        """
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        """Number, image size, channels, field of view, and median distance to the focus.

        >>> import torch
        >>> import unrender as ur
        >>> cameras = ur.Cameras.look_at([(3, 0, 0), (0, 3, 0)], fov=55, size=(32, 24))
        >>> ur.Views(cameras, torch.zeros(2, 24, 32, 3), torch.ones(3))
        Views(2 × 32×24 RGB, fov 55.0°, radius 3.0)
        """
        cameras = self.cameras
        channels = "RGBA" if self.has_alpha else "RGB"
        parts = [f"{len(self)} × {cameras.width}×{cameras.height} {channels}"]
        if len(self):
            parts.append(f"fov {cameras.fov_range}")
        if len(self) > 1:
            distance = (cameras.centers - focus_point(cameras)).norm(dim=1)
            parts.append(f"radius {float(distance.median()):.1f}")
        return f"Views({', '.join(parts)})"

    def save(self, path: str | Path) -> None:
        """Save images and cameras: as one .npz, or as a folder in the Blender layout.

        `unrender.load` reads both. The .npz holds one focal length per view and a centered
        principal point. Raises InputError for other endings and places that cannot be written.

        >>> import unrender as ur
        >>> ur.load("bricks", downscale=8).test[:2].save("two.npz")
        >>> ur.load("two.npz", hold_out=0).train
        Views(2 × 20×20 RGBA, fov 39.6°, radius 4.0)
        """
        # These modules import this one.
        from unrender.data.formats.blender import write_blender  # noqa: PLC0415
        from unrender.data.formats.npz import save_npz  # noqa: PLC0415

        target = Path(path)
        if target.suffix == ".npz":
            save_npz(target, self, overwrite=True)
        elif target.suffix:
            raise InputError(f"{target}: cannot be written: end it in .npz, or name a folder")
        else:
            write_blender(target, self)

    def show(self) -> None:
        """Show the images: in a notebook inline, on a desktop in a window, else in a file."""
        show_image(contact_sheet(self.over("white").clamp(0, 1)), "views")

    def _repr_png_(self) -> bytes | None:
        return png_bytes(contact_sheet(self.over("white").clamp(0, 1))) if len(self) else None

    @property
    def has_alpha(self) -> bool:
        return self.images.shape[-1] == 4

    def select(self, index: Int[Tensor, "chosen"] | Bool[Tensor, "cameras"] | slice) -> "Views":
        """The views at these indices, or where a mask is true, or of a slice."""
        if isinstance(index, slice):
            chosen, numbers = index, range(len(self))[index]
        else:
            chosen = index.nonzero()[:, 0] if index.dtype == torch.bool else index
            numbers = chosen.tolist()

        def pick(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[chosen]

        return dataclasses.replace(
            self,
            cameras=self.cameras.select(chosen),
            images=self.images[chosen],
            names=tuple(self.names[i] for i in numbers) if self.names else (),
            masks=pick(self.masks),
            depths=pick(self.depths),
            normals=pick(self.normals),
            codes=pick(self.codes),
            smaller=tuple(views.select(chosen) for views in self.smaller),
        )

    def to(self, device: torch.device | str) -> "Views":
        def move(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.to(device)

        return dataclasses.replace(
            self,
            cameras=self.cameras.to(device),
            images=self.images.to(device),
            background=move(self.background),
            masks=move(self.masks),
            depths=move(self.depths),
            normals=move(self.normals),
            codes=move(self.codes),
            points=move(self.points),
            point_colors=move(self.point_colors),
            smaller=tuple(views.to(device) for views in self.smaller),
        )

    def resized(self, width: int, height: int) -> "Views":
        """The views at another image size, resampled by area averaging."""
        return dataclasses.replace(
            self,
            cameras=self.cameras.resized(width, height),
            images=area_average(self.images, width, height),
            masks=None,
            depths=None,
            normals=None,
            codes=None,
            smaller=(),
        )

    @property
    def rgba(self) -> Float[Tensor, "cameras height width 4"]:
        """Premultiplied RGBA; in RGB images, pixels of the background's color get alpha 0."""
        if self.has_alpha:
            return self.images
        assert self.background is not None, "RGB views need a background"
        return matte(self.images, self.background)

    @property
    def opaque(self) -> Float[Tensor, "cameras height width 4"]:
        """Premultiplied RGBA; RGB images get an alpha of 1, including their background."""
        if self.has_alpha:
            return self.images
        return torch.cat([self.images, torch.ones_like(self.images[..., :1])], dim=-1)

    def over(
        self, background: Color | Float[Tensor, "3"]
    ) -> Float[Tensor, "cameras height width 3"]:
        """RGB on a background: a color's name, three numbers in [0, 1], or a tensor.

        Images without alpha keep the background they have. Raises InputError if the background
        is not a color.

        >>> import torch
        >>> import unrender as ur
        >>> camera = ur.Cameras.look_at((4, 0, 1), size=(32, 24))
        >>> clear = ur.Views(camera, torch.zeros(1, 24, 32, 4))
        >>> clear.over("orange")[0, 0, 0]
        tensor([1.0000, 0.6471, 0.0000])
        """
        behind = as_color(background, like=self.images)
        color = self.images[..., :3]
        return color + (1 - self.images[..., 3:]) * behind if self.has_alpha else color

    def sample_pixels(
        self, count: int, generator: torch.Generator, crop: float = 1.0
    ) -> PixelBatch:
        """Pixels sampled uniformly from all views, of all sizes.

        `crop`: the central part of each image's height and width that is sampled.
        """
        if not self.smaller:
            return self._sample_pixels(count, generator, crop)
        scales = (self, *self.smaller)
        pixels = torch.tensor([float(views.images[..., 0].numel()) for views in scales])
        drawn = torch.multinomial(pixels, count, replacement=True, generator=generator)
        counts = drawn.bincount(minlength=len(scales)).tolist()
        parts = [
            views._sample_pixels(number, generator, crop)
            for views, number in zip(scales, counts, strict=True)
        ]
        rays = [part.rays for part in parts]
        return PixelBatch(
            Rays(
                torch.cat([each.origins for each in rays]),
                torch.cat([each.directions for each in rays]),
                torch.cat([each.pixel_radius for each in rays]),
                torch.cat([each.camera_index for each in rays]),
            ),
            torch.cat([part.rgba for part in parts]),
        )

    def _sample_pixels(self, count: int, generator: torch.Generator, crop: float) -> PixelBatch:
        num, full_height, full_width, _ = self.images.shape
        height, width = max(1, round(crop * full_height)), max(1, round(crop * full_width))
        device = self.images.device
        flat = torch.randint(
            num * height * width, (count,), generator=generator, device=generator.device
        ).to(device)
        camera, y, x = flat // (height * width), flat // width % height, flat % width
        if crop < 1:
            y, x = y + (full_height - height) // 2, x + (full_width - width) // 2
            flat = (camera * full_height + y) * full_width + x
        rays = self.cameras.rays(camera, torch.stack([x, y], dim=-1) + 0.5)
        color = self.images.flatten(0, 2)[flat]
        if not self.has_alpha:
            color = torch.cat([color, torch.ones_like(color[:, :1])], dim=-1)
        return PixelBatch(rays, color)
