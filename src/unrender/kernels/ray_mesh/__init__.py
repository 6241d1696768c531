"""Intersections of rays with triangle meshes: the closest hit, or whether there is any.

Both sides of a face are hit. A ray through an edge shared by two faces hits at least one of
them: the side of an edge on which a ray passes is computed as the same number for both faces,
up to its sign (Woop, Benthin and Wald, "Watertight Ray/Triangle Intersection", 2013, without
its shear).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.ray_mesh.bvh import TriangleBVH
from unrender.kernels.runtime.backend import Backend, implementation

__all__ = ["RayHits", "TriangleBVH", "any_hit", "closest_hit"]


@dataclass(frozen=True)
class RayHits:
    """The closest hit of each ray; not differentiable."""

    distance: Float[Tensor, "rays"]
    """Ray parameter t of the hit origin + t direction; `t_max` where there is none."""
    face: Int[Tensor, "rays"]
    """Row of the mesh's faces; −1 where there is no hit."""
    barycentrics: Float[Tensor, "rays 3"]
    """Barycentric coordinates of the hit, with sum 1; all 0 where there is none."""


@torch.no_grad()
def closest_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    t_max: Float[Tensor, "rays"],
    bvh: TriangleBVH,
    backend: Backend = "auto",
) -> RayHits:
    """The closest face with t in (0, t_max). Directions may have any length except 0."""
    kernel = implementation(__name__, backend, origins)
    return RayHits(*kernel.closest_hit(origins, directions, t_max, bvh))


@torch.no_grad()
def any_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    t_max: Float[Tensor, "rays"],
    bvh: TriangleBVH,
    backend: Backend = "auto",
) -> Bool[Tensor, "rays"]:
    """Whether any face is hit with t in (0, t_max), as for shadow rays."""
    kernel = implementation(__name__, backend, origins)
    return kernel.any_hit(origins, directions, t_max, bvh)
