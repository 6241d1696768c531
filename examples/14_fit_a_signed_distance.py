"""A signed distance fitted to a mesh, and to points alone.

    python examples/14_fit_a_signed_distance.py [MESH]

Writes fit_a_signed_distance.png: the shape, the surface of the field fitted to it, that of a
field fitted to 5,000 of its points without normals, and the first field's values on a plane
through the middle, with a contour line every twentieth of the size. `unrender fit-shape MESH
--as sdf` does it at a useful length.
"""

import sys
from typing import Any

import torch

import unrender as ur
from unrender.shapes import marching_cubes, sampling
from unrender.shapes.implicit import sdf

SIZE, STEPS = 256, 120
if len(sys.argv) > 1:
    mesh = ur.Mesh.load(sys.argv[1])
else:  # A ball on a ring, with a notch.
    ball = sdf.translated(sdf.sphere(0.4), (0.0, 0.0, 0.3))
    body = sdf.smooth_union(sdf.torus(0.6, 0.2), ball, 0.2)
    notch = sdf.translated(sdf.box((0.1, 1.0, 0.3)), (0.0, 0.0, 0.6))
    mesh = marching_cubes.zero_level_set(sdf.difference(body, notch), 1.0, 96, 1.0)
samples = sampling.sample_surface(mesh, 5000, torch.Generator().manual_seed(0))
camera = ur.turntable(12).cameras(mesh)[2]
panels = {"shape": ur.render(mesh, camera, size=SIZE).over("white")[0]}
# A dense grid learns shapes without fine detail in seconds; a hash grid resolves more.
options: dict[str, Any] = {
    "field": "grid",
    "volume_resolution": 32,
    "learning_rate": 3.0,
    "step_size": 0.016,
    "batch": 4096,
    "pool_size": 1 << 16,
    "cells": 96,
    "preview_cells": 48,
}
runs = [
    ur.fit_shape(target, "sdf", steps=STEPS, **options)
    for target in (mesh, ur.PointCloud(samples.points))
]
for name, run in zip(("a mesh", "points without normals"), runs, strict=True):
    scores = run.evaluate(mesh)
    print(f"from {name}: {run.steps} steps, chamfer {scores.chamfer_percent:.3f}% of the "
          f"diagonal, IoU {scores.iou:.4f}")  # fmt: skip
    panels[f"SDF from {name}"] = ur.render(run.shape(), camera, size=SIZE).over("white")[0]

# The plane y = 0 of the unit frame, z up: orange inside, blue outside.
across = (torch.arange(SIZE) + 0.5) / SIZE * 1.1 - 0.55
x, z = torch.meshgrid(across, -across, indexing="xy")
plane = torch.stack([x, torch.zeros_like(x), z], dim=-1).view(-1, 3)
method: Any = runs[0].method
with torch.no_grad():
    distance = method.values(runs[0].model, plane).view(SIZE, SIZE, 1)
tint = torch.where(distance < 0, torch.tensor([1.0, 0.6, 0.2]), torch.tensor([0.3, 0.55, 0.9]))
fading = 1 - 0.6 * (-4 * distance.abs()).exp()
line = ((distance / 0.05 + 0.5) % 1 - 0.5).abs() < 0.05
shown = torch.where(line, 0.25, 1 - fading * (1 - tint))
panels["signed distance"] = torch.where(distance.abs() < 0.005, 0.0, shown)
ur.save_panels("fit_a_signed_distance.png", panels)
