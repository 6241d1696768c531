"""A dolly zoom: the camera moves back while its focal length grows.

    python examples/08_dolly_zoom.py [MESH]

Writes dolly_zoom.gif, and dolly_zoom.png with three of its frames. The subject keeps its size,
and the background comes closer, as in Hitchcock's "Vertigo".
"""

import sys

import torch

import unrender as ur
from unrender.shapes import mesh, primitives

SIZE, FRAMES = 240, 24


def tinted(shape: ur.Mesh, color: tuple[float, float, float]) -> ur.Mesh:
    """The same mesh in one color."""
    return ur.Mesh.colored(shape.vertices, shape.faces, torch.tensor([color]))


def column(k: int, side: float) -> ur.Mesh:
    """One of the columns in the background, along the line of sight to the subject's side."""
    box = primitives.cube()
    distance = 1.5 + 1.5 * k
    at = torch.tensor([side - 0.25 * distance, distance, -0.1])
    tall = box.with_vertices(box.vertices * torch.tensor([0.2, 0.2, 0.8]) + at)
    return tinted(tall, (0.35 + 0.15 * k, 0.45, 0.75 - 0.15 * k))


subject = ur.Mesh.load(sys.argv[1]) if len(sys.argv) > 1 else ur.Mesh.sphere()
# Meshes face +y in this library; the camera is on the other side.
subject = subject.unit_cube()
subject = subject.with_vertices(subject.vertices * torch.tensor([-1.0, -1.0, 1.0]))
columns = [column(k, side) for k in range(4) for side in (-0.5, 0.5)]
world = mesh.join_meshes([tinted(subject, (0.9, 0.85, 0.8)), *columns])

distance = torch.linspace(1.6, 8.0, FRAMES)
eyes = torch.stack([0.25 * distance, -distance, 0.1 * distance], dim=1)
poses = ur.Cameras.look_at(eyes, size=(SIZE, SIZE)).world_from_camera
# The subject has the same size in every frame if focal length / distance is constant.
focal = 0.75 * SIZE * eyes.norm(dim=1)
cameras = ur.Cameras.from_focal(poses, focal, SIZE, SIZE)
rendering = ur.render(world, cameras, progress=False)
rendering.save("dolly_zoom.gif", background="lightgray", fps=12)
fov = [2 * torch.atan(SIZE / 2 / f).rad2deg() for f in focal[[0, 8, 23]]]
images = rendering.over("lightgray")[[0, 8, 23]]
panels = {f"{float(f):.0f}° field of view": image for f, image in zip(fov, images, strict=True)}
ur.save_panels("dolly_zoom.png", panels)
print(
    "dolly_zoom.gif:", " → ".join(panels), f"at {distance[0]:.1f} to {distance[-1]:.1f} units"
)
