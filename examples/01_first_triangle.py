"""A triangle: three vertices, one face, a color for each vertex, and a camera in front of it.

    python examples/01_first_triangle.py

Writes first_triangle.png.
"""

import torch

import unrender as ur

vertices = torch.tensor([[-1.0, 0.0, -0.6], [1.0, 0.0, -0.6], [0.0, 0.0, 1.1]])
faces = torch.tensor([[0, 1, 2]])
triangle = ur.Mesh.colored(vertices, faces, colors=torch.eye(3))

# Four units in front of it, looking along +y, with z up.
camera = ur.Cameras.look_at((0, -4, 0.2), (0, 0, 0.2), fov=30, size=(512, 480))

# Without light, a pixel is the barycentric mean of the three vertex colors.
rendering = ur.render(triangle, camera, shading="none")
rendering.save("first_triangle.png")
print(
    f"first_triangle.png: {float(rendering.opacity.mean()):.2f} of the image is covered, and "
    f"the triangle's middle is {float(rendering.depth[0, 256, 256]):.2f} away"
)
