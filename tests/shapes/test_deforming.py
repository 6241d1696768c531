"""Coordinates in which a mesh moves smoothly."""

import torch

from unrender.shapes.deforming import DeformingMesh
from unrender.shapes.mesh import edges_of
from unrender.shapes.primitives import icosphere

SPHERE = icosphere(2)


def test_begins_at_the_template() -> None:
    surface = DeformingMesh(SPHERE.vertices, SPHERE.faces, 5.0)
    torch.testing.assert_close(surface.vertices(), SPHERE.vertices, atol=1e-5, rtol=0)


def test_without_smoothness_coordinates_are_vertices() -> None:
    surface = DeformingMesh(SPHERE.vertices, SPHERE.faces, 0.0)
    torch.testing.assert_close(surface.coordinates.detach(), SPHERE.vertices)


def test_a_shift_is_a_shift() -> None:
    """The Laplacian of what is constant is 0."""
    surface = DeformingMesh(SPHERE.vertices, SPHERE.faces, 7.0)
    with torch.no_grad():
        surface.coordinates += torch.tensor([1.0, -2.0, 0.5])
    expected = SPHERE.vertices + torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(surface.vertices(), expected, atol=1e-4, rtol=0)


def test_one_coordinate_takes_neighbours_along() -> None:
    """By less with each edge between, and all together as much as one vertex alone would."""
    a, b = edges_of(SPHERE.faces).vertices.T
    near = torch.cat([b[a == 0], a[b == 0]])
    for smoothness in (0.0, 1.0, 10.0):
        surface = DeformingMesh(SPHERE.vertices, SPHERE.faces, smoothness)
        with torch.no_grad():
            surface.coordinates[0, 0] += 1
        moved = (surface.vertices() - SPHERE.vertices)[:, 0].detach()
        torch.testing.assert_close(moved.sum(), torch.tensor(1.0), atol=1e-3, rtol=0)
        assert bool((moved[near] < moved[0]).all())
        assert bool((moved[near] > 1e-3).all()) == (smoothness > 0)


def test_gradients_by_finite_differences() -> None:
    surface = DeformingMesh(SPHERE.vertices, SPHERE.faces, 3.0).double()
    weights = torch.randn(SPHERE.vertices.shape, dtype=torch.float64)
    start = surface.coordinates.detach().clone()

    def total(coordinates: torch.Tensor) -> torch.Tensor:
        return (weights * torch.cholesky_solve(coordinates, surface.factor).square()).sum()

    (weights * surface.vertices().square()).sum().backward()
    assert surface.coordinates.grad is not None
    step = torch.zeros_like(start)
    step[5, 1] = 1e-5
    slope = (total(start + step) - total(start - step)) / 2e-5
    torch.testing.assert_close(surface.coordinates.grad[5, 1], slope, rtol=1e-6, atol=1e-8)
