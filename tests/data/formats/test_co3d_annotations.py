"""Sequences of CO3D as they are published, with annotations of a category."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzz.seeds import OPENCV, poses
from PIL import Image

from unrender.data.formats.co3d import load_co3d
from unrender.data.formats.co3d_annotations import ANNOTATIONS
from unrender.data.load import LoadOptions, load_dataset, recognize
from unrender.data.sequences import sequences
from unrender.errors import InputError
from unrender.geometry.conventions import opencv_from_opengl
from unrender.notes import collected

WIDTH, HEIGHT = 24, 16
FLIP = np.diag([-1.0, -1.0, 1.0])
FOCAL, PRINCIPAL = (2.0, 2.2), (0.1, -0.2)
COUNT = 4
Frames = list[dict[str, Any]]


def viewpoint(k: int, unit: str) -> dict[str, Any]:
    inverse = np.linalg.inv(poses(COUNT)[k] @ OPENCV)
    return {
        "R": (FLIP @ inverse[:3, :3]).T.tolist(),
        "T": (FLIP @ inverse[:3, 3]).tolist(),
        "focal_length": list(FOCAL),
        "principal_point": list(PRINCIPAL),
        "intrinsics_format": unit,
    }


def write_annotations(category: Path, frames: Frames) -> None:
    (category / ANNOTATIONS).write_bytes(gzip.compress(json.dumps(frames).encode()))


def write_category(
    category: Path, names: tuple[str, ...] = ("110_1",), unit: str = "ndc_isotropic"
) -> Frames:
    """Frame k has the gray value 60 k; its left half is the object."""
    frames: Frames = []
    for name in names:
        for folder in ("images", "masks"):
            (category / name / folder).mkdir(parents=True)
        for k in reversed(range(COUNT)):  # In no order.
            file = f"frame{k + 1:06d}"
            gray = Image.new("RGB", (WIDTH, HEIGHT), (60 * k,) * 3)
            gray.save(category / name / f"images/{file}.png")
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[:, : WIDTH // 2] = 255
            Image.fromarray(mask).save(category / name / f"masks/{file}.png")
            frames.append(
                {
                    "sequence_name": name,
                    "frame_number": k,
                    "image": {
                        "path": f"toy/{name}/images/{file}.png",
                        "size": [HEIGHT, WIDTH],
                    },
                    "mask": {"path": f"toy/{name}/masks/{file}.png", "mass": 192.0},
                    "viewpoint": viewpoint(k, unit),
                }
            )
    write_annotations(category, frames)
    return frames


@pytest.fixture
def category(tmp_path: Path) -> Path:
    write_category(tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def made(category: Path) -> Path:
    return category / "110_1"


def changed(category: Path, change: Callable[[Frames], Any]) -> None:
    frames = json.loads(gzip.decompress((category / ANNOTATIONS).read_bytes()))
    change(frames)
    write_annotations(category, frames)


def test_frames_have_their_cameras_in_order(made: Path) -> None:
    views = load_co3d(made)
    assert views.names == tuple(f"frame{k + 1:06d}.png" for k in range(COUNT))
    expected = opencv_from_opengl(torch.from_numpy(poses(COUNT)[:, :3])).float()
    torch.testing.assert_close(views.cameras.world_from_camera, expected, atol=1e-6, rtol=0)
    # The left half is the object, and the rest is clear.
    assert bool((views.images[:, :, :12, 3] == 1).all())
    assert bool((views.images[:, :, 12:] == 0).all())
    grays = (255 * views.images[:, 0, 0, 0]).round().tolist()
    assert grays == [0, 60, 120, 180]


@pytest.mark.parametrize(
    ("unit", "scale"), [("ndc_isotropic", (8, 8)), ("ndc_norm_image_bounds", (12, 8))]
)
def test_the_unit_of_the_intrinsics(tmp_path: Path, unit: str, scale: tuple[int, int]) -> None:
    """Half of the shorter side, or of each side; x and y point left and up."""
    write_category(tmp_path / "toy", unit=unit)
    matrix = load_co3d(tmp_path / "toy/110_1").cameras.intrinsics[0]
    found = [float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])]
    assert found == pytest.approx(
        [
            FOCAL[0] * scale[0], FOCAL[1] * scale[1],
            12 - PRINCIPAL[0] * scale[0], 8 - PRINCIPAL[1] * scale[1],
        ]
    )  # fmt: skip


def test_it_is_what_the_layout_of_vectors_gives(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "vectors"
    for folder in ("imgs", "poses"):
        (other / folder).mkdir(parents=True)
    for k in range(COUNT):
        name = f"frame{k + 1:06d}"
        (other / f"imgs/{name}.png").write_bytes((made / f"images/{name}.png").read_bytes())
        found = viewpoint(k, "ndc_isotropic")
        row = [*np.ravel(found["R"]), *found["T"], *FOCAL, *PRINCIPAL]
        np.save(other / f"poses/{name}.npy", np.array(row))
    one = load_co3d(made, LoadOptions(background="opaque"))
    two = load_co3d(other, LoadOptions(background="opaque"))
    torch.testing.assert_close(one.cameras.world_from_camera, two.cameras.world_from_camera)
    torch.testing.assert_close(one.cameras.intrinsics, two.cameras.intrinsics)
    assert torch.equal(one.images, two.images)
    assert bool((one.images[..., 3] == 1).all())


def test_a_smaller_copy_of_the_images_has_cameras_of_its_size(made: Path) -> None:
    whole = load_co3d(made)
    for path in sorted(made.rglob("*.png")):
        Image.open(path).resize((12, 8)).save(path)
    small = load_co3d(made)
    assert small.cameras.sizes[0] == (12, 8)
    torch.testing.assert_close(small.cameras.fov, whole.cameras.fov)


def test_sequences_of_a_category(tmp_path: Path) -> None:
    write_category(tmp_path / "toy", ("110_1", "110_2"))
    found = sequences(tmp_path)
    assert [(each.name, each.format) for each in found] == [
        ("toy/110_1", "co3d"),
        ("toy/110_2", "co3d"),
    ]
    assert [len(each.load()) for each in found] == [COUNT, COUNT]
    assert recognize(tmp_path / "toy/110_2").name == "co3d"
    with pytest.raises(InputError, match="is a category of CO3D"):
        load_dataset(tmp_path / "toy")


def test_annotations_that_are_written_again_are_read_again(category: Path, made: Path) -> None:
    before = load_co3d(made).cameras.focal
    changed(
        category, lambda frames: [f["viewpoint"].update(focal_length=[4, 4.0]) for f in frames]
    )
    torch.testing.assert_close(load_co3d(made).cameras.focal, before * 2)


def test_frames_of_no_use_are_left_out_with_a_word(category: Path, made: Path) -> None:
    def change(frames: Frames) -> None:
        frames[0]["viewpoint"] = None  # Frame 3.
        frames[1]["mask"]["mass"] = 0  # Frame 2.

    changed(category, change)
    with collected() as notes:
        assert load_co3d(made).names == ("frame000001.png", "frame000002.png")
    assert (
        "2 of 4 frames have no camera, no image or an empty mask, such as frame 2" in notes[0]
    )
    with collected():
        assert len(load_co3d(made, LoadOptions(background="opaque"))) == 3
    (made / "images/frame000001.png").unlink()
    (made / "images/frame000002.png").unlink()
    with pytest.raises(InputError, match=r"no frame of .* has a camera and an image"):
        load_co3d(made)


def test_frames_without_masks_are_whole(category: Path, made: Path) -> None:
    changed(category, lambda frames: [frame.pop("mask") for frame in frames])
    views = load_co3d(made, LoadOptions(background="auto"))
    assert views.images.shape[-1] == 3 or bool((views.images[..., 3] == 1).all())


CHANGES: dict[str, tuple[Callable[[Frames], Any], str]] = {
    "no list": (lambda f: f[0].pop("sequence_name"), "entry 0 names no sequence"),
    "number": (lambda f: f[0].update(frame_number="x"), "`frame_number` is 'x'"),
    "path": (lambda f: f[0]["image"].update(path="a/.."), r"image is 'a/\.\.'"),
    "mask": (lambda f: f[0].update(mask=3), "the path of its mask is missing"),
    "size": (lambda f: f[0]["image"].update(size=[0, 5]), "its size is 0"),
    "another size": (lambda f: f[0]["image"].update(size=[16, 16]), "its camera in"),
    "unit": (
        lambda f: f[0]["viewpoint"].update(intrinsics_format="px"),
        "give ndc_isotropic or ndc_norm_image_bounds",
    ),
    "R": (lambda f: f[0]["viewpoint"].update(R=[[1, 0, 0]]), "not three rows"),
    "scale": (lambda f: f[0]["viewpoint"].update(R=np.eye(3).tolist()[::-1]), "reflection"),
    "T": (lambda f: f[0]["viewpoint"].update(T=[1, 2, "3"]), "not a number"),
    "far": (lambda f: f[0]["viewpoint"].update(T=[8e16, 0, 0]), "must be finite, below 1e"),
    "focal": (lambda f: f[0]["viewpoint"].update(focal_length=[0, 1]), "not positive"),
    "viewpoint": (lambda f: f[0].update(viewpoint=[1]), r"its viewpoint is \[1\]"),
    "other": (lambda f: [each.update(sequence_name="b") for each in f], "no frames of 110_1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_annotations_are_refused(category: Path, made: Path, name: str) -> None:
    change, message = CHANGES[name]
    changed(category, change)
    with pytest.raises(InputError, match=message) as told:
        load_co3d(made)
    assert len(str(told.value)) <= 300


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "is not compressed JSON"),
        (gzip.compress(b"[")[:-9], "is not compressed JSON"),
        (gzip.compress(b"{"), "is not compressed JSON"),
        (gzip.compress(b"{}"), "not a list of frames"),
        (gzip.compress(b"[" * 100_000), "is not compressed JSON"),
        (gzip.compress(b"[]"), "no frames of 110_1"),
    ],
    # Compressed bytes hold the time.
    ids=["plain", "truncated", "damaged", "no list", "deep", "empty"],
)
def test_damaged_lists_are_refused(
    category: Path, made: Path, content: bytes, message: str
) -> None:
    (category / ANNOTATIONS).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_co3d(made)


def test_lists_that_grow_when_they_are_decompressed_are_refused(
    category: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrender.data.formats.co3d_annotations.MAX_ANNOTATIONS", 1000)
    with pytest.raises(InputError, match="is larger than 1,000 bytes"):
        load_co3d(made)


def test_a_mask_that_is_missing_is_named(made: Path) -> None:
    (made / "masks/frame000002.png").unlink()
    with pytest.raises(InputError, match=r"frame000002\.png: no such file; add the mask"):
        load_co3d(made)
