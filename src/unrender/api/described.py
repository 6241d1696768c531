"""What a run records of the views that it was fitted to."""

import hashlib
import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from unrender.geometry.bounds import camera_statistics
from unrender.training.method import Description


def describe_cameras(described: Description) -> dict[str, Any]:
    """What later commands need of the training views, without loading them."""
    cameras = described.cameras
    radius, elevation = camera_statistics(cameras)
    width, height = cameras.sizes[0]
    return {
        "count": len(cameras),
        "width": width,
        "height": height,
        "intrinsics": cameras.intrinsics[0].tolist(),
        "radius": list(radius),
        "elevation_deg": [math.degrees(angle) for angle in elevation],
        "fingerprint": fingerprint(described.tensors),
        "background": described.background,
        "opaque": described.opaque,
    }


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """A hash of numbers, to tell one data set from another."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:16]
