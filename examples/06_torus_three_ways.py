"""A torus three ways: as a parametric surface, as the level of a function, and as points.

    python examples/06_torus_three_ways.py

Writes torus_three_ways.png.
"""

import math
from pathlib import Path

import torch

from unrender.imaging.files import write_image
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.shapes.convert import mesh_from_sdf
from unrender.shapes.implicit import sdf
from unrender.shapes.mesh import is_watertight
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import parametric_surface
from unrender.shapes.sampling import sample_surface
from unrender.shapes.voxels import VoxelGrid

MAJOR, MINOR = 0.7, 0.3


def by_angles(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Around the axis by u, around the tube by v."""
    around, tube = 2 * math.pi * u, 2 * math.pi * v
    ring = MAJOR + MINOR * tube.cos()
    return torch.stack([ring * around.cos(), ring * around.sin(), MINOR * tube.sin()], dim=-1)


# 1. Explicit: a grid of (u, v), its ends joined in both directions.
surface = parametric_surface(by_angles, rows=24, columns=48, wrap_u=True, wrap_v=True)

# 2. Implicit: where the signed distance is 0, found by marching cubes.
cells = VoxelGrid.cube(torch.zeros(48, 48, 48), half_width=1.1)
level = mesh_from_sdf(sdf.torus(MAJOR, MINOR), cells)

# 3. Points: drawn evenly by area from the first.
drawn = sample_surface(surface, 6000, torch.Generator().manual_seed(0))
points = PointCloud(drawn.points, None, drawn.normals)

volume = 2 * math.pi**2 * MAJOR * MINOR**2
pictures: list[torch.Tensor] = []
for name, shape in (("parametric", surface), ("signed distance", level), ("points", points)):
    camera = cameras_around(shape, 1, 256, elevation=0.7)
    pictures.append(shape_renderer(shape)(camera).over(torch.ones(3))[0])
    if not isinstance(shape, PointCloud):
        a, b, c = shape.vertices[shape.faces].unbind(1)
        inside = float((a * torch.linalg.cross(b, c)).sum() / 6)
        print(f"{name}: {len(shape.faces)} faces, watertight: {is_watertight(shape.faces)},",
              f"volume {inside:.4f} (2π²Rr² = {volume:.4f})")  # fmt: skip
distance = sdf.torus(MAJOR, MINOR)(points.points).abs()
print(f"points: at most {float(distance.max()):.4f} from the true surface")
write_image(Path("torus_three_ways.png"), torch.cat(pictures, dim=1).clamp(0, 1))
