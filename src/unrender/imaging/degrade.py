"""Degradations of photographs, each with a strength in physical units.

Blur and noise act on linear light, as in a camera: first the lens and the motion during the
exposure, then photons and electrons, then gains, and at last the encoding of the file.
"""

import io
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as PillowImage
from torch import Tensor
from torch.nn import functional

from unrender.geometry.pixels import pixel_grid
from unrender.imaging.files import to_bytes
from unrender.imaging.video import write_video
from unrender.imaging.video_reader import Video

MAX_SAMPLES = 65
"""Positions along the motion that are averaged at most: of longer motions, one in two pixels or
more."""
FPS = 24
"""Frames per second of the video whose compression is simulated."""


def disc(diameter: float, subpixels: int = 8) -> Float[Tensor, "side side"]:
    """Weights of the pixels that a disc of this diameter, in pixels, covers; their sum is 1.

    Of pixels at its edge the part that lies within, to 1 / `subpixels`² of a pixel, counts.
    """
    side = 2 * math.ceil(max(0.0, diameter - 1) / 2) + 1
    places = (torch.arange(side * subpixels) + 0.5) / subpixels - side / 2
    inside = places[:, None].square() + places.square() <= (diameter / 2) ** 2
    weights = inside.float().view(side, subpixels, side, subpixels).mean((1, 3))
    if not bool(weights.any()):
        weights[side // 2, side // 2] = 1.0
    return weights / weights.sum()


def defocus(
    image: Float[Tensor, "height width channels"], diameter: float
) -> Float[Tensor, "height width channels"]:
    """Blur linear light by a circle of confusion of this diameter, in pixels.

    All of the image is equally far out of focus. What lies outside is as at the border.
    """
    weights = disc(diameter).to(image)
    reach = len(weights) // 2
    if not reach:
        return image
    channels = image.shape[2]
    rows = functional.pad(image.permute(2, 0, 1)[None], (reach,) * 4, mode="replicate")
    kernels = weights.expand(channels, 1, *weights.shape)
    return functional.conv2d(rows, kernels, groups=channels)[0].permute(1, 2, 0)


def motion_blur(
    image: Float[Tensor, "height width channels"],
    motion: Float[Tensor, "height width 2"],
) -> Float[Tensor, "height width channels"]:
    """Average linear light over the path of each pixel during the exposure.

    `motion` is how far (x, y) what a pixel shows moves in the image from the beginning to the
    end of the exposure, in pixels; the image is that of the middle. Paths are straight. What
    lies outside is as at the border.
    """
    longest = float(motion.norm(dim=-1).amax())
    samples = min(MAX_SAMPLES, 2 * math.ceil(longest) + 1)
    if samples == 1:
        return image
    height, width, _ = image.shape
    centers = pixel_grid(width, height, image.device)
    scale = 2 / torch.tensor([width, height], device=image.device)
    planes = image.permute(2, 0, 1)[None]
    total = torch.zeros_like(planes)
    for k in range(samples):
        time = (k + 0.5) / samples - 0.5
        places = (centers - time * motion) * scale - 1
        total += functional.grid_sample(
            planes, places[None], padding_mode="border", align_corners=False
        )
    return (total / samples)[0].permute(1, 2, 0)


def photon_noise(
    light: Float[Tensor, "*batch"],
    photons: float,
    read_noise: float,
    generator: torch.Generator,
) -> Float[Tensor, "*batch"]:
    """Shot and read noise of linear light, of which 1 is `photons` electrons.

    Electrons are Poisson distributed, with the light as mean, and the amplifier adds Gaussian
    noise of `read_noise` electrons: the variance is light / photons + (read_noise / photons)².
    Not clipped, so that the mean is that of the light.
    """
    electrons = torch.poisson(light.clamp_min(0) * photons, generator=generator)
    if read_noise:
        noise = torch.randn(light.shape, generator=generator, dtype=light.dtype)
        electrons = electrons + read_noise * noise
    return electrons / photons


def quantized(image: Float[Tensor, "*batch"], bits: int) -> Float[Tensor, "*batch"]:
    """Display-referred values in [0, 1] rounded to 2^bits levels."""
    levels = 2**bits - 1
    return (image * levels).round() / levels


def jpeg(
    image: Float[Tensor, "height width 3"], quality: int
) -> Float[Tensor, "height width 3"]:
    """What a JPEG file of this quality, 1 to 100, shows; chroma is subsampled by two."""
    file = io.BytesIO()
    pixels = to_bytes(image).cpu().numpy()
    PillowImage.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with PillowImage.open(file) as read:
        found = np.asarray(read.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(found).to(image)


def compressed_video(
    frames: Float[Tensor, "frames height width 3"], crf: int
) -> Float[Tensor, "frames height width 3"]:
    """What an H.264 video of these frames shows, with x264's constant rate factor, 0 to 51.

    InputError if ffmpeg has no x264.
    """
    _, height, width, _ = frames.shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_video(path, frames, FPS, crf)
        read = [frame[:height, :width] for frame in Video(path).frames(2 * max(height, width))]
    assert len(read) == len(frames), f"{len(read)} frames of a video of {len(frames)}"
    return torch.from_numpy(np.stack(read)).to(frames) / 255
