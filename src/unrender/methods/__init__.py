"""Every method by name. A name is a value: variants are options, not classes."""

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unrender.errors import InputError
from unrender.methods.box import Box
from unrender.methods.dvgo import DVGO
from unrender.methods.fit_mesh import MeshFit
from unrender.methods.fit_occupancy import OccupancyFit
from unrender.methods.fit_points import PointFit
from unrender.methods.fit_sdf import SDFFit
from unrender.methods.fit_voxels import VoxelFit
from unrender.methods.gaussian_splatting import GaussianSplatting
from unrender.methods.image_field import ImageField
from unrender.methods.image_to_mesh import ImageToMesh
from unrender.methods.image_to_occupancy import ImageToOccupancy
from unrender.methods.image_to_points import ImageToPoints
from unrender.methods.image_to_voxels import ImageToVoxels
from unrender.methods.instant_ngp import InstantNGP
from unrender.methods.mesh_from_views import MeshFromViews
from unrender.methods.mip_nerf import MipNeRF
from unrender.methods.mip_nerf_360 import MipNeRF360
from unrender.methods.nerf import NeRF
from unrender.methods.nerfacto import Nerfacto
from unrender.methods.neus import NeuS
from unrender.methods.plenoxels import Plenoxels
from unrender.methods.pose_regressor import PoseRegressor
from unrender.methods.sit import SIT_METHODS
from unrender.methods.sit_gaussian import SiTGaussian
from unrender.methods.volsdf import VolSDF
from unrender.training.method import Method

AnyMethod = Method[Any, Any]

# Small forms, for minutes on two cores. Networks of biased layers learn by Muon, and from few
# rays at a time, since in minutes steps are what lacks.
_TINY: dict[str, Any] = {"depth": 4, "skip": 0, "rays": 256, "rate": 5e-3, "muon": True}
_EMPTY: dict[str, Any] = {"density_gain": 10.0, "density_shift": -5.0}
_TINY_360 = MipNeRF360(
    width=128,
    proposal_width=32,
    proposal_depth=2,
    frequencies=8,
    proposal_bins=32,
    bins=16,
    **_EMPTY,
    **_TINY,
)
_TINY_NERFACTO = Nerfacto(
    levels=8,
    log2_table_size=17,
    finest=512,
    width=32,
    proposal_bins=64,
    bins=32,
    rays=2048,
)
# For objects before nothing: no contraction, cameras that are right, and one exposure; most
# pixels are of the background, which absolute errors would soon take for all there is.
_OBJECT_360: dict[str, Any] = {"unbounded": False, "charbonnier": 0.0}
_OBJECT_NERFACTO: dict[str, Any] = {"unbounded": False, "appearance": 0, "pose_rate": 0.0}
_TINY_SURFACE: dict[str, Any] = {
    "levels": 5,
    "log2_table_size": 13,
    "finest": 96,
    "width": 32,
    "color_width": 32,
    "color_layers": 1,
    "cells": 32,
    "looks": 16,
    "bins": 8,
    "rays": 512,
    "resolution": 96,
}
# A large network takes twelve times as long for a ray, and thirty times for the grid.
_MLP_SURFACE: dict[str, Any] = {
    "field": "mlp",
    "width": 128,
    "cells": 32,
    "update_every": 64,
    "rays": 256,
    "rate": 1e-3,
}

