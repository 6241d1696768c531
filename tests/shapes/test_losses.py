"""Laplacians and losses on meshes: closed forms, finite differences, and batches."""

from typing import Literal

import pytest
import torch
from scipy.spatial import Delaunay

from unrender.shapes.losses import (
    Topology,
    edge_length_loss,
    laplacian_smoothing,
    mean_curvature_normals,
    normal_consistency,
    uniform_laplacian,
)
from unrender.shapes.mesh import Mesh, Meshes
from unrender.shapes.primitives import (
    cube,
    cylinder,
    icosphere,
    parametric_surface,
    tetrahedron,
    triangle,
)

KINDS: tuple[Literal["uniform", "cotangent"], ...] = ("uniform", "cotangent")


def in_double(mesh: Mesh) -> Mesh:
    return mesh.with_vertices(mesh.vertices.double())


def flat_mesh() -> tuple[Mesh, torch.Tensor]:
    """Triangles of random points of a plane that lies askew, and which vertices are inside."""
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(60, 2, generator=generator, dtype=torch.float64)
    places[:4] = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    axes = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.6, 0.8]], dtype=torch.float64)
    mesh = Mesh(places @ axes, torch.from_numpy(Delaunay(places.numpy()).simplices).long())
    edge = torch.tensor(Delaunay(places.numpy()).convex_hull).unique()
    inside = torch.ones(60, dtype=torch.bool)
    inside[edge] = False
    return mesh, inside


def test_a_plane_has_no_curvature() -> None:
    mesh, inside = flat_mesh()
    topology = Topology.of(mesh)
    found = mean_curvature_normals(mesh.vertices, topology)
    assert float(found[inside].abs().max()) < 1e-8
    # The net can fail: the uniform one sees how the vertices are spread.
    assert float(uniform_laplacian(mesh.vertices, topology)[inside].abs().max()) > 1e-2
    assert float(normal_consistency(mesh.vertices, topology)) == pytest.approx(0, abs=1e-12)


def test_a_stretched_plane_has_none_either() -> None:
    """Its edges are no longer Delaunay's, so that some weights are negative."""
    mesh, inside = flat_mesh()
    vertices = mesh.vertices * torch.tensor([5.0, 1.0, 1.0])
    found = mean_curvature_normals(vertices, Topology.of(mesh))
    assert float(found[inside].abs().max()) < 1e-8


@pytest.mark.parametrize("radius", [0.5, 1.0, 3.0])
def test_the_curvature_of_a_sphere(radius: float) -> None:
    mesh = icosphere(4)
    vertices = radius * mesh.vertices.double()
    found = mean_curvature_normals(vertices, Topology.of(in_double(mesh)))
    torch.testing.assert_close(found, -2 / radius**2 * vertices, rtol=0, atol=0.02 / radius)


def test_the_curvature_of_a_cylinder() -> None:
    mesh = cylinder(2.0, 3.0, 120, 40)
    found = mean_curvature_normals(mesh.vertices.double(), Topology.of(in_double(mesh)))
    wall = mesh.vertices[:, 2].abs() < 1.2
    outward = mesh.vertices[wall] * torch.tensor([0.5, 0.5, 0.0])
    # H is half of 1/r: the other direction is straight.
    torch.testing.assert_close(found[wall], -0.5 * outward.double(), rtol=0, atol=5e-3)


def test_by_hand_on_a_cube_and_a_tetrahedron() -> None:
    solid = in_double(tetrahedron())
    topology = Topology.of(solid)
    # Every vertex' neighbours are all others, whose mean is −1/3 of it.
    expected = -4 / 3 * solid.vertices
    torch.testing.assert_close(uniform_laplacian(solid.vertices, topology), expected)
    for kind in KINDS:
        loss = laplacian_smoothing(solid.vertices, topology, kind)
        assert float(loss) == pytest.approx(4 / 3, rel=1e-6)
    assert float(edge_length_loss(solid.vertices, topology)) == pytest.approx(8 / 3, rel=1e-6)
    side = (8 / 3) ** 0.5
    assert float(edge_length_loss(solid.vertices, topology, side)) == pytest.approx(
        0, abs=1e-10
    )
    # cos of the angle between a tetrahedron's normals is −1/3.
    found = normal_consistency(solid.vertices, topology)
    assert float(found) == pytest.approx(4 / 3, rel=1e-6)
    # Six flat edges across a cube's sides, twelve right angles.
    box = in_double(cube())
    assert float(normal_consistency(box.vertices, Topology.of(box))) == pytest.approx(12 / 18)


