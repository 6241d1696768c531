"""A cube, two triangles at a time: twelve faces on eight vertices, and when it is closed.

    python examples/02_cube_face_by_face.py

Writes cube_face_by_face.png: after each of its six sides.
"""

from pathlib import Path

import torch

from unrender.imaging.files import write_image
from unrender.rendering.mesh.shading import MeshRenderOptions, mesh_renderer
from unrender.rendering.shapes import cameras_around
from unrender.shapes.mesh import Mesh, edges_of, is_watertight
from unrender.shapes.primitives import cube
from unrender.shapes.textures import FaceAtlas

SIDES = torch.tensor(
    [[0.90, 0.35, 0.30], [0.35, 0.65, 0.90], [0.95, 0.75, 0.25],
     [0.45, 0.75, 0.40], [0.60, 0.45, 0.80], [0.90, 0.55, 0.70]]
)  # fmt: skip
whole = cube(SIDES)
assert isinstance(whole.texture, FaceAtlas)
camera = cameras_around(whole, 12, 200).select(slice(1, 2))

pictures: list[torch.Tensor] = []
for count in range(2, 13, 2):
    part = Mesh(whole.vertices, whole.faces[:count], FaceAtlas(whole.texture.images[:count]))
    rendering = mesh_renderer(part, MeshRenderOptions(shading="flat"))(camera)
    pictures.append(rendering.over(torch.ones(3))[0])
    open_edges = int((edges_of(part.faces).num_faces == 1).sum())
    closed = "watertight" if is_watertight(part.faces) else f"{open_edges} open edges"
    print(f"{count:2} triangles: {closed}")
write_image(Path("cube_face_by_face.png"), torch.cat(pictures, dim=1))
