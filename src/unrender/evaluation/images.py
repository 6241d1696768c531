"""Image metrics: PSNR and SSIM of rendered images against the ground truth.

Images are display-referred in [0, 1], so the data range is 1. Both images are already
composited over a background. Metrics are only comparable for the same background, which reports
state: most of an object's image is background, whose brightness affects the SSIM.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from skimage.metrics import structural_similarity
from torch import Tensor

from unrender.errors import InputError
from unrender.imaging.save import ImageList

SSIM_WINDOW = 11
"""Side of the window in pixels: a Gaussian of sigma 1.5, truncated at 3.5 sigma."""


def psnr(
    rendered: Float[Tensor, "*batch height width channels"],
    truth: Float[Tensor, "*batch height width channels"],
) -> Float[Tensor, "*batch"]:
    """Peak signal-to-noise ratio of each image in dB; infinite for identical images."""
    error = (rendered - truth).double().square().mean((-3, -2, -1))
    return (-10 * error.log10()).float()


def ssim(
    rendered: Float[Tensor, "*batch height width channels"],
    truth: Float[Tensor, "*batch height width channels"],
) -> Float[Tensor, "*batch"]:
    """Structural similarity of each image, averaged over channels; 1 for identical images.

    Wang et al. 2004: Gaussian window of 11×11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03,
    without the correction for small samples; by scikit-image, which ignores 5 pixels at each
    border. Raises InputError for images smaller than the window.
    """
    height, width, _ = rendered.shape[-3:]
    if min(height, width) < SSIM_WINDOW:
        raise InputError(
            f"images of {width}×{height} pixels: SSIM needs at least "
            f"{SSIM_WINDOW}×{SSIM_WINDOW}: evaluate larger images"
        )
    batch = rendered.shape[:-3]
    pairs = zip(
        rendered.detach().cpu().double().reshape(-1, *rendered.shape[-3:]).numpy(),
        truth.detach().cpu().double().reshape(-1, *truth.shape[-3:]).numpy(),
        strict=True,
    )
    values = [
        structural_similarity(
            a,
            b,
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in pairs
    ]
    return torch.tensor(values, dtype=torch.float32).reshape(batch)


@dataclass(frozen=True)
class ImageScores:
    """Metrics of each view. Papers report the mean over views."""

    psnr: Float[Tensor, "views"]
    """In dB; infinite if rendering and ground truth are identical."""
    ssim: Float[Tensor, "views"]
    lpips: Float[Tensor, "views"] | None = None
    """None if no weights were given; smaller is better."""

    @property
    def mean_psnr(self) -> float:
        """Mean PSNR of the views in dB, not the PSNR of their mean error.

        Identical images, whose PSNR is infinite, are excluded, so that one empty view does not
        make the mean infinite. It is infinite only if all views are identical.
        """
        differing = self.psnr[~self.psnr.isposinf()]
        return differing.mean().item() if len(differing) else self.psnr.mean().item()

    @property
    def mean_ssim(self) -> float:
        return self.ssim.mean().item()

    def to_json(self) -> dict[str, object]:
        """Means and metrics of each view; null for values that are not finite or unknown."""
        kinds = {"psnr": self.psnr, "ssim": self.ssim}
        if self.lpips is not None:
            kinds["lpips"] = self.lpips
        rows = zip(*(values.tolist() for values in kinds.values()), strict=True)
        return {
            "psnr": finite_or_none(self.mean_psnr),
            "ssim": finite_or_none(self.mean_ssim),
            "lpips": None if self.lpips is None else self.lpips.mean().item(),
            "views": [
                {kind: finite_or_none(value) for kind, value in zip(kinds, row, strict=True)}
                for row in rows
            ],
        }


def score_images(rendered: ImageList, truth: ImageList) -> ImageScores:
    """Metrics of images of any sizes."""
    pairs = list(zip(rendered, truth, strict=True))
    errors, similarities = ([score(*pair) for pair in pairs] for score in (psnr, ssim))
    return ImageScores(torch.stack(errors).cpu(), torch.stack(similarities))


def finite_or_none(value: float) -> float | None:
    """The value, or None if it is not finite, since JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None