def test_folds_count_alike_however_faces_are_turned() -> None:
    box = in_double(cube())
    faces = box.faces.clone()
    faces[::2] = faces[::2].flip(1)
    turned = Mesh(box.vertices, faces)
    both = [normal_consistency(mesh.vertices, Topology.of(mesh)) for mesh in (box, turned)]
    torch.testing.assert_close(both[0], both[1])


def bumpy() -> Mesh:
    sphere = icosphere(1)
    noise = torch.randn(sphere.vertices.shape, generator=torch.Generator().manual_seed(0))
    return in_double(sphere.with_vertices(sphere.vertices + 0.1 * noise))


def test_gradients_are_finite_differences() -> None:
    mesh = bumpy()
    topology = Topology.of(mesh)
    vertices = mesh.vertices.clone().requires_grad_()
    for function in (
        uniform_laplacian,
        mean_curvature_normals,
        laplacian_smoothing,
        normal_consistency,
        edge_length_loss,
    ):
        assert torch.autograd.gradcheck(function, (vertices, topology), fast_mode=True)


def test_the_gradient_with_cotangents_is_that_of_fixed_weights() -> None:
    """Desbrun et al. take weights for constants: along the Laplacian itself it must go down."""
    mesh = bumpy()
    topology = Topology.of(mesh)
    vertices = mesh.vertices.clone().requires_grad_()
    loss = laplacian_smoothing(vertices, topology, "cotangent")
    loss.backward()
    assert vertices.grad is not None
    with torch.no_grad():
        less = laplacian_smoothing(vertices - 1e-3 * vertices.grad, topology, "cotangent")
    assert float(less) < float(loss.detach())


def test_each_mesh_counts_alike() -> None:
    parts = [in_double(mesh) for mesh in (tetrahedron(), icosphere(2), cube(), triangle())]
    batch = Meshes.pack(parts)
    topology = Topology.of(batch)
    for loss in (laplacian_smoothing, normal_consistency, edge_length_loss):
        alone = [loss(mesh.vertices, Topology.of(mesh)) for mesh in parts]
        torch.testing.assert_close(loss(batch.vertices, topology), torch.stack(alone).mean())


def test_degenerate_faces_and_lone_vertices_do_no_harm() -> None:
    box = in_double(cube())
    vertices = torch.cat(
        [box.vertices, box.vertices[:1], box.vertices[:1] + 5]
    ).requires_grad_()
    faces = torch.cat([box.faces, torch.tensor([[0, 8, 1], [2, 2, 3]])])
    topology = Topology.of(Mesh(vertices.detach(), faces))
    total = normal_consistency(vertices, topology) + edge_length_loss(vertices, topology)
    for kind in KINDS:
        total = total + laplacian_smoothing(vertices, topology, kind)
    (total + mean_curvature_normals(vertices, topology).square().sum()).backward()
    assert vertices.grad is not None
    assert bool(vertices.grad.isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
def test_smoothing_makes_a_noisy_sphere_round(kind: Literal["uniform", "cotangent"]) -> None:
    sphere = icosphere(3)
    noise = torch.randn(sphere.vertices.shape, generator=torch.Generator().manual_seed(0))
    vertices = (sphere.vertices + 0.03 * noise).requires_grad_()
    topology = Topology.of(sphere)
    before = float(normal_consistency(vertices.detach(), topology))
    optimizer = torch.optim.Adam([vertices], 2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        laplacian_smoothing(vertices, topology, kind).backward()
        optimizer.step()
    assert float(normal_consistency(vertices.detach(), topology)) < 0.5 * before


def test_a_saddle_has_no_mean_curvature_at_its_middle() -> None:
    def saddle(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        x, y = 2 * u - 1, 2 * v - 1
        return torch.stack([x, y, x**2 - y**2], dim=-1)

    mesh = in_double(parametric_surface(saddle, 40, 40))
    found = mean_curvature_normals(mesh.vertices, Topology.of(mesh))
    middle = mesh.vertices.norm(dim=1).argmin()
    assert float(found[middle].norm()) < 0.02
