"""What a preset is, and the methods that presets are of."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from unrender.errors import InputError
from unrender.methods.presets.renamed import RENAMED_OPTIONS
from unrender.methods.presets.sizes import MEGABYTES

if TYPE_CHECKING:
    from unrender.training.method import Method

TASKS = {
    "radiance field": "Radiance fields, from posed images",
    "moving scene": "Moving scenes, from posed images with times",
    "surface": "Surfaces and meshes, from posed images",
    "pose flow": "Poses and images: flow matching between camera poses and images",
    "novel view": "Novel views, from one or a few photographs",
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
    "nerfies": ("nerfies:Nerfies", "Park et al., ICCV 2021"),
    "nerfies-hash-grid": ("nerfies:FastNerfies", "Park et al., ICCV 2021"),
    "hypernerf": ("hypernerf:HyperNeRF", "Park et al., SIGGRAPH Asia 2021"),
    "hypernerf-hash-grid": ("hypernerf:FastHyperNeRF", "Park et al., SIGGRAPH Asia 2021"),
    "plenoxels": ("plenoxels:Plenoxels", "Yu et al., CVPR 2022"),
    "dvgo": ("dvgo:DVGO", "Sun et al., CVPR 2022"),
    "gaussian-splatting": (
        "gaussian_splatting:GaussianSplatting",
        "Kerbl et al., SIGGRAPH 2023; Kheradmand et al., NeurIPS 2024",
    ),
    "light-field": ("light_field:LightField", "Suhail et al., CVPR 2022"),
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
    "view-regression": ("view_regression:ViewRegression", "Jin et al., ICLR 2025"),
    "view-flow": ("view_flow:ViewFlow", "Liu et al., ICCV 2023; Li and He 2025"),
    "distilled": (
        "distilled:Distilled",
        "Poole et al., ICLR 2023; Wang et al., CVPR 2023; Sargent et al., CVPR 2024",
    ),
    "fit-mesh": ("fit_mesh:MeshFit", "Gkioxari et al., ICCV 2019; Nicolet et al. 2021"),
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
        "Kato et al., CVPR 2018; Gkioxari et al., ICCV 2019",
    ),
    "image-to-occupancy": (
        "image_to_occupancy:ImageToOccupancy",
        "Mescheder et al., CVPR 2019",
    ),
}
"""The module and class in `unrender.methods` and the paper of each method."""

FAST = "on two CPU cores"
"""How the purpose of a `-fast` preset ends."""


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
        check_options(self.name, options, kind)
        return kind(**{**self.options, **options})


def method_class(name: str) -> "type[Method[Any, Any]]":
    """The class of a method, a key of `BASES`; its module is imported here, with torch."""
    module, kind = BASES[name][0].split(":")
    return getattr(import_module(f"unrender.methods.{module}"), kind)


def check_options(
    label: str, options: Iterable[str], *kinds: type, elsewhere: type | None = None
) -> None:
    """InputError for an option that is a field of none of these dataclasses.

    It names the nearest field, also of the dataclass `elsewhere`.
    """
    known = [field.name for kind in kinds for field in dataclasses.fields(kind)]
    others = [field.name for field in dataclasses.fields(elsewhere)] if elsewhere else []
    for option in options:
        if option not in known:
            hint = nearest(RENAMED_OPTIONS.get(option, option), [*known, *others])
            raise InputError(f"{label}: has no option {option!r}{hint}")


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Which known names are like it: the end of an error message."""
    if name in known:
        return f". Did you mean {name}?"
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f". Did you mean {' or '.join(close)}?" if close else "."
