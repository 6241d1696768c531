"""Videos: written whole or not at all, and read whatever their container and format."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.imaging import ffmpeg, video, video_reader
from unrender.imaging.video import write_video
from unrender.imaging.video_reader import Video
from unrender.notes import collected


def pictures(count: int = 6, size: int = 256) -> Tensor:
    """Smooth images, each brighter than the one before."""
    y, x = torch.meshgrid(*2 * [torch.linspace(0, 0.4, size)], indexing="ij")
    return torch.stack([torch.stack([x, y, x], -1) + 0.5 * k / count for k in range(count)])


def convert(source: Path, target: Path, *arguments: str, before: tuple[str, ...] = ()) -> Path:
    code, lines, _ = ffmpeg.run(
        ["-v", "error", *before, "-i", f"file:{source}", *arguments, f"file:{target}"]
    )
    assert code == 0, lines
    return target


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, pictures(), 10)
    return path


@pytest.mark.parametrize("name", ["film.MOV", "film.m4v", "film.mkv", "film.webm", "film.avi"])
def test_containers_are_told_by_their_content(film: Path, tmp_path: Path, name: str) -> None:
    made = convert(film, tmp_path / name, *(("-c:v", "libvpx") if "webm" in name else ()))
    plain = made.rename(tmp_path / "a:b without ending")
    read = Video(plain)
    frames = list(read.frames(64))
    assert [frame.shape for frame in frames] == 6 * [(64, 64, 3)]
    assert read.problem is None
    expected = 255 * pictures().mean((1, 2, 3)).numpy()
    assert np.allclose([frame.mean() for frame in frames], expected, atol=4)


def test_frames_are_upright_and_have_square_pixels(film: Path, tmp_path: Path) -> None:
    wide = convert(film, tmp_path / "wide.mov", "-vf", "crop=256:128,setsar=2/1")
    assert next(Video(wide).frames(1000)).shape == (128, 512, 3)
    turned = convert(
        wide, tmp_path / "turned.mov", "-c", "copy", before=("-display_rotation", "90")
    )
    assert next(Video(turned).frames(1000)).shape[0] > next(Video(turned).frames(1000)).shape[1]


def test_a_varying_frame_rate_repeats_no_frame(film: Path, tmp_path: Path) -> None:
    slow = convert(
        film, tmp_path / "slow.mp4", "-vf", "setpts='N*N*0.1/TB'", "-fps_mode", "vfr"
    )
    assert len(list(Video(slow).frames(64))) == 6
    assert Video(slow).times() == pytest.approx([0.1 * k * k for k in range(6)], abs=1e-4)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm", "film.avi", "film.gif"])
def test_frames_have_times_from_the_first_one_on(film: Path, tmp_path: Path, name: str) -> None:
    codec = ("-c:v", "libvpx") if "webm" in name else ()
    # AVI begins at 0, whenever its first frame is shown.
    late = () if "avi" in name else ("-vf", "setpts=PTS+3/TB")
    made = convert(film, tmp_path / name, *late, *codec)
    video = Video(made)
    times = video.times()
    assert len(times) == len(list(video.frames(64))) == 6
    assert times == pytest.approx([0.1 * k for k in range(6)], abs=0.011)


@pytest.mark.parametrize("rows", ["", "0, NOPTS, NOPTS, 1, 768, 0x0", "0", "0,1,1\n0,1,1"])
def test_a_film_without_times_of_its_frames_has_none(
    film: Path, monkeypatch: pytest.MonkeyPatch, rows: str
) -> None:
    read = Video(film)
    monkeypatch.setattr(video_reader, "run", lambda _: (0, [], rows.encode()))
    assert read.times() == []


def test_ten_bits_are_read_as_eight(film: Path, tmp_path: Path) -> None:
    deep = convert(film, tmp_path / "deep.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p10le")
    frames = list(Video(deep).frames(64))
    assert len(frames) == 6
    assert abs(float(frames[0].mean()) - 255 * float(pictures()[0].mean())) < 4


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_high_dynamic_range_is_tone_mapped(film: Path, tmp_path: Path, transfer: str) -> None:
    """PQ and HLG of what standard range shows look as it does, and it is said."""
    if not ffmpeg.has("filters", "zscale"):
        pytest.skip("this ffmpeg has no zscale")
    filters = (
        "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv,"
        "zscale=t=linear:npl=203,format=gbrpf32le,"
        f"zscale=p=bt2020:t={transfer}:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
    )
    tags = ("-color_trc", transfer, "-colorspace", "bt2020nc", "-color_primaries", "bt2020")
    made = convert(film, tmp_path / "hdr.mkv", "-vf", filters, "-c:v", "ffv1", *tags)
    with collected() as said:
        read = Video(made)
    assert len(said) == 1
    assert "high dynamic range" in said[0]
    means = [float(frame.mean()) for frame in read.frames(64)]
    expected = (255 * pictures().mean((1, 2, 3))).tolist()
    assert means == sorted(means)
    assert means == pytest.approx(expected, abs=25)


@pytest.mark.parametrize("ending", ["mkv", "mp4", "avi"])
def test_a_video_that_was_cut_off_is_said_to_be(
    film: Path, tmp_path: Path, ending: str
) -> None:
    whole = convert(
        film, tmp_path / f"whole.{ending}", "-g", "1",
        *(("-movflags", "+faststart") if ending == "mp4" else ()),
    )  # fmt: skip
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(content[: len(content) * 6 // 10])
    read = Video(cut)
    count = len(list(read.frames(64)))
    assert 0 < count < 6
    assert read.problem is not None
    assert "damaged or cut off" in read.problem
    assert f"{count} frames could be read" in read.problem


def test_a_video_without_its_end_is_refused(film: Path, tmp_path: Path) -> None:
    late = convert(film, tmp_path / "late.mov", "-c", "copy")
    content = late.read_bytes()
    late.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="its end is missing"):
        Video(late)


@pytest.mark.parametrize(
    "content", ["#EXTM3U\n#EXTINF:1\nfilm.mp4\n", "ffconcat version 1.0\nfile film.mp4\n", ""]
)
def test_lists_of_other_files_are_refused(film: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "film.mp4").write_bytes(film.read_bytes())
    for name in ("list.m3u8", "list.mp4"):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match="cannot be decoded as a video"):
            list(Video(tmp_path / name).frames(64))


def test_names_with_a_colon_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "pipe:1.mp4", "http:x.mp4", "-y.mp4"):
        write_video(Path(name), pictures(2), 10)
        assert len(list(Video(Path(name)).frames(64))) == 2


def failing(tmp_path: Path, script: str) -> str:
    """A program that stands for an ffmpeg which behaves as `script` says."""
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\nreal='{ffmpeg.program()}'\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        # Ends early, without a word, as ffmpeg does where a disk is full.
        ('case "$*" in *rawvideo*) "$real" "$@"; for f; do :; done; f="${f#file:}"; '
         'head -c 2000 "$f" > "$f.x"; mv "$f.x" "$f"; exit 0;; *) exec "$real" "$@";; esac',
         "can be read again"),
        ('case "$*" in *rawvideo*) echo "av_interleaved_write_frame(): No space left on device"'
         ' >&2; exit 1;; *) exec "$real" "$@";; esac', "No space left on device"),
        # Leaves frames out.
        ('case "$*" in *rawvideo*) exec "$real" -t 0.15 "$@";; *) exec "$real" "$@";; esac',
         "of . frames can be read again"),
    ],
)  # fmt: skip
def test_a_video_that_fails_leaves_the_old_one(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    target = tmp_path / "video.mp4"
    target.write_bytes(film.read_bytes())
    program = failing(tmp_path, script)
    ffmpeg.h264_encoder()  # Its answer is kept.
    monkeypatch.setattr(ffmpeg, "program", lambda: program)
    with pytest.raises(InputError, match=f"cannot be written .*({reason})"):
        write_video(target, pictures(), 10)
    assert target.read_bytes() == film.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ffmpeg", "video.mp4"]


def test_an_ffmpeg_without_x264_takes_another_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ffmpeg.has("encoders", "libopenh264"):
        pytest.skip("this ffmpeg has no OpenH264")
    monkeypatch.setattr(video, "h264_encoder", lambda: "libopenh264")
    write_video(tmp_path / "film.mp4", pictures(), 10)
    means = [float(frame.mean()) for frame in Video(tmp_path / "film.mp4").frames(64)]
    assert means == pytest.approx((255 * pictures().mean((1, 2, 3))).tolist(), abs=4)


def test_ffmpeg_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> str:
        raise RuntimeError("no ffmpeg exe could be found")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", absent)
    with pytest.raises(InputError, match="IMAGEIO_FFMPEG_EXE"):
        ffmpeg.program()


def test_a_video_of_too_many_pixels_is_refused(film: Path, tmp_path: Path) -> None:
    options = ("-vf", "scale=10000:8000", "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "31")
    huge = convert(film, tmp_path / "huge.mkv", *options)
    with pytest.raises(InputError, match="cannot be decoded as a video"):
        list(Video(huge).frames(64))
