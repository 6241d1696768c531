"""Points on meshes: spread by area, evenly within a face, and stratified."""

import pytest
import torch
from scipy.stats import chi2

from unrender.errors import InputError
from unrender.shapes.mesh import Mesh, Meshes, face_areas
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import cube, icosphere, tetrahedron, torus
from unrender.shapes.sampling import sample_surface, sample_surfaces
from unrender.shapes.textures import VertexColors


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


UNEVEN = torus(1.0, 0.7, 9, 12)
"""Its inner faces are a fifth of its outer ones."""


def misfit(face: torch.Tensor, expected: torch.Tensor) -> float:
    """Chi-square of the counts of faces, as the share of random counts that misfit less."""
    counts = face.bincount(minlength=len(expected))
    statistic = ((counts - expected).square() / expected).sum()
    return float(chi2.cdf(float(statistic), len(expected) - 1))


def test_faces_get_points_by_their_area() -> None:
    areas = face_areas(UNEVEN.vertices, UNEVEN.faces)
    expected = 20_000 * areas / areas.sum()
    face = sample_surface(UNEVEN, 20_000, seeded()).face
    assert misfit(face, expected) < 0.999
    # Stratified: to within one at either end.
    assert float((face.bincount(minlength=len(areas)) - expected).abs().max()) < 2
    # The net can fail: the same number for each face is far off.
    even = torch.randint(len(areas), (20_000,), generator=seeded())
    assert misfit(even, expected) > 0.999999


def test_points_are_uniform_within_a_face() -> None:
    drawn = sample_surface(tetrahedron(), 40_000, seeded())
    weights = drawn.barycentrics
    torch.testing.assert_close(weights.sum(1), torch.ones(40_000))
    assert float(weights.min()) >= 0
    # Moments of the flat Dirichlet distribution.
    torch.testing.assert_close(weights.mean(0), torch.full((3,), 1 / 3), atol=4e-3, rtol=0)
    second = weights.T @ weights / 40_000
    exact = (torch.eye(3) + 1) / 12
    torch.testing.assert_close(second, exact, atol=4e-3, rtol=0)


def test_moments_of_a_solid_surface() -> None:
    points = sample_surface(cube(), 30_000, seeded()).points
    # Of a unit cube's surface: mean 0; mean square (2/4 + 4/12)/6 along each axis.
    torch.testing.assert_close(points.mean(0), torch.zeros(3), atol=0.01, rtol=0)
    square = torch.full((3,), (2 / 4 + 4 / 12) / 6)
    torch.testing.assert_close(points.square().mean(0), square, atol=2e-3, rtol=0)


def test_strata_lower_the_variance() -> None:
    def estimate(seed: int, count: int) -> torch.Tensor:
        return sample_surface(UNEVEN, count, seeded(seed)).points.square().mean()

    stratified = torch.stack([estimate(seed, 200) for seed in range(60)])
    # Of points that are drawn one at a time, each from the whole surface.
    alone = torch.stack([estimate(seed, 1) for seed in range(1000, 1600)])
    independent = float(alone.var()) / 200
    assert float(stratified.var()) < 0.4 * independent
    assert float(stratified.mean()) == pytest.approx(float(alone.mean()), rel=0.1)


def test_normals_colours_and_places_belong_together() -> None:
    sphere = icosphere(3)
    mesh = Mesh(sphere.vertices, sphere.faces, VertexColors((sphere.vertices + 1) / 2))
    drawn = sample_surface(mesh, 500, seeded())
    corners = mesh.vertices[mesh.faces[drawn.face]]
    again = (corners * drawn.barycentrics[..., None]).sum(1)
    torch.testing.assert_close(drawn.points, again)
    assert drawn.colors is not None
    # A colour that is linear in the place is the place's own.
    torch.testing.assert_close(drawn.colors, (drawn.points + 1) / 2)
    outward = (drawn.normals * drawn.points).sum(1) / drawn.points.norm(dim=1)
    assert float(outward.min()) > 0.98
    cloud = PointCloud(drawn.points, drawn.colors, drawn.normals)
    assert len(cloud) == 500


def test_a_batch_of_meshes() -> None:
    parts = [tetrahedron(), icosphere(1), cube()]
    batch = Meshes.pack(parts)
    drawn = sample_surfaces(batch, 300, seeded())
    assert drawn.points.shape == (3, 300, 3)
    for k in range(3):
        faces = range(*batch.first_face[k : k + 2].tolist())
        assert set(drawn.face[k].tolist()) <= set(faces)
    # Reproducible, and by itself as in company.
    assert torch.equal(sample_surfaces(batch, 300, seeded()).points, drawn.points)


def test_gradients_reach_the_vertices() -> None:
    sphere = icosphere(1)
    vertices = sphere.vertices.clone().requires_grad_()
    drawn = sample_surface(sphere.with_vertices(vertices), 100, seeded())
    drawn.points.sum().backward()
    # Each point moves with its face: the gradients of all vertices sum to one a point.
    assert vertices.grad is not None
    torch.testing.assert_close(vertices.grad.sum(0), torch.full((3,), 100.0))


def test_faces_without_area_get_no_points() -> None:
    flat = torch.tensor([[0, 1, 1], [0, 1, 2], [2, 2, 2], [0, 2, 3], [3, 3, 0]])
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    face = sample_surface(Mesh(corners, flat), 1000, seeded()).face
    assert face.unique().tolist() == [1, 3]


def test_what_has_no_area_is_refused() -> None:
    good = tetrahedron()
    nothing = [
        Mesh(torch.zeros(4, 3), good.faces),
        Mesh(good.vertices, good.faces[:0]),
        Mesh(good.vertices * float("nan"), good.faces),
    ]
    for mesh in nothing:
        with pytest.raises(InputError, match="mesh 1 of 2"):
            sample_surfaces(Meshes.pack([good, mesh]), 10, seeded())
