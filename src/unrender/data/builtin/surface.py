"""Ground-truth surfaces of the built-in scenes, for evaluating reconstructions.

The scenes' functions are 0 on the surface, negative inside and 1-Lipschitz, but elsewhere only
bound the distance, because some solids are bent or scaled. True distances are computed to a
fine mesh whose vertices lie on the surface.
"""

from functools import cache
from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.data.builtin import scene_index, tracer
from unrender.data.builtin.source import Function, version
from unrender.errors import InputError
from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares
from unrender.shapes.chamfer import safe_sqrt
from unrender.shapes.convert import mesh_from_voxels, voxels_from_sdf
from unrender.shapes.implicit.differences import central_differences
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_distance import point_to_mesh_distance2
from unrender.shapes.points import PointCloud
from unrender.shapes.sampling import sample_surface
from unrender.shapes.voxels import VoxelGrid

RESOLUTION = 256
"""Grid cells per axis for the mesh that distances are computed to: a cell is 0.011 scene units,
0.4% of the diameter of the scenes' ball."""
NEWTON_STEPS = 4
GRADIENT_STEP = 1e-4


def scene_sdf(name: str) -> SDF:
    """A built-in scene's signed distance bound: 0 on the surface, negative inside.

    It never exceeds the distance, so it is safe for sphere tracing. Computed on the CPU in
    double precision, without gradients. Raises InputError if `name` is not in `NAMES`.
    """
    scene = scene_index(name)

    def bound(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        places = points.detach().cpu().double().contiguous().numpy()
        found = torch.empty(len(places), dtype=torch.float64)

        def fill(share: tuple[int, int]) -> None:
            fill_points(scene, places[slice(*share)], found.numpy()[slice(*share)])

        run_threads(fill, shares(len(places), 4 * num_threads()))
        return found.to(points)

    return bound


def distance(
    name: str, points: Float[Tensor, "points 3"], resolution: int = RESOLUTION
) -> Float[Tensor, "points"]:
    """Signed distance to the surface of a built-in scene, in scene units, negative inside.

    It is the distance to `surface_mesh`, whose faces deviate from the surface by about
    cell² / (8 r) where the radius of curvature is r. Raises InputError if `name` is not in
    `NAMES`.
    """
    away = safe_sqrt(point_to_mesh_distance2(points, surface_mesh(name, resolution)))
    return torch.where(scene_sdf(name)(points) < 0, -away, away)


@cache
def surface_mesh(name: str, resolution: int = RESOLUTION) -> Mesh:
    """A built-in scene's surface by marching cubes, with vertices on the surface and normals.

    `resolution` is the number of cells per side of the ball's cube, at least 2; gaps narrower
    than a cell (those between bricks are 0.01 wide) may close. Parts that no camera sees, such
    as the undersides, are included. Raises InputError if `name` is not in `NAMES`, or if
    `resolution` is below 2.
    """
    if resolution < 2:
        raise InputError(f"resolution {resolution}: give at least 2")
    sdf = scene_sdf(name)
    grid = VoxelGrid.cube(torch.empty((resolution,) * 3), tracer.BALL)
    values = voxels_from_sdf(sdf, grid).values
    found = mesh_from_voxels(grid.with_values(-values), 0.0, closed=False)
    vertices, normals = _on_surface(sdf, found.vertices, grid.cell)
    return Mesh(vertices, found.faces, None, normals)


def surface_points(name: str, count: int, generator: torch.Generator) -> PointCloud:
    """Uniform random points on the surface of a built-in scene, with normals.

    Raises InputError if `name` is not in `NAMES`.
    """
    drawn = sample_surface(surface_mesh(name), count, generator)
    cell = 2 * tracer.BALL / RESOLUTION
    points, normals = _on_surface(scene_sdf(name), drawn.points, cell)
    return PointCloud(points, None, normals)


def _on_surface(
    sdf: SDF, points: Float[Tensor, "points 3"], reach: float
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
    """Points projected to the surface by Newton steps, by at most `reach`, and unit normals."""
    start = points.double()
    places = start
    for _ in range(NEWTON_STEPS):
        slope = central_differences(sdf, places, GRADIENT_STEP)
        square = slope.square().sum(1, keepdim=True).clamp_min(0.1)
        moved = places - sdf(places)[:, None] * slope / square
        # At an edge the steps may drift along it: such points are not moved.
        near = (moved - start).norm(dim=1, keepdim=True) < reach
        places = torch.where(
            near & (sdf(moved).abs() < sdf(places).abs())[:, None], moved, places
        )
    normals = normalize(central_differences(sdf, places, GRADIENT_STEP), dim=1)
    return places.to(points), normals.to(points)


def _outermost(version: str) -> Function:
    """`fill_points`; naming `version` makes it part of their cache key."""

    @jit
    @no_type_check
    def fill_points(scene, points, values):
        """The scene's function at each point."""
        assert version
        for i in range(len(points)):
            values[i] = tracer.distance(scene, points[i, 0], points[i, 1], points[i, 2])

    return fill_points


fill_points = _outermost(version())
