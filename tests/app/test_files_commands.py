"""`unrender inspect` and `unrender export`, and what each refuses."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from inputs import either, sample

import unrender as ur
from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import read_cameras
from unrender.data.view_ids import ViewIds
from unrender.methods.gaussian_splatting import GaussianSplatting
from unrender.report.compare import wipe
from unrender.report.page import Page, section
from unrender.shapes.components import face_components
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.files.ply import read_vertices
from unrender.shapes.files.splats import read_splats
from unrender.training.fit import FitOptions

pytestmark = pytest.mark.fit

Command = Callable[..., str]
IDR = ["scale_mat_i", "not K", "camera 0 in the unit sphere"]
LIST = ["realestate10k", "16"]


@pytest.mark.parametrize(
    ("name", "lines", "made"),
    [
        ("real_scenes/fern_llff", ["llff", "504×378", "20"], ["llff", "40×30", "6"]),
        ("real_scenes/mouse_colmap", ["colmap", "4443", "56"], ["colmap", "80", "8"]),
        ("dtu/scan65_400x300", IDR, IDR),
        ("co3d/toytruck_160x90", ["co3d", "160×90", "10000"], ["co3d", "32×18", "300"]),
        ("realestate10k/0f47577ab3441480.txt", LIST, LIST),
        ("nerf_synthetic/lego_200", ["blender", "200×200", "150"], ["blender", "40×40", "18"]),
    ],
)
def test_scenes_are_described(
    command: Command, name: str, lines: list[str], made: list[str]
) -> None:
    said = command("inspect", sample(name))
    expected = either(name, lines, made)
    assert all(line in said for line in expected), said


def test_an_inspection_is_drawn(command: Command, scene_folder: Path, tmp_path: Path) -> None:
    command("inspect", scene_folder, "--out", tmp_path / "look")
    assert (tmp_path / "look/cameras.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "look/index.html").read_text()
    assert "<h2>Images</h2>" in page
    assert "<h2>Warnings</h2>" in page


def test_moving_cameras_are_drawn_over_time(
    command: Command, refused: Command, scene_folder: Path, tmp_path: Path
) -> None:
    """With their images and, in the layout of Nerfies, without them."""
    views = ur.load(scene_folder, hold_out=0).train[:9]
    moments = torch.tensor([0, 1, 2, 3, 4, 5, 0, 2, 7])
    ids = ViewIds(0 * moments, moments, torch.tensor([0] * 6 + [1, 1, 1]))
    cameras = views.cameras.at_times(0.5 * moments)
    film = ur.Dataset("film", *(replace(views, cameras=cameras, ids=ids)[k] for k in SPLITS))
    film.save(tmp_path / "film", layout="nerfies")
    for images in (True, False):
        said = command("inspect", tmp_path / "film", "--out", tmp_path / f"look {images}")
        assert "7 moments from 0 to 3.5, in the order of the views" in said
        assert "1 to 2" in said
        assert "1 appearance, 7 moments, 2 cameras" in said
        for name in ("cameras.png", "times.png"):
            assert (tmp_path / f"look {images}" / name).read_bytes().startswith(b"\x89PNG")
        page = (tmp_path / f"look {images}/index.html").read_text()
        assert "<h2>Times</h2>" in page
        assert "held out, camera 1: 3" in page
        assert "1 of 3 held-out views are at times outside" in said or not images
        shutil.rmtree(tmp_path / "film/rgb", ignore_errors=True)
    assert "`unrender inspect` shows the cameras" in refused(
        "fit", "box", "--data", tmp_path / "film"
    )


SPLITS = (slice(6), slice(6, 9))


def test_a_folder_of_nothing_is_refused(refused: Command, tmp_path: Path) -> None:
    assert "poses_bounds.npy" in refused("inspect", tmp_path)


@pytest.fixture(scope="module")
def splats_run(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    method = GaussianSplatting(initial_gaussians=100, max_gaussians=100, sh_degree=1)
    options = FitOptions(steps=3, device="cpu")
    out = tmp_path_factory.mktemp("runs") / "splats"
    return fit_to(method, small_scene, options, out=out, progress=False)


def test_a_mesh_has_the_chairs_size(command: Command, scene_run: Run, tmp_path: Path) -> None:
    command("export", scene_run.path, "--to", tmp_path / "a.ply", "--voxels", 48)
    found = read_vertices(tmp_path / "a.ply")
    places = torch.tensor([[found[k].min(), found[k].max()] for k in "xyz"])
    assert bool((places.abs() < 1.3).all())
    assert float((places[:, 1] - places[:, 0]).max()) > 0.8
    assert found["red"].max() > 50
    command("export", scene_run.path, "--to", tmp_path / "a.obj", "--voxels", 32)
    lines = (tmp_path / "a.obj").read_text().splitlines()
    vertices = sum(line.startswith("v ") for line in lines)
    faces = [line.split()[1:] for line in lines if line.startswith("f ")]
    assert vertices > 100
    assert max(int(v) for face in faces for v in face) == vertices
    command("export", scene_run.path, "--to", tmp_path / "a.glb", "--voxels", 32)
    (mesh,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    assert (len(mesh.vertices), len(mesh.faces)) == (vertices, len(faces))
    # Beside the material that says that they are unlit, and linear.
    assert mesh.visual.vertex_attributes["color"][:, :3].max() > 0.05


def test_gaussians_and_cameras_are_written(
    command: Command, splats_run: Run, small_scene: Dataset, tmp_path: Path
) -> None:
    command("export", splats_run.path, "--to", tmp_path / "splats.ply")
    found = read_splats(tmp_path / "splats.ply")
    assert torch.equal(found.means, splats_run.model.means[:100])
    command("export", splats_run.path, "--to", tmp_path / "cameras.json")
    cameras = read_cameras(tmp_path / "cameras.json").cameras
    assert torch.allclose(cameras.centers, small_scene.train.cameras.centers, atol=1e-5)
    assert (cameras.width, cameras.height) == (32, 32)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--to", "mesh.stl"), "does not end in"),
        (("--to", "nowhere/mesh.obj"), "is not a writable folder"),
        (("--to", "splats.ply"), "holds no Gaussians"),
        (("--to", "mesh.obj", "--voxels", 4), "voxels 4"),
        (("--to", "mesh.obj", "--faces", 2), "faces 2: give at least"),
        (("--to", "mesh.obj", "--texture", 2), "texture 2: give 16"),
        (("mesh.obj", "--crop", 0, 0, 0, 1, 1), "needs 6 values"),
        (("mesh.obj", "--crop", 0, 0, 0, 1, 1, 0), "crop 0 0 0 1 1 0: is empty"),
        (("mesh.obj", "--crop", *[0] * 3, *[1] * 3, "--half-width", 1), "not both"),
        (("mesh.obj", "--crop", *[50] * 3, *[51] * 3), "give a larger box"),
        (("mesh.ply", "--texture"), "a texture needs a .glb or .obj"),
        (("mesh.obj", "cameras.json", "mesh.stl"), "does not end in"),
        (("mesh.obj", "splats.ply"), "holds no Gaussians"),
        (("--to", "mesh.obj", "--half-width", 0), "give more than 0"),
        (("--to", "mesh.obj", "--half-width", "nan"), "above 0"),
    ],
)
def test_what_cannot_be_written_is_refused(
    refused: Command,
    monkeypatch: pytest.MonkeyPatch,
    scene_run: Run,
    tmp_path: Path,
    words: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused("export", scene_run.path, *words)
    assert not list(tmp_path.iterdir())


def test_several_files_are_made_from_one_surface(
    command: Command, scene_run: Run, tmp_path: Path
) -> None:
    names = ("a.glb", "a.ply", "points.ply", "cameras.json")
    files = [tmp_path / name for name in names]
    said = command("export", scene_run.path, *files, "--faces", 900, "--voxels", 40)
    assert all(name in said for name in names)
    first, second = (read_mesh(tmp_path / name) for name in names[:2])
    assert 800 < len(first.faces) <= 900
    torch.testing.assert_close(first.vertices, second.vertices)
    points = read_vertices(tmp_path / "points.ply")
    assert len(points["x"]) == len(first.vertices)
    assert (first.unlit, second.unlit) == (True, False)
    assert int(face_components(first).max()) == 0


def test_a_mesh_is_cropped(command: Command, scene_run: Run, tmp_path: Path) -> None:
    box = (-0.2, -0.3, 0.05, 0.4, 0.3, 0.5)
    command("export", scene_run.path, tmp_path / "a.ply", "--crop", *box, "--voxels", 32)
    found = read_mesh(tmp_path / "a.ply").vertices
    low, high = torch.tensor(box).view(2, 3)
    assert bool(((found >= low - 1e-5) & (found <= high + 1e-5)).all())


def test_a_flow_has_no_surface(refused: Command, flow_run: Run, tmp_path: Path) -> None:
    line = refused("export", flow_run.path, "--to", tmp_path / "mesh.obj")
    assert "no surface" in line


def test_runs_are_compared_on_one_page(
    command: Command,
    refused: Command,
    scene_run: Run,
    splats_run: Run,
    flow_run: Run,
    scene_folder: Path,
    tmp_path: Path,
) -> None:
    runs = [shutil.copytree(run.path, tmp_path / n) for n, run in
            (("grid", scene_run), ("splats", splats_run))]  # fmt: skip
    page = tmp_path / "page.html"
    command("compare", *runs, "--data", scene_folder, "--out", page)
    content = page.read_text()
    assert content.count('<figure class="wipe">') == 3
    assert content.index(">grid<") < content.index(">splats<")
    assert "instant-ngp" in content
    assert not (runs[0] / "evaluation.json").exists()
    line = refused("compare", flow_run.path, "--data", scene_folder)
    assert "not a radiance field's run" in line
    assert "does not end in .html" in refused("compare", *runs, "--out", tmp_path / "page.pdf")


def test_the_edge_between_two_images_moves(
    opened: Callable[[Path], str], tmp_path: Path
) -> None:
    images = [(name, torch.rand(1, 8, 8, 3)) for name in ("truth", "a <b>", "c")]
    page = tmp_path / "page.html"
    Page("Two", "of three", (section("Compare two results", wipe(images, 0, "view")),)).write(
        page
    )
    document = opened(page)
    assert 'data-ready="true"' in document
    assert document.count("<option>") == 6
    assert "clip-path: inset(0px 50% 0px 0px)" in document
