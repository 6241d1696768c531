"""Meshes whose colors contain the light: files that say so, and rendering without shading."""

from pathlib import Path

import pytest
import torch

from unrender.geometry.cameras import Cameras
from unrender.rendering.mesh.shading import MeshRenderOptions, mesh_renderer
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.shapes.files.meshes import read_mesh, write_mesh
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere
from unrender.shapes.textures import UVTexture, VertexColors

RED = torch.tensor([0.8, 0.2, 0.1])


def ball(kind: str, unlit: bool) -> Mesh:
    mesh = icosphere(2)
    colors = RED.expand(len(mesh.vertices), 3).contiguous()
    texture: VertexColors | UVTexture = VertexColors(colors)
    if kind == "image":
        uv = (mesh.vertices[:, :2] + 1) / 2
        texture = UVTexture(RED.expand(4, 4, 3).contiguous(), uv, mesh.faces)
    return Mesh(mesh.vertices, mesh.faces, texture, unlit=unlit)


@pytest.mark.parametrize("unlit", [True, False])
@pytest.mark.parametrize("name", ["colors.glb", "image.glb", "image.obj"])
def test_files_say_whether_a_mesh_is_unlit(name: str, unlit: bool, tmp_path: Path) -> None:
    mesh = ball(name.split(".", maxsplit=1)[0], unlit)
    write_mesh(tmp_path / name, mesh)
    found = read_mesh(tmp_path / name)
    assert found.unlit == unlit
    assert type(found.texture) is type(mesh.texture)
    assert read_mesh(tmp_path / name, colored=False).unlit is False
    assert mesh.to("cpu").unlit == unlit
    written = (tmp_path / name).read_bytes()
    if name.endswith(".glb"):
        assert (b'"extensionsUsed": ["KHR_materials_unlit"]' in written) == unlit


def middle(mesh: Mesh, cameras: Cameras, options: MeshRenderOptions | None) -> torch.Tensor:
    renderer = shape_renderer(mesh) if options is None else mesh_renderer(mesh, options)
    return renderer(cameras).color[0, 16, 20]


@pytest.mark.parametrize("kind", ["colors", "image"])
def test_unlit_meshes_are_not_shaded_unless_asked(kind: str) -> None:
    lit, unlit = ball(kind, False), ball(kind, True)
    cameras = cameras_around(lit, 1, 32)
    torch.testing.assert_close(middle(unlit, cameras, None), RED, atol=1e-5, rtol=0)
    assert float((middle(lit, cameras, None) - RED).abs().max()) > 0.02
    for mesh in (lit, unlit):
        shaded = middle(mesh, cameras, MeshRenderOptions(shading="phong"))
        own = middle(mesh, cameras, MeshRenderOptions(shading="none"))
        torch.testing.assert_close(own, RED, atol=1e-5, rtol=0)
        assert float((shaded - RED).abs().max()) > 0.02
