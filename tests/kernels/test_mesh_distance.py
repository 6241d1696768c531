"""Distances to triangles and winding numbers: closed forms, brute force, and each backend."""

import math

import pytest
import torch
import trimesh
from inputs import sample
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.mesh_distance import nearest_face, winding_number
from unrender.kernels.mesh_distance.triangle import nearest_barycentrics
from unrender.kernels.runtime.backend import Backend


def tetrahedron() -> tuple[Tensor, Tensor]:
    """With right angles at 0 and sides of length 1; outward."""
    vertices = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    return vertices, torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def sphere(subdivisions: int = 3) -> tuple[Tensor, Tensor]:
    mesh = trimesh.creation.icosphere(subdivisions)
    return torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces).long()


def soup(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Small triangles anywhere, of which some have no area or are points."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 1, 3, generator=generator)
    corners = corners + 0.2 * torch.rand(count, 3, 3, generator=generator)
    corners[::5, 2] = (corners[::5, 0] + corners[::5, 1]) / 2
    corners[1::7] = corners[1::7, :1]
    return corners.view(-1, 3), torch.arange(3 * count).view(-1, 3)


def around(count: int, seed: int = 1) -> Tensor:
    return 3 * torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) - 1


def test_each_region_of_a_triangle() -> None:
    """Its middle, three corners and three sides, with points above and in its plane."""
    corners = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]])
    points = torch.tensor(
        [[0.5, 0.5, 3], [-1, -1, 1], [5, -1, 0], [-1, 5, 2], [1, -2, 1], [-3, 1, 0], [2, 2, 1]]
    ).float()
    expected = torch.tensor(
        [
            [0.5, 0.25, 0.25], [1, 0, 0], [0, 1, 0], [0, 0, 1],
            [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5],
        ]
    )  # fmt: skip
    torch.testing.assert_close(nearest_barycentrics(points, *corners), expected)


def test_no_sampled_point_is_nearer() -> None:
    generator = torch.Generator().manual_seed(0)
    vertices, faces = soup(40)
    share = torch.rand(40, 400, 3, generator=generator).log()
    share /= share.sum(-1, keepdim=True)
    samples = (share[..., None] * vertices[faces][:, None]).sum(-2).view(-1, 3)
    points = around(100)
    found = nearest_face(points, vertices, faces, "reference")
    sampled = torch.cdist(points.double(), samples.double()).amin(1).square()
    assert (found.distance2 <= sampled + 1e-6).all()
    assert (sampled.sqrt() - found.distance2.sqrt()).median() < 0.02
    assert (found.barycentrics >= 0).all()
    torch.testing.assert_close(found.barycentrics.sum(1), torch.ones(100))


@pytest.mark.parametrize("count", [1, 4, 5, 60])
def test_nearest_faces_agree_with_brute_force(
    backend: Backend, device: torch.device, count: int
) -> None:
    vertices, faces = soup(count, seed=count)
    points = torch.cat([around(60), vertices[:20]])
    expected = nearest_face(points, vertices, faces, "reference")
    found = nearest_face(points.to(device), vertices.to(device), faces.to(device), backend)
    torch.testing.assert_close(found.distance2.cpu(), expected.distance2, atol=1e-6, rtol=1e-4)


def test_distance_to_a_sphere(backend: Backend, device: torch.device) -> None:
    vertices, faces = sphere(2)
    points = torch.nn.functional.normalize(around(30, 3), dim=1) * torch.tensor(
        [[0.4], [2.0]]
    ).repeat(15, 1)
    found = nearest_face(points.to(device), vertices.to(device), faces.to(device), backend)
    expected = (points.norm(dim=1) - 1).abs()
    torch.testing.assert_close(found.distance2.sqrt().cpu(), expected, atol=0.02, rtol=0)


def test_winding_of_a_tetrahedron(backend: Backend, device: torch.device) -> None:
    vertices, faces = (each.to(device) for each in tetrahedron())
    points = torch.tensor([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5], [-0.1, 0.2, 0.2], [9.0, 9, 9]])
    asked = points.to(device)
    expected = torch.tensor([1.0, 0, 0, 0])
    found = winding_number(asked, vertices, faces, backend).cpu()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    twice = torch.cat([faces, faces])
    found = winding_number(asked, vertices, twice, backend).cpu()
    torch.testing.assert_close(found, 2 * expected, atol=2e-4, rtol=0)
    found = winding_number(asked, vertices, faces.flip(1), backend).cpu()
    torch.testing.assert_close(found, -expected, atol=1e-4, rtol=0)


