"""Sequences of RealEstate10K and ACID with frames, and many scenes below one folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzz.seeds import OPENCV, co3d, encoded, nerfstudio, pixels, poses
from PIL import Image

from unrender.app.inspect import inspect
from unrender.data.formats.realestate10k import find_frames, load_realestate10k
from unrender.data.load import LoadOptions, load_dataset, recognize
from unrender.data.sequences import sequences
from unrender.errors import InputError
from unrender.geometry.conventions import opencv_from_opengl
from unrender.notes import collected

TIMES = (158692025, 158958959, 159225500, 159526193)
LENS = (0.5, 0.75, 0.45, 0.55)
SIZE = (16, 8)
Names = Callable[[int], str]


def write_list(file: Path, times: tuple[int, ...] = TIMES) -> None:
    """Cameras on a circle, as `fuzz.seeds.poses` has them."""
    lines = ["https://www.youtube.com/watch?v=made_for_tests"]
    for time, pose in zip(times, poses(len(times)) @ OPENCV, strict=True):
        matrix = " ".join(f"{x:.9f}" for x in np.linalg.inv(pose)[:3].ravel())
        lines.append(f"{time} {' '.join(map(str, LENS))} 0 0 {matrix}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def write_frame(path: Path, gray: int, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (gray, gray, gray)).save(path)


def write_frames(folder: Path, named: Names = str, times: tuple[int, ...] = TIMES) -> None:
    """Frame k has the gray value 40 k."""
    for k, time in enumerate(times):
        write_frame(folder / f"{named(time)}.png", 40 * k)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A list of cameras, and frames beside it."""
    write_list(tmp_path / "train/a1.txt")
    write_frames(tmp_path / "train/a1")
    return tmp_path / "train/a1.txt"


def grays(file: Path) -> list[int]:
    images = load_realestate10k(file).images
    return [round(255 * float(image[..., :3].mean())) for image in images]


def test_every_frame_gets_its_camera(made: Path) -> None:
    views = load_realestate10k(made)
    assert views.names == tuple(f"{time}.png" for time in TIMES)
    assert grays(made) == [0, 40, 80, 120]
    assert views.images.shape == (4, 8, 16, 4)
    assert bool((views.images[..., 3] == 1).all())
    expected = opencv_from_opengl(torch.from_numpy(poses(4)[:, :3])).float()
    torch.testing.assert_close(views.cameras.world_from_camera, expected, atol=1e-6, rtol=0)
    # Fractions of width and height, from the corner of the image.
    matrix = [[0.5 * 16, 0, 0.45 * 16], [0, 0.75 * 8, 0.55 * 8], [0, 0, 1]]
    torch.testing.assert_close(views.cameras.intrinsics[2], torch.tensor(matrix))


def test_a_camera_looks_where_its_frame_was_taken(made: Path) -> None:
    """The cameras of the seeds look at the origin: it is at the principal point."""
    cameras = load_realestate10k(made).cameras
    pixel, depth = cameras.project(torch.arange(4), torch.zeros(4, 3))
    place = torch.tensor([[0.45 * 16, 0.55 * 8]]).expand(4, 2)
    torch.testing.assert_close(pixel, place, atol=1e-4, rtol=0)
    assert bool((depth > 4).all())


def test_downscaled_frames_keep_their_field_of_view(made: Path) -> None:
    whole, half = load_realestate10k(made), load_realestate10k(made, LoadOptions(downscale=2))
    assert half.cameras.sizes[0] == (8, 4)
    torch.testing.assert_close(half.cameras.fov, whole.cameras.fov)


def test_frames_of_several_sizes_have_cameras_of_these(made: Path) -> None:
    write_frame(made.with_suffix("") / f"{TIMES[1]}.png", 40, (32, 20))
    cameras = load_realestate10k(made).cameras
    assert cameras.sizes[1] == (32, 20)
    assert cameras.focal.tolist() == [8, 16, 8, 8]


