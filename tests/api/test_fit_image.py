"""A picture from its file to a fitted field and its page, and what bad input is told."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.picture import Picture, over_white, pixel_centers, read_picture, straight
from unrender.errors import InputError
from unrender.evaluation.images import psnr
from unrender.fields.field import IMAGE_KINDS, FieldKind
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.imaging.files import read_image, write_image
from unrender.methods.image_field import ImageField, ImageFieldModel
from unrender.studies.field_comparison import appearance, image_appearance
from unrender.training.data_kinds.image import FITTED, ONE_IMAGE, NoOptions, fitted_image
from unrender.training.fit import FitOptions
from unrender.training.run_folder import RunFolder

pytestmark = pytest.mark.fit

BRIEF = FitOptions(steps=60, device="cpu", log_every=10)
SMALL = ImageField(
    pixels=256,
    width=32,
    depth=2,
    resolution=24,
    small_width=16,
    finest=24,
    levels=4,
    fourier_scale=2.0,
)


def waves(height: int = 20, width: int = 30, channels: int = 3) -> Picture:
    """Smooth colours, the first from left to right and the second from top to bottom."""
    points = pixel_centers(torch.arange(height * width), height, width)
    colors = torch.stack([points[:, 0], points[:, 1], (4 * points.sum(1)).sin() / 2 + 0.5], 1)
    if channels == 4:
        alpha = (points[:, :1] > 0.3).float() * 0.5 + 0.5
        colors = torch.cat([colors * alpha, alpha], dim=1)
    return Picture("waves", colors.view(height, width, channels))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "waves.png"
    write_image(path, waves().pixels)
    return path


@pytest.mark.fit
@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_each_kind_learns_a_picture_and_opens_again(kind: FieldKind, tmp_path: Path) -> None:
    picture = waves()
    # In so few steps, sines need longer ones.
    method = replace(SMALL, field=kind, learning_rate=5.0 if kind == "siren" else 1.0)
    opened = fit_to(method, picture, BRIEF, out=tmp_path / "run", progress=False)
    assert opened.steps == 60
    figures = opened.evaluate()
    # A picture of its mean colour has 13 dB.
    assert figures["psnr"] > 16
    assert figures["psnr"] == pytest.approx(-10 * torch.tensor(figures["mse"]).log10().item())
    again = Run.open(tmp_path / "run", "cpu")
    assert again.method == method
    assert torch.equal(fitted_image(again.fitted), fitted_image(opened.fitted))
    written = read_image(tmp_path / "run" / FITTED)
    assert float((written - fitted_image(opened.fitted)).abs().max()) <= 0.5 / 255 + 1e-6


def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    picture = waves()
    half = replace(BRIEF, steps=60, checkpoint_every=30)
    whole = fit_to(SMALL, picture, half, out=tmp_path / "whole", progress=False)
    fit_to(SMALL, picture, half, out=tmp_path / "run", progress=False)
    run = RunFolder.open(tmp_path / "run")
    # What a kill after step 30 leaves.
    newest = run.checkpoints()[-1]
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    resumed = fit_to(SMALL, picture, half, record=run, progress=False)
    assert torch.equal(fitted_image(resumed.fitted), fitted_image(whole.fitted))


def test_colours_belong_to_their_places(tmp_path: Path) -> None:
    """Red grows to the right and green downward, whatever the picture's shape."""
    method = replace(SMALL, field="grid")
    opened = fit_to(method, waves(), BRIEF, out=tmp_path / "run", progress=False)
    found = fitted_image(opened.fitted)
    assert found.shape == (20, 30, 3)
    across, down = found.mean(0), found.mean(1)
    assert float(across[-5:, 0].mean() - across[:5, 0].mean()) > 0.5
    assert float(down[-5:, 1].mean() - down[:5, 1].mean()) > 0.5
    assert abs(float(down[-5:, 0].mean() - down[:5, 0].mean())) < 0.1


def test_alpha_is_a_fourth_channel(tmp_path: Path) -> None:
    picture = waves(channels=4)
    path = tmp_path / "cut.png"
    write_image(path, straight(picture.pixels))
    read = read_picture(path)
    assert float((read.pixels - picture.pixels).abs().max()) < 1.01 / 255
    method = replace(SMALL, field="hash")
    opened = fit_to(method, read, BRIEF, out=tmp_path / "run", progress=False)
    assert opened.evaluate(read)["psnr"] > 16
    assert read_image(tmp_path / "run" / FITTED).shape == (20, 30, 4)
    # Premultiplied, over white: what is half there is half white.
    assert float(over_white(torch.tensor([0.1, 0.2, 0.3, 0.5]))[0]) == pytest.approx(0.6)


