"""Points of a surface: by vertex, at random, stratified, and far from each other.

    python examples/07_sampling_a_surface.py

Writes sampling_a_surface.png. A tube with fine triangles at one end shows why faces have to be
drawn by their area.
"""

from pathlib import Path

import torch

from unrender.imaging.files import write_image
from unrender.rendering.points import points_renderer
from unrender.rendering.shapes import cameras_around
from unrender.shapes.points import farthest_point_sampling
from unrender.shapes.primitives import parametric_surface
from unrender.shapes.sampling import sample_surface

COUNT = 700


def tube(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Its rings crowd at one end, as v³ does."""
    turn = 2 * torch.pi * u
    return torch.stack([3 * v**3 - 1.5, 0.6 * turn.cos(), 0.6 * turn.sin()], dim=-1)


mesh = parametric_surface(tube, rows=24, columns=24, wrap_u=True)
generator = torch.Generator().manual_seed(0)
drawn = sample_surface(mesh, COUNT, generator)
many = sample_surface(mesh, 20 * COUNT, generator)
random = many.points[torch.randperm(len(many.points), generator=generator)[:COUNT]]
ways = {
    "vertices": mesh.vertices,
    "at random by area": random,
    "stratified by area": drawn.points,
    "farthest points": many.points[farthest_point_sampling(many.points, COUNT)],
}
camera = cameras_around(mesh, 8, 256, elevation=0.5).select(slice(6, 7))
pictures: list[torch.Tensor] = []
for name, points in ways.items():
    # How many of 12 equal lengths of the tube's side hold, of points drawn evenly.
    counts = torch.histc(points[:, 0], 12, -1.5, 1.5)
    print(f"{name:20} {counts.min():4.0f} to {counts.max():4.0f} points in a twelfth")
    # What is near is dark.
    near = (points - camera.centers).norm(dim=1, keepdim=True)
    shade = (near - near.min()) / (near.max() - near.min())
    spots = points_renderer(points, shade.expand(-1, 3) * 0.9, radius=0.03)
    pictures.append(spots(camera).over(torch.ones(3))[0])
write_image(Path("sampling_a_surface.png"), torch.cat(pictures, dim=1).clamp(0, 1))
