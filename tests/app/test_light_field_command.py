"""Light fields on the command line: rendered as they are, and refused in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from textured_planes import plane_images, write_grid

from unrender.imaging.files import read_rgba

pytestmark = pytest.mark.fit

Command = Callable[..., str]


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    write_grid(tmp_path / "grid", 5, 5)
    return tmp_path / "grid"


def test_an_image_is_focused(command: Command, grid: Path, tmp_path: Path) -> None:
    out = tmp_path / "focused.png"
    printed = command(
        "render", grid, "--focus", 2.0, "--aperture", 0.2, "--supersample", 2, "--out", out
    )
    assert printed.splitlines()[-1] == str(out)
    image = read_rgba(out)[..., :3]
    truth = plane_images(write_grid(tmp_path / "again", 1, 1), 2.0)[0]
    torch.testing.assert_close(image[6:-6, 6:-6], truth[6:-6, 6:-6], rtol=0, atol=0.02)


def test_films_move_the_focus_and_the_camera(
    command: Command, grid: Path, tmp_path: Path
) -> None:
    for name, words in (("focus", ("--focus", 1.0, 3.0)), ("camera", ("--focus", 2.0))):
        out = tmp_path / f"{name}.gif"
        command("render", grid, *words, "--frames", 4, "--aperture", 0.3, "--out", out)
        with Image.open(out) as film:
            assert getattr(film, "n_frames", 1) == 4
    folder = tmp_path / "numbered"
    command(
        "render", grid, "--focus", 2, "--cameras", "spiral", "--frames", 3, "--size", 24,
        "--what", "color,depth", "--out", folder,
    )  # fmt: skip
    assert len(list(folder.glob("color_*.png"))) == 3
    assert len(list(folder.glob("depth_*.png"))) == 3


def test_names_without_a_lens_have_options(command: Command, tmp_path: Path) -> None:
    name = "out_{row:02d}_{column:02d}_{down:.6f}_{right:.6f}_.png"
    write_grid(tmp_path / "grid", name=name)
    out = tmp_path / "a.png"
    words = ("--fov", 61.9275, "--reference-plane", 0, "--focus", 2.0)
    command("render", tmp_path / "grid", *words, "--cameras", "auto", "--out", out)
    image = read_rgba(out)[..., :3]
    truth = plane_images(write_grid(tmp_path / "again", 1, 1), 2.0)[0]
    torch.testing.assert_close(image[6:-6, 6:-6], truth[6:-6, 6:-6], rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("GRID", "--aperture", 0), "aperture 0: give a diameter above 0"),
        (("GRID", "--aperture", -0.5), "aperture -0.5: give"),
        (("GRID", "--focus", -1), "focus -1: is not in front of the cameras"),
        (("GRID", "--focus", 1, 2, 3), "focus: 3 depths; give one, or two for a sweep"),
        (("GRID", "--focus"), "--focus: needs a value: --focus DEPTH [DEPTH]"),
        (("GRID", "--focus", "near"), "--focus: 'near' is not a number"),
        (("GRID", "--fov", 60), "--fov 60: the names of"),
        (("GRID", "--fov", 600), "--fov 600: give at most 150"),
        (("GRID", "--cameras", "test", "--focus", 2), "no held-out views"),
        (("GRID", "--time", 1), "--time: needs a run of a moving scene"),
        (
            ("GRID", "--device", "cuda", "--focus", 2),
            "--device cuda: light fields are rendered",
        ),
        (("SCENE", "--focus", 2), "is no light field: its cameras look up to"),
        (("MESH", "--focus", 2), "--focus: needs a light field"),
        (("MESH", "--reference-plane", 2), "--reference-plane: needs a light field"),
        (("NOTHING", "--focus", 2), "not a run folder"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    refused: Command,
    grid: Path,
    scene_folder: Path,
    tmp_path: Path,
    words: tuple[object, ...],
    told: str,
) -> None:
    mesh = tmp_path / "one.obj"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    places = {
        "GRID": grid,
        "SCENE": scene_folder,
        "MESH": mesh,
        "NOTHING": tmp_path / "nothing",
    }
    typed = [places.get(word, word) if isinstance(word, str) else word for word in words]
    line = refused("render", *typed, "--out", tmp_path / "out.png")
    assert told in line
    assert not (tmp_path / "out.png").exists()
