"""Light fields whose every ray is known: textured planes in front of a grid of cameras."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.imaging.files import write_image

SIZE = (48, 32)
FOCAL = 40.0
STEP = 0.1


def grid_cameras(
    rows: int = 3, columns: int = 3, step: float = STEP, size: tuple[int, int] = SIZE
) -> Cameras:
    """Cameras that look along y, row by row from above and from the left, about the origin."""
    down, right = torch.meshgrid(
        step * (torch.arange(rows) - (rows - 1) / 2),
        step * (torch.arange(columns) - (columns - 1) / 2),
        indexing="ij",
    )
    return cameras_at(right.flatten(), down.flatten(), size)


def cameras_at(
    right: Float[Tensor, "n"], down: Float[Tensor, "n"], size: tuple[int, int] = SIZE
) -> Cameras:
    rotation = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    centers = torch.stack([right, torch.zeros_like(right), -down], dim=1)
    poses = torch.cat([rotation.expand(len(right), 3, 3), centers[..., None]], dim=2)
    return Cameras.from_focal(poses, FOCAL * size[0] / SIZE[0], *size)


def texture(x: Tensor, z: Tensor, waves: float = 1.0) -> Tensor:
    """Colors in [0, 1] of a plane at its points, smooth and nowhere alike."""
    parts = [
        0.5 + 0.25 * (waves * (a * x + b * z)).sin() + 0.2 * (waves * (c * x - a * z)).cos()
        for a, b, c in ((3.1, 1.3, 0.7), (2.2, -3.4, 1.9), (0.8, 2.9, -2.7))
    ]
    return torch.stack(parts, dim=-1)


def plane_images(
    cameras: Cameras, depth: float, waves: float = 1.0
) -> Float[Tensor, "cameras height width 3"]:
    """What cameras see of a plane that fills their images, `depth` in front of them."""
    width, height = cameras.sizes.one
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = (torch.stack([x, y], dim=-1) + 0.5).expand(len(cameras), height, width, 2)
    numbers = torch.arange(len(cameras))[:, None, None].expand(pixels.shape[:3])
    rays = cameras.rays(numbers, pixels)
    points = rays.origins + depth * rays.directions / rays.directions[..., 1:2]
    return texture(points[..., 0], points[..., 2], waves)


def plane_views(cameras: Cameras, depth: float = 2.0, waves: float = 1.0) -> Views:
    return Views(
        cameras, torch.nn.functional.pad(plane_images(cameras, depth, waves), (0, 1), value=1.0)
    )


def write_grid(
    folder: Path,
    rows: int = 3,
    columns: int = 3,
    depth: float = 2.0,
    name: str = "out_{row:02d}_{column:02d}_{down:.6f}_{right:.6f}_40_48.png",
    size: tuple[int, int] = SIZE,
    mirrored: bool = False,
) -> Cameras:
    """A folder of images of a plane; `name` is that of an image, with u to the left if so."""
    cameras = grid_cameras(rows, columns, size=size)
    folder.mkdir(parents=True, exist_ok=True)
    images = plane_images(cameras, depth)
    for k, (x, _, z) in enumerate(cameras.centers.tolist()):
        row, column = divmod(k, columns)
        file = name.format(
            row=row, column=column, down=-z + 0.0, right=(-x if mirrored else x) + 0.0
        )
        write_image(folder / file, images[k])
    return cameras
