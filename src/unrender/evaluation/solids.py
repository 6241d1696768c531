"""Metrics of a fitted solid against the ground truth: surface distances, normals and IoU.

Distances are measured from sampled points to the exact other surface, not to samples of it.
Unlike those of `score_shape`, they do not depend on the sampling density, and are 0 for equal
surfaces. Points with a generalized winding number above 0.5 count as inside, so the ground
truth may have holes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.kernels.mesh_distance import nearest_face
from unrender.shapes.mesh import Mesh, face_normals
from unrender.shapes.mesh_distance import is_inside
from unrender.shapes.sampling import SurfaceSamples, sample_surface

BOX = 1.1
"""Size of the box in which volumes are compared, relative to the true mesh's bounding box."""


@dataclass(frozen=True)
class SolidScores:
    """Metrics of a mesh against the ground truth."""

    accuracy: float
    """Mean distance from points of the mesh to the true surface, in scene units."""
    completeness: float
    """Mean distance from points of the true surface to the mesh, in scene units."""
    diagonal: float
    """Diagonal of the ground truth's bounding box, in scene units."""
    normal_consistency: float
    """Mean cosine between normals and those at the nearest points, averaged over both
    directions, in [−1, 1]; it is −1 for a surface turned inside out."""
    iou: float
    """Intersection over union of the volumes, estimated with random points."""

    @property
    def chamfer_percent(self) -> float:
        """Mean of accuracy and completeness, in percent of the diagonal."""
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
    """Score with `count` points on each surface and in the box. InputError without faces."""
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
    """Mean distance of samples to a mesh, and mean cosine between their normals."""
    found = nearest_face(drawn.points, mesh.vertices, mesh.faces)
    normals = normalize(face_normals(mesh.vertices, mesh.faces), dim=1)[found.face]
    cosine = (drawn.normals * normals).sum(1)
    return float(found.distance2.sqrt().mean()), float(cosine.mean())


def eikonal_rms(gradients: Float[Tensor, "points 3"]) -> float:
    """Root mean square of ‖∇f‖ − 1, from gradients of a signed distance at points.

    It is the square root of the eikonal loss (Gropp et al., "Implicit Geometric Regularization
    for Learning Shapes", 2020, eq. 2), and 0 for an exact distance, except at points equally
    near to two surfaces.
    """
    length = gradients.detach().double().norm(dim=1)
    return float((length - 1).square().mean().sqrt())
