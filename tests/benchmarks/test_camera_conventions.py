"""The page of cameras: its axes are those that files are read with, its figures measured."""

import re

import camera_conventions as conventions
import numpy as np
import pytest
import record
import torch
from inputs import ROOT, sample
from matplotlib.figure import Figure
from torch import Tensor

from unrender.data.formats.llff import load_llff
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opengl_from_opencv
from unrender.geometry.pytorch3d import to_pytorch3d

PAGE = (ROOT / "docs/cameras_of_datasets.md").read_text()


@pytest.fixture
def cameras() -> Cameras:
    return Cameras.look_at([(4, 0, 1), (0, 4, 2), (-3, 1, 1)], size=(40, 30))


def axes_in_world(cameras: Cameras, axes: Tensor) -> Tensor:
    return cameras.rotations @ axes


@pytest.mark.parametrize("name", ["OPENCV", "OPENGL", "LLFF", "PYTORCH3D"])
def test_camera_frames_are_right_handed(name: str) -> None:
    axes = getattr(conventions, name)
    torch.testing.assert_close(axes @ axes.T, torch.eye(3))
    assert float(torch.linalg.det(axes)) == 1


def test_axes_are_those_of_the_conversions(cameras: Cameras) -> None:
    opengl = opengl_from_opencv(cameras.world_from_camera)[:, :, :3]
    torch.testing.assert_close(axes_in_world(cameras, conventions.OPENGL), opengl)
    # Columns of R are the camera's axes in the world: x_camera = x_world R + T.
    rotation, translation, _, _ = to_pytorch3d(cameras)
    torch.testing.assert_close(axes_in_world(cameras, conventions.PYTORCH3D), rotation)
    position = -(rotation @ translation[..., None])[..., 0]
    torch.testing.assert_close(position, cameras.centers, atol=1e-5, rtol=0)


def test_axes_of_llff_are_the_files() -> None:
    folder = sample("real_scenes/fern_llff")
    views = load_llff(folder)
    matrices = np.load(folder / "poses_bounds.npy")[:, :15].reshape(-1, 3, 5)
    expected = torch.from_numpy(matrices[:, :, :3]).float()
    found = axes_in_world(views.cameras, conventions.LLFF)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_a_picture_has_the_world_and_the_image(cameras: Cameras) -> None:
    drawn = conventions.Drawn(
        cameras, conventions.OPENGL, (0, 0, 1), ("(0, 0)", "(w, h)"), "a note"
    )
    figure = conventions.picture(drawn)
    assert isinstance(figure, Figure)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "z, out of the scene" in words
    assert {"x", "y", "z", "(0, 0)", "(w, h)", "a note"} <= set(words)


@pytest.mark.parametrize("up", [(0, 0, 1), (0, -1, 0), (0.3, -0.5, 0.2)])
def test_up_is_up_in_the_drawing(up: tuple[float, float, float]) -> None:
    view = conventions.projector(up, 40, 20)
    torch.testing.assert_close(view @ view.T, torch.eye(2), atol=1e-6, rtol=0)
    right, above = (view @ torch.tensor([*map(float, up)])).tolist()
    assert abs(right) < 1e-6
    assert above > 0
    # Seen from outside and not in a mirror: right × up points to who looks.
    toward = torch.linalg.cross(view[0], view[1])
    lower = conventions.projector(up, 40, 0)
    assert float(toward @ torch.linalg.cross(lower[0], lower[1])) > 0.9


def test_every_picture_is_on_the_page() -> None:
    shown = set(re.findall(r"images/cameras_(\w+)\.svg", PAGE))
    assert shown == set(conventions.PICTURES)
    assert all((ROOT / f"docs/images/cameras_{name}.svg").is_file() for name in shown)


def test_the_pages_figures_are_the_measured_ones() -> None:
    found = {k: v["value"] for k, v in record.read(conventions.RESULTS)["figures"].items()}

    def camera(kind: str, digits: int) -> str:
        numbers = (found[f"idr_{kind}camera_0_{axis}"] for axis in "xyz")
        return f"({', '.join(f'{x:.{digits}f}' for x in numbers)})".replace("-", "−")

    expected = [
        f"{camera('world_', 1)} mm",
        f"{camera('', 2)} radii | {found['idr_distance']:.1f} radii | "
        f"{found['idr_sees_center']} of 49",
        f'{camera("wrong_", 1)} "radii" | {found["idr_wrong_distance"]:.1f} "radii" | '
        f"{found['idr_wrong_sees_center']} of 49",
        f"s is {found['idr_radius']:.1f} mm",
    ]
    assert [line for line in expected if line not in PAGE] == []
    assert found["idr_wrong_focal_change"] == found["idr_wrong_rotation_change"] == 0
