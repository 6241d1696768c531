"""Posed images as a worse capture would have recorded them, in the order of a camera.

Light is blurred by the lens and by the camera's motion, averaged over pixels, counted as
photons, amplified, and encoded. What each step does to one image is in `imaging/degrade.py`.
"""

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.degradation import Degradation
from unrender.data.photographs import downscaled_sizes
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.bounds import focus_point
from unrender.geometry.camera_motion import pixel_motion
from unrender.geometry.nearest_views import nearest_views
from unrender.geometry.paths import evenly
from unrender.imaging.color import (
    display_from_linear,
    linear_from_display,
    over,
    premultiply,
    unpremultiply,
)
from unrender.imaging.degrade import (
    compressed_video,
    defocus,
    jpeg,
    motion_blur,
    photon_noise,
    quantized,
)
from unrender.imaging.resize import area_average


def degrade_dataset(
    data: Dataset, how: Degradation, seed: int = 0, both_splits: bool = False
) -> Dataset:
    """A dataset whose training views are degraded, and with `both_splits` the held-out ones.

    InputError where images cannot be degraded so: see `degrade_views`.
    """
    train = degrade_views(data.train, how, seed)
    test = data.test
    if both_splits and len(test):
        # As many as there are: fewer images are a matter of what is learned from.
        test = degrade_views(test, dataclasses.replace(how, count=None), seed + 1)
    return dataclasses.replace(data, train=train, test=test, source=None, options=None)


def degrade_views(views: Views, how: Degradation, seed: int = 0) -> Views:
    """The views as a worse capture would have recorded them.

    Alpha is blurred with the colors, and otherwise stays: an object's mask has no noise. Raises
    InputError for more images than there are, a motion of cameras that do not move, images
    smaller than the factor of `downscale`, and a film of images of several sizes.
    """
    if how.count is not None:
        if how.count > len(views):
            raise InputError(
                f"count {how.count}: there are {len(views)} images: give at most that"
            )
        views = views.select(torch.tensor(evenly(how.count, len(views))))
    if how.video is not None and views.cameras.sizes.mixed:
        raise InputError(
            f"video {how.video}: the images have several sizes, {views.cameras.sizes}, and a "
            "film has one: use jpeg"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(views), generator=generator)
    blurred = order < max(1, round(how.blurred_share * len(views)))
    stops = torch.randn(len(views), 3, generator=generator)
    stops = stops * torch.tensor(
        [how.white_balance_jitter, how.exposure_jitter, how.white_balance_jitter]
    )
    gains = 2.0 ** (stops[:, 1:2] + stops * torch.tensor([1.0, 0.0, 1.0]))
    seeds = torch.randint(2**62, (len(views),), generator=generator)
    moving = _motions(views, how.motion_blur) if how.motion_blur else None

    sizes = downscaled_sizes(views.cameras.sizes, how.downscale)

    def change(index: int, image: Float[Tensor, "height width channels"]) -> Tensor:
        light = _linear(image)
        if bool(blurred[index]):
            if moving is not None:
                light = motion_blur(light, moving(index))
            if how.defocus:
                light = defocus(light, how.defocus)
        if how.downscale > 1:
            light = area_average(light, *sizes[index])
        color, alpha = (
            unpremultiply(light)[..., :3] if views.has_alpha else light,
            light[..., 3:],
        )
        color = color * 2.0**-how.underexposure
        if how.photons is not None:
            noise = torch.Generator().manual_seed(int(seeds[index]))
            color = photon_noise(color, how.photons, how.read_noise, noise)
        color = display_from_linear((color * gains[index]).clamp(0, 1))
        color = quantized(color, how.bits)
        found = premultiply(torch.cat([color, alpha], -1)) if views.has_alpha else color
        if how.jpeg is not None:
            found = from_white(jpeg(over_white(found), how.jpeg), found)
        return found

    smaller = {} if how.downscale == 1 else dict.fromkeys(("masks", "depths", "normals"))
    made = dataclasses.replace(
        views,
        cameras=views.cameras.with_sizes(sizes),
        store=views.store.mapped(change, sizes),
        codes=None,
        **smaller,
    )
    if how.video is None:
        return made
    frames = torch.stack([over_white(image) for image in made.images])
    shown = compressed_video(frames, how.video)
    store = made.store.mapped(lambda index, image: from_white(shown[index], image))
    return dataclasses.replace(made, store=store)


def _linear(image: Float[Tensor, "height width channels"]) -> Tensor:
    """Linear light, premultiplied, of a display-referred image."""
    if image.shape[2] == 3:
        return linear_from_display(image)
    straight = unpremultiply(image)
    color = linear_from_display(straight[..., :3].clamp(0, 1))
    return premultiply(torch.cat([color, straight[..., 3:]], dim=-1))


def over_white(image: Float[Tensor, "height width channels"]) -> Tensor:
    """What a file without alpha shows of an image: RGB, or RGBA over white."""
    return image if image.shape[2] == 3 else over(image, torch.ones(3))


def from_white(
    opaque: Float[Tensor, "height width 3"], like: Float[Tensor, "height width channels"]
) -> Tensor:
    """The inverse of `over_white`, with the alpha of `like`."""
    if like.shape[2] == 3:
        return opaque
    alpha = like[..., 3:]
    color = (opaque - (1 - alpha)).clamp_min(0)
    return torch.cat([torch.minimum(color, alpha), alpha], dim=-1)


def _motions(views: Views, length: float) -> Callable[[int], Float[Tensor, "height width 2"]]:
    """How pixels of each view move, by `length` pixels in the median, toward its neighbor.

    InputError if there is no neighbor, or it stands where the view does.
    """
    cameras = views.cameras
    if len(cameras) < 2:
        raise InputError("motion_blur: needs two images or more, toward which the camera moves")
    center = focus_point(cameras) if views.ball is None else views.ball[:3].to(cameras.centers)
    neighbor = nearest_views(cameras, cameras, center, 2)
    itself = neighbor[:, 0] == torch.arange(len(cameras))
    toward = cameras.world_from_camera[torch.where(itself, neighbor[:, 1], neighbor[:, 0])]

    def motion(index: int) -> Float[Tensor, "height width 2"]:
        found = pixel_motion(cameras[index], toward[index], _distances(views, index, center))
        median = float(found.norm(dim=-1).median())
        if not median > 0:
            name = views.names[index] if views.names else f"view {index}"
            raise InputError(
                f"motion_blur {length:g}: {name} and its neighbor have one pose, and a camera "
                "that stands still blurs nothing: use defocus"
            )
        return found * (length / median)

    return motion


def _distances(
    views: Views, index: int, center: Float[Tensor, "3"]
) -> Float[Tensor, "height width"]:
    """Distances along the rays: those that are known, else that of the scene's center."""
    camera = views.cameras[index]
    width, height = camera.sizes.one
    if views.points is not None and len(views.points):
        first = torch.zeros(len(views.points), dtype=torch.long)
        pixels, depth = camera.project(first, views.points)
        size = torch.tensor([width, height])
        seen = (depth > 0) & ((pixels >= 0) & (pixels < size)).all(1)
        away = (views.points[seen] - camera.centers).norm(dim=1)
    else:
        away = torch.zeros(0)
    typical = away.median() if len(away) else (center - camera.centers[0]).norm()
    if views.depths is None:
        return typical.expand(height, width)
    known = views.depths[index]
    hit = known > 0
    return torch.where(hit, known, known[hit].median() if bool(hit.any()) else typical)
