"""Voxels to files and back, the well-known order of a .binvox, and files that are damaged."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import sample

from unrender.errors import InputError
from unrender.shapes.convert import surface_voxels_from_mesh
from unrender.shapes.files.voxels import read_voxels, write_voxels
from unrender.shapes.mesh import Mesh
from unrender.shapes.voxels import VoxelGrid

HEADER = b"#binvox 1\ndim 2 2 2\ntranslate 0 0 0\nscale 1\ndata\n"


def random_grid(*sizes: int) -> VoxelGrid:
    values = torch.rand(*sizes, generator=torch.Generator().manual_seed(0))
    return VoxelGrid(values, (-0.5, 1.25, 3.0), 0.1)


def test_npz_keeps_all(tmp_path: Path) -> None:
    grid = random_grid(3, 4, 5)
    write_voxels(tmp_path / "grid.npz", grid)
    found = read_voxels(tmp_path / "grid.npz")
    assert torch.equal(found.values, grid.values)
    assert (found.low, found.cell) == (grid.low, grid.cell)


@pytest.mark.parametrize("fill", [0.0, 0.3, 1.0])
def test_binvox_keeps_what_is_filled(tmp_path: Path, fill: float) -> None:
    """Runs of more than 255 cells too."""
    grid = random_grid(9, 9, 9)
    grid = grid.with_values((grid.values < fill).float())
    write_voxels(tmp_path / "grid.binvox", grid)
    found = read_voxels(tmp_path / "grid.binvox")
    assert torch.equal(found.values, grid.values)
    assert found.low == grid.low
    assert found.cell == pytest.approx(grid.cell)


def test_y_runs_fastest_and_x_slowest(tmp_path: Path) -> None:
    path = tmp_path / "grid.binvox"
    path.write_bytes(HEADER + bytes([0, 1, 1, 1, 0, 6]))
    assert read_voxels(path).values.nonzero().tolist() == [[0, 1, 0]]
    path.write_bytes(HEADER + bytes([0, 2, 1, 1, 0, 5]))
    assert read_voxels(path).values.nonzero().tolist() == [[0, 0, 1]]
    path.write_bytes(HEADER + bytes([0, 4, 1, 1, 0, 3]))
    assert read_voxels(path).values.nonzero().tolist() == [[1, 0, 0]]


def test_a_chair_is_where_its_mesh_is() -> None:
    """In world coordinates: no turn, no mirror image and no shift of a cell fits as well."""
    grid = read_voxels(sample("meshes/chair_model/chair_model.binvox"))
    loaded = trimesh.load_mesh(sample("meshes/chair_model/chair_model.obj"), process=True)
    chair = Mesh(torch.tensor(loaded.vertices).float(), torch.tensor(loaded.faces).long())
    surface = surface_voxels_from_mesh(chair, grid)
    covered = (grid.filled() & surface.filled()).sum() / surface.filled().sum()
    assert covered > 0.98
    for wrong in (
        grid.values.transpose(1, 2),
        grid.values.transpose(0, 1),
        grid.values.transpose(0, 2),
        grid.values.flip(0),
        grid.values.flip(2),
        grid.values.roll(1, 1),
    ):
        assert surface.iou(grid.with_values(wrong)) < surface.iou(grid)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"solid", "does not begin with `#binvox`"),
        (b"#binvox 1\ndim 2 2 2\n", "has no line `data`"),
        (HEADER[:-5], "has no line `data`"),
        (HEADER, "has 0 of 8 cells"),
        (HEADER + b"\x00\x07", "has 7 of 8 cells"),
        (HEADER + b"\x00\x08\x01", "damaged or truncated"),
        (HEADER + b"\x00\xff\x00\xff", "has 510 of 8 cells"),
        (HEADER + b"\x02\x08", "has a cell of value 2"),
        (HEADER.replace(b"dim 2 2 2", b"dim 2 2 3") + b"\x00\x0c", "must be a cube"),
        (HEADER.replace(b"dim 2 2 2", b"dim 2 2"), "`dim` is '2 2', not 3 numbers"),
        (HEADER.replace(b"dim 2 2 2", b"dim 9999 9999 9999"), "must be a cube of 1 to 512"),
        (HEADER.replace(b"dim 2 2 2", b"dim -2 -2 -2"), "must be a cube"),
        (HEADER.replace(b"scale 1", b"scale 0") + b"\x00\x08", "give a finite corner"),
        (HEADER.replace(b"scale 1", b"scale nan") + b"\x00\x08", "`scale` is 'nan'"),
        (HEADER.replace(b"scale 1", b"turn 1") + b"\x00\x08", "the header says 'turn'"),
    ],
)
def test_damaged_binvox_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "grid.binvox"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_voxels(path)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_no_damage_brings_anything_but_an_error(tmp_path_factory, data: st.DataObject) -> None:
    content = bytearray(HEADER + bytes([0, 2, 1, 1, 0, 5]))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "grid.binvox"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    with contextlib.suppress(InputError):
        read_voxels(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.zeros((2, 2))}, "must be x, y, z"),
        ({"values": np.zeros((0, 2, 2))}, "must be x, y, z"),
        ({"values": np.full((2, 2, 2), np.nan)}, "contains NaN or Inf"),
        ({"low": np.zeros(2)}, "`low` is of shape"),
        ({"cell": np.zeros(())}, "give a finite corner"),
        ({"cell": None}, "has no array `cell`"),
    ],
)
def test_damaged_npz_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    arrays = {"values": np.zeros((2, 2, 2)), "low": np.zeros(3), "cell": np.ones(())} | changes
    np.savez(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(InputError, match=message):
        read_voxels(tmp_path / "a.npz")


def test_what_has_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_voxels(tmp_path / "none.npz")
    (tmp_path / "grid.txt").touch()
    with pytest.raises(InputError, match="change the ending"):
        read_voxels(tmp_path / "grid.txt")
    with pytest.raises(InputError, match="change the ending"):
        write_voxels(tmp_path / "grid.vox", random_grid(2, 2, 2))
    with pytest.raises(InputError, match="holds cubes"):
        write_voxels(tmp_path / "grid.binvox", random_grid(2, 3, 2))
