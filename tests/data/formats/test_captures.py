"""Loaders on real samples: points reproject to their positions in the images."""

import json
import math
import shutil
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inputs import SAMPLES, either, sample
from torch import Tensor

from unrender.data.formats.co3d import load_co3d
from unrender.data.formats.colmap import load_colmap, read_colmap
from unrender.data.formats.idr import idr_cameras, load_idr, read_idr_matrices
from unrender.data.formats.llff import load_llff
from unrender.data.formats.multiscale import load_multiscale
from unrender.data.formats.realestate10k import is_realestate10k, read_realestate10k
from unrender.data.load import LoadOptions, load_dataset, recognize
from unrender.errors import InputError
from unrender.fields.ball import Ball
from unrender.geometry.cameras import Cameras
from unrender.geometry.sizes import ImageSizes
from unrender.imaging.files import write_image


def projected(cameras: Cameras, points: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels and depths of all points in all cameras: [cameras, points, …]."""
    num = len(cameras)
    index = torch.arange(num)[:, None].expand(num, len(points))
    return cameras.project(index, points.expand(num, -1, -1))


def inside(cameras: Cameras, pixel: Tensor, depth: Tensor) -> Tensor:
    x, y = pixel.unbind(-1)
    return (depth > 0) & (x >= 0) & (y >= 0) & (x < cameras.width) & (y < cameras.height)


# COLMAP


def keypoints(folder: Path) -> dict[str, np.ndarray]:
    """x, y (full-size pixels) and 3D point index of each image's keypoints."""
    data = (folder / "images.bin").read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at, found = 8, {}
    kind = np.dtype([("x", "<f8"), ("y", "<f8"), ("point", "<i8")])
    for _ in range(count):
        end = data.index(b"\0", at + 64)
        name = data[at + 64 : end].decode()
        (number,) = struct.unpack_from("<Q", data, end + 1)
        found[name] = np.frombuffer(data, kind, number, end + 9)
        at = end + 9 + 24 * number
    return found


def point_numbers(folder: Path) -> list[int]:
    data = (folder / "points3D.bin").read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at, found = 8, []
    for _ in range(count):
        found.append(struct.unpack_from("<Q", data, at)[0])
        (track,) = struct.unpack_from("<Q", data, at + 43)
        at += 51 + 8 * track
    return found


def test_colmap_points_fall_on_their_keypoints() -> None:
    path = sample("real_scenes/mouse_colmap")
    views = load_colmap(path)
    assert views.points is not None
    sizes = len(views), len(views.points)
    assert sizes == either("real_scenes/mouse_colmap", (56, 4443), (8, 80))
    numbers = {number: k for k, number in enumerate(point_numbers(path / "sparse/0"))}
    found = keypoints(path / "sparse/0")
    model = read_colmap(path / "sparse/0")
    across = {
        each.name: model.cameras[each.camera].width > model.cameras[each.camera].height
        for each in model.images
    }
    # Some photographs are upright and some across.
    assert {True, False} == set(across.values())
    assert views.cameras.sizes.mixed
    cameras = views.cameras.with_sizes(views.cameras.sizes.scaled(2))
    errors: list[Tensor] = []
    for k, name in enumerate(views.names):
        seen = found[name][found[name]["point"] >= 0]
        points = views.points[[numbers[each] for each in seen["point"].tolist()]]
        pixel, _ = cameras.project(torch.full((len(points),), k), points)
        place = torch.tensor(np.stack([seen["x"], seen["y"]], 1))
        width, height = views.cameras.sizes[k]
        assert across[name] == (width > height)
        errors.append((pixel - place).norm(dim=1))
    # COLMAP says 0.77 pixels of 2 × 2 of these in the mean.
    assert float(torch.cat(errors).mean()) < 1.0


def write_text_model(folder: Path, source: Path) -> None:
    """Write a binary model as text."""
    model = read_colmap(source)
    folder.mkdir(parents=True)
    lines = ["# cameras"]
    for identity, camera in model.cameras.items():
        numbers = " ".join(map(repr, camera.parameters.values()))
        lines.append(f"{identity} PINHOLE {camera.width} {camera.height} {numbers}")
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# images"]
    for k, each in enumerate(model.images):
        lines += [f"{k} {' '.join(map(repr, each.pose))} {each.camera} {each.name}", ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    rows = zip(model.points.tolist(), (255 * model.point_colors).round().tolist(), strict=True)
    text = [f"{k} {' '.join(map(repr, [*p, *c]))} 0.5 1 2" for k, (p, c) in enumerate(rows)]
    (folder / "points3D.txt").write_text("\n".join(text) + "\n")


def test_text_says_what_binary_says(tmp_path: Path) -> None:
    source = sample("real_scenes/mouse_colmap/sparse/0")
    write_text_model(tmp_path / "sparse", source)
    a, b = read_colmap(source), read_colmap(tmp_path / "sparse")
    assert a.cameras == b.cameras
    assert a.images == b.images
    assert torch.equal(a.points, b.points)
    torch.testing.assert_close(a.point_colors, b.point_colors)


def test_another_scenes_photographs_are_refused(tmp_path: Path) -> None:
    source = sample("real_scenes/mouse_colmap/sparse/0")
    write_text_model(tmp_path / "sparse", source)
    with pytest.raises(InputError, match="copy the images, or give the model"):
        load_colmap(tmp_path)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["cameras", "images", "points3D"]),
    cut=st.floats(0, 1),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
)
def test_damaged_models_are_refused_or_read(
    tmp_path: Path, name: str, cut: float, places: list[tuple[float, int]]
) -> None:
    """Only InputError, and no huge allocation because of a damaged count."""
    source = sample("real_scenes/mouse_colmap/sparse/0")
    for file in ("cameras", "images", "points3D"):
        data = bytearray((source / f"{file}.bin").read_bytes())
        if file == name:
            data = data[: int(cut * len(data))]
            for place, value in places:
                if data:
                    data[int(place * (len(data) - 1))] = value
        (tmp_path / f"{file}.bin").write_bytes(data)
    with suppress(InputError):
        read_colmap(tmp_path)


