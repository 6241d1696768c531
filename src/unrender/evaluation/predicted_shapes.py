"""Shapes predicted from images of held-out shapes, compared with the ground truth."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from unrender.data.image_shape.pairs import Draw, ImageShapePairs
from unrender.evaluation.shapes import THRESHOLDS, ShapeScores, score_shape
from unrender.rendering.renderer import Images
from unrender.shapes.shape import Shape, surface_points
from unrender.shapes.voxels import VoxelGrid, voxel_iou

POINTS = 4096
"""Points sampled on each predicted surface; point clouds are scored as they are."""
NOTHING = ShapeScores(
    chamfer=1.0,
    accuracy=1.0,
    completeness=1.0,
    size=1.0,
    thresholds=THRESHOLDS,
    precision=(0.0,) * len(THRESHOLDS),
    recall=(0.0,) * len(THRESHOLDS),
    normal_consistency=0.0,
)
"""Scores of a prediction without a surface: errors as large as the shape."""


@dataclass(frozen=True)
class PredictedScores:
    """Scores of all images, and their means."""

    scores: tuple[ShapeScores, ...]
    voxel_iou: float | None
    """Mean intersection over union, if voxels are predicted and the ground truth has them."""

    @property
    def f1(self) -> tuple[float, ...]:
        """Mean of F1 at each of `THRESHOLDS`."""
        return tuple(
            float(column) for column in torch.tensor([s.f1 for s in self.scores]).mean(0)
        )

    def to_json(self) -> dict[str, object]:
        def mean(values: list[float]) -> float:
            return sum(values) / len(values)

        normals = [
            s.normal_consistency for s in self.scores if s.normal_consistency is not None
        ]
        return {
            "num_images": len(self.scores),
            "chamfer": mean([s.chamfer for s in self.scores]),
            "chamfer_l1": mean([s.chamfer_l1 for s in self.scores]),
            "normal_consistency": mean(normals) if normals else None,
            "voxel_iou": self.voxel_iou,
            "thresholds": list(THRESHOLDS),
            "f1": list(self.f1),
        }


def evaluate_shapes(
    predict: Callable[[Images], list[Shape]], shapes: ImageShapePairs, seed: int = 0
) -> PredictedScores:
    """Score predictions from one image of each shape, chosen at random by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(shapes.images), generator=generator)
    image = torch.full((len(shapes),), -1)
    image[shapes.shape_index.cpu()[order]] = order
    image = image[image >= 0]
    drawn = Draw(image, torch.zeros(len(image), dtype=torch.bool))
    found = predict(shapes.rgba(drawn))
    true = shapes.shape_index[image]
    scores = [
        _score(shape, shapes.points[k].float(), shapes.normals[k].float() / 127, generator)
        for shape, k in zip(found, true.tolist(), strict=True)
    ]
    voxels = [shape.values for shape in found if isinstance(shape, VoxelGrid)]
    iou = None
    if len(voxels) == len(found) and shapes.voxels is not None:
        filled, truth = torch.stack(voxels) >= 0.5, shapes.voxel_grids(drawn) > 0
        if filled.shape == truth.shape:
            iou = float(voxel_iou(filled, truth).mean())
    return PredictedScores(tuple(scores), iou)


def _score(
    shape: Shape, truth: torch.Tensor, normals: torch.Tensor, generator: torch.Generator
) -> ShapeScores:
    found = surface_points(shape, POINTS, generator)
    if len(found) == 0:
        return NOTHING
    return score_shape(found.points, truth, found.normals, normals)
