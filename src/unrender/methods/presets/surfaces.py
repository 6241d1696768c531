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
# A ray through the paper's network takes twelve times as long, and updating the grid thirty.
_MLP_SURFACE: dict[str, Any] = {
    "field": "mlp",
    "width": 128,
    "cells": 32,
    "update_every": 64,
    "rays": 256,
    "learning_rate": 1e-3,
}


def surfaces() -> Iterator[Preset]:
    surface = "surface"
    yield Preset("neus-fast", "neus", surface, f"a surface by a hash grid; {FAST}", 10)
    yield Preset(
        "neus", "neus", surface, "a surface by the paper's network", None, _MLP_SURFACE
    )
    yield Preset("neus-tiny", "neus", surface, "smallest, for a first try", 2, _TINY_SURFACE)
    yield Preset("volsdf-fast", "volsdf", surface, f"a surface by a hash grid; {FAST}", 10)
    yield Preset(
        "volsdf", "volsdf", surface, "a surface by the paper's network", None, _MLP_SURFACE
    )
    yield Preset(
        "volsdf-tiny", "volsdf", surface, "smallest, for a first try", 2, _TINY_SURFACE
    )
    yield Preset(
        "mesh-from-views", "mesh-from-views", surface,
        "a closed mesh with vertex colors, from images with alpha", 5,
    )  # fmt: skip
