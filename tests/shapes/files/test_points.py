"""Clouds on disk: what is written comes back, and what is none is refused in a line."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import either, sample
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.shapes.files.points import POINT_SUFFIXES, read_points, write_points
from unrender.shapes.points import PointCloud

FILES = {
    "meshes/bunny_pointcloud.npz": (10000, 500, False),
    "single_image_3d/r2n2_car_02958343_1a0bc9ab/model.xyz": (7587, 150, False),
    "single_image_3d/r2n2_car_02958343_1a0bc9ab/model_normal.xyz": (7587, 400, True),
    "meshes/bathtub_0154.ply": (1494, 162, False),
}
"""The number of points, of the real file and of the sample, and whether they have normals."""


@pytest.mark.parametrize("name", list(FILES))
def test_files_of_others(name: str) -> None:
    cloud = read_points(sample(name))
    real, made, normals = FILES[name]
    assert (len(cloud), cloud.normals is not None) == (either(name, real, made), normals)
    if cloud.normals is not None:
        # Some are zeros in this file: unknown.
        length = cloud.normals.norm(dim=1)
        torch.testing.assert_close(length, (length > 0).float())
        assert int((length == 0).sum()) < 50


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ending=st.sampled_from(POINT_SUFFIXES),
    count=st.integers(1, 20),
    colored=st.booleans(),
    turned=st.booleans(),
)
def test_clouds_come_back(
    tmp_path: Path, ending: str, count: int, colored: bool, turned: bool
) -> None:
    generator = torch.Generator().manual_seed(count)
    cloud = PointCloud(
        torch.randn(count, 3, generator=generator),
        torch.randint(256, (count, 3), generator=generator) / 255 if colored else None,
        normalize(torch.randn(count, 3, generator=generator), dim=1) if turned else None,
    )
    path = tmp_path / f"a{ending}"
    if ending == ".xyz" and colored:
        with pytest.raises(InputError, match="cannot hold colors"):
            write_points(path, cloud)
        return
    write_points(path, cloud)
    found = read_points(path)
    assert torch.equal(found.points, cloud.points)
    for here, there in ((found.colors, cloud.colors), (found.normals, cloud.normals)):
        assert (here is None) == (there is None)
        if here is not None and there is not None:
            torch.testing.assert_close(here, there)


def test_no_points_and_one_point(tmp_path: Path) -> None:
    for ending in POINT_SUFFIXES:
        path = tmp_path / f"a{ending}"
        with pytest.raises(InputError, match="no points"):
            write_points(path, PointCloud(torch.zeros(0, 3)))
        assert not path.exists()
        write_points(path, PointCloud(torch.ones(1, 3)))
        assert read_points(path).points.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xyz", "", "no points"),
        ("a.xyz", "1 2\n", "2 numbers a line"),
        ("a.xyz", "1 2 3\n1 2\n", "not a table"),
        ("a.xyz", "1 2 x\n", "not a table"),
        ("a.xyz", "1 2 nan\n", "point 0 is not finite"),
        ("a.xyz", "1,5 2,5 3,5\n", "write a decimal point"),
        ("a.xyz", "1 2 3 0 300 7\n", "neither normals nor colors"),
        ("a.xyz", "1 2 1e20\n", "too far"),
        ("a.ply", "x", "not a PLY"),
        ("a.npz", "x", "cannot be read as .npz"),
        ("a.pcd", "", "is not a point cloud file"),
    ],
)
def test_what_is_no_cloud(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_points(tmp_path / name)
    assert "\n" not in str(caught.value)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=r"no such file|is not a point cloud file"):
        read_points(tmp_path / name)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": np.zeros((2, 4))}, "n x 3"),
        ({"points": np.zeros((2, 3)), "colors": np.zeros((2, 3), np.int64)}, "must be floats"),
        ({"points": np.zeros((2, 3)), "colors": np.zeros((3, 3))}, "3 `colors` for 2"),
        ({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}, "no array `points`"),
        ({"points": np.zeros((0, 3))}, "no points"),
        ({"points": np.array([object()])}, "must hold numbers"),
    ],
)
def test_arrays_that_are_no_cloud(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_points(tmp_path / "a.npz")


def test_an_archive_of_none(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w"):
        pass
    with pytest.raises(InputError, match="no array"):
        read_points(tmp_path / "a.npz")
