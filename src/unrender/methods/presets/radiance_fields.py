"""Presets of radiance fields, which are fitted to posed images."""

from collections.abc import Iterator
from typing import Any

from unrender.methods.presets.preset import FAST, Preset

# For minutes on two cores. Networks with biases learn with Muon and from few rays at a time,
# since the number of steps is what minutes lack.
_FAST: dict[str, Any] = {
    "depth": 4,
    "skip": 0,
    "rays": 256,
    "learning_rate": 5e-3,
    "beta2": 0.99,
    "muon": True,
}
_EMPTY: dict[str, Any] = {"density_gain": 10.0, "density_shift": -5.0}
_FAST_360: dict[str, Any] = {
    "width": 128,
    "proposal_width": 32,
    "proposal_depth": 2,
    "frequencies": 8,
    "proposal_bins": 32,
    "bins": 16,
    "bottleneck": 128,
    "color_width": 64,
    "identity": False,
    "camera_frame": False,
    "near": 0.05,
    "far": 1e4,
    "dilation": False,
    "single_jitter": False,
    "opaque_background": False,
    "interlevel": 16.0,
    "warm_up": 100,
    **_EMPTY,
    **_FAST,
}
_FAST_NERFACTO: dict[str, Any] = {
    "levels": 8,
    "log2_table_size": 17,
    "finest": 512,
    "width": 32,
    "proposal_finest": 64,
    "proposal_bins": 64,
    "second_bins": 32,
    "bins": 32,
    "spacing": "disparity",
    "density_shift": -1.0,
    "single_jitter": False,
    "anneal_until": 0.1,
    "interlevel": 32.0,
    "appearance": 16,
    "pose_learning_rate": 1e-4,
    "translation_penalty": 0.0,
    "rotation_penalty": 0.0,
    "beta2": 0.99,
    "rays": 2048,
}
# For objects on an empty background: no contraction, exact cameras and a single exposure. Most
# pixels are background, on which an absolute error would concentrate.
_OBJECT_360: dict[str, Any] = {"unbounded": False, "charbonnier": 0.0}
_BLENDER_360: dict[str, Any] = {
    **_OBJECT_360,
    "near": 0.05,
    "distortion": 0.0,
    "basis": "axes",
    "frequencies": 16,
}
_OBJECT_NERFACTO: dict[str, Any] = {
    "unbounded": False,
    "appearance": 0,
    "pose_learning_rate": 0.0,
}


