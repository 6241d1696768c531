"""Checks of the views, cameras and images that a transformer of posed images receives."""

from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.averaged import AveragedSiT
from unrender.geometry.cameras import Cameras
from unrender.imaging.resize import area_average
from unrender.rendering.renderer import Images

FIELD_OF_VIEW_TOLERANCE = 0.02
"""Maximum difference of intrinsics, as a fraction of the image's side."""


def check_views(data: Views, patch: int, scale: int = 1) -> int:
    """Check that views suit a transformer, and return the side of their images in pixels.

    `patch` is the patch size in cells of the data space, and `scale` the side of a cell in
    pixels. Raises InputError for views that do not suit.
    """
    num, sizes, channels = len(data), data.cameras.sizes, data.store.channels
    width, height = sizes[0]
    found = f"{num} views of {sizes} with {channels} channels"
    if channels != 4:
        raise InputError(
            f"{found}: the model needs RGBA images: fit a scene to the views and render RGBA "
            "views from it by `unrender make-views`"
        )
    if sizes.mixed or height != width or width % (patch * scale):
        latents = "" if scale == 1 else f" latents, {patch * scale} pixels"
        raise InputError(
            f"{found}: the model needs square images whose side is a multiple of the patch "
            f"size {patch}{latents}: make the views with another --size, or change --patch"
        )
    if num < 2:
        raise InputError(f"{found}: give at least 2, because one is held out")
    if not _agree(data.cameras.intrinsics, data.cameras.intrinsics[0], width):
        raise InputError(
            f"{found}: the fields of view differ, which the model does not support: make views "
            "with one field of view by `unrender make-views`"
        )
    return width


def check_cameras(model: AveragedSiT, cameras: Cameras) -> None:
    """Raise InputError for cameras of another image size or field of view than the model's."""
    size = model.image_size
    if (cameras.width, cameras.height) != (size, size):
        raise InputError(
            f"cameras of {cameras.width}x{cameras.height}: this flow generates images of "
            f"{size}x{size}: give cameras of that size"
        )
    if not _agree(cameras.intrinsics, model.intrinsics, size):
        raise InputError(
            f"cameras with a focal length of {cameras.focal[0]:.4g} pixels: this flow was "
            f"trained with {model.intrinsics[0, 0]:.4g}: use cameras with that field of view"
        )


def small_squares(model: AveragedSiT, images: Images) -> Float[Tensor, "images size size 4"]:
    """Square images resized to the model's size by area averaging. InputError if not square."""
    height, width = images.shape[1:3]
    if height != width:
        raise InputError(
            f"images of {width}x{height}: this model needs square images: crop them"
        )
    return area_average(images, model.image_size, model.image_size)


def _agree(a: Float[Tensor, "cameras 3 3"], b: Float[Tensor, "3 3"], image_size: int) -> bool:
    return bool((a - b).abs().max() < FIELD_OF_VIEW_TOLERANCE * image_size)
