"""Light fields as grids of images whose names say where they are."""

import math
from pathlib import Path
from shutil import copyfile

import pytest
import torch
from textured_planes import FOCAL, SIZE, grid_cameras, plane_images, write_grid

import unrender as ur
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.imaging.files import write_image
from unrender.notes import collected

STANFORD = "out_{row:02d}_{column:02d}_{down:.6f}_{right:.6f}_.png"


def test_positions_and_focal_lengths_are_those_of_the_names(tmp_path: Path) -> None:
    truth = write_grid(tmp_path / "grid")
    data = ur.load(tmp_path / "grid", hold_out=0)
    assert repr(data) == "Dataset(grid: train=9 views of 48×32, test=0)"
    cameras = data.train.cameras
    torch.testing.assert_close(cameras.world_from_camera, truth.world_from_camera)
    torch.testing.assert_close(cameras.intrinsics, truth.intrinsics)
    assert data.train.names[1] == "out_00_01_-0.100000_0.000000_40_48.png"


def test_the_ball_is_where_the_images_agree(tmp_path: Path) -> None:
    for depth in (1.5, 3.0):
        write_grid(tmp_path / f"{depth}", depth=depth)
        ball = ur.load(tmp_path / f"{depth}").train.ball
        assert ball is not None
        x, y, z, radius = ball.tolist()
        assert abs(x) < 0.1
        assert abs(z) < 0.1
        assert y == pytest.approx(depth, rel=0.06)
        half_diagonal = (SIZE[0] ** 2 + SIZE[1] ** 2) ** 0.5 / 2
        assert radius == pytest.approx(y * half_diagonal / FOCAL, rel=1e-3)


def test_views_between_the_rows_and_columns_are_held_out(tmp_path: Path) -> None:
    """As in junk_shop_480, whose rows 05, 11, 17, 23 are between rows 01, 04, … 25."""
    write_grid(tmp_path, 3, 3, name="a_{row}0_{column}0_{down:.3f}_{right:.3f}_40_48.png")
    cameras = grid_cameras(2, 2)
    for k, (x, _, z) in enumerate(cameras.centers.tolist()):
        row, column = divmod(k, 2)
        file = tmp_path / f"a_{row}5_{column}5_{-z:.3f}_{x:.3f}_40_48.png"
        write_image(file, torch.zeros(SIZE[1], SIZE[0], 3))
    with collected() as notes:
        data = ur.load(tmp_path)
    assert (len(data.train), len(data.test)) == (9, 4)
    assert not notes
    assert all("5_" in name for name in data.test.names)
    torch.testing.assert_close(data.test.cameras.centers, cameras.centers)


