"""Conversions: noisy points to a mesh, to distances on a grid, to a solid, and to voxels.

    python examples/20_conversions.py

Writes conversions.png.
"""

import torch

import unrender as ur
from unrender.shapes import convert, mesh_checks, primitives, sampling
from unrender.shapes import points as clouds
from unrender.shapes.implicit import occupancy, sdf, solids

generator = torch.Generator().manual_seed(0)
truth = primitives.uv_sphere(24, 48)

# A scan: points with normals, of which every twentieth is far off.
samples = sampling.sample_surface(truth, 8000, generator)
away = torch.where(torch.arange(8000) % 20 == 0, 0.4 * torch.rand(8000, generator=generator), 0)
scan = ur.PointCloud(samples.points * (1 + away)[:, None], None, samples.normals)
kept = clouds.remove_outliers(scan, deviations=0.5)
print(f"points: {len(scan)}, without outliers {len(kept)}")

# The surface that the points lie on.
cells = ur.VoxelGrid.cube(torch.zeros(48, 48, 48), half_width=1.2)
surface = mesh_checks.clean_mesh(convert.mesh_from_points(kept, cells))
distance = sdf.sphere(1.0)(surface.vertices).abs()
print(f"mesh: {len(surface.faces)} faces, {float(distance.mean()):.4f} from the true sphere")

# Distances on a grid are a signed distance function like any other: here it is cut by a prism
# whose edges are rounded, and drawn as a solid with a soft border.
distances = sdf.grid_sdf(convert.sdf_voxels_from_mesh(surface, cells))
wedge = sdf.smooth_intersection(distances, solids.triangular_prism(1.5, 0.7), blend=0.1)
solid = convert.mesh_from_occupancy(occupancy.sdf_occupancy(wedge, softness=0.02), cells)

# Voxels: all inside, and those on the surface alone.
coarse = ur.VoxelGrid.cube(torch.zeros(24, 24, 24), half_width=1.2)
filled = convert.voxels_from_mesh(solid, coarse)
shell = convert.surface_voxels_from_mesh(solid, coarse)
print(f"voxels: {int(filled.values.sum())} inside, {int(shell.values.sum())} on the surface")

view = ur.turntable(8, elevation=35)
shapes = {"scan": scan, "its surface": surface, "cut by a prism": solid, "voxels": filled}
pictures = {
    name: ur.render(shape, view.cameras(shape)[1]).over("white")[0]
    for name, shape in shapes.items()
}
ur.save_panels("conversions.png", pictures)
