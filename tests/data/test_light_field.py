"""Epipolar-plane images, and what is told of a light field."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from textured_planes import FOCAL, SIZE, STEP, grid_cameras, plane_views, texture, write_grid

import unrender as ur
from unrender.data.light_field import epipolar_plane_image, find_grid, grid_facts, in_digits
from unrender.geometry.cameras import concatenate

Command = Callable[..., str]


@pytest.mark.parametrize("vertical", [False, True])
def test_the_slope_of_an_epipolar_line_is_the_inverse_depth(vertical: bool) -> None:
    """A point moves by −f step / depth pixels from one view to the next."""
    depth = 2.0
    views = plane_views(grid_cameras(5, 5), depth)
    found = find_grid(views)
    assert found is not None
    _, grid = found
    planes = epipolar_plane_image(views, grid, 2, 7, vertical)
    side = SIZE[1] if vertical else SIZE[0]
    assert planes.shape == (5, side, 3)
    # Two pixels a view here: the line through a pixel of the middle view has one color.
    slope = -FOCAL * STEP / depth
    assert slope == pytest.approx(-2)
    for pixel in range(6, side - 6):
        line = torch.stack([planes[k, pixel - 2 * (k - 2)] for k in range(5)])
        torch.testing.assert_close(line, line[2:3].expand(5, 3), rtol=0, atol=1e-4)
    # The middle one is a line of the middle view.
    image = views[12].images[0, ..., :3]
    torch.testing.assert_close(planes[2], image[:, 7] if vertical else image[7])


def test_holes_are_unknown() -> None:
    views = plane_views(grid_cameras(3, 3)).select(torch.tensor([0, 1, 2, 3, 5, 6, 7, 8]))
    found = find_grid(views)
    assert found is not None
    _, grid = found
    planes = epipolar_plane_image(views, grid, 1, 4)
    assert planes.isnan().all((1, 2)).tolist() == [False, True, False]
    facts = grid_facts(views, grid)
    assert (
        facts["grid"] == "3 rows and 3 columns of parallel cameras, 9 places, 1 of them empty"
    )
    assert facts["distance of rows"] == "0.1"


def test_the_grid_is_of_all_views_or_of_those_for_training() -> None:
    grid, between = grid_cameras(3, 3), grid_cameras(2, 2)
    both = plane_views(concatenate([grid, between]))
    for views, held_out, count in ((both, 4, 9), (both[:9], 2, 9)):
        found = find_grid(views, held_out)
        assert found is not None
        assert len(found[0]) == count
        assert found[1].num_holes == 0


def test_what_is_no_grid_has_none() -> None:
    bricks = ur.load("bricks", downscale=8)
    assert find_grid(bricks.test) is None
    assert find_grid(bricks.test[:1]) is None
    assert find_grid(bricks.test[:0]) is None


def test_depths_are_those_of_the_scene() -> None:
    views = plane_views(grid_cameras(3, 3), 1.5, 3.0)
    found = find_grid(views)
    assert found is not None
    _, grid = found
    near, far, _ = grid_facts(views, grid)["depths"].replace(" to ", ", ").split(", ", 2)
    assert [float(near), float(far)] == pytest.approx([1.5, 1.5], rel=0.15)


def test_numbers_are_told_in_digits() -> None:
    assert [in_digits(x) for x in (49230.8, 1.2345, 0.00012)] == ["49200", "1.23", "0.00012"]


def test_textures_are_nowhere_alike() -> None:
    """What the laws above rest on."""
    x = torch.linspace(-1, 1, 40)
    colors = texture(x, torch.zeros(40))
    apart = torch.cdist(colors, colors).fill_diagonal_(1.0)
    assert float(apart.min()) > 5e-3


@pytest.mark.fit
def test_a_light_field_is_inspected(command: Command, tmp_path: Path) -> None:
    write_grid(tmp_path / "grid")
    next((tmp_path / "grid").glob("out_02_01_*")).unlink()
    printed = command("inspect", tmp_path / "grid", "--out", tmp_path / "look")
    assert "light-field-grid" in printed
    assert "3 rows and 3 columns of parallel cameras" in printed
    assert "none: the cameras are parallel" in printed
    assert "look away" not in printed
    assert "1 hole" in printed
    assert (tmp_path / "look/light_field.png").is_file()
    assert "Light field" in (tmp_path / "look/index.html").read_text()


@pytest.mark.fit
def test_names_without_a_lens_are_inspected_with_options(
    command: Command, tmp_path: Path
) -> None:
    name = "out_{row:02d}_{column:02d}_{down:.6f}_{right:.6f}_.png"
    write_grid(tmp_path / "grid", name=name)
    words = ("--fov", 61.9275, "--reference-plane", 0)
    printed = command("inspect", tmp_path / "grid", *words)
    assert "40 pixels" in printed
    assert "taken as" not in printed
