"""The commands about shapes, and what they say to bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from unrender.data.image_shape.pairs import load_shapes
from unrender.errors import InputError
from unrender.imaging.files import read_rgba, write_image
from unrender.shapes.files.meshes import read_mesh, write_mesh
from unrender.shapes.files.points import write_points
from unrender.shapes.files.shape import load_shape, save_shape
from unrender.shapes.files.voxels import write_voxels
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import icosphere, torus
from unrender.shapes.voxels import VoxelGrid

pytestmark = pytest.mark.fit

Command = Callable[..., str]


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    """A y-up OBJ of an egg that stands on its end."""
    path = tmp_path / "egg.obj"
    mesh = icosphere(2)
    write_mesh(path, Mesh(mesh.vertices * torch.tensor([0.5, 0.5, 1.0]), mesh.faces))
    return path


def test_a_mesh_file_turns_on_its_table(command: Command, ball: Path, tmp_path: Path) -> None:
    out = tmp_path / "egg.gif"
    command("render", ball, "--cameras", "turntable", "--out", out, "--frames", 4)
    with Image.open(out) as film:
        assert film.n_frames == 4  # pyright: ignore[reportAttributeAccessIssue]
        assert film.size == (512, 512)


def test_up_is_up(command: Command, ball: Path, tmp_path: Path) -> None:
    """The egg is higher than wide, as OBJ's y is up; lying, it is not."""
    heights: list[float] = []
    for up in ("auto", "y", "z"):
        out = tmp_path / f"frames-{up}"
        command(
            "render", ball, "--out", out, "--frames", 1, "--size", 64, "--elevation", 0,
            "--what", "opacity", "--up", up,
        )  # fmt: skip
        mask = read_rgba(out / "opacity_0000.png")[..., 0] > 0.5
        heights.append(float(mask.any(1).sum() / mask.any(0).sum()))
    assert heights[0] > 1.7
    assert heights[1] == heights[0]
    assert heights[2] < 1.1


@pytest.mark.parametrize("name", ["points.ply", "points.xyz", "cells.npz", "cells.binvox"])
def test_points_and_voxels_are_drawn_too(command: Command, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.startswith("points"):
        write_points(path, PointCloud(icosphere(3).vertices))
    else:
        write_voxels(path, VoxelGrid.cube((torch.rand(6, 6, 6) > 0.5).float(), 0.5))
    out = tmp_path / "frames"
    command("render", path, "--out", out, "--frames", 1, "--size", 48)
    image = read_rgba(out / "color_0000.png")
    assert 0.1 < float((image[..., 0] < 0.99).float().mean()) < 0.9


def test_what_cannot_be_rendered(refused: Command, ball: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.gif"
    assert "fitted to no views" in refused("render", ball, "--cameras", "test", "--out", out)
    (tmp_path / "empty.obj").write_text("v 0 0 0\n")
    assert "empty.obj" in refused("render", tmp_path / "empty.obj", "--out", out)
    (tmp_path / "notes.txt").write_text("hello")
    assert "not a shape file" in refused("render", tmp_path / "notes.txt", "--out", out)
    (tmp_path / "point.xyz").write_text("0 0 0\n")
    assert "no extent" in refused("render", tmp_path / "point.xyz", "--out", out)
    assert not out.exists()


def test_fit_shape_writes_what_it_found(command: Command, ball: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = command(
        "fit-shape", ball, "--as", "mesh", "--out", out, "--steps", 5, "--device", "cpu"
    )
    assert "F1" in said
    assert "chamfer distance" in said
    fitted = read_mesh(out / "mesh.obj")
    assert is_watertight(fitted.faces)
    assert json.loads((out / "evaluation.json").read_text())["target"] == "egg"
    assert "normal_consistency" in command("evaluate", out)
    command("render", out, "--out", tmp_path / "turn.gif", "--frames", 2, "--size", 32)
    command("export", out, "--to", tmp_path / "again.ply")
    exported = read_mesh(tmp_path / "again.ply")
    torch.testing.assert_close(exported.vertices, fitted.vertices, atol=1e-5, rtol=0)


def test_fit_shape_refuses(refused: Command, ball: Path, tmp_path: Path) -> None:
    assert "no such file" in refused("fit-shape", tmp_path / "no.obj", "--out", tmp_path / "a")
    run = tmp_path / "run"
    run.mkdir()
    assert "exists already" in refused("fit-shape", ball, "--out", run)
    flat = tmp_path / "line.obj"
    flat.write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    assert "area" in refused("fit-shape", flat, "--out", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.fixture(scope="module")
def chairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes") / "chairs.npz"


def test_from_made_shapes_to_a_predicted_one(
    command: Command, refused: Command, chairs: Path, tmp_path: Path
) -> None:
    command("make-shapes", "--out", chairs, "--count", 10, "--views", 2, "--size", 32)
    shapes = load_shapes(chairs)
    assert len(shapes.train) == 9
    assert "exists already" in refused("make-shapes", "--out", chairs)
    run = tmp_path / "run"
    command(
        "fit", "image-to-voxels", "--data", chairs, "--out", run, "--steps", 2,
        "--encoder-width", 8, "--channels", 16, "--batch", 4, "--device", "cpu",
    )  # fmt: skip
    assert "voxel_iou" in command("evaluate", run)
    photo = tmp_path / "photo.png"
    write_image(photo, shapes.test.images[0].float() / 255)
    command("predict", run, photo, "--out", tmp_path / "cells.npz")
    assert isinstance(load_shape(tmp_path / "cells.npz"), VoxelGrid)
    save_shape(tmp_path / "surface.ply", VoxelGrid.cube(torch.ones(4, 4, 4), 0.5))
    assert is_watertight(read_mesh(tmp_path / "surface.ply").faces)
    with pytest.raises(InputError, match="no surface"):
        save_shape(tmp_path / "none.ply", VoxelGrid.cube(torch.zeros(4, 4, 4), 0.5))
    write_image(tmp_path / "opaque.png", torch.rand(32, 32, 3))
    for name, where, what in (
        ("opaque.png", "a.npz", "no alpha"),
        ("photo.png", "a.xyz", "cannot be saved in this format"),
        ("photo.png", "a.jpg", "does not end in"),
        ("gone.png", "a.npz", "gone.png"),
    ):
        assert what in refused("predict", run, tmp_path / name, "--out", tmp_path / where)
    assert "makes no images" in refused("render", run, "--out", tmp_path / "x.gif")


def test_a_scene_predicts_no_shapes(refused: Command, scene_run, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    image = torch.zeros(8, 8, 4)
    image[2:5, 2:5] = 1
    write_image(photo, image)
    line = refused("predict", scene_run.path, photo, "--out", tmp_path / "a.obj")
    assert "predicts no shapes" in line


def test_shapes_that_are_none(refused: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    missing = refused("fit", "image-to-mesh", "--data", tmp_path / "no.npz", "--out", out)
    assert "no.npz" in missing
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 and nothing more")
    assert "damaged" in refused("fit", "image-to-mesh", "--data", damaged, "--out", out)
    assert not out.exists()


def test_inspect_says_what_a_mesh_is(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "ring.ply"
    mesh = torus(1.0, 0.3, 8, 12)
    write_mesh(path, Mesh(mesh.vertices, mesh.faces[1:]))
    said = command("inspect", path)
    assert "191" in said
    assert "boundary edges" in said
