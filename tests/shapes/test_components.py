"""Connected parts of meshes."""

import torch

from unrender.shapes.components import face_components, largest_component
from unrender.shapes.mesh import Mesh, join_meshes
from unrender.shapes.primitives import icosphere
from unrender.shapes.textures import VertexColors


def test_the_largest_part_alone_is_kept() -> None:
    """Wherever it stands among the others, with its vertices' colors and no other vertex."""
    spheres = [icosphere(level) for level in (0, 2, 1)]
    meshes = [
        Mesh.colored(mesh.vertices + 5 * k, mesh.faces, torch.full((1, 3), k / 4))
        for k, mesh in enumerate(spheres)
    ]
    joined = join_meshes(meshes)
    assert face_components(joined).bincount().tolist() == [320, 80, 20]
    found = largest_component(joined)
    torch.testing.assert_close(found.vertices, meshes[1].vertices)
    assert torch.equal(found.faces, meshes[1].faces)
    assert isinstance(found.texture, VertexColors)
    assert bool((found.texture.colors == 0.25).all())
    again = largest_component(found)
    assert torch.equal(again.faces, found.faces)


def test_parts_that_share_a_vertex_are_one() -> None:
    corners = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    mesh = Mesh(corners, torch.tensor([[0, 1, 2], [2, 3, 4]]))
    assert face_components(mesh).tolist() == [0, 0]
    empty = Mesh(corners, torch.zeros(0, 3, dtype=torch.long))
    assert len(largest_component(empty).faces) == 0
