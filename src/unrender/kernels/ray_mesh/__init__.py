"""Where rays meet triangles: the nearest meeting, or whether there is any.

Both sides of a face are met. A ray that passes between two faces of a shared edge meets one of
them at least: which side of an edge it passes is one number with two signs, whichever face asks
(Woop, Benthin and Wald, "Watertight Ray/Triangle Intersection", 2013, without its shear).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.kernels.ray_mesh.tree import TriangleTree
from unrender.kernels.runtime.backend import Backend, implementation

__all__ = ["RayHits", "TriangleTree", "any_hit", "closest_hit"]


@dataclass(frozen=True)
class RayHits:
    """The nearest meeting of each ray. No gradients flow."""

    distance: Float[Tensor, "rays"]
    """In lengths of the ray's direction; `farthest` where there is none."""
    face: Int[Tensor, "rays"]
    """Row of the mesh's faces; −1 where there is none."""
    barycentrics: Float[Tensor, "rays 3"]
    """Of the point in its face: at least 0, with sum 1; all 0 where there is none."""


@torch.no_grad()
def closest_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    farthest: Float[Tensor, "rays"],
    tree: TriangleTree,
    backend: Backend = "auto",
) -> RayHits:
    """The nearest face at a distance in (0, farthest). Directions may have any length but 0."""
    kernel = implementation(__name__, backend, origins)
    return RayHits(*kernel.closest_hit(origins, directions, farthest, tree))


@torch.no_grad()
def any_hit(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    farthest: Float[Tensor, "rays"],
    tree: TriangleTree,
    backend: Backend = "auto",
) -> Bool[Tensor, "rays"]:
    """Whether some face is at a distance in (0, farthest): what shadows ask."""
    kernel = implementation(__name__, backend, origins)
    return kernel.any_hit(origins, directions, farthest, tree)
