"""A signed distance fitted to a mesh, and to points alone; and what it is between surfaces.

    python examples/14_fit_a_signed_distance.py [MESH]

Writes fit_a_signed_distance.png: the shape, the surface of the field that was fitted to it,
that of one fitted to 5,000 of its points without normals, and the first field's values in a
plane through the middle, with a line every twentieth of the size. `unrender fit-shape MESH
--as sdf` does it at a useful length.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from unrender.api.shape_tasks import fit_shape, shape_of

from unrender.data.shape_target import ShapeTarget
from unrender.evaluation.solids import score_solid
from unrender.imaging.files import write_image
from unrender.methods.fit_sdf import SDFFit
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.implicit.sdf import (
    box,
    difference,
    smooth_union,
    sphere,
    torus,
    translated,
)
from unrender.shapes.marching_cubes import zero_level_set
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.sampling import sample_surface
from unrender.training.fit import FitOptions

SIZE = 256
STEPS = 120
# A ball on a ring, with a notch; any mesh does as well.
body = smooth_union(torus(0.6, 0.2), translated(sphere(0.4), (0.0, 0.0, 0.3)), 0.2)
notched = difference(body, translated(box((0.1, 1.0, 0.3)), (0.0, 0.0, 0.6)))
mesh = (
    read_mesh(Path(sys.argv[1])) if len(sys.argv) > 1 else zero_level_set(notched, 1.0, 96, 1.0)
)
drawn = sample_surface(mesh, 5000, torch.Generator().manual_seed(0))
targets = {
    "mesh": ShapeTarget.of_mesh("mesh", mesh),
    "points": ShapeTarget.of_points("points", PointCloud(drawn.points)),
}
# In seconds a dense grid learns what has no fine detail; the default, a hash grid, has more.
method = SDFFit(
    field="grid", volume_resolution=32, learning_rate=3.0, step_size=0.016,
    batch=4096, pool_size=1 << 16, cells=96, preview_cells=48,
)  # fmt: skip
camera = cameras_around(mesh, 12, SIZE).select(slice(2, 3))
pictures = [shape_renderer(mesh)(camera).over(torch.ones(3))[0]]
fields = []
with TemporaryDirectory() as folder:
    for name, target in targets.items():
        for remark in target.remarks():
            print(remark)
        options = FitOptions(steps=STEPS, device="cpu", log_every=STEPS)
        out = Path(folder) / name
        opened, result = fit_shape(target, Path(name), "auto", method, out, options, show=False)
        found = shape_of(opened)
        assert isinstance(found, Mesh), "fields have surfaces"
        scores = score_solid(found, mesh, 20_000, torch.Generator().manual_seed(1))
        print(
            f"from {name}: {result.steps} steps, chamfer {scores.chamfer_percent:.3f}% of the "
            f"diagonal, IoU {scores.iou:.4f}"
        )
        pictures.append(shape_renderer(found)(camera).over(torch.ones(3))[0])
        fields.append(opened.model)

# The plane y = 0 of the unit frame, z up: orange inside, blue outside.
across = (torch.arange(SIZE) + 0.5) / SIZE * 1.1 - 0.55
x, z = torch.meshgrid(across, -across, indexing="xy")
with torch.no_grad():
    places = torch.stack([x, torch.zeros_like(x), z], dim=-1).view(-1, 3)
    distance = method.values(fields[0], places).view(SIZE, SIZE, 1)
tint = torch.where(distance < 0, torch.tensor([1.0, 0.6, 0.2]), torch.tensor([0.3, 0.55, 0.9]))
fading = 1 - 0.6 * (-4 * distance.abs()).exp()
line = ((distance / 0.05 + 0.5) % 1 - 0.5).abs() < 0.05
shown = torch.where(line, 0.25, 1 - fading * (1 - tint))
shown = torch.where(distance.abs() < 0.005, 0.0, shown)
write_image(Path("fit_a_signed_distance.png"), torch.cat([*pictures, shown], dim=1).clamp(0, 1))
