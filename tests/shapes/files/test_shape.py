"""Shapes as values: saved and loaded again they are equal, and their repr is one short line."""

import math
from pathlib import Path

import pytest
import torch

from unrender.errors import InputError
from unrender.shapes.files.shape import WRITABLE
from unrender.shapes.mesh import MAX_CHECKED_FACES, Mesh, Meshes
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import icosphere, parametric_surface, torus
from unrender.shapes.shape import Shape
from unrender.shapes.textures import FaceAtlas, UVTexture, VertexColors
from unrender.shapes.voxels import VoxelGrid

SPHERE = icosphere(1)


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


CLOUD = PointCloud(random(7, 3), random(7, 3).round(), icosphere(1).vertices[:7])
GRID = VoxelGrid((random(4, 4, 4) > 0.7).float(), (-1.0, 0.5, 2.0), 0.25)
CASES: list[tuple[Shape, str]] = [
    (shape, ending)
    for shape in (SPHERE, PointCloud(CLOUD.points), GRID)
    for ending in WRITABLE[type(shape)]
]


def tensors(shape: Shape) -> list[torch.Tensor]:
    return [value for value in vars(shape).values() if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("as_text", [False, True], ids=["Path", "str"])
@pytest.mark.parametrize(
    ("shape", "ending"), CASES, ids=[f"{type(s).__name__}{e}" for s, e in CASES]
)
def test_what_is_saved_is_loaded_again(
    tmp_path: Path, shape: Shape, ending: str, as_text: bool
) -> None:
    path = tmp_path / f"shape{ending}"
    where = str(path) if as_text else path
    shape.save(where)
    loaded = type(shape).load(where)
    assert type(loaded) is type(shape)
    for found, given in zip(tensors(loaded), tensors(shape), strict=True):
        # STL keeps no rows: the corners of the faces are equal, and their order.
        if ending == ".stl":
            break
        torch.testing.assert_close(found, given, atol=1e-7, rtol=0)
    if isinstance(shape, Mesh) and isinstance(loaded, Mesh):
        corners = [mesh.vertices[mesh.faces] for mesh in (loaded, shape)]
        torch.testing.assert_close(*corners, atol=1e-7, rtol=0)
    if isinstance(shape, VoxelGrid) and isinstance(loaded, VoxelGrid):
        assert loaded.low == shape.low
        assert math.isclose(loaded.cell, shape.cell)


def test_colors_and_normals_are_loaded_again(tmp_path: Path) -> None:
    CLOUD.save(tmp_path / "cloud.PLY")
    loaded = PointCloud.load(tmp_path / "cloud.PLY")
    assert loaded.colors is not None
    assert loaded.normals is not None
    assert torch.equal(loaded.colors, random(7, 3).round())
    torch.testing.assert_close(loaded.normals, SPHERE.vertices[:7])


def test_the_up_axis_of_a_mesh_can_be_given(tmp_path: Path) -> None:
    tall = SPHERE.with_vertices(SPHERE.vertices * torch.tensor([1.0, 2.0, 3.0]))
    tall.save(tmp_path / "tall.obj")
    assert float(Mesh.load(tmp_path / "tall.obj").vertices[:, 2].max()) > 2
    assert float(Mesh.load(tmp_path / "tall.obj", up="z").vertices[:, 1].max()) > 2


@pytest.mark.parametrize(
    ("shape", "ending", "kind", "remedy"),
    [
        (SPHERE, ".ply", PointCloud, "holds a mesh, not a point cloud.*Mesh.load"),
        (SPHERE, ".obj", VoxelGrid, "holds a mesh, not a voxel grid.*Mesh.load"),
        (CLOUD, ".ply", Mesh, "holds a point cloud, not a mesh.*PointCloud.load"),
        (CLOUD, ".npz", VoxelGrid, "holds a point cloud, not a voxel grid.*PointCloud.load"),
        (GRID, ".npz", PointCloud, "holds a voxel grid, not a point cloud.*VoxelGrid.load"),
        (GRID, ".binvox", Mesh, "holds a voxel grid, not a mesh.*VoxelGrid.load"),
    ],
)
def test_another_kind_of_shape_is_refused_and_its_class_named(
    tmp_path: Path, shape: Shape, ending: str, kind: type[Shape], remedy: str
) -> None:
    path = tmp_path / f"shape{ending}"
    shape.save(path)
    with pytest.raises(InputError, match=remedy):
        kind.load(path)


@pytest.mark.parametrize(
    ("shape", "ending"), [(SPHERE, ".npz"), (CLOUD, ".obj"), (GRID, ".xyz"), (SPHERE, "")]
)
def test_an_ending_that_cannot_hold_the_shape_is_refused(
    tmp_path: Path, shape: Shape, ending: str
) -> None:
    with pytest.raises(InputError, match="cannot be saved in this format"):
        shape.save(tmp_path / f"shape{ending}")
    assert not list(tmp_path.iterdir())


def test_a_grid_saved_as_a_mesh_is_its_surface(tmp_path: Path) -> None:
    GRID.save(tmp_path / "surface.ply")
    assert "watertight" in repr(Mesh.load(tmp_path / "surface.ply"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (SPHERE, "Mesh(42 vertices, 80 faces, watertight)"),
        (
            Mesh(SPHERE.vertices, SPHERE.faces[1:], VertexColors(SPHERE.vertices.abs())),
            "Mesh(42 vertices, 79 faces, vertex colors, not watertight)",
        ),
        (
            Mesh(
                SPHERE.vertices,
                SPHERE.faces,
                UVTexture(random(4, 6, 3), random(42, 2), SPHERE.faces),
                SPHERE.vertices,
            ),
            "Mesh(42 vertices, 80 faces, UV texture, normals, watertight)",
        ),
        (Mesh(random(5, 3), torch.zeros(0, 3, dtype=torch.long)), "Mesh(5 vertices, 0 faces)"),
        (Meshes.pack([SPHERE, SPHERE]), "Meshes(2 meshes, 84 vertices, 160 faces)"),
        (CLOUD, "PointCloud(7 points, normals, colors)"),
        (PointCloud(random(0, 3)), "PointCloud(0 points)"),
        (GRID.with_values(torch.ones(2, 3, 4)), "VoxelGrid(2×3×4, 24 filled)"),
        (VertexColors(random(5, 3)), "VertexColors(5 vertices)"),
        (FaceAtlas(random(5, 2, 2, 3)), "FaceAtlas(5 faces, 2×2 pixels each)"),
        (
            UVTexture(random(4, 6, 3), random(42, 2), SPHERE.faces),
            "UVTexture(6×4 pixels, 80 faces)",
        ),
    ],
)
def test_repr_is_one_short_line(value: object, text: str) -> None:
    assert repr(value) == text


def test_repr_of_a_large_mesh_does_not_look_for_holes() -> None:
    def flat(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.stack([u, v, torch.zeros_like(u)], dim=-1)

    large = parametric_surface(flat, 400, 400)
    assert len(large.faces) > MAX_CHECKED_FACES
    assert repr(large) == "Mesh(160801 vertices, 320000 faces)"
    assert "watertight" in repr(torus(1.0, 0.2, 100, 100))
