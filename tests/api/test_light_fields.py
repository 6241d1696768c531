"""Light fields of the front door: focused afterwards."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from textured_planes import cameras_at, grid_cameras, plane_images, plane_views, write_grid

import unrender as ur
from unrender.data.dataset import Dataset
from unrender.errors import InputError
from unrender.notes import collected

VIEWS = plane_views(grid_cameras(5, 5))


def test_the_middle_camera_is_rendered_and_the_focus_is_told() -> None:
    with collected() as notes:
        rendering = ur.refocus(VIEWS, progress=False)
    assert repr(rendering) == "Rendering(1 × 48×32)"
    torch.testing.assert_close(rendering.color, VIEWS[12].images[..., :3], rtol=0, atol=1e-4)
    (line,) = notes
    assert "focused at depth 2.0" in line or "focused at depth 1.9" in line


def test_a_folder_is_rendered_with_all_its_views(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid", 3, 3)
    with collected() as notes:
        rendering = ur.refocus(tmp_path / "grid", focus=2.0, aperture=0.1, size=24)
    assert repr(rendering) == "Rendering(1 × 24×16)"
    assert not notes
    # Of a dataset, the training views: without those that are held out.
    data = ur.load(tmp_path / "grid", hold_out=9)
    with collected() as notes:
        ur.refocus(data, focus=2.0)
    assert notes == [
        "grid: nearest images stand in for 1 missing in a grid of 3 rows and 3 columns"
    ]


def test_a_sweep_moves_the_focal_plane() -> None:
    sweep = ur.refocus(VIEWS, focus=(1.0, 3.0), frames=5, aperture=0.3, progress=False)
    assert len(sweep) == 5
    middle = sweep.depth[:, 16, 24].tolist()
    # Evenly in inverse depth: 1, 1.2, 1.5, 2, 3.
    assert middle == pytest.approx([1.0, 1.2, 1.5, 2.0, 3.0], rel=1e-3)
    still = ur.refocus(VIEWS, focus=1.5, aperture=0.3, progress=False)
    torch.testing.assert_close(sweep.color[2:3], still.color)


def test_a_path_moves_the_camera() -> None:
    cameras = cameras_at(torch.tensor([0.0, 0.1]), torch.tensor([0.0, 0.05]))
    moved = ur.refocus(VIEWS, cameras, focus=2.0, progress=False)
    inner = (slice(None), slice(6, -6), slice(6, -6))
    torch.testing.assert_close(
        moved.color[inner], plane_images(cameras, 2.0)[inner], rtol=0, atol=4e-3
    )
    spiral = ur.refocus(VIEWS, ur.spiral(3), focus=2.0, progress=False)
    assert len(spiral) == 3
    assert float(spiral.opacity[inner].min()) > 0.99


def test_what_lies_beyond_the_grid_is_told() -> None:
    with collected() as notes:
        ur.refocus(VIEWS, cameras_at(torch.tensor([0.5]), torch.zeros(1)), focus=2.0)
    assert notes == [
        "views: 1 of 1 cameras are beyond the grid of images: they show what the outermost see"
    ]
    with collected() as notes:
        ur.refocus(VIEWS, focus=2.0, aperture=2.0)
    assert notes == [
        "views: the aperture 2 is wider than the grid, 0.4 by 0.4: the lens ends with it"
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"aperture": 0.0}, "aperture 0: give a diameter above 0"),
        ({"aperture": -1.0}, "aperture -1: give"),
        ({"aperture": math.nan}, "aperture nan: give"),
        ({"focus": -2.0}, "focus -2: is not in front of the cameras"),
        ({"focus": (2.0, 0.0)}, "focus 0: is not in front of the cameras"),
        ({"focus": math.inf}, "focus inf: is not in front"),
        ({"focus": (1.0, 2.0), "frames": 0}, "frames 0: give at least 1"),
        ({"size": 0}, "size 0"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as error:
        ur.refocus(VIEWS, **options)
    assert told in str(error.value)


def test_what_is_no_light_field_is_one_line(small_scene: Dataset) -> None:
    with pytest.raises(InputError, match=r"small: is no light field: its cameras look up to"):
        ur.refocus(small_scene, focus=4.0)