# The cube is many times as wide as what the cameras look at, and begins in front of them.
CAPTURE: dict[str, Any] = {
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
"""Options of a hash grid for captures with a background."""


def radiance_fields() -> Iterator[Preset]:
    field = "radiance field"
    yield Preset(
        "instant-ngp-fast", "instant-ngp", field,
        f"objects with alpha, {FAST}: the default, good in half a minute", 5,
    )  # fmt: skip
    yield Preset(
        "gaussian-splatting-fast", "gaussian-splatting", field,
        f"photographs, 360° and forward-facing captures, {FAST}", 5,
        {
            "initial_gaussians": 5000,
            "max_gaussians": 30_000,
            "grow_until": 0.5,
            "degree_every": 0.1,
            "initial_opacity": 0.1,
            "initial_scale": 1.0,
            "relocate_from": 0.0,
            "relocate_until": 1.0,
            "mean_learning_rate": 6e-4,
            "by_extent": False,
            "scale_learning_rate": 0.02,
            "rotation_learning_rate": 5e-3,
            "color_learning_rate": 0.01,
        },
    )  # fmt: skip
    yield Preset("gaussian-splatting", "gaussian-splatting", field, "the paper's size", None)
    yield Preset(
        "instant-ngp", "instant-ngp", field, "the paper's size: 16 levels of 2^19 entries",
        None,
        {
            "levels": 16,
            "log2_table_size": 19,
            "finest": 2048,
            "width": 64,
            "step_size": 2 * 0.82 * 3**0.5 / 1024,
            "stop_optical_depth": 9.21,
            "occupancy_decay": 0.95,
            "occupancy_queries": 1 << 20,
            "samples": 1 << 18,
            "max_rays": 1 << 18,
            "table_learning_rate": 1e-2,
            "glorot": True,
            "huber": 0.1,
            "distortion": 0.0,
            "weight_decay": 1e-6,
            "average": 0.95,
            "warm_up": 0,
            "late_decay": 0.33,
            "cooldown": 0.0,
        },
    )  # fmt: skip
    yield Preset(
        "instant-ngp-capture", "instant-ngp", field, f"captures with a background, {FAST}", 5,
        CAPTURE,
    )  # fmt: skip
    yield Preset(
        "instant-ngp-tiny", "instant-ngp", field, "smallest hash grid, for a first try", 1,
        {"log2_table_size": 15, "finest": 200, "color_layers": 1},
    )  # fmt: skip
    # Two cells per pixel of views of 32 pixels: finer ones would be noise between the views.
    yield Preset(
        "instant-ngp-coarse", "instant-ngp", field, "few views of few pixels, as generated", 1,
        {"log2_table_size": 15, "finest": 64, "color_layers": 1, "distortion": 0.01},
    )  # fmt: skip
    yield Preset("nerfacto", "nerfacto", field, "captures, the paper's size", None)
    yield Preset(
        "nerfacto-object", "nerfacto", field, "objects, the paper's size", None,
        _OBJECT_NERFACTO,
    )  # fmt: skip
    yield Preset("nerfacto-fast", "nerfacto", field, f"captures, {FAST}", 10, _FAST_NERFACTO)
    yield Preset(
        "nerfacto-object-fast", "nerfacto", field, f"objects, {FAST}", 10,
        {**_FAST_NERFACTO, **_OBJECT_NERFACTO},
    )  # fmt: skip
    yield Preset("plenoxels", "plenoxels", field, "no network; the paper's size", None)
    yield Preset(
        "plenoxels-fast", "plenoxels", field, f"no network; {FAST}", 10,
        {
            "coarsest": 64,
            "finest": 256,
            "refinements": 2,
            "refine_until": 0.4,
            "rays": 2048,
            "color_learning_rate": 0.03,
            "learning_rate_decay": 0.05,
            "color_learning_rate_decay": 0.05,
            "lazy": False,
            "delay": 0.0,
            "density_variation": 4e-5,
            "color_variation": 1.5e-4,
            "variation_share": 0.02,
            "variation_until": 0.4,
            "stop_optical_depth": 8.0,
        },
    )  # fmt: skip
    yield Preset(
        "dvgo", "dvgo", field, "voxel grids and a small network; the paper's size", None
    )
    yield Preset(
        "dvgo-fast", "dvgo", field, f"voxel grids and a small network; {FAST}", 10,
        {
            "coarse_vertices": 64,
            "finest": 128,
            "coarse_share": 0.1,
            "refine_until": 0.4,
            "width": 64,
            "rays": 2048,
            "lazy": False,
            "epsilon": 1e-15,
        },
    )  # fmt: skip
    yield Preset("nerf", "nerf", field, "the paper's size: hours on a GPU", None)
    yield Preset(
        "nerf-fast", "nerf", field, f"to learn how NeRF works; {FAST}", 10,
        {
            "width": 64,
            "coarse_bins": 32,
            "fine_bins": 32,
            "noise": 1.0,
            "identity": False,
            "crop_steps": 0,
            **_FAST,
        },
    )  # fmt: skip
    yield Preset(
        "mip-nerf", "mip-nerf", field, "images of several sizes; the paper's size", None
    )
    yield Preset(
        "mip-nerf-multiscale", "mip-nerf", field, "as mip-nerf, pixels weighted by area", None,
        {"by_area": True},
    )  # fmt: skip
    yield Preset(
        "mip-nerf-fast", "mip-nerf", field, f"images of several sizes; {FAST}", 10,
        {
            "width": 96,
            "bins": 24,
            "frequencies": 10,
            "identity": False,
            "warm_up": 100,
            **_EMPTY,
            **_FAST,
        },
    )  # fmt: skip
    yield Preset("mip-nerf-360", "mip-nerf-360", field, "captures, the paper's size", None)
    yield Preset(
        "mip-nerf-360-object", "mip-nerf-360", field, "objects, the paper's size", None,
        _BLENDER_360,
    )  # fmt: skip
    yield Preset("mip-nerf-360-fast", "mip-nerf-360", field, f"captures, {FAST}", 10, _FAST_360)
    yield Preset(
        "mip-nerf-360-object-fast", "mip-nerf-360", field, f"objects, {FAST}", 10,
        {**_FAST_360, **_OBJECT_360},
    )  # fmt: skip
    yield Preset(
        "light-field", "light-field", field, "many views near one another; the paper's size",
        None,
    )  # fmt: skip
    yield Preset(
        "light-field-fast", "light-field", field,
        f"many views near one another, shiny scenes, {FAST}", 15,
        {
            "views": 8,
            "samples": 1,
            "width": 32,
            "heads": 4,
            "hidden": 64,
            "epipolar_layers": 0,
            "view_layers": 1,
            "neighborhood": 1,
            "frequencies": 2,
            "search_layers": 3,
            "residual": True,
            "blend_weight": 0.3,
            "rays": 3072,
            "learning_rate": 3e-3,
            "learning_rate_decay": 0.02,
            "warm_up": 50,
        },
    )  # fmt: skip
    yield Preset("box", "box", field, "ten parameters: a first lesson in volume rendering", 0.5)