METHODS: dict[str, AnyMethod] = {
    "box": Box(),
    "nerf": NeRF(),
    "nerf-tiny": NeRF(width=64, coarse_bins=32, fine_bins=32, noise=1.0, **_TINY),
    "mip-nerf": MipNeRF(),
    "mip-nerf-tiny": MipNeRF(width=96, bins=24, frequencies=10, **_EMPTY, **_TINY),
    "mip-nerf-multiscale": MipNeRF(by_area=True),
    "mip-nerf-360": MipNeRF360(),
    "mip-nerf-360-object": MipNeRF360(**_OBJECT_360),
    "mip-nerf-360-tiny": _TINY_360,
    "mip-nerf-360-object-tiny": replace(_TINY_360, **_OBJECT_360),
    "instant-ngp": InstantNGP(),
    "instant-ngp-paper": InstantNGP(
        levels=16, log2_table_size=19, finest=2048, width=64, samples=1 << 18, table_rate=1e-2
    ),
    # The cube is many times as wide as what the cameras look at, and begins before them.
    "instant-ngp-capture": InstantNGP(
        half_width=4.0,
        step_size=1 / 64,
        growth=1 / 64,
        nearest=0.05,
        levels=12,
        log2_table_size=19,
        finest=1024,
        samples=3 << 15,
        table_rate=0.02,
    ),
    "instant-ngp-tiny": InstantNGP(log2_table_size=15, finest=200, color_layers=1),
    "nerfacto": Nerfacto(),
    "nerfacto-object": Nerfacto(**_OBJECT_NERFACTO),
    "nerfacto-tiny": _TINY_NERFACTO,
    "nerfacto-object-tiny": replace(_TINY_NERFACTO, **_OBJECT_NERFACTO),
    "plenoxels": Plenoxels(),
    "plenoxels-tiny": Plenoxels(coarsest=64, finest=256, rays=2048),
    "dvgo": DVGO(),
    "dvgo-tiny": DVGO(coarse_vertices=64, finest=192, width=64, rays=2048),
    "gaussian-splatting": GaussianSplatting(),
    "gaussian-splatting-tiny": GaussianSplatting(
        first=5000,
        most=30_000,
        mean_rate=6e-4,
        scale_rate=0.02,
        rotation_rate=5e-3,
        color_rate=0.01,
    ),
    "mesh": MeshFromViews(),
    "image-field": ImageField(),
    "sdf": SDFFit(),
    "occupancy": OccupancyFit(),
    "neus": NeuS(),
    "neus-mlp": NeuS(**_MLP_SURFACE),
    "neus-tiny": NeuS(**_TINY_SURFACE),
    "volsdf": VolSDF(),
    "volsdf-mlp": VolSDF(**_MLP_SURFACE),
    "volsdf-tiny": VolSDF(**_TINY_SURFACE),
    "image-to-voxels": ImageToVoxels(),
    "image-to-voxels-tiny": ImageToVoxels(encoder_width=32),
    "image-to-points": ImageToPoints(),
    "image-to-points-tiny": ImageToPoints(encoder_width=32),
    "image-to-mesh": ImageToMesh(),
    "image-to-mesh-tiny": ImageToMesh(encoder_width=32),
    "image-to-occupancy": ImageToOccupancy(),
    "image-to-occupancy-tiny": ImageToOccupancy(encoder_width=32),
    **SIT_METHODS,
    "sit-gaussian": SiTGaussian(),
    "pose-regressor": PoseRegressor(),
}

SHAPE_FITS: dict[str, AnyMethod] = {
    "fit-mesh": MeshFit(),
    "fit-points": PointFit(),
    "fit-voxels": VoxelFit(),
    "fit-sdf": SDFFit(),
    "fit-occupancy": OccupancyFit(),
}
"""What `unrender fit-shape` fits to a shape in three dimensions."""
_ALL = {**METHODS, **SHAPE_FITS}


def describe(method: AnyMethod) -> dict[str, object]:
    """A method as config.json holds it: the first name of its type, and all options."""
    name = next(name for name, preset in _ALL.items() if type(preset) is type(method))
    assert dataclasses.is_dataclass(method)
    return {"name": name, "options": dataclasses.asdict(method)}


def from_description(description: object, source: str) -> AnyMethod:
    """The method that `describe` described; `source` is the file, for messages."""
    remedy = "use the version of unrender that wrote it"
    if not isinstance(description, Mapping):
        raise InputError(f"{source}: names no method: {remedy}")
    name, options = description.get("name"), description.get("options")
    if name not in _ALL or not isinstance(options, Mapping):
        raise InputError(f"{source}: method {name!r:.60} is not known: {remedy}")
    preset = _ALL[name]
    assert dataclasses.is_dataclass(preset)
    known = {field.name: getattr(preset, field.name) for field in dataclasses.fields(preset)}
    if set(options) != set(known):
        odd = sorted(set(options) ^ set(known))
        raise InputError(f"{source}: options {odd} of {name} differ: {remedy}")
    for key, value in options.items():
        if type(value) is not type(known[key]) and not (
            isinstance(value, int | float) and isinstance(known[key], float)
        ):
            raise InputError(f"{source}: option {key} of {name} is {value!r:.60}: {remedy}")
    return dataclasses.replace(preset, **options)
