"""Which COLMAP model of several is read, and what newer versions of COLMAP write."""

import json
import struct
from pathlib import Path

import pytest
import torch

from unrender.data.formats.colmap import load_colmap, read_colmap
from unrender.data.formats.colmap_models import count_images, find_colmap
from unrender.data.load import load_dataset
from unrender.errors import InputError
from unrender.imaging.files import write_image
from unrender.notes import collected

CAMERA = "1 PINHOLE 8 6 10 10 4 3\n"


def text_model(folder: Path, names: list[str], camera: str = CAMERA) -> None:
    """Cameras in a row, 2 apart, that look along z."""
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text("# cameras\n" + camera)
    lines = [f"{k + 1} 1 0 0 0 {-2.0 * k} 0 5 1 {name}\n\n" for k, name in enumerate(names)]
    (folder / "images.txt").write_text("# images\n# two lines each\n" + "".join(lines))
    (folder / "points3D.txt").write_text("1 0 0 0 255 0 0 0.5 1 0\n")


def binary_model(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    camera = struct.pack("<QiiQQ4d", 1, 1, 1, 8, 6, 10, 10, 4, 3)
    (folder / "cameras.bin").write_bytes(camera)
    images = struct.pack("<Q", len(names))
    for k, name in enumerate(names):
        pose = struct.pack("<i7di", k + 1, 1, 0, 0, 0, -2.0 * k, 0, 5, 1)
        images += pose + name.encode() + b"\0" + struct.pack("<Q", 0)
    (folder / "images.bin").write_bytes(images)


def photographs(folder: Path, names: list[str]) -> None:
    for k, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, torch.full((6, 8, 3), 0.1 * k))


NAMES = [f"{k}.png" for k in range(5)]


@pytest.mark.parametrize("above", ["sparse", "colmap/sparse"])
def test_the_model_with_most_images_is_read(tmp_path: Path, above: str) -> None:
    photographs(tmp_path / "images", NAMES)
    text_model(tmp_path / above / "0", NAMES[:2])
    binary_model(tmp_path / above / "1", NAMES)
    text_model(tmp_path / above / "10", NAMES[:3])
    with collected() as said:
        data = load_dataset(tmp_path)
    assert len(data.train) + len(data.test) == 5
    assert len(said) == 1
    assert f"has 3 COLMAP models: {above}/1 is read, with most images (5), not" in said[0]
    assert f"{above}/0 (2), {above}/10 (3)" in said[0]


def test_one_model_is_read_without_a_word(tmp_path: Path) -> None:
    """Also one beside an empty folder, and one whose files stand in the folder itself."""
    photographs(tmp_path / "images", NAMES)
    text_model(tmp_path / "sparse/0", NAMES)
    (tmp_path / "sparse/1").mkdir()
    with collected() as said:
        assert len(load_colmap(tmp_path)) == 5
    assert not said
    flat = tmp_path / "flat"
    text_model(flat, NAMES)
    photographs(flat, NAMES)
    with collected() as said:
        assert len(load_colmap(flat)) == 5
    assert not said


def test_the_first_of_equal_models_is_read(tmp_path: Path) -> None:
    for name in ("10", "2"):
        text_model(tmp_path / "sparse" / name, NAMES)
    assert find_colmap(tmp_path) == tmp_path / "sparse/2"


def test_images_are_counted_as_they_are_read(tmp_path: Path) -> None:
    text_model(tmp_path / "text", NAMES)
    binary_model(tmp_path / "binary", NAMES)
    for name in ("text", "binary"):
        assert count_images(tmp_path / name) == len(read_colmap(tmp_path / name).images) == 5
    damaged = tmp_path / "binary/images.bin"
    damaged.write_bytes(struct.pack("<Q", 2**60))
    assert count_images(tmp_path / "binary") == 0
    damaged.write_bytes(b"")
    assert count_images(tmp_path / "binary") == 0


def test_rigs_give_the_pose_of_each_image(tmp_path: Path) -> None:
    """Files of rigs and frames (COLMAP 3.12) stand beside a model of the same images."""
    pycolmap = pytest.importorskip("pycolmap")
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=2, num_cameras_per_rig=2, num_frames_per_rig=3, num_points3D=10
    )
    made = pycolmap.synthesize_dataset(options)
    model = tmp_path / "sparse/0"
    model.mkdir(parents=True)
    made.write(model)
    assert (model / "rigs.bin").is_file()
    found = read_colmap(model)
    assert len(found.images) == made.num_reg_images() == 12
    for image in found.images:
        (theirs,) = (each for each in made.images.values() if each.name == image.name)
        expected = theirs.cam_from_world().matrix()[:, 3]
        assert image.pose[4:] == pytest.approx(expected.tolist())


