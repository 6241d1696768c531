"""Coordinate frames: the world, a camera's axes, pixels, and the same camera in other software.

    python examples/04_cameras_and_coordinates.py

Writes cameras_and_coordinates.png: the world's axes as three arrows, from four cameras.
"""

import torch

import unrender as ur
from unrender.geometry import conventions, pytorch3d
from unrender.shapes import mesh, primitives


def arrow(axis: int) -> ur.Mesh:
    """A rod from 0 to 1 along x, y or z, in red, green or blue."""
    rod = primitives.cylinder(radius=0.05, height=1.0, columns=24)
    # The cylinder stands on the z axis: permute the coordinates.
    vertices = (rod.vertices + torch.tensor([0, 0, 0.5])).roll(axis - 2, dims=1)
    return ur.Mesh.colored(vertices, rod.faces, 0.15 + 0.7 * torch.eye(3)[axis : axis + 1])


axes = mesh.join_meshes([arrow(0), arrow(1), arrow(2)])
eyes = [(4.0, -3.0, 2.0), (0.01, -5.0, 0.5), (5.0, 0.01, 0.5), (0.3, -0.3, 5.0)]
cameras = ur.Cameras.look_at(eyes, (0.35, 0.35, 0.35), fov=29, size=(220, 220))
images = ur.render(axes, cameras, progress=False).over("white")
names = ("from a corner", "along +y", "along −x", "from above")
ur.save_panels("cameras_and_coordinates.png", dict(zip(names, images, strict=True)))

# A point of the world, projected into the first camera.
point = torch.tensor([[1.0, 0.0, 0.0]])
pixel, depth = cameras.project(torch.tensor([0]), point)
print("The tip of the red arrow (x) is at pixel", [round(p, 1) for p in pixel[0].tolist()],
      f"of the first image, at depth {float(depth[0]):.2f}")  # fmt: skip

# And back: the ray of that pixel passes through the point.
rays = cameras.rays(torch.tensor([0]), pixel)
offset = point - rays.origins
away = offset - (offset * rays.directions).sum() * rays.directions
print(f"The ray of that pixel misses it by {float(away.norm()):.1e}.")

# The same camera in OpenGL and Blender (y up, z backward), and in PyTorch3D (x left, y up, row
# vectors: x_camera = x R + T).
opengl = conventions.opengl_from_opencv(cameras.world_from_camera[:1])
print("OpenGL's axes in the world:", opengl[0, :, :3].T.tolist())
rotation, translation, focal, principal = pytorch3d.to_pytorch3d(cameras[0])
local = point @ rotation[0] + translation[0]
ndc = local[:, :2] * focal / local[:, 2:] + principal
assert torch.allclose(ndc, pytorch3d.ndc_from_pixels(pixel, 220, 220), atol=1e-5)
print("PyTorch3D's NDC of the point:", [round(v, 3) for v in ndc[0].tolist()])
