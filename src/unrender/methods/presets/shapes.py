"""Presets of shapes and images as fields, and of shapes from a single image."""

from collections.abc import Iterator
from typing import Any

from unrender.methods.presets.preset import FAST, Preset

# Adam as in the papers of shapes from one image: a constant rate, and nothing else.
_ADAM: dict[str, Any] = {
    "learning_rate": 1e-4,
    "learning_rate_decay": 1.0,
    "warm_up": 1,
    "beta2": 0.999,
    "weight_decay": 0.0,
    "max_norm": 0.0,
}
_PAPERS: dict[str, tuple[str, dict[str, Any]]] = {
    "mesh": (
        "Mesh R-CNN's losses",
        {
            **_ADAM,
            "batch": 64,
            "samples": 5000,
            "squared": True,
            "laplacian": 0.0,
            "normal": 0.0,
        },
    ),
    "points": (
        "the paper's loss and rates",
        {
            **_ADAM,
            "learning_rate": 3e-5,
            "target_points": 4096,
            "squared": True,
            "begin_at_shapes": False,
        },
    ),
    "voxels": (
        "the paper's decoder, Pix2Vox-F",
        {
            **_ADAM,
            "learning_rate": 1e-3,
            "batch": 64,
            "pointwise": True,
            "occupied_weight": 1.0,
        },
    ),
    "occupancy": (
        "the paper's size",
        {
            **_ADAM,
            "batch": 64,
            "regions": 1,
            "width": 256,
            "query_points": 2048,
            "cells": 128,
            "threshold": 0.2,
        },
    ),
}


def shapes() -> Iterator[Preset]:
    shape = "shape"
    yield Preset("sdf", "sdf", shape, "a signed distance field; by default a hash grid", 1)
    yield Preset("occupancy", "occupancy", shape, "an occupancy field", 1)
    yield Preset("fit-mesh", "fit-mesh", shape, "a sphere of triangles that deforms", 1)
    yield Preset("fit-points", "fit-points", shape, "a point cloud, by chamfer distance", 1)
    yield Preset("fit-voxels", "fit-voxels", shape, "an occupancy grid of 64³ cells", 1)

    yield Preset(
        "image-field", "image-field", "image", "SIREN, encoded MLP, grid or hash grid", 1
    )

    for kind, (what, options) in _PAPERS.items():
        name = f"image-to-{kind}"
        yield Preset(
            name, name, "single image", f"{kind} from one image; {what}", None, options
        )
        yield Preset(
            f"{name}-fast", name, "single image", f"{kind} from one image; {FAST}", 15,
            {"encoder_width": 32},
        )  # fmt: skip
