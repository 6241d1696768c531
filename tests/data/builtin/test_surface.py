"""Surfaces of the built-in scenes: rendered points lie on them, and distances are exact."""

import math

import pytest
import torch

from unrender.data.builtin import NAMES, render_scene, tracer
from unrender.data.builtin.surface import distance, scene_sdf, surface_mesh, surface_points
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.shapes.mesh import face_normals, is_watertight

COARSE = 160
SIZE = 32
any_scene = pytest.mark.parametrize("name", NAMES)


@any_scene
def test_the_mesh_is_closed_outward_and_on_the_surface(name: str) -> None:
    mesh = surface_mesh(name, COARSE)
    assert is_watertight(mesh.faces)
    off = scene_sdf(name)(mesh.vertices).abs()
    assert float((off < 1e-5).float().mean()) > 0.999
    assert float(off.max()) < 2 * tracer.BALL / COARSE
    outward = face_normals(mesh.vertices, mesh.faces)
    assert mesh.normals is not None
    # Faces at edges lie between the two sides that meet there.
    agree = (outward * mesh.normals[mesh.faces[:, 0]]).sum(1) > 0
    assert float(agree.float().mean()) > 0.98
    a, b, c = mesh.vertices[mesh.faces].double().unbind(1)
    volume = float((a * torch.linalg.cross(b, c)).sum() / 6)
    cells = torch.rand(40_000, 3, generator=torch.Generator().manual_seed(0)) * 2.8 - 1.4
    inside = float((scene_sdf(name)(cells) < 0).float().mean()) * 2.8**3
    assert volume == pytest.approx(inside, rel=0.1)


@any_scene
def test_what_cameras_see_is_at_no_distance(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    poses = spherical_shell(3, (4.0, 4.0), generator, elevation=(0.2, 1.3))
    focal = 0.5 * SIZE / math.tan(0.35)
    views = render_scene(name, Cameras.from_focal(poses, focal, SIZE, SIZE), 1)
    assert views.masks is not None
    assert views.depths is not None
    camera, y, x = views.masks.nonzero(as_tuple=True)
    rays = views.cameras.rays(camera, torch.stack([x, y], dim=-1) + 0.5)
    points = rays.origins + views.depths[views.masks][:, None] * rays.directions
    away = distance(name, points, COARSE).abs()
    assert float(away.mean()) < 2e-3
    # Slits and rims thinner than two cells are lost to the mesh.
    assert float(away.quantile(0.99)) < 2 * tracer.BALL / COARSE


@any_scene
def test_the_function_bounds_the_distance(name: str) -> None:
    """The bound has the distance's sign, never exceeds it, and is smaller somewhere."""
    points = torch.rand(1500, 3, generator=torch.Generator().manual_seed(1)) * 2.4 - 1.2
    true, bound = distance(name, points, COARSE), scene_sdf(name)(points)
    assert torch.equal(true < 0, bound < 0)
    assert float((true < 0).float().mean()) > 0.005
    assert bool((bound.abs() <= true.abs() + 0.01).all())
    assert float((true.abs() - bound.abs()).max()) > 0.02


def test_drawn_points_are_on_the_surface_with_unit_normals() -> None:
    found = surface_points("chair", 5000, torch.Generator().manual_seed(0))
    off = scene_sdf("chair")(found.points).abs()
    assert float((off < 1e-5).float().mean()) > 0.99
    assert found.normals is not None
    torch.testing.assert_close(found.normals.norm(dim=1), torch.ones(5000))
    ahead = scene_sdf("chair")(found.points + 2e-3 * found.normals)
    assert float((ahead > 0).float().mean()) > 0.97


def test_unknown_names_and_no_cells_are_refused() -> None:
    with pytest.raises(InputError, match="bricks, chair, hotdog"):
        surface_mesh("teapot")
    with pytest.raises(InputError, match="bricks, chair, hotdog"):
        scene_sdf("teapot")
    with pytest.raises(InputError, match="resolution 1: give at least 2"):
        surface_mesh("chair", 1)
