"""Points on a surface: vertices, random, stratified, and farthest point sampling.

    python examples/07_sampling_a_surface.py

Writes sampling_a_surface.png. A tube with fine triangles at one end shows why faces must be
sampled in proportion to their area.
"""

import torch

import unrender as ur
from unrender.shapes import points, primitives, sampling

COUNT = 700


def tube(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """A tube whose rings crowd at one end, as v³ does."""
    turn = 2 * torch.pi * u
    return torch.stack([3 * v**3 - 1.5, 0.6 * turn.cos(), 0.6 * turn.sin()], dim=-1)


mesh = primitives.parametric_surface(tube, rows=24, columns=24, wrap_u=True)
generator = torch.Generator().manual_seed(0)
stratified = sampling.sample_surface(mesh, COUNT, generator).points
many = sampling.sample_surface(mesh, 20 * COUNT, generator).points
ways = {
    "vertices": mesh.vertices,
    "random by area": many[torch.randperm(len(many), generator=generator)[:COUNT]],
    "stratified by area": stratified,
    "farthest point sampling": many[points.farthest_point_sampling(many, COUNT)],
}
camera = ur.turntable(8, elevation=30).cameras(mesh)[6]
panels: dict[str, torch.Tensor] = {}
for name, chosen in ways.items():
    # How many points lie in each of 12 equal lengths of the tube.
    counts = torch.histc(chosen[:, 0], 12, -1.5, 1.5)
    print(f"{name:24} {counts.min():4.0f} to {counts.max():4.0f} points in a twelfth")
    # Closer points are darker.
    near = (chosen - camera.centers).norm(dim=1, keepdim=True)
    shade = (near - near.min()) / (near.max() - near.min())
    cloud = ur.PointCloud(chosen, shade.expand(-1, 3) * 0.9)
    panels[name] = ur.render(cloud, camera, radius=0.03).over("white")[0]
ur.save_panels("sampling_a_surface.png", panels)
