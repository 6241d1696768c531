"""What there is: the tasks, and the class and the paper of every method. Imports no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

CLASSES = {
    "box": "box:Box",
    "nerf": "nerf:NeRF",
    "mip-nerf": "mip_nerf:MipNeRF",
    "mip-nerf-360": "mip_nerf_360:MipNeRF360",
    "instant-ngp": "instant_ngp:InstantNGP",
    "nerfacto": "nerfacto:Nerfacto",
    "plenoxels": "plenoxels:Plenoxels",
    "dvgo": "dvgo:DVGO",
    "gaussian-splatting": "gaussian_splatting:GaussianSplatting",
    "mesh-from-views": "mesh_from_views:MeshFromViews",
    "neus": "neus:NeuS",
    "volsdf": "volsdf:VolSDF",
    "sit": "sit:SiTFlow",
    "sit-gaussian": "sit_gaussian:SiTGaussian",
    "pose-regressor": "pose_regressor:PoseRegressor",
    "fit-mesh": "fit_mesh:MeshFit",
    "fit-points": "fit_points:PointFit",
    "fit-voxels": "fit_voxels:VoxelFit",
    "sdf": "fit_sdf:SDFFit",
    "occupancy": "fit_occupancy:OccupancyFit",
    "image-field": "image_field:ImageField",
    "image-to-voxels": "image_to_voxels:ImageToVoxels",
    "image-to-points": "image_to_points:ImageToPoints",
    "image-to-mesh": "image_to_mesh:ImageToMesh",
    "image-to-occupancy": "image_to_occupancy:ImageToOccupancy",
}
"""Module in `unrender.methods` and class of each method."""

PAPERS = {
    "box": "one box, fitted as NeRF is",
    "nerf": "Mildenhall et al., ECCV 2020",
    "mip-nerf": "Barron et al., ICCV 2021",
    "mip-nerf-360": "Barron et al., CVPR 2022",
    "instant-ngp": "Müller et al., SIGGRAPH 2022",
    "nerfacto": "Tancik et al., SIGGRAPH 2023",
    "plenoxels": "Yu et al., CVPR 2022",
    "dvgo": "Sun et al., CVPR 2022",
    "gaussian-splatting": "Kerbl et al., SIGGRAPH 2023; Kheradmand et al., NeurIPS 2024",
    "mesh-from-views": "Laine et al. 2020; Nicolet et al. 2021",
    "neus": "Wang et al., NeurIPS 2021",
    "volsdf": "Yariv et al., NeurIPS 2021",
    "sit": "Ma et al., ECCV 2024; Lipman et al., ICLR 2023",
    "sit-gaussian": "Ma et al., ECCV 2024",
    "pose-regressor": "baseline: the same transformer, trained to regress poses",
    "fit-mesh": "Wang et al., ECCV 2018; Nicolet et al. 2021",
    "fit-points": "Fan et al., CVPR 2017",
    "fit-voxels": "weighted cross entropy of cells",
    "sdf": "Gropp et al., ICML 2020; Müller et al., SIGGRAPH 2022",
    "occupancy": "Mescheder et al., CVPR 2019",
    "image-field": "Tancik et al. 2020; Sitzmann et al. 2020; Müller et al. 2022",
    "image-to-voxels": "Xie et al., ICCV 2019",
    "image-to-points": "Fan et al., CVPR 2017",
    "image-to-mesh": "Wang et al., ECCV 2018; Gkioxari et al., ICCV 2019",
    "image-to-occupancy": "Mescheder et al., CVPR 2019",
}


def method_class(name: str) -> "type[Method[Any, Any]]":
    """The class of a method, a key of `CLASSES`; its module is imported here, with torch."""
    module, kind = CLASSES[name].split(":")
    return getattr(import_module(f"unrender.methods.{module}"), kind)
