"""Square patches of rays, and whole images made of them."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.geometry.cameras import Cameras, Rays
from unrender.rendering.renderer import Rendering
from unrender.rendering.tiles import follows


def patch_rays(
    targets: Cameras, corners: Int[Tensor, "targets 2"], size: tuple[int, int]
) -> Rays:
    """Rays [targets, width × height] of one patch of each camera, row by row.

    `corners` are the first pixels (x, y) of the patches, which may begin and end outside the
    images; `size` is (width, height).
    """
    device = targets.device
    x, y = (torch.arange(each, device=device) + 0.5 for each in size)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
    pixels = corners[:, None] + grid
    camera = torch.arange(len(targets), device=device)[:, None].expand(pixels.shape[:2])
    return targets.rays(camera, pixels)


def inner_pixels(
    width: int, height: int, border: int, device: torch.device
) -> Int[Tensor, "inner"]:
    """Numbers of a patch's pixels, counted row by row, without its outermost `border`."""
    number = torch.arange(width * height, device=device).view(height, width)
    return number[border : height - border, border : width - border].flatten()


def as_rendering(
    color: Float[Tensor, "rays channels"], distance: Float[Tensor, "rays"]
) -> Rendering:
    """Colors, opaque if they have no alpha, as a rendering."""
    alpha = color[:, 3] if color.shape[1] == 4 else torch.ones_like(color[:, 0])
    return Rendering(color[:, :3], alpha, distance)


def render_in_patches(
    cameras: Cameras,
    side: int,
    render_patch: Callable[[Cameras, Int[Tensor, "1 2"], tuple[int, int]], Rendering],
) -> Rendering:
    """Render images in patches of at most side × side pixels of one camera.

    `render_patch` is given the camera, the patch's first pixel and its size, and returns a
    rendering of [width × height] pixels. Differentiable in poses that require gradients.
    """
    width, height = cameras.width, cameras.height
    with torch.set_grad_enabled(follows(cameras)):
        images = [_image(camera, width, height, side, render_patch) for camera in cameras]
    return Rendering(
        torch.stack([image.color for image in images]),
        torch.stack([image.opacity for image in images]),
        torch.stack([image.depth for image in images]),
    )


def _image(
    camera: Cameras,
    width: int,
    height: int,
    side: int,
    render_patch: Callable[[Cameras, Int[Tensor, "1 2"], tuple[int, int]], Rendering],
) -> Rendering:
    """One image, [height, width]."""
    rows: list[Rendering] = []
    for y in range(0, height, side):
        high = min(side, height - y)
        parts: list[Rendering] = []
        for x in range(0, width, side):
            wide = min(side, width - x)
            corner = torch.tensor([[x, y]], device=camera.device)
            parts.append(_laid_out(render_patch(camera, corner, (wide, high)), wide))
        rows.append(_joined(parts, 1))
    return _joined(rows, 0)


def _laid_out(found: Rendering, width: int) -> Rendering:
    """Pixels in rows of `width`."""
    color, opacity, depth = (
        each.unflatten(0, (-1, width)) for each in (found.color, found.opacity, found.depth)
    )
    return Rendering(color, opacity, depth)


def _joined(parts: Sequence[Rendering], axis: int) -> Rendering:
    return Rendering(
        torch.cat([part.color for part in parts], dim=axis),
        torch.cat([part.opacity for part in parts], dim=axis),
        torch.cat([part.depth for part in parts], dim=axis),
    )