def test_an_alpha_of_one_everywhere_is_none(tmp_path: Path) -> None:
    path = tmp_path / "opaque.png"
    write_image(path, torch.cat([waves().pixels, torch.ones(20, 30, 1)], dim=2))
    assert read_picture(path).pixels.shape == (20, 30, 3)


def test_grey_of_sixteen_bits_is_read_in_full(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    values = torch.arange(600).view(20, 30) * 109 + 7
    Image.fromarray(values.numpy().astype("uint16")).save(path)
    picture = read_picture(path)
    assert picture.pixels.shape == (20, 30, 3)
    expected = (values / 65535)[..., None].expand(-1, -1, 3)
    torch.testing.assert_close(picture.pixels, expected)


def test_a_photograph_stands_upright(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # A camera held on its side: turn clockwise to look.
    pixels = (waves().pixels * 255).byte().numpy()
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    assert read_picture(path).pixels.shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("size", "content", "said"),
    [
        ((1, 1), None, "1×1 pixels: give an image of at least 2×2"),
        ((5, 1), None, "5×1 pixels"),
        (None, None, "no such file"),
        (None, b"hello", "cannot be read as an image"),
        (None, b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "cannot be read as an image"),
    ],
)
def test_what_is_no_picture(
    tmp_path: Path, size: tuple[int, int] | None, content: bytes | None, said: str
) -> None:
    path = tmp_path / "x.png"
    if size is not None:
        Image.new("RGB", size).save(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)
    assert "x.png" in str(caught.value)


def test_a_file_cut_short_is_damaged(photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:-30])
    with pytest.raises(InputError, match="damaged"):
        read_picture(photo)


def test_what_does_not_fit_is_refused(tmp_path: Path, flow_run: Run) -> None:
    picture = waves()
    for option in ("pixels", "width"):
        with pytest.raises(InputError, match=f"{option} 0: give at least 1"):
            replace(SMALL, **{option: 0})
    with pytest.raises(InputError, match="three dimensions"):
        fit_to(
            replace(SMALL, field="triplane"),
            picture, BRIEF, out=tmp_path / "bad", progress=False,
        )  # fmt: skip
    assert not (tmp_path / "bad").exists()
    opened = fit_to(SMALL, picture, BRIEF, out=tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="exists already"):
        fit_to(SMALL, picture, BRIEF, out=tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="other data"):
        fit_to(SMALL, waves(height=21), BRIEF, record=opened.record, progress=False)
    with pytest.raises(InputError, match="20×30×3"):
        opened.evaluate(waves(height=21))
    with pytest.raises(InputError, match="Picture: is not posed images"):
        flow_run.evaluate(picture)
    with pytest.raises(InputError, match="cannot be rendered"):
        opened.renderer(Cameras.from_focal(turntable(1, 1.0, 0.0), 20.0, 20, 20))


def test_a_run_finds_its_picture_again(photo: Path, tmp_path: Path) -> None:
    picture = read_picture(photo)
    fit_to(SMALL, picture, BRIEF, out=tmp_path / "run", progress=False)
    opened = Run.open(tmp_path / "run", "cpu")
    assert torch.equal(opened.load_data().pixels, picture.pixels)
    assert torch.equal(ONE_IMAGE.read(photo, NoOptions()).pixels, picture.pixels)
    photo.unlink()
    with pytest.raises(InputError, match=r"no longer at .*waves.png: --data PATH"):
        opened.load_data()


def test_a_lattice_is_every_third_pixel() -> None:
    model = SMALL.build(waves(), torch.Generator().manual_seed(0))
    assert torch.equal(model.picture(3), model.picture()[::3, ::3])


def test_a_fields_own_derivatives_are_near_those_of_its_pixels() -> None:
    """Of a smooth field, whose waves are many pixels long."""
    method = replace(SMALL, field="siren", omega=4.0)
    model = method.build(waves(60, 90), torch.Generator().manual_seed(0))
    assert isinstance(model, ImageFieldModel)
    own, pixels = appearance(model), image_appearance(model.picture())
    inner = (slice(1, -1), slice(1, -1))
    for name in ("slope", "laplacian"):
        found, expected = getattr(own, name)[inner], getattr(pixels, name)[inner]
        assert float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())


def test_psnr_is_of_all_pixels(tmp_path: Path) -> None:
    picture = waves()
    opened = fit_to(SMALL, picture, BRIEF, out=tmp_path / "run", progress=False)
    with torch.no_grad():
        points = pixel_centers(torch.arange(600), 20, 30)
        made = opened.model(points).clamp(0, 1).view(20, 30, 3)
    own = float(psnr(made, picture.pixels))
    assert opened.evaluate(picture)["psnr"] == pytest.approx(own, abs=1e-4)
