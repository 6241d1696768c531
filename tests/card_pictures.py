"""Pictures of a card with print on a wooden table, by exact cameras."""

import numpy as np
import torch
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at

SIZE = (85.6, 53.98)
RADIUS = 3.18
"""Of its round corners, in millimeters as its sides (ISO/IEC 7810)."""
FOCAL = 1.15
"""In units of the longer side of the image."""
SUPERSAMPLE = 3


def card_cameras(
    count: int, width: int = 400, height: int = 300, focal: float = 460
) -> Cameras:
    """On an arc in front of the card, looking about at its middle."""
    random = np.random.default_rng(0)
    azimuth = np.linspace(-1.0, 1.0, count)
    elevation = 0.6 + 0.6 * random.random(count)
    away = np.stack(
        [
            np.cos(elevation) * np.sin(azimuth),
            -np.cos(elevation) * np.cos(azimuth),
            np.sin(elevation),
        ],
        axis=1,
    )
    eyes = torch.from_numpy(190 * away)
    target = torch.from_numpy(random.normal(0, 4, (count, 3)))
    poses = look_at(eyes, target, torch.tensor([0.0, 0.0, 1.0]).double())
    return Cameras.from_focal(poses.float(), FOCAL * max(width, height), width, height)


def card_picture(camera: Cameras, noise: float = 0.01, card: bool = True) -> Tensor:
    """What one camera sees, [height, width, 3]."""
    width, height, many = camera.width, camera.height, SUPERSAMPLE
    pose = camera.world_from_camera[0].double().numpy()
    matrix = camera.intrinsics[0].double().numpy()
    places = [(np.arange(side * many) + 0.5) / many for side in (width, height)]
    u, v = np.meshgrid(*places)
    slope = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
    rays = np.stack([*slope, np.ones_like(u)], -1)
    rays = rays @ pose[:, :3].T
    points = pose[:, 3] - pose[2, 3] / rays[..., 2:] * rays
    x, y = points[..., 0], points[..., 1]
    wood = 0.45 + 0.06 * np.sin(0.35 * x + 2 * np.sin(0.05 * y)) + 0.03 * np.sin(1.7 * x)
    image = wood[..., None] * np.array([1.1, 0.8, 0.55])
    if card:
        inner = [
            np.maximum(np.abs(c) - (side / 2 - RADIUS), 0)
            for c, side in ((x, SIZE[0]), (y, SIZE[1]))
        ]
        on_card = np.hypot(*inner) <= RADIUS
        image = np.where(on_card[..., None], _print(x / SIZE[0], y / SIZE[1]), image)
    image = image.reshape(height, many, width, many, 3).mean((1, 3))
    random = np.random.default_rng(1)
    return torch.from_numpy(image + random.normal(0, noise, image.shape)).float().clamp(0, 1)


def _print(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A band at the top, a portrait at the left, and lines of text; places are in ±1/2."""
    image = np.broadcast_to(np.array([0.62, 0.75, 0.88]), (*x.shape, 3)).copy()
    image[y > 0.32] = (0.75, 0.25, 0.28)
    image[(y > 0.38) & (y < 0.44) & (x > -0.44) & (x < -0.1)] = (0.93, 0.93, 0.93)
    image[(np.abs(x + 0.32) < 0.12) & (np.abs(y) < 0.25)] = (0.88, 0.87, 0.84)
    image[np.hypot((x + 0.32) / 0.05, (y - 0.07) / 0.1) < 1] = (0.78, 0.58, 0.48)
    text = (np.abs(y + 0.38) < 0.03) & (np.sin(160 * x) > 0) & (x < 0.2)
    image[text] = (0.2, 0.2, 0.25)
    return image