def test_images_in_subfolders_and_behind_links(tmp_path: Path) -> None:
    names = ["left/0.png", "right/0.png", "2.png"]
    photographs(tmp_path / "elsewhere", names)
    text_model(tmp_path / "scene/sparse/0", names)
    (tmp_path / "scene/images/left").mkdir(parents=True)
    (tmp_path / "scene/images/right").symlink_to(tmp_path / "elsewhere/right")
    for name in ("left/0.png", "2.png"):
        (tmp_path / "scene/images" / name).symlink_to(tmp_path / "elsewhere" / name)
    views = load_colmap(tmp_path / "scene")
    assert views.names == ("2.png", "left/0.png", "right/0.png")
    tones = [round(10 * float(views.store[k][0, 0, 0])) for k in range(3)]
    assert tones == [2, 0, 1]


def test_a_few_missing_photographs_are_left_out(tmp_path: Path) -> None:
    text_model(tmp_path / "sparse/0", NAMES)
    with pytest.raises(InputError, match=r"the model's 5 images, such as '0\.png'"):
        load_colmap(tmp_path)
    photographs(tmp_path / "images", NAMES[:2])
    with pytest.raises(InputError, match=r"3 of the model's 5 images, such as '2\.png'"):
        load_colmap(tmp_path)
    photographs(tmp_path / "images", NAMES[:4])
    with collected() as said:
        views = load_colmap(tmp_path)
    assert views.names == tuple(NAMES[:4])
    assert views.cameras.centers[:, 0].tolist() == [0, 2, 4, 6]
    missing = "1 of the model's 5 images are missing, such as 4.png: they are left out"
    assert said == [f"{tmp_path}: {missing}"]


def test_a_model_s_own_folder_can_be_named(tmp_path: Path) -> None:
    photographs(tmp_path / "images", NAMES)
    text_model(tmp_path / "sparse/0", NAMES)
    text_model(tmp_path / "sparse/1", NAMES[1:3])
    assert load_colmap(tmp_path / "sparse/1").names == ("1.png", "2.png")


def test_times_are_beside_the_images(tmp_path: Path) -> None:
    """As `process` writes them, of more frames than the model has; also by its own folder."""
    photographs(tmp_path / "images", NAMES)
    text_model(tmp_path / "sparse/0", [NAMES[3], NAMES[1], NAMES[4]])
    assert load_colmap(tmp_path).cameras.times is None
    file = tmp_path / "times.json"
    times: dict[str, object] = {name: 0.5 * k for k, name in enumerate(NAMES)}
    file.write_text(json.dumps(times))
    for path in (tmp_path, tmp_path / "sparse/0"):
        found = load_colmap(path)
        assert found.names == ("1.png", "3.png", "4.png")
        assert found.cameras.times is not None
        assert found.cameras.times.tolist() == [0.5, 1.5, 2.0]
    for wrong, message in (
        ({"3.png": None}, r"times\.json: has no time of image '3\.png'"),
        ({"3.png": "x"}, r"times\.json: '3\.png': `time` is 'x', not a number"),
        ({"3.png": 1e99}, r"times\.json: '3\.png': `time` is 1e\+99; it must be finite"),
    ):
        file.write_text(json.dumps(times | wrong))
        with pytest.raises(InputError, match=message):
            load_colmap(tmp_path)
    file.write_text("[1, 2]")
    with pytest.raises(InputError, match="not an object"):
        load_colmap(tmp_path)


def test_cameras_of_several_sizes(tmp_path: Path) -> None:
    camera = CAMERA + "2 SIMPLE_PINHOLE 4 4 5 2 2\n"
    text_model(tmp_path / "sparse/0", NAMES, camera)
    photographs(tmp_path / "images", NAMES)
    write_image(tmp_path / "images/4.png", torch.zeros(4, 4, 3))
    file = tmp_path / "sparse/0/images.txt"
    file.write_text(file.read_text().replace("1 4.png", "2 4.png"))
    views = load_colmap(tmp_path)
    assert [views.cameras.sizes[k] for k in (0, 4)] == [(8, 6), (4, 4)]
    assert views.cameras.focal.tolist() == [10, 10, 10, 10, 5]
