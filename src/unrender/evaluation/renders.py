"""Evaluation of a renderer on posed images."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
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
    """Render cameras one by one, which bounds the memory."""
    parts: list[Rendering] = []
    for index in range(len(cameras)):
        with torch.no_grad():
            parts.append(renderer(cameras.select(slice(index, index + 1))))
        if on_progress is not None:
            on_progress(index + 1, len(cameras))
    return concatenated(parts)


@dataclass(frozen=True)
class ImageEvaluation:
    """Renderings and ground truth over a background, with their metrics."""

    views: Views
    rendering: Rendering
    rendered: Float[Tensor, "views height width 3"]
    truth: Float[Tensor, "views height width 3"]
    scores: ImageScores
    background: str
    seconds: float


def evaluate_images(
    renderer: Renderer, views: Views, lpips: LPIPS | None = None
) -> ImageEvaluation:
    """PSNR, SSIM and optionally LPIPS on views, over white or the views' own background."""
    background = WHITE if views.background is None else views.background
    began = time.perf_counter()
    rendering = render_in_parts(renderer, views.cameras)
    seconds = time.perf_counter() - began
    rendered, truth = rendering.over(background).clamp(0, 1), views.over(background)
    name = "white" if views.background is None else str(background.tolist())
    scores = score_images(rendered, truth)
    if lpips is not None:
        scores = replace(scores, lpips=lpips(rendered, truth))
    return ImageEvaluation(views, rendering, rendered, truth, scores, name, seconds)
