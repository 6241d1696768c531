"""Every preset: a method with the options that its name stands for.

`NAME` has the settings of the paper, `NAME-fast` is for minutes on two CPU cores. Nothing here
imports torch: the module of a method is imported by `Preset.method`, so that help texts and
lists come at once.
"""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from unrender.errors import InputError
from unrender.methods.renamed import RENAMED, RENAMED_OPTIONS
from unrender.methods.sizes import MEGABYTES

if TYPE_CHECKING:
    from unrender.training.method import Method

TASKS = {
    "radiance field": "Radiance fields, from posed images",
    "surface": "Surfaces and meshes, from posed images",
    "pose flow": "Poses and images: flow matching between camera poses and images",
    "shape": "Shapes, from a mesh, points or voxels",
    "image": "One image as a neural field",
    "single image": "Shapes from a single image",
}
"""What a method is for: the groups in which presets are listed."""

BASES = {
    "box": ("box:Box", "one box, fitted as NeRF is"),
    "nerf": ("nerf:NeRF", "Mildenhall et al., ECCV 2020"),
    "mip-nerf": ("mip_nerf:MipNeRF", "Barron et al., ICCV 2021"),
    "mip-nerf-360": ("mip_nerf_360:MipNeRF360", "Barron et al., CVPR 2022"),
    "instant-ngp": ("instant_ngp:InstantNGP", "Müller et al., SIGGRAPH 2022"),
    "nerfacto": ("nerfacto:Nerfacto", "Tancik et al., SIGGRAPH 2023"),
    "plenoxels": ("plenoxels:Plenoxels", "Yu et al., CVPR 2022"),
    "dvgo": ("dvgo:DVGO", "Sun et al., CVPR 2022"),
    "gaussian-splatting": (
        "gaussian_splatting:GaussianSplatting",
        "Kerbl et al., SIGGRAPH 2023; Kheradmand et al., NeurIPS 2024",
    ),
    "mesh-from-views": (
        "mesh_from_views:MeshFromViews",
        "Laine et al. 2020; Nicolet et al. 2021",
    ),
    "neus": ("neus:NeuS", "Wang et al., NeurIPS 2021"),
    "volsdf": ("volsdf:VolSDF", "Yariv et al., NeurIPS 2021"),
    "sit": ("sit:SiTFlow", "Ma et al., ECCV 2024; Lipman et al., ICLR 2023"),
    "sit-gaussian": ("sit_gaussian:SiTGaussian", "Ma et al., ECCV 2024"),
    "pose-regressor": (
        "pose_regressor:PoseRegressor",
        "baseline: the same transformer, trained to regress poses",
    ),
    "fit-mesh": ("fit_mesh:MeshFit", "Wang et al., ECCV 2018; Nicolet et al. 2021"),
    "fit-points": ("fit_points:PointFit", "Fan et al., CVPR 2017"),
    "fit-voxels": ("fit_voxels:VoxelFit", "weighted cross entropy of cells"),
    "sdf": ("fit_sdf:SDFFit", "Gropp et al., ICML 2020; Müller et al., SIGGRAPH 2022"),
    "occupancy": ("fit_occupancy:OccupancyFit", "Mescheder et al., CVPR 2019"),
    "image-field": (
        "image_field:ImageField",
        "Tancik et al. 2020; Sitzmann et al. 2020; Müller et al. 2022",
    ),
    "image-to-voxels": ("image_to_voxels:ImageToVoxels", "Xie et al., ICCV 2019"),
    "image-to-points": ("image_to_points:ImageToPoints", "Fan et al., CVPR 2017"),
    "image-to-mesh": (
        "image_to_mesh:ImageToMesh",
        "Wang et al., ECCV 2018; Gkioxari et al., ICCV 2019",
    ),
    "image-to-occupancy": (
        "image_to_occupancy:ImageToOccupancy",
        "Mescheder et al., CVPR 2019",
    ),
}
"""The module and class in `unrender.methods` and the paper of each method."""


@dataclass(frozen=True)
class Preset:
    """A method with chosen options, by name."""

    name: str
    base: str
    """The method, a key of `BASES`."""
    task: str
    """What it is for, a key of `TASKS`."""
    purpose: str
    """When to use it, in one line."""
    minutes: int | float | None
    """Training time to plan for on two CPU cores; None for a paper's size, made for GPUs."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def paper(self) -> str:
        return BASES[self.base][1]

    @property
    def summary(self) -> str:
        """Purpose, size, training time and paper in one line."""
        return f"{self.purpose}; {', '.join([self.size, *self.plan])} ({self.paper})"

    @property
    def size(self) -> str:
        """Memory of the model before the first step."""
        megabytes = max(MEGABYTES[self.name], 0.01)
        return f"{megabytes:.2g} MB" if megabytes < 10 else f"{megabytes:.0f} MB"

    @property
    def plan(self) -> list[str]:
        """The training time in words; none for a paper's size."""
        return [] if self.minutes is None else [f"{self.minutes:g} min"]

    def method(self, **options: Any) -> "Method[Any, Any]":
        """The method with this preset's options, and `options` over them.

        Raises InputError, with the nearest name, for an option that it does not have.
        """
        kind = method_class(self.base)
        assert dataclasses.is_dataclass(kind)
        known = [each.name for each in dataclasses.fields(kind)]
        for option in options:
            if option not in known:
                hint = nearest(RENAMED_OPTIONS.get(option, option), known)
                raise InputError(f"{self.name}: has no option {option!r}{hint}")
        return kind(**{**self.options, **options})


