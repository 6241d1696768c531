"""Photographs and scenes that tests write: of random pixels, turned by EXIF."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unrender.imaging.files import ORIENTATION

Pixels = np.ndarray[Any, np.dtype[Any]]

# What a camera wrote for each orientation, given the upright image.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: lambda image: np.rot90(image, -1),
}


def tagged(path: Path, upright: np.ndarray, orientation: int) -> Path:
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif)
    return path


def pixels(width: int, height: int, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (height, width, channels), dtype=np.uint8)


def scene(folder: Path, names: list[str], **shared: object) -> Path:
    """A transforms.json of cameras around the origin."""
    frames = []
    for k, name in enumerate(names):
        c, s = math.cos(k), math.sin(k)
        rows = [[-s, 0, c, 4 * c], [c, 0, s, 4 * s], [0, 1, 0, 0], [0, 0, 0, 1]]
        frames.append({"file_path": name, "transform_matrix": rows})
    content = {"camera_angle_x": 0.7, **shared, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder
