"""Shapes of the front door: read, rendered, and predicted from an image."""

from pathlib import Path
from typing import Any

import pytest
import torch

from unrender.api.cameras import turntable
from unrender.api.fit import fit
from unrender.api.run import Run
from unrender.api.shapes import load_shape, predict, render
from unrender.data.dataset import Dataset
from unrender.data.image_shape.make_shapes import make_shapes
from unrender.data.image_shape.pairs import ImageShapeDataset
from unrender.errors import InputError
from unrender.imaging.files import write_image
from unrender.rendering.shapes import cameras_around, shape_renderer
from unrender.shapes.files.shape import save_shape
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import torus
from unrender.shapes.shape import Shape
from unrender.shapes.voxels import VoxelGrid

pytestmark = pytest.mark.fit


def ring() -> Mesh:
    return torus(1.0, 0.4, 12, 24)


def cells() -> VoxelGrid:
    """Two cells of eight."""
    values = torch.zeros(2, 2, 2)
    values[0, :, 0] = 1
    return VoxelGrid.cube(values, 0.5)


SHAPES: dict[str, Shape] = {
    "a.obj": ring(),
    "a.ply": PointCloud(ring().vertices),
    "a.npz": cells(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_gives_the_shape_back(name: str, tmp_path: Path) -> None:
    save_shape(tmp_path / name, SHAPES[name])
    for path in (tmp_path / name, str(tmp_path / name)):
        assert type(load_shape(path)) is type(SHAPES[name])


def test_which_axis_is_up_can_be_said(tmp_path: Path) -> None:
    save_shape(tmp_path / "a.obj", ring())
    lying, standing = (load_shape(tmp_path / "a.obj", up=up) for up in ("y", "z"))
    assert isinstance(lying, Mesh)
    assert isinstance(standing, Mesh)
    x, y, z = standing.vertices.T
    torch.testing.assert_close(lying.vertices, torch.stack([x, -z, y], dim=1))


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_rendered_as_its_renderer_does(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    cameras = cameras_around(shape, 2, 24)
    plain = render(shape, cameras, supersample=1, device="cpu", progress=False)
    with torch.no_grad():
        assert torch.equal(plain.rgba, shape_renderer(shape)(cameras).rgba)
    assert plain.cameras is not None
    assert torch.equal(plain.cameras.world_from_camera, cameras.world_from_camera)
    smooth = render(shape, cameras, device="cpu", progress=False)
    assert smooth.rgba.shape == (2, 24, 24, 4)
    assert float((smooth.rgba - plain.rgba).abs().max()) > 0.01
    around = render(shape, turntable(3), size=16, device="cpu", progress=False)
    assert repr(around).startswith("Rendering(3 × 16×16")
    assert 0.02 < float(around.opacity.mean()) < 0.9
    save_shape(tmp_path / name, shape)
    again = render(tmp_path / name, turntable(1), size=16, device="cpu", progress=False)
    assert again.rgba.shape == (1, 16, 16, 4)


def test_a_run_and_its_folder_are_rendered(scene_run: Run, small_scene: Dataset) -> None:
    assert scene_run.path is not None
    cameras = small_scene.test.cameras[:1]
    own = scene_run.render(cameras, progress=False)
    assert torch.equal(own.rgba, scene_run.renderer(cameras).rgba.detach())
    for source in (scene_run, scene_run.path, str(scene_run.path)):
        found = render(source, cameras, device="cpu", progress=False)
        assert torch.equal(found.rgba, own.rgba)
    small = render(scene_run, cameras, size=(8, 6), supersample=2, progress=False)
    assert small.rgba.shape == (1, 6, 8, 4)


def test_what_is_no_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "a.obj").write_text("hello")
    for call in (
        lambda: load_shape(tmp_path / "no.obj"),
        lambda: load_shape(tmp_path / "a.txt"),
        lambda: load_shape(tmp_path / "a.obj"),
        lambda: render(tmp_path / "no.obj", turntable(2)),
        lambda: render(tmp_path, turntable(2)),
        lambda: render(3, turntable(2)),  # pyright: ignore[reportArgumentType]
        lambda: render(ring(), 3),  # pyright: ignore[reportArgumentType]
        lambda: render(ring(), turntable(2), size=0),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert "\n" not in str(caught.value)


SMALL: dict[str, Any] = {"encoder_width": 8, "batch": 2, "points": 32, "width": 16}


@pytest.fixture(scope="module")
def predictor() -> Run:
    """Trained for two steps on two chairs; two others are held out."""
    train, test = (make_shapes("chair", 2, 2, 32, seed)[0] for seed in (0, 1))
    data = ImageShapeDataset("chair", train, test)
    return fit("image-to-points", data, steps=2, device="cpu", progress=False,
               target_points=64, **SMALL)  # fmt: skip


def test_a_shape_is_predicted_from_an_image(predictor: Run, tmp_path: Path) -> None:
    image = torch.zeros(20, 30, 4)
    image[4:16, 8:24] = torch.tensor([0.5, 0.2, 0.1, 1.0])
    found = predict(predictor, image)
    assert isinstance(found, PointCloud)
    assert len(found) == 32
    write_image(tmp_path / "cut.png", image)
    predictor.save(tmp_path / "run")
    for run, given in (
        (predictor, tmp_path / "cut.png"),
        (tmp_path / "run", str(tmp_path / "cut.png")),
        (str(tmp_path / "run"), image),
    ):
        again = predict(run, given, device="cpu")
        assert isinstance(again, PointCloud)
        torch.testing.assert_close(again.points, found.points, atol=0.02, rtol=0)
    own = predictor.predict(image)
    assert isinstance(own, PointCloud)
    assert torch.equal(own.points, found.points)
    assert predictor.evaluate()["shapes"] == 2
    with pytest.raises(InputError, match="makes no images"):
        predictor.render(turntable(2, like=torch.zeros(1)))
    with pytest.raises(InputError, match="use predict"):
        predictor.mesh()


def test_the_object_is_cut_out_or_its_background_given(
    predictor: Run, scene_run: Run, tmp_path: Path
) -> None:
    image = torch.ones(20, 30, 3)
    image[4:16, 8:24] = torch.tensor([0.5, 0.2, 0.1])
    write_image(tmp_path / "opaque.png", image)
    with pytest.raises(InputError, match=r"opaque\.png: has no alpha"):
        predict(predictor, tmp_path / "opaque.png")
    with pytest.raises(InputError, match="the image: has no alpha"):
        predict(predictor, image)
    assert len(predict(predictor, image, background="white")) == 32  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="predicts no shapes"):
        predict(scene_run, image)
