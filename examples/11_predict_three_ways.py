"""From one image to a shape, three ways: points, a mesh, and voxels, by networks.

    python examples/11_predict_three_ways.py

Writes predict_three_ways.png. Everything here is small, so that it runs in two minutes;
benchmarks/shapes.py trains networks that are of use.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from unrender.api.prediction import predict_shapes, train_predictor

from unrender.data.image_shape.make_shapes import make_shapes
from unrender.data.image_shape.pairs import Draw, split
from unrender.evaluation.predicted_shapes import evaluate_shapes
from unrender.imaging.files import write_image
from unrender.methods.image_to_mesh import ImageToMesh
from unrender.methods.image_to_points import ImageToPoints
from unrender.methods.image_to_voxels import ImageToVoxels
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.training.fit import FitOptions

shapes = split("chairs", *make_shapes("chair", count=200, views=8, size=48))
METHODS = {
    "points": ImageToPoints(encoder_width=16),
    "mesh": ImageToMesh(encoder_width=16, level=3, samples=768),
    "voxels": ImageToVoxels(encoder_width=16, channels=64),
}
# One image of a chair that is held out.
seen = shapes.test.rgba(Draw(torch.tensor([3]), torch.tensor([False])))
photograph = seen[0, ..., :3] + 1 - seen[0, ..., 3:]
pictures = [photograph.repeat_interleave(4, 0).repeat_interleave(4, 1)]
with TemporaryDirectory() as folder:
    for name, method in METHODS.items():
        opened, result = train_predictor(
            method, Path("chairs.npz"), Path(folder) / name, FitOptions(minutes=0.5),
            shapes=shapes, show=False,
        )  # fmt: skip
        scores = evaluate_shapes(partial(predict_shapes, opened), shapes.test)
        print(
            f"{name}: {result.steps} steps, F1 {scores.f1[-1]:.2f} at a twentieth of the size"
        )
        shape = predict_shapes(opened, seen)[0]
        camera = cameras_around(shape, 8, 192).select(slice(1, 2))
        pictures.append(shape_renderer(shape)(camera).over(torch.ones(3))[0])
write_image(Path("predict_three_ways.png"), torch.cat(pictures, dim=1).clamp(0, 1))
