"""A cube, two triangles at a time: twelve faces on eight vertices, and when it is watertight.

    python examples/02_cube_face_by_face.py

Writes cube_face_by_face.png.
"""

import torch

import unrender as ur
from unrender.shapes import mesh, primitives, textures

SIDES = torch.tensor(
    [[0.90, 0.35, 0.30], [0.35, 0.65, 0.90], [0.95, 0.75, 0.25],
     [0.45, 0.75, 0.40], [0.60, 0.45, 0.80], [0.90, 0.55, 0.70]]
)  # fmt: skip
cube = primitives.cube(SIDES)
assert isinstance(cube.texture, textures.FaceAtlas)
camera = ur.turntable(12).cameras(cube)[1]

panels: dict[str, torch.Tensor] = {}
for count in range(2, 13, 2):
    atlas = textures.FaceAtlas(cube.texture.images[:count])
    part = ur.Mesh(cube.vertices, cube.faces[:count], atlas)
    open_edges = int((mesh.edges_of(part.faces).num_faces == 1).sum())
    closed = "watertight" if mesh.is_watertight(part.faces) else f"{open_edges} open edges"
    name = f"{count} triangles: {closed}"
    panels[name] = ur.render(part, camera, shading="flat").over("white")[0]
    print(name)
ur.save_panels("cube_face_by_face.png", panels, columns=3)
