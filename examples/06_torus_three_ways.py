"""A torus three ways: a parametric surface, the level set of a function, and a point cloud.

    python examples/06_torus_three_ways.py

Writes torus_three_ways.png.
"""

import torch

import unrender as ur
from unrender.shapes import convert, mesh, primitives, sampling
from unrender.shapes.implicit import sdf

MAJOR, MINOR = 0.7, 0.3


def by_angles(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Around the axis by u, around the tube by v, both in [0, 1]."""
    around, tube = 2 * torch.pi * u, 2 * torch.pi * v
    ring = MAJOR + MINOR * tube.cos()
    return torch.stack([ring * around.cos(), ring * around.sin(), MINOR * tube.sin()], dim=-1)


# 1. Explicit: a grid of (u, v), wrapped in both directions.
surface = primitives.parametric_surface(by_angles, 24, 48, wrap_u=True, wrap_v=True)

# 2. Implicit: the zero level set of the signed distance, by marching cubes.
cells = ur.VoxelGrid.cube(torch.zeros(48, 48, 48), half_width=1.1)
level_set = convert.mesh_from_sdf(sdf.torus(MAJOR, MINOR), cells)

# 3. Points, sampled uniformly by area from the first.
samples = sampling.sample_surface(surface, 6000, torch.Generator().manual_seed(0))
points = ur.PointCloud(samples.points, None, samples.normals)

volume = 2 * torch.pi**2 * MAJOR * MINOR**2
for name, shape in (("parametric", surface), ("level set", level_set)):
    a, b, c = shape.vertices[shape.faces].unbind(1)
    inside = float((a * torch.linalg.cross(b, c)).sum() / 6)
    closed = mesh.is_watertight(shape.faces)
    print(f"{name}: {len(shape.faces)} faces, watertight: {closed}, volume {inside:.4f} "
          f"(2π²Rr² = {volume:.4f})")  # fmt: skip
distance = sdf.torus(MAJOR, MINOR)(points.points).abs()
print(f"points: at most {float(distance.max()):.4f} from the true surface")
shapes = {"parametric surface": surface, "level set of an SDF": level_set, "points": points}
view = ur.turntable(1, elevation=40)
ur.save_panels(
    "torus_three_ways.png",
    {name: ur.render(shape, view).over("white")[0] for name, shape in shapes.items()},
)
