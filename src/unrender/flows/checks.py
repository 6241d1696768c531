"""Which views, cameras and images a transformer of posed images can take."""

from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.averaged import AveragedSiT
from unrender.geometry.cameras import Cameras
from unrender.imaging.resize import area_average
from unrender.rendering.renderer import Images

FIELD_OF_VIEW_TOLERANCE = 0.02
"""Intrinsics may differ by this share of the image's side."""


def check_views(data: Views, patch: int, scale: int = 1) -> int:
    """The side of the images, once they are known to suit a transformer.

    `patch` is in cells of the data space and `scale` the pixels a side of a cell.
    """
    num, height, width, channels = data.images.shape
    found = f"{num} views of {width}x{height} with {channels} channels"
    if channels != 4:
        raise InputError(
            f"{found}: the model needs RGBA images, whose background is known: fit a scene to "
            "them and take its views, which have alpha (unrender make-views)"
        )
    if height != width or width % (patch * scale):
        latents = "" if scale == 1 else f" latents, {patch * scale} pixels"
        raise InputError(
            f"{found}: the model needs square images whose side is a multiple of its patch of "
            f"{patch}{latents}: make the views with another --size, or choose another --patch"
        )
    if num < 2:
        raise InputError(f"{found}: one view is held out, so it takes 2 or more")
    if not _agree(data.cameras.intrinsics, data.cameras.intrinsics[0], width):
        raise InputError(
            f"{found}: their fields of view differ, which the model cannot see: make views "
            "with one field of view (unrender make-views)"
        )
    return width


def check_cameras(model: AveragedSiT, cameras: Cameras) -> None:
    """Refuse cameras of another size or field of view than the model's."""
    size = model.image_size
    if (cameras.width, cameras.height) != (size, size):
        raise InputError(
            f"cameras of {cameras.width}x{cameras.height}: this flow makes images of "
            f"{size}x{size}: ask for that size"
        )
    if not _agree(cameras.intrinsics, model.intrinsics, size):
        raise InputError(
            f"cameras with a focal length of {cameras.focal[0]:.4g} pixels: this flow was "
            f"trained with {model.intrinsics[0, 0]:.4g}: use cameras of its field of view"
        )


def small_squares(model: AveragedSiT, images: Images) -> Float[Tensor, "images size size 4"]:
    """Images at the model's size, each pixel the mean over its square of the given ones."""
    height, width = images.shape[1:3]
    if height != width:
        raise InputError(
            f"images of {width}x{height}: this model reads square images: crop them"
        )
    return area_average(images, model.image_size, model.image_size)


def _agree(a: Float[Tensor, "cameras 3 3"], b: Float[Tensor, "3 3"], image_size: int) -> bool:
    return bool((a - b).abs().max() < FIELD_OF_VIEW_TOLERANCE * image_size)
