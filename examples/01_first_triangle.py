"""A triangle: three vertices, one face, a colour for each vertex, and a camera before it.

    python examples/01_first_triangle.py

Writes first_triangle.png.
"""

from pathlib import Path

import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.imaging.files import write_image
from unrender.rendering.mesh.shading import MeshRenderOptions, mesh_renderer
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import VertexColors

vertices = torch.tensor([[-1.0, 0.0, -0.6], [1.0, 0.0, -0.6], [0.0, 0.0, 1.1]])
faces = torch.tensor([[0, 1, 2]])
colors = torch.eye(3)
triangle = Mesh(vertices, faces, VertexColors(colors))

# From four units in front, along +y, with z up.
pose = look_at(torch.tensor([[0.0, -4.0, 0.2]]), torch.tensor([[0.0, 0, 0.2]]), torch.eye(3)[2])
camera = Cameras.from_focal(pose, focal=380.0, width=256, height=256)

# No light: what a pixel shows is the mean of the three colours by its barycentric coordinates.
rendering = mesh_renderer(triangle, MeshRenderOptions(shading="none"))(camera)
write_image(Path("first_triangle.png"), rendering.over(torch.ones(3))[0])
print("first_triangle.png: opacity and depth come with the colours,",
      f"{float(rendering.opacity.mean()):.2f} of the image is covered,",
      f"the middle is {float(rendering.depth[0, 128, 128]):.2f} away")  # fmt: skip
