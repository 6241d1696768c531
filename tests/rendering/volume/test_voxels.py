"""Images of voxels against Beer's law, ray-box intersections, and the mesh of their faces."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.paths import spherical_shell
from unrender.geometry.pixels import pixel_grid
from unrender.rendering.volume.voxels import render_voxels, voxels_renderer
from unrender.shapes.mesh import Mesh
from unrender.shapes.voxels import VoxelGrid, cubify, density_from_occupancy

GRAY = torch.full((3,), 0.5)


def rays(origins: list[list[float]], directions: list[list[float]]) -> Rays:
    start, along = torch.tensor(origins).float(), torch.tensor(directions).float()
    none = torch.zeros(len(start))
    return Rays(start, normalize(along, dim=1), none, none.long())


def cameras(count: int, size: int) -> Cameras:
    poses = spherical_shell(count, (3.9, 4.1), torch.Generator().manual_seed(0), (-1.2, 1.2))
    return Cameras.from_focal(poses, 1.6 * size, size, size)


def test_fog_follows_beer_lambert() -> None:
    grid = VoxelGrid.cube(torch.full((5, 5, 5), 0.7), 1.0)
    found = render_voxels(
        grid,
        GRAY,
        rays(
            [[-3, 0.1, 0.2], [-3, -3, 0.05], [0, 0, 0], [-3, 5, 0]],
            [[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]],
        ),
    )
    lengths = torch.tensor([2.0, 2 * 2**0.5, 1.0, 0.0])
    opacity = 1 - (-0.7 * lengths).exp()
    torch.testing.assert_close(found.opacity, opacity, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        found.color, opacity[:, None].expand(4, 3) / 2, atol=1e-5, rtol=0
    )
    # The mean of an exponential distribution truncated at 2.
    mean = 1 / 0.7 - 2 / math.expm1(1.4)
    assert float(found.depth[0]) == pytest.approx(2 + mean, abs=1e-4)
    assert found.normals is not None
    torch.testing.assert_close(found.normals[0], torch.tensor([-1.0, 0, 0]))
    assert (found.normals[3] == 0).all()


def test_an_opaque_cell_looks_like_a_box() -> None:
    values = torch.zeros(3, 4, 5)
    values[1, 2, 3] = 1
    grid = density_from_occupancy(VoxelGrid(values, (0.0, 0.0, 0.0), 1.0))
    found = render_voxels(
        grid,
        GRAY,
        rays(
            [[1.5, 2.5, 9], [-2, 2.5, 3.2], [1.2, -3, 3.9], [1.5, 1.9, -5]],
            [[0, 0, -1], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
        ),
    )
    torch.testing.assert_close(found.opacity, torch.tensor([1.0, 1, 1, 0]))
    torch.testing.assert_close(found.depth, torch.tensor([5.0, 3, 5, 0]), atol=1e-4, rtol=0)
    normals = torch.tensor([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, 0]])
    torch.testing.assert_close(found.normals, normals)


def first_hits(mesh: Mesh, seen: Rays) -> tuple[Tensor, Tensor]:
    """Distance to the nearest face, infinite where there is none, and its normal."""
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    origins, directions = seen.origins.double()[:, None], seen.directions.double()[:, None]
    e, f = b - a, c - a
    p = torch.linalg.cross(directions, f[None].expand(len(directions), -1, -1))
    scale = (e * p).sum(-1)
    s = origins - a
    u = (s * p).sum(-1) / scale
    q = torch.linalg.cross(s, e[None].expand_as(s))
    v = (directions * q).sum(-1) / scale
    t = (f * q).sum(-1) / scale
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    near = torch.where(hit, t, math.inf).min(1)
    return near.values, normalize(torch.linalg.cross(e, f), dim=1)[near.indices]


def test_opaque_cells_look_like_the_mesh_of_their_faces() -> None:
    generator = torch.Generator().manual_seed(0)
    grid = VoxelGrid.cube((torch.rand(6, 6, 6, generator=generator) < 0.3).float(), 1.0)
    view = cameras(2, 24)
    found = voxels_renderer(density_from_occupancy(grid), GRAY)(view)
    index = torch.arange(2)[:, None, None].expand(2, 24, 24)
    pixels = pixel_grid(24, 24).expand(2, 24, 24, 2)
    distance, normals = first_hits(
        cubify(grid), view.rays(index.flatten(), pixels.reshape(-1, 2))
    )
    silhouette = distance.isfinite()
    assert 0.2 < silhouette.float().mean() < 0.9
    assert torch.equal(found.opacity.flatten() > 0.5, silhouette)
    assert ((found.opacity < 1e-3) | (found.opacity > 0.99)).all()
    assert found.normals is not None
    same = (found.normals.view(-1, 3) - normals.float())[silhouette].norm(dim=1) < 1e-2
    assert same.float().mean() > 0.98
    error = (found.depth.flatten() - distance)[silhouette]
    assert error.abs().max() < 1e-3


def test_each_cell_has_its_color() -> None:
    color = torch.rand(2, 2, 2, 3)
    grid = density_from_occupancy(VoxelGrid(torch.ones(2, 2, 2), (0.0, 0.0, 0.0), 1.0))
    found = render_voxels(grid, color, rays([[1.5, 0.5, 9.0]], [[0, 0, -1]]))
    torch.testing.assert_close(found.color[0], color[1, 0, 1])


def test_gradients_of_densities_and_colors() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, 3, 3, generator=generator).double().requires_grad_()
    color = torch.rand(3, 3, 3, 3, generator=generator).double().requires_grad_()
    seen = rays([[-3, 0.1, 0.2], [-3, -2.5, 0.05]], [[1, 0.1, 0], [1, 1, 0.2]])
    double = Rays(
        seen.origins.double(), seen.directions.double(), seen.pixel_radius, seen.camera_index
    )

    def image(values: Tensor, color: Tensor) -> Tensor:
        found = render_voxels(VoxelGrid.cube(values, 1.0), color, double)
        return torch.cat([found.color.flatten(), found.opacity, found.depth])

    assert torch.autograd.gradcheck(image, (values, color), atol=1e-4)


@pytest.mark.parametrize("inside", [True, False])
def test_cameras_inside_and_outside(inside: bool) -> None:
    grid = VoxelGrid.cube(torch.full((4, 4, 4), 0.3), 1.0)
    start = [0.1, 0.2, 0.3] if inside else [-7.0, 0.2, 0.3]
    found = render_voxels(grid, GRAY, rays([start, start], [[1, 0, 0], [-1, 0, 0]]))
    lengths = torch.tensor([0.9, 1.1] if inside else [2.0, 0.0])
    torch.testing.assert_close(found.opacity, 1 - (-0.3 * lengths).exp(), atol=1e-5, rtol=0)
