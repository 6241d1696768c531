"""Rendering of whole images by a renderer of rays."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from unrender.geometry.cameras import Cameras, Rays
from unrender.kernels.runtime.jit import run_threads
from unrender.rendering.renderer import Rendering, concatenated

_FOLLOWED = ContextVar("followed", default=False)


@contextmanager
def followed() -> Generator[None]:
    """Inside, whole images are differentiable in all that they are rendered from.

    Otherwise they are so only where camera poses require gradients, since images to look at
    need none.
    """
    before = _FOLLOWED.set(True)
    try:
        yield
    finally:
        _FOLLOWED.reset(before)


def follows(cameras: Cameras) -> bool:
    """Whether whole images of these cameras are differentiable."""
    wanted = cameras.world_from_camera.requires_grad or _FOLLOWED.get()
    return wanted and torch.is_grad_enabled()


def render_in_tiles(
    cameras: Cameras,
    rays_at_once: int,
    render_rays: Callable[[Rays], Rendering],
    own_threads: bool = False,
    follow: bool = False,
) -> Rendering:
    """Render images in tiles of `rays_at_once` rays; differentiable in poses that require
    gradients.

    With `follow`, or inside `followed`, gradients also reach everything else that the rays'
    colors depend on. With `own_threads`, each tile is computed by one thread on the CPU, so
    that its arrays stay in cache: faster for renderers that run in kernels, slower for large
    matrix products in torch.
    """
    follow = follows(cameras) or (follow and torch.is_grad_enabled())
    num, height, width = len(cameras), cameras.height, cameras.width

    def tile(flat: Tensor) -> Rendering:
        camera, y, x = flat // (height * width), flat // width % height, flat % width
        return render_rays(cameras.rays(camera, torch.stack([x, y], dim=-1) + 0.5))

    tiles = torch.arange(num * height * width, device=cameras.device).split(rays_at_once)
    threads = own_threads and not follow and cameras.device.type == "cpu"
    with torch.set_grad_enabled(follow):
        parts = run_threads(tile, tiles, False) if threads else [tile(flat) for flat in tiles]
    flat, shape = concatenated(parts), (num, height, width)
    normals = None if flat.normals is None else flat.normals.view(*shape, 3)
    return Rendering(
        flat.color.view(*shape, 3), flat.opacity.view(shape), flat.depth.view(shape), normals
    )
