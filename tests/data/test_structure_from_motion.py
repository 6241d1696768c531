"""Cameras of photographs and videos, compared with the model that came with them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from inputs import SHARED
from PIL import Image
from torch import Tensor

from unrender.data.formats.colmap import load_colmap
from unrender.data.photograph_folders import find_photographs
from unrender.data.structure_from_motion import (
    _from_folder,
    _from_video,
    groups_apart,
    images_by_camera,
    process,
)
from unrender.errors import InputError
from unrender.geometry.bounds import visible_ball
from unrender.geometry.poses import so3_distance
from unrender.imaging.ffmpeg import reading, run
from unrender.imaging.files import read_image, write_image
from unrender.imaging.video import write_video
from unrender.imaging.video_reader import Video
from unrender.notes import collected

MOUSE = SHARED / "real_scenes/mouse_colmap"


def silent(name: str, done: int, total: int) -> None:
    assert done <= total, name


def similarity(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, rotation and shift from source to target points (Umeyama, 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = torch.linalg.svd(b.T @ a / len(a))
    sign = torch.tensor([1.0, 1.0, float(torch.linalg.det(u @ vt).sign())])
    rotation = u @ torch.diag(sign) @ vt
    scale = (s * sign).sum() / a.square().sum(1).mean()
    return scale, rotation, target.mean(0) - scale * rotation @ source.mean(0)


def test_images_of_one_lens_and_size_share_a_camera(tmp_path: Path) -> None:
    """Two phones with images of one size have two cameras, and so has each held upright."""

    def photograph(name: str, size: tuple[int, int], model: str | None, focal: float) -> None:
        image = Image.new("RGB", size)
        exif = image.getexif()
        if model is not None:
            exif[0x0110] = model
            exif.get_ifd(0x8769)[0x920A] = focal
        image.save(tmp_path / name, exif=exif)

    photograph("a.jpg", (12, 8), "one", 4.5)
    photograph("b.jpg", (12, 8), "two", 4.5)
    photograph("c.jpg", (8, 12), "one", 4.5)
    photograph("d.jpg", (12, 8), "one", 4.5)
    photograph("e.jpg", (12, 8), "one", 9.0)
    photograph("f.png", (12, 8), None, 0.0)
    photograph("g.png", (12, 8), None, 0.0)
    expected = [["a.jpg", "d.jpg"], ["b.jpg"], ["c.jpg"], ["e.jpg"], ["f.png", "g.png"]]
    assert images_by_camera(tmp_path) == expected


@pytest.mark.slow
def test_the_phones_photographs_find_their_places(tmp_path: Path) -> None:
    if not MOUSE.exists():
        pytest.skip("the real sample is not here")
    found = process(MOUSE / "images_half", tmp_path / "scene", 100, 800, silent)
    assert found.registered >= 50
    ours, theirs = load_colmap(tmp_path / "scene"), load_colmap(MOUSE)
    places = {Path(name).stem: k for k, name in enumerate(theirs.names)}
    shared = [
        (k, places[Path(n).stem]) for k, n in enumerate(ours.names) if Path(n).stem in places
    ]
    a = ours.cameras.select(torch.tensor([k for k, _ in shared]))
    b = theirs.cameras.select(torch.tensor([k for _, k in shared]))
    # Their model has a focal length for each photograph, ours one for each size; the longer
    # one is taken to be, the farther back a camera must stand. With ours, theirs stood here.
    center, _ = visible_ball(b)
    shares = [each.focal / each.sizes.rows[:, 0] for each in (b, a)]
    longer = shares[0] / shares[1] - 1
    axis = b.rotations[:, :, 2]
    centers = b.centers + (longer * ((center - b.centers) * axis).sum(1))[:, None] * axis
    scale, rotation, shift = similarity(a.centers, centers)
    found = scale * a.centers @ rotation.T + shift
    turned = so3_distance(rotation @ a.rotations, b.rotations).rad2deg()
    extent = (centers - centers.mean(0)).norm(dim=1).mean()
    off = (found - centers).norm(dim=1) / extent
    assert float(turned.median()) < 1.0
    assert float(off.median()) < 0.02


def test_groups_of_images_are_counted_without_those_of_larger_groups() -> None:
    assert groups_apart([]) == ()
    assert groups_apart([{1, 2, 3}]) == ()
    assert groups_apart([{7, 8, 9}, {1, 2, 3, 4}, {4, 5, 6}]) == (3,)


@pytest.mark.slow
def test_two_scenes_in_one_folder_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The larger one is kept, or both are refused: in either case it is said."""
    pytest.importorskip("pycolmap")
    fern = SHARED / "real_scenes/fern_llff"
    if not (MOUSE.exists() and fern.exists()):
        pytest.skip("the real samples are not here")
    folder = tmp_path / "photos"
    folder.mkdir()
    photographs = {
        "mouse": sorted((MOUSE / "images_half").iterdir()),
        "fern": sorted(next(fern.glob("images*")).iterdir()),
    }
    for name, paths in photographs.items():
        for path in paths:
            shutil.copy(path, folder / f"{name}_{path.name}")
    seen: dict[str, set[int]] = {}

    def told(name: str, done: int, total: int) -> None:
        assert done <= total
        seen.setdefault(name, set()).add(done)

    monkeypatch.chdir(tmp_path)
    found = process(folder, Path("scene"), 100, 800, told)
    assert found.registered >= 50
    assert found.apart
    # While COLMAP works, its progress is told.
    assert len(seen["features"]) > 2
    assert len(seen["matches"]) > 2


