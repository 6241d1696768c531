"""Presets of methods for scenes that move, which are fitted to films with times."""

from collections.abc import Iterator
from typing import Any

from unrender.methods.presets.preset import FAST, Preset

# The occupancy grid is that of all moments: it must forget slowly, and what is in front of a
# ray at one moment does not end it at another.
_FAST: dict[str, Any] = {
    "occupancy_decay": 0.95,
    "stop_optical_depth": 1e4,
    "deformation_frequencies": 6,
    "deformation_width": 64,
    "deformation_depth": 4,
    "deformation_skip": 0,
    "elastic_samples": 512,
    "background": 1e-3,
    "background_points": 1024,
}
_CAPTURE: dict[str, Any] = {
    "half_width": 4.0,
    "step_size": 1 / 64,
    "growth": 1 / 64,
    "near": 0.05,
    "levels": 12,
    "log2_table_size": 19,
    "finest": 1024,
    "samples": 3 << 15,
    "table_learning_rate": 0.02,
}


def moving_scenes() -> Iterator[Preset]:
    field = "moving scene"
    yield Preset("nerfies", "nerfies", field, "the paper's size: a day on eight GPUs", None, {
        "frequencies": 8, "coarse_bins": 128, "fine_bins": 128, "rays": 6144,
        "learning_rate": 1e-3, "learning_rate_decay": 0.1, "crop_steps": 0,
        "density_activation": "softplus",
    })  # fmt: skip
    yield Preset(
        "nerfies-fast", "nerfies-hash-grid", field, f"films of objects with alpha, {FAST}", 10,
        _FAST,
    )  # fmt: skip
    yield Preset(
        "nerfies-capture", "nerfies-hash-grid", field,
        f"films with a background, as of a phone, {FAST}", 10,
        {**_CAPTURE, **_FAST},
    )  # fmt: skip
