"""Textures baked from renderings."""

import sys

import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.inverse import texture_baking
from unrender.inverse.depth_fusion import Scan
from unrender.inverse.texture_baking import barycentrics, grown, textured, unwrapped
from unrender.rendering.mesh.shading import mesh_renderer
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere
from unrender.shapes.textures import UVTexture, VertexColors


@pytest.fixture(scope="module")
def painted() -> Mesh:
    """A sphere whose color is its position."""
    ball = icosphere(3)
    return Mesh(ball.vertices, ball.faces, VertexColors((ball.vertices + 1) / 2), unlit=True)


@pytest.fixture(scope="module")
def scan(painted: Mesh) -> Scan:
    poses = spherical_shell(30, (4.0, 4.0), torch.Generator().manual_seed(0))
    return Scan.render(mesh_renderer(painted), Cameras.from_focal(poses, 160.0, 96, 96))


def error_of(mesh: Mesh) -> float:
    """The largest error of the texture in the middles of faces."""
    faces = torch.arange(len(mesh.faces))
    assert isinstance(mesh.texture, UVTexture)
    found = mesh.texture.sample(mesh.faces, faces, torch.full((len(faces), 3), 1 / 3))
    return float((found - (mesh.vertices[mesh.faces].mean(1) + 1) / 2).abs().max())


def a_cell_for_each_face(mesh: Mesh, side: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """A layout for tests: each face has half of a square cell."""
    count = len(mesh.faces)
    cells = int(count**0.5) + 1
    face = torch.arange(count)
    corner = torch.stack([face % cells, face // cells], dim=1)[:, None]
    offset = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]])
    uv = ((corner + offset) / cells).view(-1, 2)
    return uv, torch.arange(3 * count).view(-1, 3), (side, side)


def test_texels_have_the_colors_of_their_points(
    painted: Mesh, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texture_baking, "unwrapped", a_cell_for_each_face)
    found = textured(painted, scan, 512, 0.1)
    assert torch.equal(found.vertices, painted.vertices)
    assert found.unlit
    assert error_of(found) < 0.06


def test_charts_by_xatlas(painted: Mesh, scan: Scan) -> None:
    pytest.importorskip("xatlas", reason="the extra `texture` is not installed")
    uv, rows, (width, height) = unwrapped(painted, 256)
    assert max(width, height) == 256
    assert 0 <= float(uv.min()) <= float(uv.max()) <= 1
    assert rows.shape == painted.faces.shape
    assert error_of(textured(painted, scan, 256, 0.1)) < 0.06


def test_without_xatlas_the_extra_is_named(
    painted: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(InputError, match=r"unrender\[texture\]") as caught:
        unwrapped(painted, 256)
    assert "\n" not in str(caught.value)


def test_barycentrics_restore_the_point() -> None:
    generator = torch.Generator().manual_seed(0)
    triangles, weights = torch.rand(50, 3, 2, generator=generator), torch.rand(50, 3, 1)
    weights = weights / weights.sum(1, keepdim=True)
    found = barycentrics(triangles, (weights * triangles).sum(1))
    torch.testing.assert_close(found[..., None], weights, atol=1e-3, rtol=0)


def test_charts_grow_into_empty_pixels() -> None:
    image = torch.zeros(9, 9, 4)
    image[4, 4] = torch.tensor([0.2, 0.4, 0.6, 1.0])
    found = grown(image, 2)
    filled = found[..., 3] > 0
    assert int(filled.sum()) == 25
    torch.testing.assert_close(found[filled], image[4, 4].expand(25, 4))
