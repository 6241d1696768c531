"""Evaluation of a renderer on posed images."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.data.views import Views
from unrender.evaluation.images import ImageScores, score_images
from unrender.evaluation.lpips import LPIPS
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Renderer, Rendering, concatenated

WHITE = torch.ones(3)


def render_in_parts(
    renderer: Renderer,
    cameras: Cameras,
    on_progress: Callable[[int, int], None] | None = None,
) -> Rendering:
    """Render cameras one by one, which bounds the memory. InputError for several sizes."""
    cameras.sizes.one  # noqa: B018 - raises
    parts: list[Rendering] = []
    for index in range(len(cameras)):
        with torch.no_grad():
            parts.append(renderer(cameras.select(slice(index, index + 1))))
        if on_progress is not None:
            on_progress(index + 1, len(cameras))
    return concatenated(parts)


@dataclass(frozen=True)
class ImageEvaluation:
    """Renderings and ground truth over a background, with their metrics; a list for views."""

    views: Views
    renderings: list[Rendering]
    """Each of one view."""
    rendered: list[Float[Tensor, "_ _ 3"]]
    truth: list[Float[Tensor, "_ _ 3"]]
    scores: ImageScores
    background: str
    seconds: float

    def psnr_of_pixels(self, shown: Bool[Tensor, "views height width"]) -> float:
        """PSNR of the pixels in which `shown` holds, of all views together, in dB."""
        error = (torch.stack(self.rendered) - torch.stack(self.truth)).square().mean(-1)
        return -10 * float(error[shown].mean().log10())


def evaluate_images(
    renderer: Renderer, views: Views, lpips: LPIPS | None = None
) -> ImageEvaluation:
    """PSNR, SSIM and optionally LPIPS on views, over white or the views' own background."""
    background = WHITE if views.background is None else views.background
    began = time.perf_counter()
    with torch.no_grad():
        renderings = [renderer(camera) for camera in views.cameras]
    seconds = time.perf_counter() - began
    rendered = [rendering.over(background)[0].clamp(0, 1) for rendering in renderings]
    truth = [view.over(background)[0] for view in views]
    name = "white" if views.background is None else str(background.tolist())
    scores = score_images(rendered, truth)
    if lpips is not None:
        scores = replace(scores, lpips=lpips(rendered, truth))
    return ImageEvaluation(views, renderings, rendered, truth, scores, name, seconds)