NAMES: dict[str, Names] = {
    "zeros": lambda time: f"{time:015d}",
    "milliseconds": lambda time: str(time // 1000),
    "rounded": lambda time: str((time + 500) // 1000),
}


@pytest.mark.parametrize("named", NAMES.values(), ids=NAMES)
def test_times_with_zeros_and_in_milliseconds(tmp_path: Path, named: Names) -> None:
    write_list(tmp_path / "a.txt")
    write_frames(tmp_path / "a", named)
    with collected() as notes:
        assert grays(tmp_path / "a.txt") == [0, 40, 80, 120]
    assert not notes


def test_the_order_is_the_lists_whatever_the_files_are_called(tmp_path: Path) -> None:
    """9 comes before 10, and a list may be in any order."""
    times = (10, 9, 100, 1)
    write_list(tmp_path / "a.txt", times)
    write_frames(tmp_path / "a", str, times)
    assert grays(tmp_path / "a.txt") == [0, 40, 80, 120]


def test_frames_that_are_missing_are_left_out_with_a_word(made: Path) -> None:
    (made.with_suffix("") / f"{TIMES[2]}.png").unlink()
    write_frame(made.with_suffix("") / "5.png", 200)  # No camera.
    with collected() as notes:
        assert grays(made) == [0, 40, 120]
    assert len(notes) == 1
    assert f"1 of the 4 frames of a1.txt are not there, such as {TIMES[2]}" in notes[0]


def test_frames_without_times_go_by_their_order_with_a_word(tmp_path: Path) -> None:
    write_list(tmp_path / "a.txt")
    for k in range(4):
        write_frame(tmp_path / f"a/frame_{k:02d}.png", 40 * k)
    with collected() as notes:
        assert grays(tmp_path / "a.txt") == [0, 40, 80, 120]
    assert "taken in the order of their names, beginning with frame_00.png" in notes[0]
    write_frame(tmp_path / "a/frame_04.png", 200)
    with pytest.raises(InputError, match="none of its 5 images is named by a time"):
        load_realestate10k(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("file", "frames"),
    [
        ("train/a1.txt", "train/a1"),
        ("a1.txt", "videos/a1"),
        ("poses/a1.txt", "images/a1"),
        ("train/a1.txt", "frames/train/a1"),
        ("cameras/train/a1.txt", "frames/train/a1"),
        ("a1/cameras.txt", "a1/frames"),
        ("a1/cameras.txt", "a1/images"),
        ("a1/a1.txt", "a1"),
    ],
)
def test_where_frames_are_looked_for(tmp_path: Path, file: str, frames: str) -> None:
    write_list(tmp_path / file)
    assert find_frames(tmp_path / file) is None
    write_frames(tmp_path / frames)
    assert find_frames(tmp_path / file) == tmp_path / frames
    assert grays(tmp_path / file) == [0, 40, 80, 120]
    assert [each.path for each in sequences(tmp_path)] == [tmp_path / file]


def test_a_sequence_is_data_as_any_other(made: Path) -> None:
    for path in (made, made.parent):
        assert recognize(path).name == "realestate10k"
        data = load_dataset(path, LoadOptions(hold_out=2))
        assert (len(data.train), len(data.test)) == (2, 2)
    assert load_dataset(made).name == "a1"
    assert inspect(made).summary.facts["views"] == "4"


def test_a_list_without_frames_is_still_described(made: Path) -> None:
    shutil.rmtree(made.with_suffix(""))
    assert inspect(made).summary.facts["cameras"] == "4"
    for read in (load_dataset, load_realestate10k):
        with pytest.raises(InputError, match="frames are not found: put them in the folder a1"):
            read(made)


def test_a_folder_of_several_sequences_is_not_one_scene(made: Path) -> None:
    write_list(made.with_name("b2.txt"))
    write_frames(made.with_name("b2"))
    with pytest.raises(InputError, match=r"has 2 sequences of RealEstate10K: give one of them"):
        load_dataset(made.parent)


def test_two_frames_of_one_time_are_refused(made: Path) -> None:
    write_frame(made.with_suffix("") / f"0{TIMES[0]}.png", 9)
    with pytest.raises(InputError, match="has the same time as"):
        load_realestate10k(made)


def test_lines_are_numbered_as_in_the_file(made: Path) -> None:
    lines = made.read_text().splitlines()
    made.write_text("\n".join([lines[0], "", lines[1], "", "1 2 3"]))
    with pytest.raises(InputError, match="line 5 has 3 of 19 numbers"):
        load_realestate10k(made)


# Many scenes


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_all_scenes_below_a_folder(made: Path, tmp_path: Path) -> None:
    write_list(made.with_name("b2.txt"))
    write_frames(made.with_name("b2"))
    write(tmp_path / "co3d/truck/1", co3d())
    write(tmp_path / "co3d/truck/2", co3d())
    write(tmp_path / "room", nerfstudio())
    (tmp_path / "train/README.txt").write_text("https://example.org\nnot a list\n")
    write(tmp_path / ".hidden", nerfstudio())
    found = sequences(str(tmp_path))
    assert [(each.name, each.format) for each in found] == [
        ("co3d/truck/1", "co3d"),
        ("co3d/truck/2", "co3d"),
        ("room", "blender"),
        ("train/a1", "realestate10k"),
        ("train/b2", "realestate10k"),
    ]
    assert [len(each.load()) for each in found] == [3, 3, 3, 4, 4]
    assert found[3].load(LoadOptions(downscale=2)).cameras.sizes[0] == (8, 4)


def test_one_scene_is_a_sequence_too(made: Path, tmp_path: Path) -> None:
    (only,) = sequences(made)
    assert (only.name, only.format, len(only.load())) == ("a1", "realestate10k", 4)
    write(tmp_path / "truck", co3d())
    (only,) = sequences(tmp_path / "truck")
    assert (only.name, only.format) == ("truck", "co3d")


def test_training_and_test_views_are_both_read(scene_folder: Path) -> None:
    (only,) = sequences(scene_folder)
    assert len(only.load()) == 30


def test_links_are_followed_once(made: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/train").symlink_to(made.parent)
    (made.parent / "circle").symlink_to(tmp_path / "links")
    assert [each.name for each in sequences(tmp_path / "links")] == ["train/a1"]


def test_lists_without_frames_are_counted(made: Path, tmp_path: Path) -> None:
    write_list(made.with_name("b2.txt"))
    with collected() as notes:
        assert [each.name for each in sequences(tmp_path)] == ["train/a1"]
    assert "1 lists of cameras without frames, such as b2.txt: they are left out" in notes[0]
    shutil.rmtree(made.with_suffix(""))
    with pytest.raises(InputError, match="has 2 lists of cameras without frames"):
        sequences(tmp_path)


def test_where_there_is_no_scene(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        sequences(tmp_path / "none")
    (tmp_path / "a.png").write_bytes(encoded(pixels(0)))
    for path in (tmp_path, tmp_path / "a.png"):
        with pytest.raises(InputError, match="has no scene that"):
            sequences(path)


def test_a_damaged_sequence_is_named_when_it_is_read(made: Path) -> None:
    (made.with_suffix("") / f"{TIMES[0]}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (only,) = sequences(made.parent)
    with pytest.raises(InputError, match=f"{TIMES[0]}.png"):
        only.load()
