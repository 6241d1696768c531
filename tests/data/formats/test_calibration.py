"""Lenses and intrinsics of transforms.json and COLMAP, from the file to straight images."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from lens_pictures import HEIGHT, LENSES, WIDTH, calibration, seen_by_lens, seen_by_pinhole

import unrender as ur
from unrender.data import photographs
from unrender.data.formats.calibration import frame_calibration
from unrender.data.formats.camera_files import read_cameras
from unrender.data.summary import camera_warnings
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.conventions import opengl_from_opencv
from unrender.geometry.lenses import LENS_MODELS, Lens
from unrender.geometry.paths import turntable
from unrender.geometry.poses import invert
from unrender.geometry.undistortion import Calibration, PinholeView
from unrender.imaging.files import write_image
from unrender.notes import collected

POSES = turntable(3, 4.0, 0.5)


def check_straight(views: Views) -> None:
    """Each view is what a pinhole camera of its intrinsics and pose sees."""
    for k in range(len(views)):
        error = views.store[k][..., :3] - seen_by_pinhole(views.cameras, k)
        assert float(error.abs()[1:-1, 1:-1].max()) < 0.012, views.names[k]


def photograph(folder: Path, index: int, source: Calibration) -> str:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    name = f"images/{index:02d}.png"
    write_image(folder / name, seen_by_lens(source, POSES[index, :, :3]).float())
    return name


def frame_of(folder: Path, index: int, source: Calibration) -> dict[str, Any]:
    pose = opengl_from_opencv(POSES[index]).tolist()
    return {
        "file_path": photograph(folder, index, source),
        "transform_matrix": [*pose, [0, 0, 0, 1]],
        "fl_x": source.fx, "fl_y": source.fy, "cx": source.cx, "cy": source.cy,
        "w": source.width, "h": source.height,
    }  # fmt: skip


def write_transforms(folder: Path, frames: list[dict[str, Any]], **shared: Any) -> Path:
    (folder / "transforms.json").write_text(json.dumps({**shared, "frames": frames}))
    return folder


@pytest.mark.parametrize(
    "models",
    [
        ("OPENCV_FISHEYE", "OPENCV", "FULL_OPENCV"),
        ("THIN_PRISM_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_RADIAL"),
        ("RAD_TAN_THIN_PRISM_FISHEYE", "FOV", "EUCM"),
    ],
)
def test_each_frame_may_have_its_own_lens(tmp_path: Path, models: tuple[str, ...]) -> None:
    frames = [
        frame_of(tmp_path, k, calibration(model)) | {"camera_model": model} | LENSES[model]
        for k, model in enumerate(models)
    ]
    wrong = {"camera_model": "PINHOLE", "fl_x": 7.0, "cx": 1.0}
    with collected() as notes:
        views = ur.load(write_transforms(tmp_path, frames, **wrong), hold_out=0).train
    check_straight(views)
    assert len(notes) == 1
    assert "undistorted to pinhole views" in notes[0]


@pytest.mark.parametrize(
    "how",
    [
        {"camera_model": "OPENCV_FISHEYE"},
        {"camera_model": "opencv_fisheye", "is_fisheye": False},
        {"is_fisheye": True},
        {"camera_model": "RADIAL_FISHEYE", "is_fisheye": True},
    ],
)
def test_fisheye_lenses_of_a_file(tmp_path: Path, how: dict[str, Any]) -> None:
    given = {"k1": 0.06, "k2": -0.01, "k3": 0.002, "k4": 0.001}
    source = Calibration(
        Lens.of("OPENCV_FISHEYE", given), 70.0, 71.0, 82.0, 59.0, WIDTH, HEIGHT
    )
    frames = [frame_of(tmp_path, k, source) for k in range(2)]
    frames[1] |= {"p1": None, "k1": None}
    write_transforms(tmp_path, frames, **how, **given, p1=0, p2=0.0)
    views = ur.load(tmp_path, hold_out=0).train
    check_straight(views)
    # Cameras alone are those of the views.
    cameras = read_cameras(tmp_path / "transforms.json").cameras
    assert torch.equal(cameras.intrinsics, views.cameras.intrinsics)
    assert torch.equal(cameras.world_from_camera, views.cameras.world_from_camera)


def test_distortion_params_of_nerfstudio(tmp_path: Path) -> None:
    values = LENSES["OPENCV"]
    listed = [values["k1"], values["k2"], 0, 0, values["p1"], values["p2"]]
    frames = [
        frame_of(tmp_path, k, calibration("OPENCV")) | {"distortion_params": listed}
        for k in range(2)
    ]
    check_straight(ur.load(write_transforms(tmp_path, frames), hold_out=0).train)


@pytest.mark.parametrize("how", [{"camera_model": "EQUIRECTANGULAR"}, {"latlong": True}, {}])
def test_panoramas_become_six_views_each(tmp_path: Path, how: dict[str, Any]) -> None:
    source = Calibration.panorama(400, 200)
    frames = [frame_of(tmp_path, k, source) for k in range(2)]
    for frame in frames:
        for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            del frame[key]
    with collected() as notes:
        views = ur.load(write_transforms(tmp_path, frames, **how), hold_out=0).train
    assert views.names[:6] == tuple(
        f"images/00_{face}.png" for face in ("front", "right", "back", "left", "up", "down")
    )
    assert len(views) == 12
    assert views.cameras.fov.tolist() == pytest.approx([90.0] * 12)
    torch.testing.assert_close(views.cameras.centers[6:], POSES[1, :, 3].expand(6, 3))
    check_straight(views)
    assert "2 of its images, panoramas, are read as six views each" in notes[0]
    # Some views of each look away from what the others look at, and that is right.
    assert not camera_warnings(views.cameras)


def write_colmap(folder: Path, model: str, source: Calibration, binary: bool) -> Path:
    """A COLMAP model of two images, whose camera has the lens `model`."""
    known = LENS_MODELS[model]
    values = {
        "f": source.fx, "fx": source.fx, "fy": source.fy, "cx": source.cx, "cy": source.cy,
        "w": source.width, "h": source.height, **LENSES.get(model, {}),
    }  # fmt: skip
    parameters = [float(values.get(name, 0.0)) for name in known.parameters]
    size = source.width, source.height
    poses = invert(POSES[:2])
    sparse = folder / "sparse/0"
    sparse.mkdir(parents=True)
    names = [Path(photograph(folder, k, source)).name for k in range(2)]
    rotations = [_quaternion(pose[:, :3]) for pose in poses]
    shifts = poses[:, :, 3].tolist()
    if binary:
        cameras = struct.pack("<QiiQQ", 1, 1, known.number, *size)
        cameras += struct.pack(f"<{len(parameters)}d", *parameters)
        (sparse / "cameras.bin").write_bytes(cameras)
        images = struct.pack("<Q", 2)
        for k in range(2):
            images += struct.pack("<i7di", k + 1, *rotations[k], *shifts[k], 1)
            images += names[k].encode() + b"\0" + struct.pack("<Q", 0)
        (sparse / "images.bin").write_bytes(images)
        return folder
    line = " ".join(map(repr, parameters))
    (sparse / "cameras.txt").write_text(f"1 {model} {size[0]} {size[1]} {line}\n")
    lines: list[str] = []
    for k in range(2):
        lines += [f"{k + 1} {' '.join(map(repr, rotations[k] + shifts[k]))} 1 {names[k]}", ""]
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    return folder


def _quaternion(rotation: torch.Tensor) -> list[float]:
    """(w, x, y, z) of a rotation whose w is not 0."""
    w = math.sqrt(max(1e-12, 1 + float(rotation.trace()))) / 2
    r = rotation.tolist()
    return [
        w,
        (r[2][1] - r[1][2]) / (4 * w),
        (r[0][2] - r[2][0]) / (4 * w),
        (r[1][0] - r[0][1]) / (4 * w),
    ]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("model", [*LENSES, "EQUIRECTANGULAR"])
def test_lenses_of_colmap(tmp_path: Path, model: str, binary: bool) -> None:
    if model == "EQUIRECTANGULAR":
        source = Calibration.panorama(400, 200)
    else:
        source = calibration(model)
        if LENS_MODELS[model].focal[0] == "f":
            source = Calibration(
                source.lens, source.fx, source.fx, source.cx, source.cy, WIDTH, HEIGHT
            )
    views = ur.load(write_colmap(tmp_path, model, source, binary), hold_out=0).train
    assert len(views) == (12 if model == "EQUIRECTANGULAR" else 2)
    check_straight(views)


def test_colmap_lenses_that_are_unknown_are_named(tmp_path: Path) -> None:
    write_colmap(tmp_path, "OPENCV", calibration("OPENCV"), binary=False)
    cameras = tmp_path / "sparse/0/cameras.txt"
    cameras.write_text(cameras.read_text().replace("OPENCV", "METASHAPE"))
    with pytest.raises(InputError, match=r"cameras\.txt.*METASHAPE.*undistort"):
        ur.load(tmp_path)


def test_masks_are_undistorted_with_their_photographs(tmp_path: Path) -> None:
    """A mask is drawn on the photograph as it is; alpha is that of the straight view."""
    source = calibration("OPENCV_FISHEYE")
    how = {"camera_model": "OPENCV_FISHEYE", **LENSES["OPENCV_FISHEYE"]}
    frames = [frame_of(tmp_path, k, source) | how for k in range(2)]
    (tmp_path / "masks").mkdir()
    for k, frame in enumerate(frames):
        mask = seen_by_lens(source, POSES[k, :, :3])[..., :1].expand(-1, -1, 3).float()
        write_image(tmp_path / f"masks/{k:02d}.png", mask)
        frame["mask_path"] = f"masks/{k:02d}.png"
    views = ur.load(write_transforms(tmp_path, frames), hold_out=0).train
    for k in range(2):
        picture = seen_by_pinhole(views.cameras, k)
        error = (views.store[k] - torch.cat([picture, picture[..., :1]], -1))[1:-1, 1:-1]
        assert float(error[..., 3].abs().max()) < 0.012
    # The same, smaller.
    small = ur.load(tmp_path, hold_out=0, downscale=2).train
    assert small.cameras.sizes[0] == (WIDTH // 2, HEIGHT // 2)
    torch.testing.assert_close(
        small.images, views.resized(*small.cameras.sizes[0]).images, atol=0.01, rtol=0
    )


def read(shared: dict[str, Any], frame: dict[str, Any] | None = None, **size: int) -> Any:
    return frame_calibration(
        "file: frame 0", shared, frame or {}, size.get("width", 80), size.get("height", 60)
    )


@pytest.mark.parametrize(
    ("keys", "focal"),
    [
        ({"fl_x": 90.0}, (90.0, 90.0)),
        ({"fl_y": 90.0}, (90.0, 90.0)),
        ({"fl_x": 90.0, "fl_y": 85.0}, (90.0, 85.0)),
        ({"camera_angle_x": math.pi / 2}, (40.0, 40.0)),
        ({"camera_angle_y": math.pi / 2}, (30.0, 30.0)),
        ({"camera_angle_x": math.pi / 2, "camera_angle_y": math.pi / 2}, (40.0, 30.0)),
        ({"x_fov": 90}, (40.0, 40.0)),
        ({"y_fov": 90}, (30.0, 30.0)),
        ({"fl_x": 180.0, "w": 160, "h": 120}, (90.0, 90.0)),
        ({"fl_y": 180.0, "w": 160, "h": 120}, (90.0, 90.0)),
        ({"fl_x": 180.0, "w": 160}, (90.0, 90.0)),
        ({"fl_x": 180.0, "fl_y": 160.0, "h": 120}, (90.0, 80.0)),
        ({"fl_x": 90.0, "camera_angle_x": 0.1}, (90.0, 90.0)),
        ({"fl_x": None, "camera_angle_x": math.pi / 2}, (40.0, 40.0)),
    ],
    ids=str,
)
def test_focal_lengths(keys: dict[str, Any], focal: tuple[float, float]) -> None:
    for found in (read(keys), read({"fl_x": 7.0, "fl_y": 8.0}, keys)):
        assert (found.fx, found.fy) == pytest.approx(focal)
        assert (found.cx, found.cy) == (40, 30)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ftheta_p0": 0.1, "ftheta_p1": 0.2}, "`ftheta_p0`.*f-theta"),
        ({"rolling_shutter": [0, 0, 0.01, 0]}, "`rolling_shutter`.*rolling shutter"),
        ({"orthographic": True}, "`orthographic`"),
        ({"halflatlong": True}, "`halflatlong`"),
        ({"equirectangular": True}, "`equirectangular`"),
        ({"sk_x": 0.5}, "`sk_x`.*skew"),
        ({"fisheye624_params": [1.0] * 16}, "FISHEYE624"),
        ({"transform_matrix_start": [1], "transform_matrix_end": [2]}, "motion"),
        ({"camera_model": "ORTHOPHOTO"}, "`camera_model` 'ORTHOPHOTO'.*undistort"),
        ({"camera_model": 7}, "`camera_model` 7"),
        ({"camera_model": "OPENCV", "is_fisheye": True}, "`is_fisheye` is true.*'OPENCV'"),
        ({"k4": 0.1}, "`k4`.*OPENCV.*camera_model"),
        ({"k5": 0.1, "camera_model": "OPENCV_FISHEYE"}, "`k5`.*OPENCV_FISHEYE"),
        ({"sx1": 0.1}, "`sx1`"),
        ({"distortion_params": [0.1, 0.2]}, "`distortion_params`.*k1, k2, k3, k4, p1, p2"),
        ({"distortion_params": ["a"] * 6}, "not a number"),
        ({"k1": math.nan}, "must be finite"),
        ({"fl_x": 0}, "must be positive"),
        ({"fl_x": 1e-40}, "focal length is 1e-40 pixels"),
        ({"fl_x": 1e14}, "focal length is 1e\\+14 pixels"),
        ({"fl_y": -3}, "must be positive"),
        ({"fl_x": math.nan}, "must be finite"),
        ({"camera_angle_x": 1e-20}, "focal length is"),
        ({"camera_angle_y": 3.5}, "between 0 and π"),
        ({"x_fov": 200}, "between 0 and 180 degrees"),
        ({"cx": 1e14}, "principal point"),
        ({"w": 0, "h": 80}, "must be positive"),
        ({"w": 60, "h": 80}, "is 80x60, but its camera has 60x80"),
        ({"cx": 30.4, "cy": 39.7}, "principal point is the middle of 60x80"),
        ({"is_fisheye": "false"}, "`is_fisheye` is 'false'; give true or false"),
        ({"latlong": [1]}, "`latlong`"),
        ({"w": 80, "h": 80}, "is 80x60, but its camera has 80x80"),
        ({"w": 1e-30, "h": 60}, "but its camera has 1e-30x60"),
    ],
    ids=str,
)
def test_what_is_not_known_or_impossible_is_refused(keys: dict[str, Any], message: str) -> None:
    given = {} if {"camera_angle_x", "x_fov"} & keys.keys() else {"fl_x": 90.0}
    for shared, frame in ((given | keys, {}), (given, given | keys)):
        with pytest.raises(InputError, match=message) as caught:
            read(shared, frame)
        assert "frame 0" in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"rolling_shutter": [0, 0], "sk_x": 0.0, "is_fisheye": False},
        {"k4": 0.0, "k5": 0, "camera_model": "OPENCV", "distortion_params": [0, 0, 0, 0, 0, 0]},
        {"camera_model": "SIMPLE_PINHOLE", "k1": None},
    ],
)
def test_keys_that_say_nothing_are_no_lens(keys: dict[str, Any]) -> None:
    assert not read({"fl_x": 90.0, **keys}).lens


def test_a_rounded_size_of_smaller_images_is_accepted() -> None:
    found = read({"fl_x": 4000.0, "w": 5187, "h": 3361}, width=648, height=420)
    assert found.fx == pytest.approx(4000 * 648 / 5187)
    tiny = read({"fl_x": 4000.0, "w": 5187, "h": 3361}, width=20, height=13)
    assert tiny.fx == pytest.approx(4000 * 20 / 5187)


def test_a_frame_s_lens_is_not_mixed_with_another_of_the_file() -> None:
    shared = {"fl_x": 90.0, "camera_model": "OPENCV", "k1": 0.1, "k2": 0.2, "p1": 0.3}
    own = read(shared, {"camera_model": "OPENCV_FISHEYE", "k1": 0.05}).lens
    assert own == Lens.of("OPENCV_FISHEYE", {"k1": 0.05})
    part = read(shared, {"k1": 0.05}).lens
    assert part == Lens.of("OPENCV", {"k1": 0.05, "k2": 0.2, "p1": 0.3})


def test_photographs_of_one_camera_share_their_source_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of source pixels is made once a camera, and not kept for all of them."""
    made: list[PinholeView] = []

    class Counted(photographs.Resampling):
        def __init__(self, view: PinholeView) -> None:
            made.append(view)
            super().__init__(view)

    monkeypatch.setattr(photographs, "Resampling", Counted)
    models = ("OPENCV_FISHEYE", "OPENCV", "OPENCV_FISHEYE")
    frames = [
        frame_of(tmp_path, k, calibration(model)) | {"camera_model": model} | LENSES[model]
        for k, model in enumerate(models)
    ]
    check_straight(ur.load(write_transforms(tmp_path, frames), hold_out=0).train)
    assert len(made) == 2
