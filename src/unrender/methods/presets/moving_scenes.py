"""Presets of methods for scenes that move, which are fitted to films with times."""

from collections.abc import Iterator
from typing import Any

from unrender.methods.presets.preset import FAST, Preset
from unrender.methods.presets.radiance_fields import CAPTURE

# The occupancy grid is that of all moments: it must forget slowly, and what is in front of a
# ray at one moment does not end it at another.
_FAST: dict[str, Any] = {
    "occupancy_decay": 0.95,
    "stop_optical_depth": 1e4,
    "deformation_frequencies": 6,
    "deformation_width": 64,
    "deformation_depth": 4,
    "deformation_skip": 0,
    "levels_until": 0.5,
    "elastic_samples": 512,
    "background": 1e-3,
    "background_points": 1024,
}
# Most of what is seen of a capture stands still, and takes most of the training.
_MOSTLY_STILL: dict[str, Any] = {
    "deformation_frequencies": 4,
    "deformation_width": 32,
    "deformation_depth": 3,
    "levels_until": 0.1,
    "still": 1e-3,
}
_PAPER: dict[str, Any] = {
    "frequencies": 8,
    "coarse_bins": 128,
    "fine_bins": 128,
    "rays": 6144,
    "learning_rate": 1e-3,
    "crop_steps": 0,
    "density_activation": "softplus",
}
_SLICES: dict[str, Any] = {
    "slicing_frequencies": 4,
    "slicing_width": 32,
    "slicing_depth": 3,
    "slicing_skip": 0,
    "elastic": 1e-3,
}


def moving_scenes() -> Iterator[Preset]:
    field = "moving scene"
    yield Preset(
        "nerfies", "nerfies", field, "the paper's size: a day on eight GPUs", None, _PAPER
    )
    yield Preset(
        "nerfies-fast", "nerfies-hash-grid", field, f"films of objects with alpha, {FAST}", 10,
        _FAST,
    )  # fmt: skip
    yield Preset(
        "nerfies-capture", "nerfies-hash-grid", field,
        f"films with a background, as of a phone, {FAST}", 10,
        {**CAPTURE, **_FAST, **_MOSTLY_STILL},
    )  # fmt: skip
    yield Preset(
        "hypernerf", "hypernerf", field, "what opens or tears; the paper's size", None,
        {**_PAPER, "deformation_frequencies": 6, "appearance": 8},
    )  # fmt: skip
    yield Preset(
        "hypernerf-fast", "hypernerf-hash-grid", field,
        f"films of objects that open or tear, {FAST}", 10,
        {**_FAST, **_SLICES},
    )  # fmt: skip
