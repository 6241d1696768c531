"""Images and videos: written files are read back, and damaged ones are rejected."""

import os
import struct
import subprocess
import zlib
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from unrender.errors import InputError
from unrender.files import replacing
from unrender.imaging.files import ImageHeader, image_header, read_image, read_rgba, write_image
from unrender.imaging.video import write_video


def random_image(height: int, width: int, channels: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (height, width, channels), generator=generator) / 255


@pytest.mark.parametrize("channels", [3, 4])
def test_round_trip(tmp_path: Path, channels: int):
    image = random_image(11, 7, channels)
    write_image(tmp_path / "image.png", image)
    torch.testing.assert_close(read_image(tmp_path / "image.png"), image)
    assert image_header(tmp_path / "image.png") == ImageHeader(7, 11, channels)
    assert os.listdir(tmp_path) == ["image.png"]


def test_values_outside_the_range_are_clamped(tmp_path: Path):
    image = torch.tensor([[[-1.0, 0.5, 2.0]]])
    write_image(tmp_path / "image.png", image)
    assert read_image(tmp_path / "image.png").tolist()[0][0] == pytest.approx([0, 128 / 255, 1])


def test_photographs_are_premultiplied(tmp_path: Path):
    write_image(tmp_path / "clear.png", torch.tensor([[[1.0, 0.2, 0.0, 0.2]]]))
    assert read_rgba(tmp_path / "clear.png").tolist()[0][0] == pytest.approx(
        [0.2, 0.04, 0, 0.2]
    )
    write_image(tmp_path / "opaque.png", torch.tensor([[[1.0, 0.2, 0.0]]]))
    assert read_rgba(tmp_path / "opaque.png").tolist()[0][0] == pytest.approx([1, 0.2, 0, 1])


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 51, [0.2, 0.2, 0.2]),
        ("LA", (51, 102), [0.2, 0.2, 0.2, 0.4]),
        ("1", 1, [1.0, 1.0, 1.0]),
        ("I;16", 13107, [0.2, 0.2, 0.2]),
    ],
)
def test_grey_images_become_rgb(tmp_path: Path, mode: str, value: int, expected: list[float]):
    Image.new(mode, (3, 2), value).save(tmp_path / "grey.png")
    image = read_image(tmp_path / "grey.png")
    assert image.shape == (2, 3, len(expected))
    assert image[1, 2].tolist() == pytest.approx(expected, abs=1e-4)
    deep = mode == "I;16"
    assert image_header(tmp_path / "grey.png") == ImageHeader(3, 2, len(expected), deep)


def test_palettes_become_rgb_and_their_transparency_alpha(tmp_path: Path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putdata([0, 1])
    palette.save(tmp_path / "plain.png")
    assert read_image(tmp_path / "plain.png").tolist() == [[[1, 0, 0], [0, 1, 0]]]
    palette.save(tmp_path / "clear.png", transparency=1)
    assert read_image(tmp_path / "clear.png").tolist() == [[[1, 0, 0, 1], [0, 1, 0, 0]]]


def test_photographs_are_turned_upright(tmp_path: Path):
    image = Image.new("RGB", (4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_rgba(tmp_path / "turned.jpg").shape == (4, 2, 4)
    assert read_image(tmp_path / "turned.jpg").shape == (2, 4, 3)


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes of pixels do not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", b"")
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 10_000)])
def test_huge_images_are_refused_before_decoding(tmp_path: Path, size: tuple[int, int]):
    path = tmp_path / "huge.png"
    path.write_bytes(huge_png(*size))
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match=rf"huge\.png: {size[0]}x{size[1]} is more than"):
        read_image(path)
    with pytest.raises(InputError, match="downscale it"):
        image_header(path)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_truncated_images_are_refused(tmp_path: Path):
    write_image(tmp_path / "whole.png", random_image(64, 64, 3))
    data = (tmp_path / "whole.png").read_bytes()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "whole.jpg")
    photo = (tmp_path / "whole.jpg").read_bytes()
    for name, content in [
        ("half.png", data[: len(data) // 2]),
        ("head.png", data[:20]),
        ("half.jpg", photo[: len(photo) // 2]),
        ("text.png", b"this is no image"),
        ("empty.png", b""),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "absent.png")


def test_unwritable_places_are_refused(tmp_path: Path):
    image = torch.zeros(2, 2, 3)
    with pytest.raises(InputError, match="cannot be written"):
        write_image(tmp_path / "absent" / "image.png", image)
    with pytest.raises(InputError, match=r"written as \.png"):
        write_image(tmp_path / "image.tga", image)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_image(tmp_path / "folder.png", image)
    with pytest.raises(InputError, match="cannot be written"):
        write_video(tmp_path / "absent" / "film.mp4", torch.zeros(2, 8, 8, 3), 10)
    with pytest.raises(InputError, match=r"written as \.mp4, \.gif or \.webp"):
        write_video(tmp_path / "film.avi", torch.zeros(2, 8, 8, 3), 10)


def test_a_failure_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["kept.txt"]


@pytest.mark.parametrize(("size", "shown"), [((32, 32), (256, 256)), ((33, 301), (302, 34))])
def test_videos_play_again(tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]):
    shades = torch.linspace(0.2, 0.8, 5)
    frames = shades[:, None, None, None].expand(5, *size, 3)
    write_video(tmp_path / "film.mp4", frames, 10)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [program, "-i", tmp_path / "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    played = subprocess.run(command, capture_output=True, check=True)
    about = played.stderr.decode()
    assert f"{shown[0]}x{shown[1]}" in about
    assert "h264" in about
    assert "yuv420p" in about
    assert "10 fps" in about
    pixels = np.frombuffer(played.stdout, np.uint8).reshape(5, shown[1], shown[0], 3)
    assert (pixels.mean((1, 2, 3)) / 255).tolist() == pytest.approx(shades.tolist(), abs=0.02)
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_bytes_and_floats_give_the_same_gif(tmp_path: Path):
    frames = torch.stack([torch.full((8, 8, 3), value) for value in (0, 51, 255)])
    write_video(tmp_path / "bytes.gif", frames.to(torch.uint8), 10)
    write_video(tmp_path / "floats.gif", frames / 255, 10)
    assert (tmp_path / "bytes.gif").read_bytes() == (tmp_path / "floats.gif").read_bytes()
    with Image.open(tmp_path / "bytes.gif") as film:
        assert getattr(film, "n_frames", 1) == 3
        assert film.size == (256, 256)
