"""Coordinates far from the origin are read as well as those about it, and put back."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from unrender.api.cameras import path_by_name
from unrender.api.fit import fit
from unrender.api.mesh_options import MeshOptions
from unrender.app.export import export_run
from unrender.data.builtin import make_scene
from unrender.data.formats.camera_files import NamedCameras, read_cameras, write_cameras
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.origin import HERE, find_origin
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_from_quaternion
from unrender.notes import collected
from unrender.shapes.files.shape import load_shape
from unrender.shapes.mesh import Mesh

UTM = (448262.25, 5411943.5, 530.125)
ECEF = (4_176_000.5, 855_000.25, 4_727_000.75)


Layout = Callable[[Path, Views, tuple[float, float, float]], Path]


@pytest.fixture(scope="module")
def views() -> Views:
    scene = make_scene("bricks").train.resized(16, 16)
    return scene.select(torch.arange(8))


def blender(folder: Path, views: Views, shift: tuple[float, float, float]) -> Path:
    """A data set in the layout of Blender, moved in double precision."""
    views.save(folder)
    file = folder / "transforms_train.json"
    content = json.loads(file.read_text())
    for frame in content["frames"]:
        for row, x in zip(frame["transform_matrix"], shift, strict=False):
            row[3] += x
    file.write_text(json.dumps(content))
    return folder


def quaternion_of(rotation: Tensor) -> Tensor:
    """The unit quaternion (w, x, y, z) of a rotation that was rounded."""
    x, y, z, w = Rotation.from_matrix(rotation.numpy()).as_quat().tolist()
    return torch.tensor([w, x, y, z], dtype=torch.float64)


def colmap(folder: Path, views: Views, shift: tuple[float, float, float]) -> Path:
    (folder / "sparse/0").mkdir(parents=True)
    views.save(folder / "made")
    (folder / "made/train").rename(folder / "images")
    poses = views.cameras.world_from_camera.double()
    focal = float(views.cameras.focal[0])
    (folder / "sparse/0/cameras.txt").write_text(f"1 PINHOLE 16 16 {focal} {focal} 8 8\n")
    lines: list[str] = []
    for k, pose in enumerate(poses):
        quaternion = quaternion_of(pose[:, :3].T)
        rotation = so3_from_quaternion(quaternion[None])[0]
        center = pose[:, 3] + torch.tensor(shift, dtype=torch.float64)
        t = (-rotation @ center).tolist()
        words = (k + 1, *quaternion.tolist(), *t, 1, f"r_{k}.png")
        lines.append(" ".join(map(str, words)) + "\n\n")
    (folder / "sparse/0/images.txt").write_text("".join(lines))
    x, y, z = (a + b for a, b in zip(shift, (0.25, 0.5, 0.125), strict=True))
    (folder / "sparse/0/points3D.txt").write_text(f"1 {x} {y} {z} 255 0 0 0.5 1 0\n")
    return folder


def relative(views: Views) -> Tensor:
    """Centers about their mean."""
    centers = views.cameras.centers.double()
    return centers - centers.mean(0)


@pytest.mark.parametrize("layout", [blender, colmap])
@pytest.mark.parametrize("shift", [UTM, ECEF])
def test_cameras_keep_their_places_to_one_another(
    tmp_path: Path, views: Views, layout: Layout, shift: tuple[float, float, float]
) -> None:
    with collected() as said:
        data = load_dataset(layout(tmp_path / "far", views, shift), LoadOptions(hold_out=0))
    assert float((relative(data.train) - relative(views)).abs().max()) < 1e-5
    assert sum("far from the origin" in line for line in said) == 1
    # The cameras and the origin together are where the data were.
    places = data.train.cameras.centers.double() + torch.tensor(data.train.origin).double()
    expected = views.cameras.centers.double() + torch.tensor(shift, dtype=torch.float64)
    assert float((places - expected).abs().max()) < 1e-5
    if data.train.points is not None:
        point = data.train.points[0].double() + torch.tensor(data.train.origin).double()
        true = torch.tensor(shift, dtype=torch.float64)
        true += torch.tensor([0.25, 0.5, 0.125])
        assert float((point - true).abs().max()) < 1e-5


def test_data_about_their_origin_stay_bit_by_bit(tmp_path: Path, views: Views) -> None:
    with collected() as said:
        data = load_dataset(blender(tmp_path / "near", views, HERE), LoadOptions(hold_out=0))
    assert not said
    assert data.train.origin == HERE
    assert torch.equal(data.train.cameras.world_from_camera, views.cameras.world_from_camera)


def test_splits_share_an_origin(tmp_path: Path, views: Views) -> None:
    folder = blender(tmp_path / "far", views, UTM)
    content = json.loads((folder / "transforms_train.json").read_text())
    test = {**content, "frames": content["frames"][:2]}
    train = {**content, "frames": content["frames"][2:]}
    (folder / "transforms_train.json").write_text(json.dumps(train))
    (folder / "transforms_test.json").write_text(json.dumps(test))
    data = load_dataset(folder)
    assert data.train.origin == data.test.origin != HERE
    apart = data.test.cameras.centers[0] - data.train.cameras.centers[0]
    true = views.cameras.centers[0] - views.cameras.centers[2]
    assert float((apart - true).abs().max()) < 1e-5


def test_what_is_far() -> None:
    ring = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0]], dtype=torch.float64)
    assert find_origin(ring + 500) == HERE
    assert find_origin(ring + 5000) == (5000.0, 5000.0, 5000.0)
    # A panorama: cameras in one place, near the origin or far from it.
    assert find_origin(torch.ones(3, 3).double()) == HERE
    assert find_origin(torch.full((1, 3), 5e5).double()) == (5e5, 5e5, 5e5)
    assert find_origin(torch.full((2, 3), torch.nan).double()) == HERE
    assert find_origin(torch.full((2, 3), 1e30).double()) == HERE


def test_a_ball_is_in_the_data_s_coordinates(tmp_path: Path, views: Views) -> None:
    folder = blender(tmp_path / "far", views, UTM)
    data = load_dataset(folder, LoadOptions(ball=(*UTM, 2.0)))
    assert data.train.ball is not None
    near = torch.tensor(UTM, dtype=torch.float64) - torch.tensor(data.train.origin).double()
    assert torch.allclose(data.train.ball[:3].double(), near)


def test_files_of_cameras_hold_the_data_s_coordinates(tmp_path: Path, views: Views) -> None:
    data = load_dataset(blender(tmp_path / "far", views, UTM), LoadOptions(hold_out=0))
    named = NamedCameras.of(data.train)
    write_cameras(tmp_path / "cameras.json", named)
    content = json.loads((tmp_path / "cameras.json").read_text())
    places = np.array([np.array(f["transform_matrix"])[:3, 3] for f in content["frames"]])
    expected = views.cameras.centers.double().numpy() + np.array(UTM)
    assert np.abs(places - expected).max() < 1e-5
    again = read_cameras(tmp_path / "cameras.json")
    assert again.origin == named.origin
    assert torch.equal(again.cameras.world_from_camera, named.cameras.world_from_camera)
    # Another program's file without the origin, beside a run that has it.
    del content["origin"]
    (tmp_path / "theirs.json").write_text(json.dumps(content))
    found = path_by_name(str(tmp_path / "theirs.json"), 1, origin=named.origin)
    assert isinstance(found, Cameras)
    assert torch.equal(found.world_from_camera, named.cameras.world_from_camera)


@pytest.mark.fit
def test_exports_can_be_put_back(tmp_path: Path, views: Views) -> None:
    far = blender(tmp_path / "far", views, UTM)
    run = fit("box", str(far), steps=2, out=tmp_path / "run", progress=False, hold_out=0)
    options = MeshOptions(half_width=1.0, voxels=16)
    files = [tmp_path / "mesh.ply", tmp_path / "mesh.obj", tmp_path / "cameras.json"]
    assert run.origin != HERE
    assert f"{run.origin[0]:.15g}" in " ".join(export_run(run, files, options, quiet=True))
    # Other photographs of the place, whose cameras have another mean.
    few = blender(tmp_path / "few", views.select(torch.arange(2)), UTM)
    other = load_dataset(few, LoadOptions(hold_out=0)).train
    assert other.origin != run.origin
    found = run.load_data(str(few)).train
    assert found.origin == run.origin
    assert torch.allclose(found.cameras.centers, run.cameras.centers[:2], atol=1e-5)
    corners: list[Tensor] = []
    for name in ("mesh.ply", "mesh.obj"):
        beside = json.loads((tmp_path / f"{name}.origin.json").read_text())
        if name.endswith(".obj"):
            lines = [line.split() for line in (tmp_path / name).read_text().splitlines()]
            points = np.array([line[1:4] for line in lines if line[:1] == ["v"]], dtype=float)
        else:
            mesh = load_shape(tmp_path / name)
            assert isinstance(mesh, Mesh)
            points = mesh.vertices.double().numpy()
        world = points @ np.array(beside["rotation"]).T + np.array(beside["origin"])
        corners.append(torch.from_numpy(np.stack([world.min(0), world.max(0)])))
    assert float((corners[0] - corners[1]).abs().max()) < 1e-3
    middle = torch.tensor(UTM, dtype=torch.float64)
    assert float((corners[0].mean(0) - middle).abs().max()) < 1.0