def test_a_count_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    source = sample("real_scenes/mouse_colmap/sparse/0")
    for file in ("cameras", "images", "points3D"):
        (tmp_path / f"{file}.bin").write_bytes((source / f"{file}.bin").read_bytes())
    (tmp_path / "points3D.bin").write_bytes(b"\xff" * 7 + b"\x7f" + b"\0" * 100)
    with pytest.raises(InputError, match="more than its"):
        read_colmap(tmp_path)


# LLFF


def test_llff_bounds_hold_the_points_that_the_cameras_see() -> None:
    path = sample("real_scenes/fern_llff")
    views = load_llff(path)
    sizes = len(views), views.cameras.width, views.cameras.height
    assert sizes == either("real_scenes/fern_llff", (20, 504, 378), (6, 40, 30))
    data = (path / "sparse/0/points3D.bin").read_bytes()
    (count,) = struct.unpack_from("<Q", data)
    at, points = 8, []
    for _ in range(count):
        points.append(struct.unpack_from("<3d", data, at + 8))
        at += 51 + 8 * struct.unpack_from("<Q", data, at + 43)[0]
    pixel, depth = projected(views.cameras, torch.tensor(points, dtype=torch.float32))
    seen = inside(views.cameras, pixel, depth)
    assert float(seen.float().mean()) > 0.7
    bounds = torch.from_numpy(np.load(path / "poses_bounds.npy"))[:, 15:].float()
    held = (depth > 0.9 * bounds[:, :1]) & (depth < 1.1 * bounds[:, 1:])
    assert float(held[seen].float().mean()) > 0.97


