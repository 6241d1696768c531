"""A surface from posed images, as a signed distance: NeuS on a built-in scene.

    python examples/17_surface_from_images.py [SCENE]

Writes surface_from_images.png: a held-out view, its render, its normals, and the mesh. SCENE is
a built-in scene or what `unrender.load` reads; by default the chair, at a small size and for 40
seconds. `unrender fit neus-fast` does the same at a useful length.
"""

import sys

import unrender as ur

data = ur.load(sys.argv[1]) if len(sys.argv) > 1 else ur.load("chair", downscale=2)
run = ur.fit("neus-fast", data, minutes=40 / 60, levels=6, finest=192, width=32, color_width=32,
             rays=512, log2_table_size=15, progress=False)  # fmt: skip
mesh, test = run.mesh(), data.test[:5]
rendering = run.render(test.cameras, progress=False)
mask, truth = rendering.opacity > 0.5, test.rgba[..., 3] > 0.5
overlap = (mask & truth).sum((1, 2)) / (mask | truth).sum((1, 2))
print(f"{run.steps} steps; silhouette IoU on held-out views {overlap.mean():.3f}, {mesh}")
plain = ur.Mesh(mesh.vertices, mesh.faces)
ur.save_panels(
    "surface_from_images.png",
    {
        "held-out image": test.over("white")[0],
        "render": rendering.over("white")[0],
        "normals": rendering.images("normals")[0],
        "mesh without colors": ur.render(plain, test.cameras[0]).over("white")[0],
    },
)
