"""PLY files: what is written is read, real files are read, and damaged ones are refused."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import SAMPLES, sample

from unrender.errors import InputError
from unrender.shapes.files.ply import read_vertices, write_ply
from unrender.shapes.files.splats import read_splats, write_splats
from unrender.shapes.splats import Splats


def test_vertices_come_back(tmp_path: Path) -> None:
    file = tmp_path / "a.ply"
    columns = {
        "x": np.arange(5, dtype=np.float32),
        "red": np.arange(5, dtype=np.uint8),
        "n": np.arange(5, dtype=np.int32) - 2,
    }
    write_ply(file, columns, np.array([[0, 1, 2], [2, 3, 4]]))
    found = read_vertices(file)
    assert list(found) == ["x", "red", "n"]
    for name, values in columns.items():
        assert np.array_equal(found[name], values)
    assert file.read_bytes().endswith(np.array([2, 3, 4], "<i4").tobytes())


def test_a_real_mesh_is_read() -> None:
    found = read_vertices(sample("meshes/bathtub_0154.ply"))
    assert {"x", "y", "z"} <= set(found)
    assert np.isfinite(found["x"]).all()


def test_text_and_the_other_byte_order(tmp_path: Path) -> None:
    head = "ply\nformat {} 1.0\ncomment hello\nelement vertex 2\nproperty float x\n"
    head += "property uchar red\nend_header\n"
    (tmp_path / "a.ply").write_text(head.format("ascii") + "1.5 7\n-2 255\n")
    rows = np.array([(1.5, 7), (-2, 255)], [("x", ">f4"), ("red", "u1")])
    binary = head.format("binary_big_endian").encode() + rows.tobytes()
    (tmp_path / "b.ply").write_bytes(binary)
    for name in ("a.ply", "b.ply"):
        found = read_vertices(tmp_path / name)
        assert found["x"].tolist() == [1.5, -2]
        assert found["red"].tolist() == [7, 255]


HEAD = "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nend_header\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a PLY"),
        ("ply\nformat ascii 1.0\n", "not a PLY"),
        (HEAD + "1\n", "fewer than 2 elements `vertex`"),
        (HEAD + "1\na\n", "does not match the header"),
        (HEAD.replace("ascii", "binary_little_endian") + "1", "truncated"),
        (HEAD.replace("vertex 2", "vertex 999999999999"), "fewer than 999999999999"),
        (HEAD.replace("ascii", "morse"), "no format"),
        (HEAD.replace("vertex 2", "vertex " + "9" * 5000), "not a whole number"),
        (HEAD.replace("float x", "list uchar float x") + "-1 2\n", "fewer than 2"),
        (HEAD.replace("float x", "half x"), "the header says"),
        (HEAD + "9" * 5000 + "\n", "fewer than"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.ply"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_vertices(file)


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    cut=st.floats(0, 1),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_damaged_files_are_refused_or_read(
    tmp_path: Path, cut: float, places: list[tuple[float, int]]
) -> None:
    file = tmp_path / "damaged.ply"
    write_ply(file, {"x": np.zeros(9, np.float32), "y": np.ones(9, np.float32)})
    data = bytearray(file.read_bytes())
    data = data[: int(cut * len(data))]
    for place, value in places:
        if data:
            data[int(place * (len(data) - 1))] = value
    file.write_bytes(data)
    with suppress(InputError):
        read_vertices(file)


@pytest.mark.parametrize("coefficients", [0, 3, 15])
def test_gaussians_come_back(tmp_path: Path, coefficients: int) -> None:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    splats = Splats(
        normal(7, 3), normal(7, 3), normal(7, 4), normal(7), normal(7, 3),
        normal(7, coefficients, 3),
    )  # fmt: skip
    write_splats(tmp_path / "a.ply", splats)
    found = read_splats(tmp_path / "a.ply")
    for name, values in vars(splats).items():
        assert torch.equal(getattr(found, name), values), name
    columns = read_vertices(tmp_path / "a.ply")
    if coefficients:
        # All of red, then green, then blue.
        green = torch.from_numpy(columns[f"f_rest_{coefficients}"])
        torch.testing.assert_close(green, splats.harmonics[:, 0, 1])


def test_splats_of_the_samples_are_read() -> None:
    splats = read_splats(SAMPLES / "meshes/splats.ply")
    assert splats.means.shape == (40, 3)
    assert splats.harmonics.shape == (40, 0, 3)
    lengths = splats.quaternions.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(40), atol=1e-3, rtol=0)


def test_a_cloud_is_no_splats(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", {k: np.zeros(3, np.float32) for k in "xyz"})
    with pytest.raises(InputError, match="scale_0"):
        read_splats(tmp_path / "a.ply")