def method_class(name: str) -> "type[Method[Any, Any]]":
    """The class of a method, a key of `BASES`; its module is imported here, with torch."""
    module, kind = BASES[name][0].split(":")
    return getattr(import_module(f"unrender.methods.{module}"), kind)


# For minutes on two cores. Networks with biases learn with Muon and from few rays at a time,
# since the number of steps is what minutes lack.
_FAST: dict[str, Any] = {
    "depth": 4,
    "skip": 0,
    "rays": 256,
    "learning_rate": 5e-3,
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
    **_EMPTY,
    **_FAST,
}
_FAST_NERFACTO: dict[str, Any] = {
    "levels": 8,
    "log2_table_size": 17,
    "finest": 512,
    "width": 32,
    "proposal_bins": 64,
    "bins": 32,
    "rays": 2048,
}
# For objects on an empty background: no contraction, exact cameras and a single exposure. Most
# pixels are background, on which an absolute error would concentrate.
_OBJECT_360: dict[str, Any] = {"unbounded": False, "charbonnier": 0.0}
_OBJECT_NERFACTO: dict[str, Any] = {
    "unbounded": False,
    "appearance": 0,
    "pose_learning_rate": 0.0,
}
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
_PLAIN_SIT: dict[str, Any] = {
    "learning_rate": 5e-4,
    "muon": False,
    "source_noise": 1.0,
    "noise_scale": "fixed",
    "end_share": 0.0,
    "start_share": 0.0,
    "image_steps": 50,
    "inversion_steps": 50,
    "refine_steps": 0,
}
_SIT_SIZES = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16), "xl": (1152, 28, 16)}


