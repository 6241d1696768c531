"""A shape fitted three ways by gradient descent: as voxels, as points, and as a mesh.

    python examples/09_fit_a_shape_three_ways.py [MESH]

Writes fit_a_shape_three_ways.png. Half a minute each; `unrender fit-shape` does the same at a
useful length, and records a video of it.
"""

import sys

import unrender as ur

target = ur.Mesh.load(sys.argv[1]) if len(sys.argv) > 1 else ur.Mesh.torus()
camera = ur.turntable(12).cameras(target)[2]
panels = {"target": ur.render(target, camera).over("white")[0]}
for kind in ("voxels", "points", "mesh"):
    run = ur.fit_shape(target, kind, minutes=0.5, progress=False)
    near = run.evaluate().f1[0]
    print(f"{kind}: {run.steps} steps, F1 at 1% of the size {near:.3f}")
    panels[kind] = ur.render(run.shape(), camera).over("white")[0]
ur.save_panels("fit_a_shape_three_ways.png", panels)