def test_photographs_without_texture_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(4):
        write_image(folder / f"{k}.png", torch.full((48, 64, 3), 0.2 * k))
    with pytest.raises(InputError, match=r"only 0 of 4.*texture"):
        process(folder, tmp_path / "scene", 10, 64, silent)
    assert not (tmp_path / "scene").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_photographs_of_one_name_stay_apart(tmp_path: Path) -> None:
    """Those that must be rewritten too: WebP, which COLMAP does not read."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    values = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.png", "A.webp", "b.webp"):
        Image.fromarray(values).save(tmp_path / "photos" / name)
    assert _from_folder(tmp_path / "photos", tmp_path / "out", 100, silent) == 4
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["A.webp.png", "a.jpg", "a.png", "b.png"]


def test_photographs_of_subfolders_keep_their_names(tmp_path: Path) -> None:
    """A rig's folders have images of the same names; hidden files are none."""
    generator = np.random.default_rng(0)
    for name in ("left/0.jpg", "left/1.jpg", "right/0.jpg", "right/1.PNG", "2.webp"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos/left/._0.jpg").write_bytes(b"")
    (tmp_path / "photos/.trash").mkdir()
    (tmp_path / "photos/.trash/3.jpg").write_bytes(b"")
    (tmp_path / "out").mkdir()
    assert _from_folder(tmp_path / "photos", tmp_path / "out", 100, silent) == 5
    out = tmp_path / "out"
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert found == ["2.png", "left/0.jpg", "left/1.jpg", "right/0.jpg", "right/1.PNG"]
    for name in found[1:]:
        assert (out / name).read_bytes() == (tmp_path / "photos" / name).read_bytes()
    assert images_by_camera(out) == [
        ["2.png"], ["left/0.jpg", "left/1.jpg"], ["right/0.jpg", "right/1.PNG"]
    ]  # fmt: skip


def test_photographs_that_are_not_read_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "more/IMG_2.dng").write_bytes(b"II*\0")
    with pytest.raises(InputError, match=r"2 photographs \(.dng and .heic.*JPEG"):
        find_photographs(folder)
    Image.new("RGB", (8, 8)).save(folder / "more/IMG_3.JPG")
    with collected() as said:
        assert find_photographs(folder) == [folder / "more/IMG_3.JPG"]
    assert len(said) == 1
    assert "2 photographs (.dng and .heic, such as IMG_1.HEIC) cannot be read" in said[0]
    assert "1 are taken" in said[0]


def test_a_turned_photograph_with_alpha_is_upright_and_transparent(tmp_path: Path) -> None:
    """What EXIF says is obeyed once: the copy's own tag no longer turns it."""
    image = Image.new("RGBA", (6, 4), (200, 100, 0, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    exif = image.getexif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    image.save(tmp_path / "photos/a.png", exif=exif)
    _from_folder(tmp_path / "photos", tmp_path / "out", 100, silent)
    with Image.open(tmp_path / "out/a.png") as copy:
        assert copy.size == (4, 6)
        assert copy.getexif().get(0x0112, 1) == 1
        assert copy.getpixel((3, 0)) == (10, 20, 30, 255)
        assert np.asarray(copy)[..., 3].sum() == 255


def test_the_sharpest_frames_of_a_video_are_taken(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    sharp = torch.rand(64, 64, 3, generator=generator)
    frames = torch.full((20, 64, 64, 3), 0.5)
    frames[3], frames[16] = sharp, sharp
    write_video(tmp_path / "video.mp4", frames, 10)
    (tmp_path / "out").mkdir()
    assert _from_video(tmp_path / "video.mp4", tmp_path / "out", 3, 2000, silent) == 3
    variances = [read_image(path).var() for path in sorted((tmp_path / "out").iterdir())]
    assert variances[0] > 0.01
    assert variances[2] > 0.01


def test_frames_keep_their_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are taken, whichever they are, in seconds since the film's first frame."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(20, 32, 32, 3, generator=generator)
    write_video(tmp_path / "video.mp4", frames, 10)
    (tmp_path / "out").mkdir()
    assert _from_video(tmp_path / "video.mp4", tmp_path / "out", 7, 2000, silent) == 7
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    times = json.loads((tmp_path / "times.json").read_text())
    assert sorted(times) == names
    for name in names:
        assert times[name] == pytest.approx(0.1 * int(name[6:12]), abs=1e-4)
    # A film that does not say when its frames are shown.
    (tmp_path / "times.json").unlink()
    monkeypatch.setattr(Video, "times", lambda _: [0.0])
    with collected() as said:
        assert _from_video(tmp_path / "video.mp4", tmp_path / "out", 7, 2000, silent) == 7
    assert "does not say when each frame was taken" in said[0]
    assert not (tmp_path / "times.json").exists()


def test_repeated_frames_are_taken_once(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    sharp = torch.rand(4, 64, 64, 3, generator=generator).repeat_interleave(5, 0)
    write_video(tmp_path / "video.mp4", sharp, 10)
    # Without loss, so that a repeated frame is the same.
    code, lines, _ = run(
        [
            *("-v", "error", *reading(tmp_path / "video.mp4")),
            *("-vf", "select='not(mod(n,5))',fps=50", "-c:v", "ffv1"),
            str(tmp_path / "slow.mkv"),
        ]
    )
    assert code == 0, lines
    (tmp_path / "out").mkdir()
    assert _from_video(tmp_path / "slow.mkv", tmp_path / "out", 16, 2000, silent) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "no such folder"),
        ("video.txt", "cannot be decoded as a video"),
        ("video.mp4", "cannot be decoded"),
    ],
)
def test_what_is_neither_is_refused(tmp_path: Path, name: str, message: str) -> None:
    pytest.importorskip("pycolmap")
    if name != "nothing":
        (tmp_path / name).write_bytes(b"not a video at all")
    with pytest.raises(InputError, match=message):
        process(tmp_path / name, tmp_path / "scene", 10, 64, silent)
