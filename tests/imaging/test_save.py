"""Images saved by their ending, and what cannot be."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from unrender.errors import InputError
from unrender.files import check_target, make_folder
from unrender.imaging.files import png_bytes, read_image
from unrender.imaging.save import (
    SHEET_IMAGES,
    contact_sheet,
    save_images,
    show_image,
)


def waves(frames: int, channels: int = 3) -> torch.Tensor:
    """Smooth images, each a little different."""
    y, x = torch.meshgrid(torch.linspace(0, 2, 20), torch.linspace(0, 3, 30), indexing="ij")
    bands = [torch.stack([(x + k).sin(), y.sin(), (x * y).cos()], dim=2) for k in range(frames)]
    color = torch.stack(bands) / 2 + 0.5
    alpha = torch.linspace(0.2, 1, 30).expand(frames, 20, 30)[..., None]
    return color if channels == 3 else torch.cat([color, alpha], dim=3)


def test_png_comes_back(tmp_path: Path) -> None:
    for channels in (3, 4):
        image = waves(1, channels)
        (file,) = save_images(tmp_path / f"{channels}.png", image)
        read = read_image(file)
        assert read.shape == image.shape[1:]
        assert float((read - image[0]).abs().max()) <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".webp", ".JPG"])
def test_lossy_images_come_back_nearly(ending: str, tmp_path: Path) -> None:
    image = waves(1)
    assert save_images(tmp_path / f"a{ending}", image) == [tmp_path / f"a{ending}"]
    read = read_image(tmp_path / f"a{ending}")
    assert float((read - image[0]).abs().mean()) < 0.02


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_videos_have_all_frames(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    assert save_images(path, waves(5), fps=10) == [path]
    if ending == ".gif":
        with Image.open(path) as film:
            assert film.n_frames == 5  # pyright: ignore[reportAttributeAccessIssue]
            assert film.info["duration"] == 100
    else:
        content = path.read_bytes()
        assert content[4:8] == b"ftyp"
        assert len(content) > 1000


def test_several_images_are_numbered(tmp_path: Path) -> None:
    images = waves(3)
    files = save_images(tmp_path / "view.png", images)
    assert [file.name for file in files] == ["view_0000.png", "view_0001.png", "view_0002.png"]
    assert sorted(tmp_path.iterdir()) == files
    for file, image in zip(files, images, strict=True):
        assert float((read_image(file) - image).abs().max()) <= 0.5 / 255 + 1e-6


def test_a_name_without_an_ending_is_a_folder(tmp_path: Path) -> None:
    files = save_images(tmp_path / "new" / "frames", waves(2))
    assert files == [tmp_path / "new/frames/0000.png", tmp_path / "new/frames/0001.png"]
    assert all(file.stat().st_size > 0 for file in files)


def test_values_outside_are_clamped(tmp_path: Path) -> None:
    (file,) = save_images(tmp_path / "a.png", torch.tensor([[[[-1.0, 0.5, 2.0]]]]))
    assert read_image(file).flatten().tolist() == pytest.approx([0, 128 / 255, 1])


@pytest.mark.parametrize("name", ["a.bmp", "a.txt", "a.avi"])
def test_other_endings_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end it in \.png"):
        save_images(tmp_path / name, waves(1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.mp4", "a.gif", "frames"])
@pytest.mark.parametrize("place", ["absent", "a file"])
def test_an_unwritable_place_is_one_error_and_leaves_nothing(
    name: str, place: str, tmp_path: Path
) -> None:
    folder = tmp_path / "place"
    if place == "a file":
        folder.write_text("mine")
    elif name == "frames":
        pytest.skip("folders are made with those above them")
    with pytest.raises(InputError) as caught:
        save_images(folder / name, waves(2))
    assert "\n" not in str(caught.value)
    assert "place" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == (["place"] if folder.exists() else [])


def test_what_was_there_survives_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    save_images(path, waves(1))
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match="No space left"):
        save_images(path, waves(2)[1:])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_checked_before_the_work(tmp_path: Path) -> None:
    check_target(tmp_path / "a.png")
    with pytest.raises(InputError, match="not a writable folder"):
        check_target(tmp_path / "absent" / "a.png")
    make_folder(tmp_path / "one" / "two")
    make_folder(tmp_path / "one" / "two")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        make_folder(tmp_path / "file" / "two")


def test_a_contact_sheet_has_at_most_twelve() -> None:
    gray = torch.full((30, 8, 12, 3), 0.5)
    sheet = contact_sheet(gray)
    inner = (sheet == 0.5).all(-1).sum()
    # Images of 12 pixels are enlarged to 120, four of them to a row.
    assert int(inner) == SHEET_IMAGES * 80 * 120
    one = contact_sheet(torch.full((1, 160, 240, 3), 0.5))
    assert one.shape == (160 + 12, 240 + 12, 3)


def test_without_a_display_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    image = waves(1)[0]
    show_image(image, "rendering")
    path = tmp_path / "rendering.png"
    assert str(path) in capsys.readouterr().out
    assert path.read_bytes() == png_bytes(image)
