"""Damaged real files are either read or rejected with an InputError."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import sample

from unrender.data.formats.camera_files import read_cameras
from unrender.data.formats.realestate10k import read_realestate10k
from unrender.data.load import load_dataset
from unrender.errors import InputError

SCENES = {
    "llff": ("real_scenes/fern_llff", "poses_bounds.npy"),
    "idr": ("dtu/scan65_400x300", "cameras_sphere.npz"),
    "co3d": ("co3d/toytruck_160x90", "poses/frame000001.npy"),
    "multiscale": ("nerf_synthetic/lego_multiscale_sample", "metadata.json"),
    "blender": ("nerf_synthetic/lego_200", "transforms_train.json"),
}
KEPT = 6
"""Number of images kept of samples with one pose file per image, for speed."""
few = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3)
odd = st.sampled_from([None, "x", "", True, -1, 0, 1e30, 1e400, 10**400, [], {}, [[1]], "../a"])


@pytest.fixture
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a real scene, for tests to damage."""
    folder, _ = SCENES[request.param]
    shutil.copytree(sample(folder), tmp_path / "scene")
    if request.param == "co3d":
        for image in sorted((tmp_path / "scene/imgs").iterdir())[KEPT:]:
            image.unlink()
    return tmp_path / "scene"


def damaged(data: bytes, cut: float, places: list[tuple[float, int]]) -> bytes:
    """A truncated file with some changed bytes."""
    left = bytearray(data[: round(cut * len(data))])
    for place, value in places:
        if left:
            left[int(place * (len(left) - 1))] = value
    return bytes(left)


@contextmanager
def restored(path: Path) -> Iterator[bytes]:
    """The file's content, which is restored afterwards."""
    whole = path.read_bytes()
    try:
        yield whole
    finally:
        path.write_bytes(whole)


def reads_or_refuses(path: Path) -> bool:
    """Whether a scene could be read; only InputError is caught."""
    with suppress(InputError):
        load_dataset(str(path))
        return True
    return False


@pytest.mark.parametrize("copied", list(SCENES), indirect=True)
def test_undamaged_copies_are_read(copied: Path) -> None:
    """Without damage the copies are read, so the tests below reject the damage."""
    assert reads_or_refuses(copied)


@pytest.mark.parametrize(
    ("copied", "file"), [(k, v[1]) for k, v in SCENES.items()], indirect=["copied"]
)
@few
@given(cut=st.one_of(st.just(1.0), st.floats(0, 1)), places=changes)
def test_cut_and_changed_bytes(
    copied: Path, file: str, cut: float, places: list[tuple[float, int]]
) -> None:
    with restored(copied / file) as whole:
        (copied / file).write_bytes(damaged(whole, cut, places))
        reads_or_refuses(copied)


@pytest.mark.parametrize(
    ("copied", "file"),
    [("llff", SCENES["llff"][1]), ("co3d", SCENES["co3d"][1])],
    indirect=["copied"],
)
@few
@given(place=st.floats(0, 1), value=st.floats())
def test_numbers_that_are_out_of_place(
    copied: Path, file: str, place: float, value: float
) -> None:
    with restored(copied / file) as whole:
        numbers = np.load(io.BytesIO(whole), allow_pickle=False)
        numbers.reshape(-1)[int(place * (numbers.size - 1))] = value
        np.save(copied / file, numbers)
        reads_or_refuses(copied)


@pytest.mark.parametrize(
    ("copied", "file"),
    [(name, SCENES[name][1]) for name in ("multiscale", "blender")],
    indirect=["copied"],
)
@few
@given(way=st.lists(st.floats(0, 1), min_size=1, max_size=5), value=odd)
def test_json_of_another_kind(copied: Path, file: str, way: list[float], value: Any) -> None:
    with restored(copied / file) as whole:
        content = json.loads(whole)
        replace_one(content, way, value)
        (copied / file).write_text(json.dumps(content))
        reads_or_refuses(copied)


@few
@given(way=st.lists(st.floats(0, 1), min_size=1, max_size=5), value=odd)
def test_cameras_of_another_kind(tmp_path: Path, way: list[float], value: Any) -> None:
    frame = {"file_path": "a.png", "w": 8, "h": 6, "fl_x": 9.0, "cx": 4.0, "cy": 3.0}
    content = {"frames": [{**frame, "transform_matrix": torch.eye(4).tolist()}]}
    replace_one(content, way, value)
    (tmp_path / "cameras.json").write_text(json.dumps(content))
    with suppress(InputError):
        read_cameras(tmp_path / "cameras.json")


def replace_one(content: Any, way: list[float], value: Any) -> None:
    """Replace one nested value; `way` has its position at each level, as a fraction."""
    for step, share in enumerate(way):
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = keys[int(share * (len(keys) - 1))]
        below = content[key]
        if step == len(way) - 1 or not isinstance(below, dict | list):
            content[key] = value
            return
        content = below


@few
@given(cut=st.one_of(st.just(1.0), st.floats(0, 1)), places=changes)
def test_lists_of_cameras(tmp_path: Path, cut: float, places: list[tuple[float, int]]) -> None:
    whole = sample("realestate10k/0f47577ab3441480.txt").read_bytes()
    (tmp_path / "a.txt").write_bytes(damaged(whole, cut, places))
    with suppress(InputError):
        read_realestate10k(tmp_path / "a.txt", 64, 36)
