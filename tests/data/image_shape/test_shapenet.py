"""3D-R2N2's renderings of ShapeNet: models reproject onto their images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from inputs import either, sample
from torch import Tensor
from torch.nn.functional import max_pool2d

from unrender.data.image_shape.make_shapes import CELLS
from unrender.data.image_shape.shapenet import (
    METADATA,
    centred,
    find_models,
    load_models,
    load_shapenet,
    read_renderings,
    read_surface,
)
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.imaging.files import write_image

NAME = "single_image_3d/r2n2_car_02958343_1a0bc9ab"
CAR = sample(NAME)


def seen(cameras: Cameras, points: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the points inside each silhouette, and IoU of the points and the silhouette."""
    inside, overlap = [], []
    for k in range(len(cameras)):
        pixel, _ = cameras.project(torch.full((len(points),), k), points)
        x, y = pixel.floor().long().clamp(0, cameras.width - 1).unbind(1)
        inside.append((alpha[k, y, x] > 0).float().mean())
        filled = torch.zeros_like(alpha[k])
        filled[y, x] = 1
        # Points leave gaps: closed by a pixel.
        closed = -max_pool2d(-max_pool2d(filled[None], 3, 1, 1), 3, 1, 1)[0] > 0
        solid = alpha[k] > 0.5
        overlap.append((closed & solid).sum() / (closed | solid).sum())
    return torch.stack(inside), torch.stack(overlap)


def test_the_cars_points_fall_into_its_silhouettes_and_fill_them() -> None:
    images, cameras = read_renderings(CAR)
    assert images.shape == either(NAME, (24, 137, 137, 4), (8, 32, 32, 4))
    points, normals = read_surface(CAR)
    inside, overlap = seen(cameras, points, images[..., 3])
    assert float(inside.min()) > either(NAME, 0.999, 0.97)
    assert float(overlap.min()) > either(NAME, 0.9, 0.78)
    # Normals face away from the middle more often than not, as those of a closed surface do.
    assert float((normals * points).sum(1).gt(0).float().mean()) > 0.6


def test_the_reprojection_can_fail() -> None:
    """Cameras rotated by 10° or points scaled by 1.5 are detected."""
    images, cameras = read_renderings(CAR)
    points, _ = read_surface(CAR)
    turn = torch.tensor(10.0).deg2rad()
    turned = torch.stack(
        [
            turn.cos() * points[:, 0] - turn.sin() * points[:, 1],
            turn.sin() * points[:, 0] + turn.cos() * points[:, 1],
            points[:, 2],
        ],
        dim=1,
    )
    for wrong in (turned, 1.5 * points):
        assert float(seen(cameras, wrong, images[..., 3])[0].mean()) < 0.97


def test_framed_images_keep_the_reprojection() -> None:
    """In the unit cube, with images cropped to the car."""
    shapes = load_models([CAR], either(NAME, 64, 20))
    points = shapes.points[0].float()
    low, high = points.amin(0), points.amax(0)
    torch.testing.assert_close(low + high, torch.zeros(3), atol=2e-3, rtol=0)
    assert float((high - low).max()) == pytest.approx(1, abs=2e-3)
    alpha = shapes.images[..., 3].float() / 255
    inside, overlap = seen(shapes.cameras, points, alpha)
    assert float(inside.mean()) > either(NAME, 0.995, 0.96)
    assert float(overlap.mean()) > either(NAME, 0.9, 0.75)
    # A car is long in y, and the front is at +y.
    assert float((high - low).argmax()) == 1 or float((high - low).argmax()) == 0


def model(folder: Path, views: int = 2, size: int = 24) -> Path:
    """A model of a few points, and images of a square."""
    (folder / "rendering").mkdir(parents=True)
    lines = [f"{40 * k} 25 0 0.8 25" for k in range(views)]
    (folder / "rendering" / METADATA).write_text("\n".join(lines) + "\n")
    image = torch.zeros(size, size, 4)
    image[5:19, 4:18] = 1
    for k in range(views):
        write_image(folder / "rendering" / f"{k:02d}.png", image)
    corners = torch.cartesian_prod(*[torch.tensor([-0.2, 0.2])] * 3)
    np.savetxt(folder / "model.xyz", corners.numpy())
    return folder


