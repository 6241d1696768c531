"""Files of Gaussians: told from points, read in every degree, and drawn as what they are."""

import struct
from pathlib import Path

import pytest
import torch

import unrender as ur
from unrender.errors import InputError
from unrender.notes import collected
from unrender.shapes.files.shape import load_shape
from unrender.shapes.files.splats import read_splats, write_splats
from unrender.shapes.points import PointCloud
from unrender.shapes.splats import CONSTANT_HARMONIC, Splats


def ball(color: tuple[float, float, float] = (1.0, 0.0, 0.0), degree: int = 0) -> Splats:
    """Gaussians of one color on a sphere."""
    generator = torch.Generator().manual_seed(0)
    means = torch.nn.functional.normalize(torch.randn(300, 3, generator=generator), dim=1)
    harmonics = torch.zeros(300, (degree + 1) ** 2 - 1, 3)
    colors = (torch.tensor(color) - 0.5) / CONSTANT_HARMONIC
    turns = torch.tensor([1.0, 0, 0, 0]).repeat(300, 1)
    return Splats(
        means, torch.full((300, 3), -2.0), turns, torch.full((300,), 6.0),
        colors.repeat(300, 1), harmonics,
    )  # fmt: skip


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
def test_every_degree_is_loaded_and_drawn_in_color(tmp_path: Path, degree: int) -> None:
    splats = ball(degree=degree)
    if degree:
        # Green where it is seen from one side: the harmonic of x, of degree 1.
        splats.harmonics[:, 2, 1] = 2.0
    write_splats(tmp_path / "a.ply", splats)
    found = ur.load_shape(tmp_path / "a.ply")
    assert isinstance(found, Splats)
    assert repr(found) == f"Splats(300 Gaussians, harmonics of degree {degree})"
    views = ur.render(found, ur.turntable(2, elevation=0.0), size=32, progress=False)
    middle = views.color[:, 14:18, 14:18].mean((1, 2))
    assert float(views.opacity[:, 16, 16].min()) > 0.9
    assert float(middle[:, 0].min()) > 0.9
    greens = sorted(middle[:, 1].tolist())
    assert greens[0] < 0.1
    # From one side the color of the direction is added.
    assert (greens[1] > 0.3) == (degree > 0)


def test_a_path_is_drawn_as_the_gaussians_in_it(tmp_path: Path) -> None:
    write_splats(tmp_path / "a.ply", ball())
    by_path = ur.render(tmp_path / "a.ply", ur.turntable(1), size=24, progress=False)
    by_value = ur.render(ball(), ur.turntable(1), size=24, progress=False)
    torch.testing.assert_close(by_path.color, by_value.color)
    with pytest.raises(InputError, match="only meshes and points"):
        ur.render(ball(), ur.turntable(1), radius=0.1, progress=False)


def test_cameras_do_not_follow_a_few_far_gaussians() -> None:
    splats = ball()
    far = splats.means.clone()
    far[0] = torch.tensor([1000.0, 0, 0])
    splats = Splats(**{**vars(splats), "means": far})
    cameras = ur.turntable(3).cameras(splats)
    assert float(cameras.centers.norm(dim=1).max()) < 20


def test_where_only_points_are_wanted_centers_are_taken_with_a_word(tmp_path: Path) -> None:
    write_splats(tmp_path / "a.ply", ball())
    with collected() as notes:
        cloud = load_shape(tmp_path / "a.ply")
    assert isinstance(cloud, PointCloud)
    assert cloud.colors is not None
    torch.testing.assert_close(cloud.colors, torch.tensor([1.0, 0, 0]).expand(300, 3))
    assert "only their centers" in notes[0]


def test_splat_files_of_32_bytes(tmp_path: Path) -> None:
    row = struct.pack("<6f8B", 1, 2, 3, 0.1, 0.2, 0.3, 255, 0, 51, 128, 255, 128, 128, 128)
    (tmp_path / "a.splat").write_bytes(row * 2)
    splats = Splats.load(tmp_path / "a.splat")
    assert splats.means.tolist() == [[1, 2, 3]] * 2
    torch.testing.assert_close(splats.log_scales[0].exp(), torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(splats.points().colors[0], torch.tensor([1, 0, 0.2]))
    assert float(splats.opacity_logits[0].sigmoid()) == pytest.approx(128 / 255)
    assert splats.quaternions[0].tolist() == [127 / 128, 0, 0, 0]
    for content, message in ((row[:-1], "truncated"), (b"", "is empty")):
        (tmp_path / "a.splat").write_bytes(content)
        with pytest.raises(InputError, match=message):
            ur.load_shape(tmp_path / "a.splat")


@pytest.mark.parametrize(("ending", "name"), [(".spz", "SPZ"), (".ksplat", "KSPLAT")])
def test_compressed_formats_are_refused_by_name(tmp_path: Path, ending: str, name: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"\x1f\x8b" + bytes(30))
    with pytest.raises(InputError, match=rf"\({name}\).*splat-transform"):
        ur.load_shape(path)


def test_compressed_ply_is_refused_by_name(tmp_path: Path) -> None:
    names = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
    lines = ["ply", "format binary_little_endian 1.0", "element vertex 1"]
    lines += [f"property uint {name}" for name in names]
    (tmp_path / "a.compressed.ply").write_bytes(
        "\n".join([*lines, "end_header\n"]).encode() + bytes(16)
    )
    with pytest.raises(InputError, match=r"SuperSplat's \.compressed\.ply.*convert it"):
        ur.load_shape(tmp_path / "a.compressed.ply")


def test_flat_gaussians_and_those_without_orientation(tmp_path: Path) -> None:
    splats = ball()
    splats.quaternions[0] = 0
    write_splats(tmp_path / "a.ply", splats)
    content = (tmp_path / "a.ply").read_bytes()
    with collected() as notes:
        assert len(read_splats(tmp_path / "a.ply")) == 299
    assert "1 Gaussians have no orientation" in notes[0]
    (tmp_path / "b.ply").write_bytes(content.replace(b"scale_2", b"other_2"))
    with collected() as notes:
        flat = read_splats(tmp_path / "b.ply")
    assert float(flat.log_scales[:, 2].max()) < -10
    assert "flat" in notes[0]
    splats.log_scales[3] = 100
    write_splats(tmp_path / "a.ply", splats)
    with pytest.raises(InputError, match="logarithm of a scale of 100"):
        read_splats(tmp_path / "a.ply")
