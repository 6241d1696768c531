"""Posed images rendered from a model, for use as a dataset."""

from collections.abc import Callable

import torch

from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.imaging.color import Color
from unrender.rendering.renderer import Renderer, camera_batches, supersampled

PIXELS_AT_ONCE = 2**17
"""Rays per batch: enough to use the machine fully, few enough to fit into memory."""


def make_views(
    renderer: Renderer,
    cameras: Cameras,
    supersample: int,
    on_progress: Callable[[int, int], None] | None = None,
    behind: Color | None = None,
) -> Views:
    """Render RGBA views, on the CPU, of every camera with `supersample`² rays per pixel.

    Over a color `behind` the model they are opaque, with an alpha of 1. `on_progress` receives
    the number of views done and the total, after each batch.
    """
    assert supersample >= 1, f"supersample must be at least 1, not {supersample}"
    render = supersampled(renderer, supersample)
    images: list[torch.Tensor] = []
    done = 0
    with torch.no_grad():
        for batch in camera_batches(cameras, PIXELS_AT_ONCE // supersample**2):
            rendering = render(batch)
            rgba = rendering.rgba
            if behind is not None:
                color = rendering.over(behind)
                rgba = torch.cat([color, torch.ones_like(color[..., :1])], dim=-1)
            images.append(rgba.clamp(0, 1).cpu())
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(cameras))
    return Views(cameras.to("cpu"), torch.cat(images))