def test_winding_on_a_face_is_one_half(backend: Backend, device: torch.device) -> None:
    vertices, faces = (each.to(device) for each in tetrahedron())
    point = torch.tensor([[0.2, 0.3, 0.0]], device=device)
    found = winding_number(point, vertices, faces, backend)
    assert float(found) == pytest.approx(0.5, abs=1e-5)


def test_one_face_is_its_solid_angle(backend: Backend, device: torch.device) -> None:
    """An octant of the sphere around the origin: an eighth."""
    vertices, faces = torch.eye(3, device=device), torch.tensor([[0, 1, 2]], device=device)
    origin = torch.zeros(1, 3, device=device)
    found = winding_number(origin, vertices, faces, backend)
    assert float(found) == pytest.approx(1 / 8, abs=1e-6)


def test_winding_is_the_sum_over_all_faces(backend: Backend, device: torch.device) -> None:
    """Dipoles are off by a few hundredths at most; of no face, by more than that."""
    vertices, faces = soup(60 if backend == "cuda" else 2000)
    points = around(200)
    expected = winding_number(points, vertices, faces, "reference")
    found = winding_number(points.to(device), vertices.to(device), faces.to(device), backend)
    scale = float(expected.abs().max())
    error = (found.cpu() - expected).abs().max()
    assert error < (0.03 * scale if backend == "cpu" else 1e-5)


@pytest.mark.parametrize("name", ["spot.obj", "suzanne.obj", "stanford-bunny.obj"])
def test_the_tree_tells_inside_from_outside_as_the_exact_sum(name: str) -> None:
    """Of a closed mesh, of one in pieces and of one with holes."""
    mesh = trimesh.load_mesh(sample(f"meshes/{name}"), process=True)
    vertices, faces = torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces).long()
    low, high = vertices.amin(0), vertices.amax(0)
    points = low + (high - low) * (around(50) + 1) / 3
    exact = winding_number(points, vertices, faces, "reference")
    fast = winding_number(points, vertices, faces, "cpu")
    assert (fast - exact).abs().max() < 0.04
    clear = (exact - 0.5).abs() > 0.04
    assert torch.equal(fast[clear] > 0.5, exact[clear] > 0.5)
    assert 0.05 < (exact > 0.5).float().mean() < 0.95


def test_a_hole_is_passed_smoothly() -> None:
    """A sphere without its cap: nearly 1 in the middle of what is left, ½ about the rim."""
    vertices, faces = sphere()
    open_faces = faces[vertices[faces].mean(1)[:, 2] < 0.8]
    heights = torch.linspace(-0.8, 2, 50)
    line = torch.stack([0 * heights, 0 * heights, heights], dim=1)
    found = winding_number(line, vertices, open_faces, "reference")
    assert (found.diff() < 0).all()
    assert found[0] > 0.95
    assert found[-1] < 0.15
    assert heights[(found - 0.5).abs().argmin()] == pytest.approx(0.8, abs=0.15)


def test_many_faces_on_one_place_do_no_harm() -> None:
    vertices, _ = tetrahedron()
    faces = torch.tensor([[1, 2, 3]]).expand(5000, 3)
    found = nearest_face(around(2000), vertices, faces, "cpu")
    alone = nearest_face(around(2000), vertices, faces[:1], "cpu")
    torch.testing.assert_close(found.distance2, alone.distance2)


def test_no_points_and_no_faces(backend: Backend, device: torch.device) -> None:
    vertices, faces = (each.to(device) for each in tetrahedron())
    none = torch.empty(0, 3, device=device)
    assert len(nearest_face(none, vertices, faces, backend).face) == 0
    assert len(winding_number(none, vertices, faces, backend)) == 0
    with pytest.raises(InputError, match="a mesh without faces"):
        winding_number(vertices, vertices, faces[:0], backend)
    with pytest.raises(InputError, match="a mesh without faces"):
        nearest_face(vertices, vertices, faces[:0], backend)


def test_a_square_of_faces_has_a_right_distance_at_any_scale(
    backend: Backend, device: torch.device
) -> None:
    square = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], device=device)
    for scale in (1e-3, 1.0, 1e3):
        points = scale * torch.tensor([[0.3, 0.4, 2.0], [4.0, 0.5, 0.0], [-3.0, -4.0, 0.0]])
        found = nearest_face(points.to(device), (scale * square).to(device), faces, backend)
        expected = scale * torch.tensor([2.0, 3.0, 5.0])
        torch.testing.assert_close(found.distance2.sqrt().cpu(), expected, rtol=1e-4, atol=0)
    assert math.isfinite(float(found.distance2.sum()))