def _presets() -> Iterator[Preset]:
    field, surface, flow = "radiance field", "surface", "pose flow"
    fast = "on two CPU cores"
    yield Preset(
        "instant-ngp-fast", "instant-ngp", field,
        f"objects with alpha, {fast}: the default, good in half a minute", 5,
    )  # fmt: skip
    yield Preset(
        "gaussian-splatting-fast", "gaussian-splatting", field,
        f"photographs, 360° and forward-facing captures, {fast}", 5,
        {
            "initial_gaussians": 5000,
            "max_gaussians": 30_000,
            "mean_learning_rate": 6e-4,
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
            "samples": 1 << 18,
            "table_learning_rate": 1e-2,
        },
    )  # fmt: skip
    # The cube is many times as wide as what the cameras look at, and begins in front of them.
    yield Preset(
        "instant-ngp-capture", "instant-ngp", field, f"captures with a background, {fast}", 5,
        {
            "half_width": 4.0,
            "step_size": 1 / 64,
            "growth": 1 / 64,
            "near": 0.05,
            "levels": 12,
            "log2_table_size": 19,
            "finest": 1024,
            "samples": 3 << 15,
            "table_learning_rate": 0.02,
        },
    )  # fmt: skip
    yield Preset(
        "instant-ngp-tiny", "instant-ngp", field, "smallest hash grid, for a first try", 1,
        {"log2_table_size": 15, "finest": 200, "color_layers": 1},
    )  # fmt: skip
    yield Preset("nerfacto", "nerfacto", field, "captures, the paper's size", None)
    yield Preset(
        "nerfacto-object", "nerfacto", field, "objects, the paper's size", None,
        _OBJECT_NERFACTO,
    )  # fmt: skip
    yield Preset("nerfacto-fast", "nerfacto", field, f"captures, {fast}", 10, _FAST_NERFACTO)
    yield Preset(
        "nerfacto-object-fast", "nerfacto", field, f"objects, {fast}", 10,
        {**_FAST_NERFACTO, **_OBJECT_NERFACTO},
    )  # fmt: skip
    yield Preset("plenoxels", "plenoxels", field, "no network; the paper's size", None)
    yield Preset(
        "plenoxels-fast", "plenoxels", field, f"no network; {fast}", 10,
        {"coarsest": 64, "finest": 256, "rays": 2048},
    )  # fmt: skip
    yield Preset(
        "dvgo", "dvgo", field, "voxel grids and a small network; the paper's size", None
    )
    yield Preset(
        "dvgo-fast", "dvgo", field, f"voxel grids and a small network; {fast}", 10,
        {"coarse_vertices": 64, "finest": 192, "width": 64, "rays": 2048},
    )  # fmt: skip
    yield Preset("nerf", "nerf", field, "the paper's size: hours on a GPU", None)
    yield Preset(
        "nerf-fast", "nerf", field, f"to learn how NeRF works; {fast}", 10,
        {"width": 64, "coarse_bins": 32, "fine_bins": 32, "noise": 1.0, **_FAST},
    )  # fmt: skip
    yield Preset(
        "mip-nerf", "mip-nerf", field, "images of several sizes; the paper's size", None
    )
    yield Preset(
        "mip-nerf-multiscale", "mip-nerf", field, "as mip-nerf, pixels weighted by area", None,
        {"by_area": True},
    )  # fmt: skip
    yield Preset(
        "mip-nerf-fast", "mip-nerf", field, f"images of several sizes; {fast}", 10,
        {"width": 96, "bins": 24, "frequencies": 10, **_EMPTY, **_FAST},
    )  # fmt: skip
    yield Preset("mip-nerf-360", "mip-nerf-360", field, "captures, the paper's size", None)
    yield Preset(
        "mip-nerf-360-object", "mip-nerf-360", field, "objects, the paper's size", None,
        _OBJECT_360,
    )  # fmt: skip
    yield Preset("mip-nerf-360-fast", "mip-nerf-360", field, f"captures, {fast}", 10, _FAST_360)
    yield Preset(
        "mip-nerf-360-object-fast", "mip-nerf-360", field, f"objects, {fast}", 10,
        {**_FAST_360, **_OBJECT_360},
    )  # fmt: skip
    yield Preset("box", "box", field, "ten parameters: a first lesson in volume rendering", 0.5)

    yield Preset("neus-fast", "neus", surface, f"a surface by a hash grid; {fast}", 10)
    yield Preset(
        "neus", "neus", surface, "a surface by the paper's network", None, _MLP_SURFACE
    )
    yield Preset("neus-tiny", "neus", surface, "smallest, for a first try", 2, _TINY_SURFACE)
    yield Preset("volsdf-fast", "volsdf", surface, f"a surface by a hash grid; {fast}", 10)
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

    yield Preset("sit", "sit", flow, f"images from poses and poses from images, {fast}", 5)
    yield Preset(
        "sit-plain", "sit", flow, "the same size, trained as textbooks have it", 5, _PLAIN_SIT
    )
    yield Preset("sit-gaussian", "sit-gaussian", flow, "a flow from noise: a baseline", 5)
    yield Preset("pose-regressor", "pose-regressor", flow, "poses alone: a baseline", 5)
    for name, (width, depth, heads) in _SIT_SIZES.items():
        for patch in (2, 4, 8):
            yield Preset(
                f"sit-{name}-{patch}", "sit", flow,
                f"the paper's SiT-{name.upper()}/{patch}: {depth} blocks of width {width}",
                None,
                {
                    "patch": patch,
                    "width": width,
                    "depth": depth,
                    "heads": heads,
                    "learning_rate": 5e-4,
                },
            )  # fmt: skip

    shape = "shape"
    yield Preset("sdf", "sdf", shape, "a signed distance field; by default a hash grid", 1)
    yield Preset("occupancy", "occupancy", shape, "an occupancy field", 1)
    yield Preset("fit-mesh", "fit-mesh", shape, "a sphere of triangles that deforms", 1)
    yield Preset("fit-points", "fit-points", shape, "a point cloud, by chamfer distance", 1)
    yield Preset("fit-voxels", "fit-voxels", shape, "an occupancy grid of 64³ cells", 1)

    yield Preset(
        "image-field", "image-field", "image", "SIREN, encoded MLP, grid or hash grid", 1
    )

    for kind in ("mesh", "points", "voxels", "occupancy"):
        name = f"image-to-{kind}"
        yield Preset(
            name, name, "single image", f"{kind} from one image; the paper's width", None
        )
        yield Preset(
            f"{name}-fast", name, "single image", f"{kind} from one image; {fast}", 15,
            {"encoder_width": 32},
        )  # fmt: skip


PRESETS: dict[str, Preset] = {preset.name: preset for preset in _presets()}


def find_preset(name: str) -> Preset:
    """The preset of that name; underscores and older names are accepted.

    Raises InputError with the nearest names if there is none.
    """
    wanted = current_name(name)
    if wanted not in PRESETS:
        raise InputError(
            f"{name!r}: is not a method{nearest(wanted, PRESETS)} `unrender fit --help` lists "
            "all, and so does `unrender.methods` in Python"
        )
    return PRESETS[wanted]


def current_name(name: str) -> str:
    """A preset's name with hyphens, and the new one of an older name."""
    plain = name.replace("_", "-").lower()
    return RENAMED.get(plain, plain)


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Which known names are like it: the end of an error message."""
    if name in known:
        return f". Did you mean {name}?"
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f". Did you mean {' or '.join(close)}?" if close else "."
