"""Presets of surfaces and meshes that are fitted to posed images."""

from collections.abc import Iterator
from typing import Any

from unrender.methods.presets.preset import FAST, Preset

_TINY_SURFACE: dict[str, Any] = {
    "levels": 5,
    "log2_table_size": 13,
    "finest": 96,
    "width": 32,
    "color_width": 32,
    "color_layers": 1,
    "cells": 32,
    "coarse_samples": 16,
    "bins": 8,
    "rays": 512,
    "resolution": 96,
}
# The networks of both papers' code, without what `-fast` skips.
_PAPER: dict[str, Any] = {
    "field": "mlp",
    "width": 256,
    "depth": 8,
    "features": 256,
    "color_width": 256,
    "color_layers": 4,
    "skip_empty": False,
    "final_width": 0.0,
    "learning_rate": 5e-4,
    "beta2": 0.999,
    "resolution": 512,
}
_NEUS: dict[str, Any] = {
    **_PAPER,
    "radius": 0.5,
    "initial_width": 0.05,
    "coarse_samples": 64,
    "upsample_rounds": 4,
    "bins": 64,
    "rays": 512,
    "mask_weight": 0.1,
    "anneal_until": 1 / 6,
    "random_points": 0.0,
}
_VOLSDF: dict[str, Any] = {
    **_PAPER,
    "radius": 0.6,
    "initial_width": 0.1,
    "coarse_samples": 128,
    "rounds": 5,
    "bisections": 10,
    "bins": 64,
    "extra_samples": 32,
    "rays": 1024,
    "random_points": 1.0,
    "one_sample": True,
    "exponential": True,
}


def surfaces() -> Iterator[Preset]:
    surface = "surface"
    yield Preset("neus-fast", "neus", surface, f"a surface by a hash grid; {FAST}", 10)
    yield Preset("neus", "neus", surface, "a surface, the paper's size", None, _NEUS)
    yield Preset("neus-tiny", "neus", surface, "smallest, for a first try", 2, _TINY_SURFACE)
    yield Preset("volsdf-fast", "volsdf", surface, f"a surface by a hash grid; {FAST}", 10)
    yield Preset("volsdf", "volsdf", surface, "a surface, the paper's size", None, _VOLSDF)
    yield Preset(
        "volsdf-tiny", "volsdf", surface, "smallest, for a first try", 2, _TINY_SURFACE
    )
    yield Preset(
        "mesh-from-views", "mesh-from-views", surface,
        "a closed mesh with vertex colors, from images with alpha", 5,
    )  # fmt: skip
