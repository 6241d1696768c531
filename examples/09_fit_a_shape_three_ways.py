"""A shape fitted three ways by gradient descent: as voxels, as points, and as a mesh.

    python examples/09_fit_a_shape_three_ways.py [MESH]

Writes fit_a_shape_three_ways.png. Half a minute each; `unrender fit-shape` is the same at a
useful length, and draws a film of it.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from unrender.api.shape_tasks import evaluate_fit, fit_shape

from unrender.data.shape_target import ShapeTarget
from unrender.imaging.files import write_image
from unrender.methods import SHAPE_FITS
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.primitives import torus
from unrender.training.fit import FitOptions

SHARED = Path(__file__).resolve().parents[2] / "shared/data/meshes"
path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "spot_textured/cow.obj"
target = ShapeTarget.of_mesh(
    path.stem, read_mesh(path) if path.exists() else torus(1.0, 0.4, 24, 48)
)
camera = cameras_around(target.shape(), 12, 256).select(slice(2, 3))
pictures = [shape_renderer(target.shape())(camera).over(torch.ones(3))[0]]
with TemporaryDirectory() as folder:
    for kind in ("voxels", "points", "mesh"):
        out = Path(folder) / kind
        opened, result = fit_shape(
            target,
            path,
            "auto",
            SHAPE_FITS[f"fit-{kind}"],
            out,
            FitOptions(minutes=0.5),
            show=False,
        )
        scores = evaluate_fit(opened, target)
        near = scores["f1"][0]
        print(f"{kind}: {result.steps} steps, F1 at a hundredth of the size {near:.3f}")
        with torch.no_grad():
            pictures.append(opened.renderer(camera).over(torch.ones(3))[0])
write_image(Path("fit_a_shape_three_ways.png"), torch.cat(pictures, dim=1).clamp(0, 1))