def test_wrong_llff_files_are_refused(tmp_path: Path) -> None:
    source = sample("real_scenes/fern_llff")
    rows = np.load(source / "poses_bounds.npy")
    (tmp_path / "images").symlink_to(source / "images_8")

    def refused(content: np.ndarray, message: str) -> None:
        np.save(tmp_path / "poses_bounds.npy", content)
        with pytest.raises(InputError, match=message):
            load_llff(tmp_path)

    refused(rows[:, :16], r"\[views, 17\]")
    refused(rows[:5], "equal numbers")
    bent = rows.copy()
    bent[3, 0] = np.inf
    refused(bent, "view 3")
    turned = rows.copy()
    turned[:, [4, 9]] = turned[:, [9, 4]]
    refused(turned, "cropped or turned")
    refused(np.array(["a"]), "numbers")
    (tmp_path / "poses_bounds.npy").write_bytes((source / "poses_bounds.npy").read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged"):
        load_llff(tmp_path)


# IDR


def test_the_masks_of_dtu_meet_in_the_unit_sphere() -> None:
    """The visual hull, projected into each view, covers its mask."""
    views = load_idr(sample("dtu/scan65_400x300"))
    count, width, height = either("dtu/scan65_400x300", (49, 80, 60), (10, 32, 24))
    assert len(views) == count
    axis = torch.linspace(-1, 1, 80)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    points = points[points.norm(dim=1) < 1]
    hull = torch.ones(len(points), dtype=torch.bool)
    small = views.resized(width, height)
    masks = small.images[..., 3] > 0.5
    for k in range(len(small)):
        pixel, depth = projected(small.cameras.select(slice(k, k + 1)), points)
        there = inside(small.cameras, pixel, depth)[0]
        x, y = pixel[0].long().unbind(1)
        hit = masks[k][y.clamp(0, height - 1), x.clamp(0, width - 1)]
        # What a view does not see, it does not judge.
        hull &= hit | ~there
    hulled = points[hull]
    assert len(hulled) > 1000
    overlaps: list[float] = []
    for k in range(0, len(small), 8):
        pixel, depth = projected(small.cameras.select(slice(k, k + 1)), hulled)
        there = inside(small.cameras, pixel, depth)[0]
        x, y = pixel[0][there].long().unbind(1)
        covered = torch.zeros_like(masks[k])
        covered[y, x] = True
        overlaps.append(float((covered & masks[k]).sum() / (covered | masks[k]).sum()))
    assert min(overlaps) > either("dtu/scan65_400x300", 0.85, 0.8)


def test_a_negated_projection_gives_the_same_cameras() -> None:
    file = sample("dtu/scan65_400x300/cameras_sphere.npz")
    world, scale = read_idr_matrices(file)
    size = ImageSizes.of([either("dtu/scan65_400x300", (400, 300), (32, 24))])
    a = idr_cameras(file, world, scale, size)
    b = idr_cameras(file, -world, scale, size)
    torch.testing.assert_close(a.world_from_camera, b.world_from_camera)
    torch.testing.assert_close(a.intrinsics, b.intrinsics)
    assert bool((a.intrinsics[:, [0, 1], [0, 1]] > 0).all())
    # In the world, cameras stand farther away by the sphere's radius.
    c = idr_cameras(file, world, None, size)
    assert scale is not None
    ratio = (c.centers[0] - c.centers[1]).norm() / (a.centers[0] - a.centers[1]).norm()
    torch.testing.assert_close(ratio, scale[0, 0, 0].float(), rtol=1e-3, atol=0)


def test_an_empty_mask_is_named(tmp_path: Path) -> None:
    from PIL import Image  # noqa: PLC0415

    source = sample("dtu/scan65_400x300")
    for name in ("cameras_sphere.npz", "image"):
        (tmp_path / name).symlink_to(source / name)
    (tmp_path / "mask").mkdir()
    for k, file in enumerate(sorted((source / "mask").iterdir())):
        with Image.open(file) as image:
            drawn = Image.new(image.mode, image.size) if k == 7 else image
            drawn.save(tmp_path / "mask" / file.name)
    with pytest.raises(InputError, match=r"007\.png: the mask is empty"):
        load_idr(tmp_path)


# CO3D, RealEstate10K, multi-scale


def test_co3d_points_fall_on_the_object() -> None:
    views = load_co3d(sample("co3d/toytruck_160x90"))
    assert len(views) == either("co3d/toytruck_160x90", 202, 9)
    assert views.points is not None
    pixel, depth = projected(views.cameras, views.points)
    there = inside(views.cameras, pixel, depth)
    shares: list[float] = []
    for k in range(0, len(views), either("co3d/toytruck_160x90", 20, 1)):
        x, y = pixel[k][there[k]].long().unbind(1)
        # Frames are cut out, before black.
        object_there = views.images[k, ..., :3].amax(-1) > 0.04
        shares.append(float(object_there[y, x].float().mean()))
    assert float(torch.tensor(shares).median()) > 0.9
    assert min(shares) > 0.8


def test_realestate10k_cameras_move_smoothly() -> None:
    file = sample("realestate10k/0f47577ab3441480.txt")
    assert is_realestate10k(file)
    cameras, times = read_realestate10k(file, 320, 180)
    assert len(cameras) == len(times) == 16
    assert list(times) == sorted(times)
    first = np.array(file.read_text().splitlines()[1].split(), dtype=float)
    torch.testing.assert_close(cameras.focal[0], torch.tensor(320 * first[1]).float())
    # A point of the first camera's frame goes through the file's own matrix.
    world = torch.tensor([[0.3, -0.2, 5.0]])
    local = torch.tensor(first[7:].reshape(3, 4)).float() @ torch.tensor([0.3, -0.2, 5.0, 1])
    pixel, depth = cameras.project(torch.tensor([0]), world)
    torch.testing.assert_close(depth[0], local[2])
    expected = local[:2] / local[2] * torch.tensor([first[1] * 320, first[2] * 180]).float()
    torch.testing.assert_close(pixel[0], expected + torch.tensor([160.0, 90.0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no frames"),
        ("1 2 3\n", "of 19 numbers"),
        ("x" + " 1" * 18 + "\n", "could not convert"),
        ("1 1 1 .5 .5 0 0" + " 2" * 12 + "\n", "not a rotation"),
        ("1 0 1 .5 .5 0 0 1 0 0 0 0 1 0 0 0 0 1 0\n", "not positive"),
    ],
)
def test_wrong_lists_of_cameras_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "cameras.txt"
    file.write_text("https://example.org\n" + text)
    with pytest.raises(InputError, match=message):
        read_realestate10k(file, 320, 180)


def test_multiscale_views_are_one_view_at_each_size() -> None:
    scene = load_multiscale(sample("nerf_synthetic/lego_multiscale_sample"))
    name = "nerf_synthetic/lego_multiscale_sample"
    assert (len(scene.train), len(scene.test)) == either(name, (52, 32), (16, 8))
    scales = scene.train.by_size()[::-1]
    widths = [views.cameras.width for views in scales]
    assert widths == either(name, [400, 200, 100, 50], [32, 16, 8, 4])
    assert [len(views) for views in scales] == [len(scene.train) // 4] * 4
    small = scales[0].resized(widths[3], widths[3])
    torch.testing.assert_close(small.images, scales[3].images, atol=0.02, rtol=0)
    torch.testing.assert_close(small.cameras.focal, scales[3].cameras.focal)
    batch = scene.train.sample_pixels(4000, torch.Generator().manual_seed(0))
    assert len(batch.rgba) == 4000
    # Pixels of half the size are twice as wide, and a quarter as many.
    radii, counts = (
        (batch.rays.pixel_radius * 25 * widths[0]).round().unique(return_counts=True)
    )
    assert len(radii) >= 4
    assert counts.max() > 2000


def test_formats_are_told_apart() -> None:
    for name, expected in {
        "real_scenes/fern_llff": "llff",
        "real_scenes/mouse_colmap": "colmap",
        "dtu/scan65_400x300": "idr",
        "co3d/toytruck_160x90": "co3d",
        "nerf_synthetic/lego_200": "blender",
        "nerf_synthetic/lego_multiscale_sample": "multiscale",
    }.items():
        assert recognize(sample(name)).name == expected
    with pytest.raises(InputError, match=r"poses_bounds\.npy"):
        recognize(SAMPLES / "realestate10k")


def test_masks_become_alpha(scene_folder: Path, tmp_path: Path) -> None:
    """Masks match by name, and multiply existing alpha."""
    plain, masks = load_dataset(str(scene_folder)), tmp_path / "masks"
    masks.mkdir()
    height, width = plain.train.images.shape[1:3]
    half = torch.zeros(height, width, 3)
    half[:, : width // 2] = 1
    for name in (*plain.train.names, *plain.test.names):
        write_image(masks / f"{Path(name).stem}.png", half)
    reading = LoadOptions(masks=str(masks))
    found = load_dataset(str(scene_folder), reading)
    torch.testing.assert_close(
        found.test.rgba, plain.test.rgba * half[None, :, :, :1], rtol=0, atol=1e-6
    )
    name = Path(plain.test.names[0]).stem
    write_image(masks / f"{name}.png", torch.zeros(height, width, 3))
    with pytest.raises(InputError, match="the mask is empty"):
        load_dataset(str(scene_folder), reading)
    write_image(masks / f"{name}.png", torch.ones(height, width + 1, 3))
    with pytest.raises(InputError, match="the mask is 33x32 and its image 32x32"):
        load_dataset(str(scene_folder), reading)
    (masks / f"{name}.png").unlink()
    with pytest.raises(InputError, match="has no mask for"):
        load_dataset(str(scene_folder), reading)


def test_what_a_scene_fills_can_be_told(scene_folder: Path) -> None:
    path = str(scene_folder)
    found = load_dataset(path, LoadOptions(ball=(0.0, 0.1, 0.0, 0.9)))
    torch.testing.assert_close(found.train.ball, torch.tensor([0.0, 0.1, 0.0, 0.9]))
    ball = Ball()
    ball.fit_to_cameras(found.train.cameras, found.train.ball)
    assert float(ball.radius) == pytest.approx(0.9)
    for wrong in ((0.0, 0.0, 0.0, -1.0), (0.0, 0.0, math.inf, 1.0)):
        with pytest.raises(InputError, match="radius above 0"):
            load_dataset(path, LoadOptions(ball=wrong))
    with pytest.raises(InputError, match="no camera sees"):
        load_dataset(path, LoadOptions(ball=(0.0, 0.0, 900.0, 1.0)))


def test_two_views_of_one_pose_are_named(
    scene_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "scene"
    shutil.copytree(scene_folder, folder)
    file = next(folder.glob("transforms*.json"))
    content = json.loads(file.read_text())
    frames = content["frames"]
    frames[3]["transform_matrix"] = frames[1]["transform_matrix"]
    file.write_text(json.dumps(content))
    assert len(load_dataset(str(folder)).train) == len(frames) - math.ceil(len(frames) / 10)
    (line,) = caplog.messages
    assert "2 views have exactly the pose of another" in line
    assert Path(frames[1]["file_path"]).name in line
    assert Path(frames[3]["file_path"]).name in line


def test_any_share_of_the_views_is_held_out(scene_folder: Path) -> None:
    scene = load_dataset(str(scene_folder), LoadOptions(hold_out=3))
    assert (len(scene.train), len(scene.test)) == (20, 10)
    with pytest.raises(InputError, match="--hold-out 1"):
        load_dataset(str(scene_folder), LoadOptions(hold_out=1))


def test_scenes_can_be_made_smaller() -> None:
    scene = load_dataset(str(sample("real_scenes/fern_llff")), LoadOptions(downscale=4))
    shape = either("real_scenes/fern_llff", (18, 94, 126, 4), (5, 7, 10, 4))
    assert scene.train.images.shape == shape
    assert scene.test.cameras.width == shape[2]
    with pytest.raises(InputError, match="--downscale 0"):
        load_dataset("bricks", LoadOptions(downscale=0))
