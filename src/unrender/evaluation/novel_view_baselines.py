"""Novel views without learning, and the scores of novel views.

A view model that has learned something outperforms the first two: the nearest of the inputs,
and their mean. Warping the inputs by the depth of a fitted scene is what a good shape without a
prior gives: it shows nothing that no input shows.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample

from unrender.data.views import Views
from unrender.evaluation.images import ImageScores, score_images
from unrender.evaluation.lpips import LPIPS
from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import nearest_views
from unrender.geometry.pixels import pixel_grid
from unrender.imaging.color import over
from unrender.imaging.resize import area_average
from unrender.rendering.renderer import Images, Renderer

SEEN = 0.03
"""Relative difference in depth up to which an input sees a point that a target sees."""
FINE, FINE_SIDE = 4, 512
"""Factor by which the inputs' depths are finer than their images, so that thin things are seen,
and pixels of their longer side at most."""


def nearest_inputs(
    inputs: Views, targets: Cameras, center: Float[Tensor, "3"], rotation_only: bool = False
) -> Images:
    """The image of the input whose camera is nearest to each target, resized to its size."""
    found = nearest_views(targets, inputs.cameras, center, 1, rotation_only)[:, 0]
    return area_average(inputs.rgba[found], targets.width, targets.height)


def mean_input(inputs: Views, targets: Cameras) -> Images:
    """The mean of all inputs, resized, for each target."""
    mean = area_average(inputs.rgba.mean(0), targets.width, targets.height)
    return mean.expand(len(targets), *mean.shape)


@torch.no_grad()
def warped_inputs(
    inputs: Views, targets: Cameras, scene: Renderer, center: Float[Tensor, "3"], count: int = 4
) -> Images:
    """Inputs warped to the targets by the depth of a fitted scene.

    Each pixel of a target takes the color that the nearest input which sees its point has
    there, of `count` inputs at most; an input sees a point if the depth that `scene` renders
    from it ends there, within 3%. Points that none of them sees, and pixels where the scene is
    empty, are transparent.
    """
    count = min(count, len(inputs))
    order = nearest_views(targets, inputs.cameras, center, count)
    used = order.unique()
    depths = {int(k): scene(_finer(inputs.cameras[int(k)])).depth[0] for k in used}
    images: list[Tensor] = []
    for target, row in zip(targets, order, strict=True):
        rendering = scene(target)
        points = _points(target, rendering.depth[0])
        image = points.new_zeros(target.height, target.width, 4)
        missing = rendering.opacity[0] >= 0.5
        for k in row.tolist():
            colors, seen = _look_up(inputs[k], depths[k], points)
            chosen = missing & seen
            image[chosen] = colors[chosen]
            missing &= ~seen
        images.append(image)
    return torch.stack(images)


def _points(
    camera: Cameras, depth: Float[Tensor, "height width"]
) -> Float[Tensor, "height width 3"]:
    """World points at these distances along the rays through the pixels' centers."""
    pixels = pixel_grid(camera.width, camera.height, depth.device)
    rays = camera.rays(torch.zeros(depth.shape, dtype=torch.long, device=depth.device), pixels)
    return rays.origins + depth[..., None] * rays.directions


def _finer(camera: Cameras) -> Cameras:
    width, height = camera.sizes[0]
    factor = max(1, min(FINE, FINE_SIDE // max(width, height)))
    return camera.resized(factor * width, factor * height)


def _look_up(
    view: Views, depth: Float[Tensor, "_ _"], points: Float[Tensor, "height width 3"]
) -> tuple[Float[Tensor, "height width 4"], Bool[Tensor, "height width"]]:
    """The colors of world points in a view, and where it sees them by its depth."""
    camera = view.cameras
    number = torch.zeros(points.shape[:2], dtype=torch.long, device=points.device)
    pixels, ahead = camera.project(number, points)
    size = torch.tensor(camera.sizes[0]).to(pixels)
    place = (2 * pixels / size - 1).nan_to_num(-2.0)[None]
    maps = {"bilinear": view.rgba[0], "nearest": depth[..., None]}
    colors, known = (
        grid_sample(
            each.movedim(2, 0)[None], place, how, padding_mode="border", align_corners=False
        )[0].movedim(0, 2)
        for how, each in maps.items()
    )
    inside = ((pixels >= 0) & (pixels <= size)).all(-1) & (ahead > 0)
    distance = (points - camera.centers[0]).norm(dim=-1)
    return colors, inside & ((known[..., 0] - distance).abs() <= SEEN * distance)


def score_novel_views(made: Images, truth: Views, lpips: LPIPS | None = None) -> ImageScores:
    """PSNR and SSIM on white, and LPIPS if its weights are given, at the size of `truth`.

    What has another size is resized by area averaging. Images of `truth` without alpha, whose
    background is part of the scene, are as they are.
    """
    white = torch.ones(3)
    width, height = truth.cameras.width, truth.cameras.height
    shown = over(area_average(made.cpu(), width, height), white).clamp(0, 1)
    true = over(truth.rgba.cpu(), white)
    scores = score_images(shown, true)
    return scores if lpips is None else replace(scores, lpips=lpips(list(shown), list(true)))


def best_of(samples: Sequence[ImageScores]) -> ImageScores:
    """Of several samples of the same views, each view's scores of the one of highest PSNR."""
    psnr = torch.stack([each.psnr for each in samples])
    best = psnr.argmax(0)[None]
    lpips = [each.lpips for each in samples if each.lpips is not None]
    return ImageScores(
        psnr.gather(0, best)[0],
        torch.stack([each.ssim for each in samples]).gather(0, best)[0],
        torch.stack(lpips).gather(0, best)[0] if len(lpips) == len(samples) else None,
    )


def mean_of(samples: Sequence[ImageScores]) -> ImageScores:
    """Of several samples of the same views, each view's mean scores."""
    lpips = [each.lpips for each in samples if each.lpips is not None]
    return ImageScores(
        torch.stack([each.psnr for each in samples]).mean(0),
        torch.stack([each.ssim for each in samples]).mean(0),
        torch.stack(lpips).mean(0) if len(lpips) == len(samples) else None,
    )
