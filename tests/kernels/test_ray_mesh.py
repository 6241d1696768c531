"""Rays against every face, and against the tree of faces."""

import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.ray_mesh import TriangleBVH, any_hit, closest_hit
from unrender.kernels.ray_mesh.bvh import LEAF_SIZE
from unrender.kernels.runtime.backend import Backend
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import cube, icosphere, torus


def soup(count: int, seed: int = 0) -> Mesh:
    """Triangles of very unlike sizes, some without area."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randn(count, 3, 3, generator=generator)
    sizes = 0.01 + torch.rand(count, 1, 1, generator=generator) ** 4
    centers = 2 * torch.randn(count, 1, 3, generator=generator)
    vertices = (centers + sizes * corners).flatten(0, 1)
    faces = torch.arange(3 * count).view(-1, 3)
    faces[3::7, 2] = faces[3::7, 1]
    return Mesh(vertices, faces)


def rays(count: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origins = 3 * torch.randn(count, 3, generator=generator)
    # Of any length, and some along the axes.
    directions = torch.randn(count, 3, generator=generator)
    directions[::5, 0] = 0
    directions[::10, 1] = 0
    return origins, directions


@pytest.mark.parametrize(
    "mesh", [soup(1), soup(LEAF_SIZE), soup(5), soup(300), torus(1.0, 0.3, 9, 12)]
)
@pytest.mark.interpreted("mesh3", "mesh0")
def test_agrees_with_every_face(backend: Backend, device: torch.device, mesh: Mesh) -> None:
    origins, directions = rays(2000)
    # Half of them toward the faces.
    chosen = torch.randint(len(mesh.faces), (1000,), generator=torch.Generator().manual_seed(2))
    directions[::2] = mesh.vertices[mesh.faces[chosen]].mean(1) - origins[::2]
    t_max = torch.full((2000,), torch.inf)
    t_max[::3] = 0.9
    found, nearer = {}, {}
    for name, target_device in (("reference", torch.device("cpu")), (backend, device)):
        bvh = TriangleBVH.build(mesh.vertices.to(target_device), mesh.faces.to(target_device))
        inputs = (each.to(target_device) for each in (origins, directions, t_max))
        inputs = *inputs, bvh, name
        found[name], nearer[name] = closest_hit(*inputs), any_hit(*inputs)
    true, other = found["reference"], found[backend]
    assert (true.face >= 0).any()
    assert torch.equal(other.face.cpu(), true.face)
    torch.testing.assert_close(other.distance.cpu(), true.distance)
    torch.testing.assert_close(other.barycentrics.cpu(), true.barycentrics)
    for found_any in nearer.values():
        assert torch.equal(found_any.cpu(), true.face >= 0)


def test_the_sphere_is_where_it_is() -> None:
    """From inside, at its distance within a face's sag; points by barycentrics."""
    mesh = icosphere(4)
    bvh = TriangleBVH.build(mesh.vertices, mesh.faces)
    _, directions = rays(5000)
    origins = torch.zeros(5000, 3)
    hits = closest_hit(origins, directions, torch.full((5000,), torch.inf), bvh)
    away = hits.distance * directions.norm(dim=1)
    assert away.min() > 0.99
    assert away.max() < 1 + 1e-5
    torch.testing.assert_close(hits.barycentrics.sum(1), torch.ones(5000))
    points = (mesh.vertices[mesh.faces[hits.face]] * hits.barycentrics[..., None]).sum(1)
    torch.testing.assert_close(
        points, hits.distance[:, None] * directions, atol=1e-5, rtol=1e-5
    )


def test_no_ray_slips_between_faces() -> None:
    """Toward the very edges and vertices of a closed mesh, from inside."""
    mesh = icosphere(3)
    bvh = TriangleBVH.build(mesh.vertices, mesh.faces)
    sides = mesh.vertices[mesh.faces]
    fraction = torch.rand(64, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    points = (fraction * sides + (1 - fraction) * sides.roll(1, 1)).reshape(-1, 3)
    points = torch.cat([points, mesh.vertices])
    origins = torch.tensor([0.1, -0.2, 0.3]).expand_as(points)
    hits = closest_hit(origins, points - origins, torch.full((len(points),), torch.inf), bvh)
    assert (hits.face >= 0).all()
    torch.testing.assert_close(hits.distance, torch.ones(len(points)), atol=1e-4, rtol=0)


def test_a_hole_lets_rays_through() -> None:
    """The canary of the test before."""
    mesh = icosphere(3)
    bvh = TriangleBVH.build(mesh.vertices, mesh.faces[1:])
    middle = mesh.vertices[mesh.faces[0]].mean(0, keepdim=True)
    hits = closest_hit(torch.zeros(1, 3), middle, torch.full((1,), torch.inf), bvh)
    assert hits.face.tolist() == [-1]


def test_t_max_is_a_bound() -> None:
    mesh = cube()
    bvh = TriangleBVH.build(mesh.vertices, mesh.faces)
    origins, directions = torch.tensor([[2.0, 0.1, 0.2]]), torch.tensor([[-0.5, 0, 0]])
    for t_max, hit in ((2.99, False), (3.01, True)):
        far = torch.tensor([t_max])
        assert any_hit(origins, directions, far, bvh).tolist() == [hit]
        found = closest_hit(origins, directions, far, bvh)
        assert float(found.distance) == pytest.approx(min(t_max, 3.0))


def test_the_tree_has_each_face_once_and_boxes_hold_them() -> None:
    mesh = soup(500)
    bvh = TriangleBVH.build(mesh.vertices, mesh.faces)
    assert torch.equal(bvh.rows.sort().values, torch.arange(500))
    stack, visited = [0], []
    while stack:
        node = stack.pop()
        for side in range(2):
            first, count = bvh.links[node, 2 * side : 2 * side + 2].tolist()
            if count == 0:
                stack.append(first)
                continue
            visited += range(first, first + count)
            points = bvh.corners[first : first + count].view(-1, 3)
            low, high = bvh.boxes[node, 6 * side : 6 * side + 6].split(3)
            assert ((points >= low) & (points <= high)).all()
    assert sorted(visited) == list(range(500))


def test_many_faces_in_one_place() -> None:
    """No cut tells them apart: the tree is cut in halves."""
    faces = torch.tensor([[0, 1, 2]]).expand(5000, 3)
    bvh = TriangleBVH.build(torch.eye(3), faces)
    found = any_hit(torch.zeros(1, 3), torch.ones(1, 3), torch.full((1,), torch.inf), bvh)
    assert found.all()


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.long)), "without faces"),
        (Mesh(torch.full((3, 3), torch.nan), torch.tensor([[0, 1, 2]])), "not finite"),
    ],
)
def test_bad_meshes_are_refused(mesh: Mesh, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TriangleBVH.build(mesh.vertices, mesh.faces)
