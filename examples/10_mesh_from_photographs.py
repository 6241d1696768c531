"""A mesh from posed photographs alone: a sphere that deforms until it looks like them.

    python examples/10_mesh_from_photographs.py [SCENE]

Writes mesh_from_photographs.png. SCENE is what `unrender fit` takes, with the object cut out;
by default the built-in hotdog.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from unrender.api.shape_tasks import shape_of
from unrender.api.tasks import fit_run

from unrender.data.load import LoadOptions, load_dataset
from unrender.evaluation.renders import WHITE, evaluate_images
from unrender.imaging.files import write_image
from unrender.methods.mesh_from_views import MeshFromViews
from unrender.rendering.shapes import shape_renderer
from unrender.shapes.mesh import Mesh
from unrender.training.fit import FitOptions

source = sys.argv[1] if len(sys.argv) > 1 else "hotdog"
scene = load_dataset(
    source, LoadOptions(hold_out=8) if Path(source).exists() else LoadOptions()
)
with TemporaryDirectory() as folder:
    opened, result = fit_run(
        MeshFromViews(max_image_side=100), source, Path(folder) / "run", FitOptions(minutes=0.6),
        scene=scene, show=False,
    )  # fmt: skip
    found = evaluate_images(opened.renderer, scene.test)
    mesh = shape_of(opened)
assert isinstance(mesh, Mesh)
mask, true = found.rendering.opacity > 0.5, scene.test.rgba[..., 3] > 0.5
overlap = (mask & true).sum((1, 2)) / (mask | true).sum((1, 2))
print(
    f"{result.steps} steps; of views that were held out, masks overlap by {overlap.mean():.3f}"
)
camera = scene.test.cameras.select(slice(0, 1))
grey = shape_renderer(Mesh(mesh.vertices, mesh.faces))(camera)
pictures = [found.truth[0], found.rendered[0], grey.over(WHITE)[0]]
write_image(Path("mesh_from_photographs.png"), torch.cat(pictures, dim=1).clamp(0, 1))