def binvox(cells: np.ndarray) -> bytes:
    """Encode as binvox: runs of up to 255, with y fastest, then z, then x."""
    flat = cells.transpose(0, 2, 1).ravel()
    head = f"#binvox 1\ndim {len(cells)} {len(cells)} {len(cells)}\ntranslate 0 0 0\nscale 1\n"
    body, start = b"", 0
    for k in range(1, len(flat) + 1):
        if k == len(flat) or flat[k] != flat[start] or k - start == 255:
            body += bytes([int(flat[start]), k - start])
            start = k
    return head.encode() + b"data\n" + body


def test_models_are_split_by_shape(tmp_path: Path) -> None:
    for k in range(5):
        model(tmp_path / "set" / f"model{k}")
    loaded = load_shapenet(tmp_path / "set", 16)
    assert loaded.train.names == tuple(f"model{k}" for k in range(4))
    assert loaded.test.names == ("model4",)
    assert loaded.train.images.shape == (8, 16, 16, 4)
    assert loaded.train.shape_index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    # The square is in the middle, with the margin of a pixel.
    assert bool((loaded.train.images[:, 1:-1, 1:-1, 3] == 255).all())
    assert not bool(loaded.train.images[:, 0].any())


def test_voxels_are_turned_upright_and_centred(tmp_path: Path) -> None:
    """A tall block in a corner of the file's grid becomes centred and upright along z."""
    cells = np.zeros((16, 16, 16), bool)
    cells[0:2, 0:8, 0:4] = True
    up = centred(cells, 8)
    assert np.argwhere(up).min(0).tolist() == [3, 2, 0]
    assert np.argwhere(up).max(0).tolist() == [4, 5, 7]
    # The front, at −z in the file, is at +y.
    cells[0:2, 0:8, 2:4] = False
    cells[0:2, 0:1, 2:4] = True
    assert centred(cells, 8)[3, 4:6, 7].all()
    assert not centred(cells, 8)[3, 2:4, 7].any()
    folder = model(tmp_path / "a")
    (folder / "model.binvox").write_bytes(binvox(cells))
    assert load_models([folder], 16).voxels.shape == (1, CELLS**3 // 8)  # pyright: ignore


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    whole = model(tmp_path / "whole")
    (whole / "model.binvox").write_bytes(binvox(np.ones((4, 4, 4), bool)))
    load_models([whole], 16)
    damages = {
        f"rendering/{METADATA}": [
            b"1 2 3\n",
            b"a b c d e\n",
            b"1 2 3 nan 5\n",
            b"1 99 0 1 25\n",
        ],
        "rendering/01.png": [None, b"", b"\x89PNG\r\n"],
        "model.xyz": [None, b"", b"1 2\n", b"1 2 3 4 5 6\n", b"0 0 0\n0 0 0\n", b"1 2 inf\n"],
        "model.binvox": [
            b"",
            b"#binvox 1\ndim 4 4 4\ndata\n\x01\xff",
            b"#binvox 1\ndim 4 4 4\ndata\n\x02\x40",
            b"#binvox 1\ndim 4 4 4\ndata\n\x00\x40",
            b"#binvox 1\ndim 4 4 999999\ndata\n\x01\x40",
            b"#binvox 1\ndim 99999 99999 99999\ndata\n\x01\x40",
            b"#binvox 1\ndim -4 4 4\ndata\n\x01\x40",
        ],
    }
    for name, contents in damages.items():
        for content in contents:
            broken = tmp_path / "broken"
            shutil.rmtree(broken, ignore_errors=True)
            shutil.copytree(whole, broken)
            if content is None:
                (broken / name).unlink()
            else:
                (broken / name).write_bytes(content)
            with pytest.raises(InputError) as caught:
                load_models([broken], 16)
            assert "\n" not in str(caught.value), (name, content)


def test_too_few_models(tmp_path: Path) -> None:
    assert find_models(tmp_path) == []
    with pytest.raises(InputError, match="has 0 ShapeNet models"):
        load_shapenet(tmp_path, 16)
    with pytest.raises(InputError, match="has 1 ShapeNet models"):
        load_shapenet(model(tmp_path / "one"), 16)
    without = model(tmp_path / "two")
    (tmp_path / "one" / "model.binvox").write_bytes(binvox(np.ones((4, 4, 4), bool)))
    with pytest.raises(InputError, match="1 of 2 models have no"):
        load_models([tmp_path / "one", without], 16)
