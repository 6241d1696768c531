"""Images paired with the shapes that they show: what predicts shapes from one image."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from unrender.data.image_shape.pairs import ImageShapeDataset, ImageShapePairs, load_shapes
from unrender.data.image_shape.shapenet import load_shapenet
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.predicted_shapes import evaluate_shapes
from unrender.evaluation.scores import Scores
from unrender.files import check_exists
from unrender.training.method import DataKind, Description, Evaluation, Fitted

SEED = 0
"""Random seed for choosing one image per shape."""


@dataclass(frozen=True)
class PairOptions:
    """How a set of images and shapes is read."""

    image_size: int = 64
    """Pixels per side of the images that are made of ShapeNet's renderings."""


class ImagesWithShapes(DataKind[ImageShapeDataset, ImageShapePairs]):
    """An .npz of `unrender make-shapes`, or a folder of ShapeNet's models with renderings."""

    name: ClassVar[str] = "images paired with shapes"
    options: ClassVar[type[Any]] = PairOptions

    def read(self, source: object, options: PairOptions) -> ImageShapeDataset:
        if isinstance(source, ImageShapeDataset):
            return source
        if not isinstance(source, str | Path):
            raise InputError(f"{type(source).__name__}: is not a set of shapes: give a path")
        path = Path(source)
        check_exists(path)
        if path.is_dir():
            found = load_shapenet(path, options.image_size)
        elif path.suffix == ".npz":
            found = load_shapes(path)
        else:
            raise InputError(
                f"{path}: is not a set of shapes: give an .npz of `unrender make-shapes`, or "
                "a folder of ShapeNet's models with renderings"
            )
        return dataclasses.replace(found, source=str(path))

    def training(self, data: ImageShapeDataset) -> ImageShapePairs:
        return data.train

    def describe(self, data: ImageShapeDataset) -> Description:
        train = data.train
        names = tuple(f"image {k}" for k in range(len(train.cameras)))
        source = {"source": data.source, "shapes": len(train)}
        tensors = (train.images, train.points)
        return Description(source, train.cameras, names, tensors, keep_cameras=False)

    def evaluate(
        self, fitted: Fitted[Any], data: ImageShapeDataset, lpips: LPIPS | None = None
    ) -> Evaluation:
        """Scores of held-out shapes, each predicted from one image. InputError."""
        shapes = data.test
        found = evaluate_shapes(fitted.predict, shapes, SEED)
        return Evaluation(Scores({"shapes": len(shapes), "seed": SEED, **found.to_json()}))


IMAGE_SHAPE_PAIRS = ImagesWithShapes()
