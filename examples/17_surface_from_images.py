"""A surface from photographs, as a signed distance: NeuS on a built-in scene.

    python examples/17_surface_from_images.py [SCENE]

Writes surface_from_images.png: a photograph that was held out, its render, its normals, and the
mesh. SCENE is a built-in scene or what `unrender fit` takes; by default the chair, at a small
size and for 40 seconds. `unrender fit neus` is the same at a useful length.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from unrender.api.shape_tasks import shape_of
from unrender.api.tasks import fit_run
from unrender.data.builtin import NAMES, make_scene
from unrender.data.builtin.surface import surface_mesh
from unrender.data.load import LoadOptions, load_dataset
from unrender.evaluation.renders import WHITE, evaluate_images
from unrender.evaluation.surfaces import score_visible, silhouette_iou
from unrender.imaging.files import write_image
from unrender.methods.neus import NeuS
from unrender.rendering.shapes import shape_renderer
from unrender.shapes.mesh import Mesh
from unrender.training.fit import FitOptions

source = sys.argv[1] if len(sys.argv) > 1 else "chair"
if source in NAMES:
    scene = make_scene(source, size=80, num_train=40, num_test=5)
else:
    scene = load_dataset(source, LoadOptions(hold_out=8))
with TemporaryDirectory() as folder:
    opened, result = fit_run(
        NeuS(levels=6, finest=192, width=32, color_width=32, rays=512, log2_table_size=15),
        source, Path(folder) / "run", FitOptions(minutes=40 / 60), scene=scene, show=False,
    )  # fmt: skip
    found = evaluate_images(opened.renderer, scene.test)
    mesh = shape_of(opened)
assert isinstance(mesh, Mesh)
overlap = silhouette_iou(found.rendering.opacity, scene.test.rgba[..., 3])
print(f"{result.steps} steps; silhouettes of held-out views overlap by {overlap.mean():.3f}")
if source in NAMES:
    # Made at a lower resolution than usual, to be quick.
    scores = score_visible(mesh, surface_mesh(source, 128), scene.test.cameras)
    print(f"what cameras see is {scores.chamfer_percent:.2f}% of the diagonal from the truth")
camera = scene.test.cameras.select(slice(0, 1))
grey = shape_renderer(Mesh(mesh.vertices, mesh.faces))(camera)
normals, cover = found.rendering.normals, found.rendering.opacity[0, ..., None]
assert normals is not None
pictures = [found.truth[0], found.rendered[0]]
pictures += [cover * (normals[0] + 1) / 2 + 1 - cover, grey.over(WHITE)[0]]
write_image(Path("surface_from_images.png"), torch.cat(pictures, dim=1).clamp(0, 1))