def test_names_of_the_stanford_archive_are_rectified_images(tmp_path: Path) -> None:
    """A point of the reference plane is at one pixel in all of them."""
    write_grid(tmp_path, name=STANFORD)
    with collected() as notes:
        data = ur.load(tmp_path, hold_out=0, fov=60.0, reference_plane=2.5)
    assert not notes
    cameras = data.train.cameras
    assert cameras.focal.tolist() == pytest.approx([SIZE[0] / 2 / 3**-0.5] * 9)
    point = torch.tensor([0.3, 2.5, -0.2]).expand(9, 3)
    pixels, _ = cameras.project(torch.arange(9), point)
    torch.testing.assert_close(pixels, pixels[:1].expand(9, 2), rtol=0, atol=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("plane", [0.0, 1.5])
def test_positions_to_the_left_are_found_out(
    tmp_path: Path, mirrored: bool, plane: float
) -> None:
    """As of some scenes of the archive."""
    truth = write_grid(tmp_path, name=STANFORD, mirrored=mirrored)
    fov = math.degrees(2 * math.atan(SIZE[0] / 2 / FOCAL))
    if plane:
        # What a point of the plane shows is at one pixel in all images.
        cameras = ur.load(tmp_path, hold_out=0, fov=fov, reference_plane=plane).train.cameras
        sign = -1 if mirrored else 1
        intrinsics = cameras.intrinsics.clone()
        intrinsics[:, 0, 2] = SIZE[0] / 2 + FOCAL * truth.centers[:, 0] / plane
        rectified = Cameras(truth.world_from_camera, intrinsics, *SIZE)
        for k, (x, _, z) in enumerate(truth.centers.tolist()):
            row, column = divmod(k, 3)
            file = STANFORD.format(row=row, column=column, down=-z + 0.0, right=sign * x + 0.0)
            write_image(tmp_path / file, plane_images(rectified, 2.0)[k])
        truth = rectified
    with collected() as notes:
        cameras = ur.load(tmp_path, hold_out=0, fov=fov, reference_plane=plane).train.cameras
    torch.testing.assert_close(cameras.centers, truth.centers)
    torch.testing.assert_close(cameras.intrinsics, truth.intrinsics)
    assert ["u is to the left" in line for line in notes] == [True] * mirrored


def test_what_names_do_not_say_is_said_once(tmp_path: Path) -> None:
    write_grid(tmp_path, name=STANFORD)
    with collected() as notes:
        data = ur.load(tmp_path)
    (line,) = notes
    assert "rectified to a reference plane at depth 1 and seen at 40°" in line
    assert "--fov DEGREES and --reference-plane DEPTH" in line
    # Of parallel cameras.
    with collected() as notes:
        data = ur.load(tmp_path, reference_plane=0.0)
    assert ["seen at 40°" in line and "rectified" not in line for line in notes] == [True]
    middle = torch.tensor([SIZE[0] / 2, SIZE[1] / 2])
    torch.testing.assert_close(data.train.cameras.intrinsics[:, :2, 2], middle.expand(8, 2))


@pytest.mark.parametrize("folder", ["images", "rectified"])
def test_images_may_be_one_folder_deeper(tmp_path: Path, folder: str) -> None:
    write_grid(tmp_path / folder)
    assert len(ur.load(tmp_path, hold_out=0).train) == 9


def test_a_grid_with_holes_is_used_and_told(tmp_path: Path) -> None:
    write_grid(tmp_path)
    for name in tmp_path.glob("out_01_01_*"):
        name.unlink()
    with collected() as notes:
        data = ur.load(tmp_path, hold_out=0)
    assert len(data.train) == 8
    (line,) = notes
    assert "3 rows and 3 columns with 1 hole: the 8 images" in line


def test_other_images_among_them_are_left_out_and_told(tmp_path: Path) -> None:
    write_grid(tmp_path)
    write_image(tmp_path / "preview.png", torch.zeros(4, 4, 3))
    with collected() as notes:
        data = ur.load(tmp_path, hold_out=0)
    assert len(data.train) == 9
    (line,) = notes
    assert (
        "1 of 10 images are left out: their names have no position, such as 'preview.png'"
        in line
    )


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (4, 1)])
def test_one_view_and_one_row_are_read(tmp_path: Path, rows: int, columns: int) -> None:
    truth = write_grid(tmp_path, rows, columns)
    views = ur.load(tmp_path, hold_out=0).train
    torch.testing.assert_close(views.cameras.centers, truth.centers)
    assert (views.ball is None) == (rows * columns == 1)


def test_numbers_without_a_decimal_point_are_no_positions(tmp_path: Path) -> None:
    """They are as likely a date: IMG_2024_05_12_101500.png."""
    for k in range(3):
        file = tmp_path / f"IMG_2024_05_12_10150{k}.png"
        write_image(file, torch.zeros(4, 4, 3))
    with pytest.raises(InputError, match="3 images without camera poses"):
        ur.load(tmp_path)


@pytest.mark.parametrize(
    ("copy", "told"),
    [
        ("out_00_00_9.0_9.0_40_48.png", "has the row and column of out_00_00_"),
        ("out_07_00_-0.1_-0.1_40_48.png", "has the position of out_00_00_"),
        ("out_07_00_9.0_9.0_0_48.png", "a lens of 0 and a sensor of 48"),
        ("out_07_00_9.0_9.0_-40_48.png", "a lens of -40 and a sensor of 48"),
        ("out_07_00_9.0_9.0.png", "no lens and sensor, which others have"),
        ("out_07_00_999999999999.0_9.0_40_48.png", "coordinate of 1e+12"),
    ],
)
def test_bad_names_are_one_line(tmp_path: Path, copy: str, told: str) -> None:
    write_grid(tmp_path)
    copyfile(next(tmp_path.glob("out_00_00_*")), tmp_path / copy)
    with pytest.raises(InputError) as error:
        ur.load(tmp_path)
    assert told in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert len(str(error.value)) <= 300


def test_options_of_names_that_say_it_are_refused(tmp_path: Path) -> None:
    write_grid(tmp_path)
    with pytest.raises(InputError, match=r"--fov 40: the names of .* have a lens"):
        ur.load(tmp_path, fov=40.0)
    with pytest.raises(InputError, match="--reference-plane 2: the names of"):
        ur.load(tmp_path, reference_plane=2.0)
    with pytest.raises(InputError, match="--fov 40: bricks has cameras of its own"):
        ur.load("bricks", fov=40.0)


def test_images_of_several_sizes_are_read(tmp_path: Path) -> None:
    """As all formats do; each has the focal length of its own width."""
    write_grid(tmp_path)
    file = next(tmp_path.glob("out_00_00_*"))
    write_image(file, torch.zeros(16, 24, 3))
    views = ur.load(tmp_path, hold_out=0).train
    assert views.cameras.focal.tolist() == pytest.approx([20.0] + [40.0] * 8)
    assert views.ball is None
