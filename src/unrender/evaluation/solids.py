"""How near the surface of a fitted solid comes to the true one, and how much of it they share.

Distances are from points of one surface to the other surface itself, not to points drawn of it:
unlike `score_shape`, the figures do not depend on how densely these lie, and are 0 where the
surfaces are the same. Inside is where a mesh winds around a point more than half, so that the
truth may have holes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.kernels.mesh_distance import nearest_face
from unrender.shapes.implicit.differences import central_differences
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.mesh import Mesh, face_normals
from unrender.shapes.mesh_distance import is_inside
from unrender.shapes.sampling import SurfaceSamples, sample_surface

BOX = 1.1
"""The sides of the box in which volumes are compared, in sides of the true mesh' box."""


@dataclass(frozen=True)
class SolidScores:
    """Figures of one mesh against a true one."""

    accuracy: float
    """Mean distance from the mesh' points to the true surface, in scene units."""
    completeness: float
    """Mean distance from the true surface's points to the mesh."""
    diagonal: float
    """Of the truth's box, in scene units."""
    normal_consistency: float
    """Mean cosine between normals and those at the nearest points, of both ways, in [−1, 1]:
    with its sign, so that a surface that is turned inside out has −1."""
    iou: float
    """Volume inside both over volume inside either, by random points."""

    @property
    def chamfer_percent(self) -> float:
        """The mean of accuracy and completeness, in percent of the diagonal."""
        return 50 * (self.accuracy + self.completeness) / self.diagonal

    def to_json(self) -> dict[str, float]:
        return {
            "surface_accuracy": self.accuracy,
            "surface_completeness": self.completeness,
            "chamfer_percent": self.chamfer_percent,
            "signed_normal_consistency": self.normal_consistency,
            "iou": self.iou,
        }


@torch.no_grad()
def score_solid(mesh: Mesh, truth: Mesh, count: int, generator: torch.Generator) -> SolidScores:
    """Score by so many points of each surface and of the box. InputError for no faces."""
    drawn, true = (sample_surface(each, count, generator) for each in (mesh, truth))
    accuracy, forth = _seen_from(drawn, truth)
    completeness, back = _seen_from(true, mesh)
    low, high = truth.vertices.amin(0), truth.vertices.amax(0)
    share = BOX * (torch.rand(count, 3, generator=generator) - 0.5) + 0.5
    places = low + (high - low) * share.to(low)
    inside, truly = is_inside(places, mesh), is_inside(places, truth)
    either = int((inside | truly).sum())
    return SolidScores(
        accuracy,
        completeness,
        float((high - low).norm()),
        (forth + back) / 2,
        int((inside & truly).sum()) / either if either else 1.0,
    )


def _seen_from(drawn: SurfaceSamples, mesh: Mesh) -> tuple[float, float]:
    """Mean distance of points to a mesh, and mean cosine between their normals and its."""
    found = nearest_face(drawn.points, mesh.vertices, mesh.faces)
    normals = normalize(face_normals(mesh.vertices, mesh.faces), dim=1)[found.face]
    cosine = (drawn.normals * normals).sum(1)
    return float(found.distance2.sqrt().mean()), float(cosine.mean())


@torch.no_grad()
def eikonal_residual(sdf: SDF, points: Float[Tensor, "points 3"], step: float) -> float:
    """Mean absolute deviation of ‖∇f‖ from 1: 0 for a true distance, except where two surfaces
    are equally near.

    Gradients are central differences, `step` to each side. `surfaces.eikonal_rms` is the root
    mean square instead.
    """
    length = central_differences(sdf, points, step).norm(dim=1)
    return float((length - 1).abs().mean())
