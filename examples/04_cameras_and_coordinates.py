"""Frames: the world, a camera's axes, pixels, and how other programs write the same camera.

    python examples/04_cameras_and_coordinates.py

Writes cameras_and_coordinates.png: the world's axes as three arrows, from four cameras.
"""

from pathlib import Path

import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opengl_from_opencv
from unrender.geometry.poses import look_at
from unrender.geometry.pytorch3d import ndc_from_pixels, to_pytorch3d
from unrender.imaging.files import write_image
from unrender.rendering.mesh.shading import mesh_renderer
from unrender.shapes.mesh import Mesh, join_meshes
from unrender.shapes.primitives import cylinder
from unrender.shapes.textures import VertexColors


def arrow(axis: int) -> Mesh:
    """From 0 to 1 along x, y or z, in red, green or blue."""
    rod = cylinder(radius=0.05, height=1.0, columns=24)
    # The cylinder stands on z: the axes are passed around.
    place = (rod.vertices + torch.tensor([0, 0, 0.5])).roll(axis - 2, dims=1)
    color = torch.eye(3)[axis].expand(len(place), 3)
    return Mesh(place, rod.faces, VertexColors(0.15 + 0.7 * color))


axes = join_meshes([arrow(0), arrow(1), arrow(2)])
eyes = torch.tensor([[4.0, -3.0, 2.0], [0.01, -5.0, 0.5], [5.0, 0.01, 0.5], [0.3, -0.3, 5.0]])
poses = look_at(eyes, torch.full((4, 3), 0.35), torch.tensor([0.0, 0.0, 1.0]))
cameras = Cameras.from_focal(poses, focal=420.0, width=220, height=220)
images = mesh_renderer(axes)(cameras).over(torch.ones(3))
write_image(Path("cameras_and_coordinates.png"), torch.cat(list(images), dim=1).clamp(0, 1))

# A point of the world, as the first camera has it.
point = torch.tensor([[1.0, 0.0, 0.0]])
pixel, depth = cameras.project(torch.tensor([0]), point)
print("The end of the red arrow (x) is at pixel", [round(p, 1) for p in pixel[0].tolist()],
      f"of the first image, {float(depth[0]):.2f} in front of it")  # fmt: skip

# The other way: the pixel's ray passes through the point again.
rays = cameras.rays(torch.tensor([0]), pixel)
away = (point - rays.origins) - (
    (point - rays.origins) * rays.directions
).sum() * rays.directions
print(f"the ray of that pixel misses it by {float(away.norm()):.1e}")

# The same camera for OpenGL and Blender (y up, z backward), and for PyTorch3D (x left, y up,
# row vectors: x_camera = x R + T).
print("OpenGL's axes in the world:", opengl_from_opencv(poses[:1])[0, :, :3].T.tolist())
rotation, translation, focal, principal = to_pytorch3d(cameras.select(slice(0, 1)))
local = point @ rotation[0] + translation[0]
ndc = local[:, :2] * focal / local[:, 2:] + principal
assert torch.allclose(ndc, ndc_from_pixels(pixel, 220, 220), atol=1e-5)
print("PyTorch3D's NDC of the point:", [round(v, 3) for v in ndc[0].tolist()])
