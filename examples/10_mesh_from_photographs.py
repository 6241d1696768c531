"""A mesh from posed images alone: a sphere that deforms until its renders match them.

    python examples/10_mesh_from_photographs.py [SCENE]

Writes mesh_from_photographs.png. SCENE is a dataset of an object with alpha or masks; by
default the built-in hotdog.
"""

import sys

import unrender as ur

data = ur.load(sys.argv[1] if len(sys.argv) > 1 else "hotdog")
run = ur.fit("mesh-from-views", data, minutes=0.6, max_image_side=100, progress=False)
mesh, test = run.mesh(), data.test[:5]
rendering = run.render(test.cameras, progress=False)
mask, truth = rendering.opacity > 0.5, test.rgba[..., 3] > 0.5
overlap = (mask & truth).sum((1, 2)) / (mask | truth).sum((1, 2))
print(f"{run.steps} steps; silhouette IoU on held-out views {overlap.mean():.3f}, {mesh}")
plain = ur.Mesh(mesh.vertices, mesh.faces)
ur.save_panels(
    "mesh_from_photographs.png",
    {
        "held-out image": test.over("white")[0],
        "render of the mesh": rendering.over("white")[0],
        "mesh without colors": ur.render(plain, test.cameras[0]).over("white")[0],
    },
)
