"""The surfaces of the built-in scenes, to judge reconstructions by.

The scenes' functions are 0 on the surface, negative inside and 1-Lipschitz, but only bounds of
the distance elsewhere: some solids are bent or scaled. True distances are those to a fine mesh
whose vertices lie on the surface.
"""

from functools import cache
from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.builtin import NAMES, tracer
from unrender.data.builtin.source import Function, version
from unrender.errors import InputError
from unrender.kernels.runtime.jit import jit, num_threads, run_threads, shares
from unrender.shapes.chamfer import safe_sqrt
from unrender.shapes.convert import mesh_from_voxels
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_distance import point_to_mesh_distance2
from unrender.shapes.points import PointCloud
from unrender.shapes.sampling import sample_surface
from unrender.shapes.voxels import VoxelGrid

RESOLUTION = 256
"""Cells along each axis of the mesh that distances are to: one is 0.011 scene units, 0.4% of
the diameter of the scenes' ball."""
BLOCK = 8
"""Cells along each side of the blocks that are skipped far from the surface."""
NEWTON_STEPS = 4
GRADIENT_STEP = 1e-4


def scene_sdf(name: str) -> SDF:
    """A built-in scene's own function: 0 on the surface, negative inside, a bound elsewhere.

    Safe to step by along rays. On the CPU in double precision, and without gradients.
    InputError for names that are not in `NAMES`.
    """
    scene = _index(name)

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
    """Distance to the surface of a built-in scene, in scene units, negative inside.

    That to `surface_mesh`, whose faces miss the surface by about cell² / (8 radius) where it is
    curved with that radius. InputError for names that are not in `NAMES`.
    """
    away = safe_sqrt(point_to_mesh_distance2(points, surface_mesh(name, resolution)))
    return torch.where(scene_sdf(name)(points) < 0, -away, away)


@cache
def surface_mesh(name: str, resolution: int = RESOLUTION) -> Mesh:
    """The surface of a built-in scene by marching cubes, with its normals, its vertices on it.

    `resolution` cells along each side of the ball's cube, at least 2; gaps narrower than a cell
    (those between the bricks have 0.01) may close. What no camera sees is part of it, such as
    the undersides. InputError for names that are not in `NAMES`, or too few cells.
    """
    if resolution < 2:
        raise InputError(f"a grid of {resolution} cells a side has no surface: give 2 or more")
    scene = _index(name)
    grid = VoxelGrid.cube(torch.empty((resolution,) * 3), tracer.BALL)

    def fill(share: tuple[int, int]) -> None:
        fill_near(scene, grid.values.numpy(), grid.cell, tracer.BALL, *share)

    num_blocks = -(-resolution // BLOCK)
    run_threads(fill, [(k, k + 1) for k in range(num_blocks)])
    found = mesh_from_voxels(grid.with_values(-grid.values), 0.0, closed=False)
    vertices, normals = _on_surface(scene_sdf(name), found.vertices, grid.cell)
    return Mesh(vertices, found.faces, None, normals)


def surface_points(name: str, count: int, generator: torch.Generator) -> PointCloud:
    """Points spread evenly over the surface of a built-in scene, on it, with its normals.

    InputError for names that are not in `NAMES`.
    """
    drawn = sample_surface(surface_mesh(name), count, generator)
    cell = 2 * tracer.BALL / RESOLUTION
    points, normals = _on_surface(scene_sdf(name), drawn.points, cell)
    return PointCloud(points, None, normals)


def _on_surface(
    sdf: SDF, points: Float[Tensor, "points 3"], reach: float
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
    """Points moved to the surface by Newton's steps, at most `reach` far, and unit normals."""
    start = points.double()
    places = start
    for _ in range(NEWTON_STEPS):
        slope = _slope(sdf, places)
        square = slope.square().sum(1, keepdim=True).clamp_min(0.1)
        moved = places - sdf(places)[:, None] * slope / square
        # At an edge the steps may run off along it: such points stay where they were.
        near = (moved - start).norm(dim=1, keepdim=True) < reach
        places = torch.where(
            near & (sdf(moved).abs() < sdf(places).abs())[:, None], moved, places
        )
    return places.to(points), torch.nn.functional.normalize(_slope(sdf, places), dim=1).to(
        points
    )


def _slope(sdf: SDF, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
    """The gradient by central differences."""
    columns = [
        (sdf(points + step) - sdf(points - step)) / (2 * GRADIENT_STEP)
        for step in GRADIENT_STEP * torch.eye(3, dtype=points.dtype)
    ]
    return torch.stack(columns, dim=1)


def _index(name: str) -> int:
    if name not in NAMES:
        raise InputError(f"{name}: no such built-in scene; choose from {', '.join(NAMES)}")
    return NAMES.index(name)


def _outermost(version: str) -> tuple[Function, Function]:
    """`fill_points` and `fill_near`; that they name `version` makes it part of their key."""

    @jit
    @no_type_check
    def fill_points(scene, points, values):
        """The scene's function at each point."""
        assert version
        for i in range(len(points)):
            values[i] = tracer.distance(scene, points[i, 0], points[i, 1], points[i, 2])

    @jit
    @no_type_check
    def fill_near(scene, values, cell, half_width, start, stop):
        """The function at the middles of cells, for blocks [start, stop) of x.

        Blocks without surface have the value at their own middle: right in sign.
        """
        assert version
        size = values.shape[0]
        half = 0.5 * BLOCK * cell
        for first_x in range(start * BLOCK, min(stop * BLOCK, size), BLOCK):
            for first_y in range(0, size, BLOCK):
                for first_z in range(0, size, BLOCK):
                    x = first_x * cell - half_width
                    y = first_y * cell - half_width
                    z = first_z * cell - half_width
                    middle = tracer.distance(scene, x + half, y + half, z + half)
                    block = values[
                        first_x : first_x + BLOCK,
                        first_y : first_y + BLOCK,
                        first_z : first_z + BLOCK,
                    ]
                    if abs(middle) > 1.75 * half + 2 * cell:
                        block[:, :, :] = middle
                        continue
                    for i in range(block.shape[0]):
                        for j in range(block.shape[1]):
                            for k in range(block.shape[2]):
                                block[i, j, k] = tracer.distance(
                                    scene,
                                    x + (i + 0.5) * cell,
                                    y + (j + 0.5) * cell,
                                    z + (k + 0.5) * cell,
                                )

    return fill_points, fill_near


fill_points, fill_near = _outermost(version())
