"""Posed images."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.data.images import Image, ImageStore
from unrender.data.images import joined as joined_images
from unrender.data.origin import HERE, Origin
from unrender.data.view_ids import ViewIds, joined_ids
from unrender.errors import InputError
from unrender.geometry.bounds import focus_point
from unrender.geometry.cameras import Cameras, Rays, as_slice, concatenate
from unrender.geometry.paths import evenly
from unrender.geometry.sizes import ImageSizes
from unrender.imaging.color import Color, as_color, matte, unpremultiply
from unrender.imaging.files import png_bytes
from unrender.imaging.resize import area_average
from unrender.imaging.save import SHEET_IMAGES, contact_sheet, show_image


@dataclass(frozen=True)
class PixelBatch:
    """Pixels sampled from views, with their rays."""

    rays: Rays
    rgba: Float[Tensor, "pixels 4"]
    """Premultiplied. Alpha is 1 if the images have none."""


@dataclass(frozen=True, init=False)
class Views:
    """Images, of one size or several, and the cameras that took them.

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
    store: ImageStore
    """Display-referred images: RGBA, or RGB on `background`."""
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
    origin: Origin = HERE
    """Where the origin of the world frame is in the coordinates that the data came with."""
    ids: ViewIds | None = None
    """Which appearance, state and camera each view shows, if the data say so."""

    def __init__(
        self,
        cameras: Cameras,
        images: Float[Tensor, "cameras height width channels"] | None = None,
        background: Float[Tensor, "3"] | None = None,
        names: tuple[str, ...] = (),
        masks: Bool[Tensor, "cameras height width"] | None = None,
        depths: Float[Tensor, "cameras height width"] | None = None,
        normals: Float[Tensor, "cameras height width 3"] | None = None,
        codes: Float[Tensor, "cameras channels rows columns"] | None = None,
        points: Float[Tensor, "points 3"] | None = None,
        point_colors: Float[Tensor, "points 3"] | None = None,
        ball: Float[Tensor, "4"] | None = None,
        store: ImageStore | None = None,
        origin: Origin = HERE,
        ids: ViewIds | None = None,
    ) -> None:
        """Views of `images` in [0, 1] (RGBA premultiplied), or of a `store`.

        Raises InputError if the images have other sizes than the cameras.
        """
        if images is not None:
            store = ImageStore.of(images)
        assert store is not None, "give images, or a store"
        if not torch.equal(store.sizes.rows, cameras.sizes.rows):
            raise InputError(
                f"images of {store.sizes} pixels for cameras of {cameras.sizes}: resize the "
                "cameras"
            )
        vars(self).update(
            cameras=cameras, store=store, background=background, names=names, masks=masks,
            depths=depths, normals=normals, codes=codes, points=points,
            point_colors=point_colors, ball=ball, origin=origin, ids=ids,
        )  # fmt: skip

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
        parts = [f"{len(self)} × {cameras.sizes} {channels}"]
        if len(self):
            parts.append(f"fov {cameras.fov_range}")
        if len(self) > 1:
            distance = (cameras.centers - focus_point(cameras)).norm(dim=1)
            parts.append(f"radius {float(distance.median()):.1f}")
        return f"Views({', '.join(parts)})"

    def save(self, path: str | Path) -> None:
        """Save images and cameras: as one .npz, or as a folder in the Blender layout.

        `unrender.load` reads both. Raises InputError for other endings and places that cannot
        be written.

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
        show_image(self._sheet(), "views")

    def _repr_png_(self) -> bytes | None:
        return png_bytes(self._sheet()) if len(self) else None

    def _sheet(self) -> Float[Tensor, "sheet_height sheet_width 3"]:
        some = (self[k] for k in evenly(SHEET_IMAGES, len(self)))
        return contact_sheet([view.over("white")[0].clamp(0, 1) for view in some])

    @property
    def images(self) -> Float[Tensor, "cameras height width channels"]:
        """All images as floats, RGB or premultiplied RGBA. InputError if sizes differ.

        Images that are kept as 8 bits are converted at each access: take some views first.
        """
        return self.store.batch

    @property
    def has_alpha(self) -> bool:
        return self.store.channels == 4

    @property
    def device(self) -> torch.device:
        return self.store.device

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
            store=self.store.select(chosen),
            names=tuple(self.names[i] for i in numbers) if self.names else (),
            masks=pick(self.masks),
            depths=pick(self.depths),
            normals=pick(self.normals),
            codes=pick(self.codes),
            ids=None if self.ids is None else self.ids.select(chosen),
        )

    def to(self, device: torch.device | str) -> "Views":
        def move(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.to(device)

        return dataclasses.replace(
            self,
            cameras=self.cameras.to(device),
            store=self.store.to(device),
            background=move(self.background),
            masks=move(self.masks),
            depths=move(self.depths),
            normals=move(self.normals),
            codes=move(self.codes),
            points=move(self.points),
            point_colors=move(self.point_colors),
            ids=None if self.ids is None else self.ids.to(device),
        )

    def resized(self, width: int, height: int) -> "Views":
        """The views at one other image size, resampled by area averaging."""
        return self.with_sizes(ImageSizes.of([(width, height)]))

    def with_sizes(self, sizes: ImageSizes) -> "Views":
        """The views at other image sizes, resampled by area averaging."""
        if torch.equal(sizes.rows, self.cameras.sizes.rows):
            return self
        store = self.store.mapped(lambda k, image: area_average(image, *sizes[k]), sizes)
        return self._without_maps(self.cameras.with_sizes(sizes), store)

    def cropped(self, sizes: ImageSizes) -> "Views":
        """The central parts of the views. InputError if `sizes` are larger than the images.

        >>> import unrender as ur
        >>> from unrender.geometry.sizes import ImageSizes
        >>> ur.load("bricks", downscale=8).test.cropped(ImageSizes.of([(10, 16)]))
        Views(50 × 10×16 RGBA, fov 20.4°, radius 4.0)
        """
        cameras, before = self.cameras.cropped(sizes), self.cameras.sizes

        def crop(index: int, image: Image) -> Image:
            (width, height), (wide, tall) = sizes[index], before[index]
            left, top = (wide - width) // 2, (tall - height) // 2
            return image[top : top + height, left : left + width]

        return self._without_maps(cameras, self.store.mapped(crop, sizes))

    def _without_maps(self, cameras: Cameras, store: ImageStore) -> "Views":
        return dataclasses.replace(
            self, cameras=cameras, store=store,
            masks=None, depths=None, normals=None, codes=None,
        )  # fmt: skip

    def about(self, origin: Origin) -> "Views":
        """The views with this point of the data's coordinates as origin of their world frame.

        Views that were not recentred are in the frame of whoever made them, and stay.
        """
        if self.origin in (HERE, origin):
            return self
        move = torch.tensor(self.origin, dtype=torch.float64)
        move = move - torch.tensor(origin, dtype=torch.float64)
        poses = self.cameras.world_from_camera.double()
        poses = torch.cat([poses[:, :, :3], poses[:, :, 3:] + move[:, None]], dim=2).float()
        cameras = self.cameras.with_poses(poses)
        points = None if self.points is None else (self.points.double() + move).float()
        ball = self.ball
        if ball is not None:
            ball = torch.cat([(ball[:3].double() + move).float(), ball[3:]])
        return dataclasses.replace(
            self, cameras=cameras, points=points, ball=ball, origin=origin
        )

    def by_size(self) -> "list[Views]":
        """The views of each size."""
        if not self.cameras.sizes.mixed:
            return [self]
        _, group = self.cameras.sizes.rows.unique(dim=0, return_inverse=True)
        return [self.select(group == k) for k in range(int(group.max()) + 1)]

    def straight(self, index: int) -> Image:
        """One image as files have it: RGB, or RGBA whose colors are not premultiplied."""
        image = self.store[index]
        return unpremultiply(image) if self.has_alpha else image

    def with_alpha(self) -> "Views":
        """The views as RGBA; in RGB images, pixels of the background's color get alpha 0."""
        if self.has_alpha:
            return self
        store = self.store.mapped(lambda _, image: matte(image, self._color), channels=4)
        return dataclasses.replace(self, store=store, background=None)

    @property
    def _color(self) -> Float[Tensor, "3"]:
        assert self.background is not None, "RGB views need a background"
        return self.background

    @property
    def rgba(self) -> Float[Tensor, "cameras height width 4"]:
        """Premultiplied RGBA; in RGB images, pixels of the background's color get alpha 0."""
        return self.images if self.has_alpha else matte(self.images, self._color)

    @property
    def opaque(self) -> Float[Tensor, "cameras height width 4"]:
        """Premultiplied RGBA; RGB images get an alpha of 1, including their background."""
        images = self.images
        if self.has_alpha:
            return images
        return torch.cat([images, torch.ones_like(images[..., :1])], dim=-1)

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
        # Of opaque images only the colors are converted.
        images = dataclasses.replace(self.store, opaque=False).batch
        behind = as_color(background, like=images)
        color = images[..., :3]
        return color + (1 - images[..., 3:]) * behind if images.shape[-1] == 4 else color

    def sample_pixels(
        self, count: int, generator: torch.Generator, crop: float = 1.0
    ) -> PixelBatch:
        """Pixels sampled uniformly from all views, of all sizes.

        `crop`: the central part of each image's height and width that is sampled.
        """
        found = self.store.sample(count, generator, crop)
        color = found.colors
        if not self.has_alpha:
            color = torch.cat([color, torch.ones_like(color[:, :1])], dim=-1)
        return PixelBatch(self.cameras.rays(found.image, found.place), color)


def joined(parts: Sequence[Views]) -> Views:
    """Views of one kind, one after the other, without masks, depths, normals and codes.

    Everything else is the first one's. Where only some have alpha, all get it.
    """
    if len({views.has_alpha for views in parts}) > 1:
        parts = [views.with_alpha() for views in parts]
    first = parts[0]
    return dataclasses.replace(
        first,
        cameras=concatenate([views.cameras for views in parts]),
        store=joined_images([views.store for views in parts]),
        names=tuple(name for views in parts for name in views.names),
        ids=joined_ids([views.ids for views in parts]),
        masks=None, depths=None, normals=None, codes=None,
    )  # fmt: skip
