"""The built-in scenes: properties of signed distances, and consistency of the views."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from unrender.data import builtin as procedural
from unrender.data.builtin import NAMES, cache_folder, make_scene, render_scene, tracer
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell

SIZE = 40


def cameras(num: int = 4, seed: int = 5) -> Cameras:
    poses = spherical_shell(
        num, (4.0, 4.0), torch.Generator().manual_seed(seed), elevation=(0.2, 1.3)
    )
    return Cameras.from_focal(poses, 0.5 * SIZE / math.tan(0.6911112 / 2), SIZE, SIZE)


@pytest.fixture(scope="module", params=NAMES)
def rendered(request: pytest.FixtureRequest) -> tuple[int, Views]:
    return NAMES.index(request.param), render_scene(request.param, cameras(), 3)


def surface(views: Views) -> tuple[torch.Tensor, torch.Tensor]:
    """Surface points at the pixels' centres and their normals, in the order of the mask."""
    assert views.masks is not None
    assert views.depths is not None
    assert views.normals is not None
    camera, y, x = views.masks.nonzero(as_tuple=True)
    rays = views.cameras.rays(camera, torch.stack([x, y], dim=-1) + 0.5)
    depth = views.depths[views.masks]
    return rays.origins + depth[:, None] * rays.directions, views.normals[views.masks]


def distances(scene: int, points: np.ndarray) -> np.ndarray:
    return np.array([tracer.distance(scene, *map(float, point)) for point in points])


def test_hits_lie_on_the_surface(rendered: tuple[int, Views]):
    scene, views = rendered
    points, _ = surface(views)
    assert len(points) > 0.1 * views.images[..., 0].numel()
    assert np.abs(distances(scene, points.double().numpy())).max() < 1e-3
    assert points.norm(dim=-1).max() < tracer.BALL


def test_normals_are_gradients(rendered: tuple[int, Views]):
    scene, views = rendered
    points, normals = surface(views)
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(len(normals)))
    points = points[::7].double().numpy()
    step = 1e-5
    columns: list[np.ndarray] = []
    for axis in np.eye(3):
        ahead, behind = (distances(scene, points + sign * step * axis) for sign in (1, -1))
        columns.append((ahead - behind) / (2 * step))
    gradient = np.stack(columns, axis=-1)
    length = np.linalg.norm(gradient, axis=-1, keepdims=True)
    cosine = (gradient / np.maximum(length, 1e-9) * normals[::7].numpy()).sum(-1)
    # On creases the two differences straddle different faces.
    assert np.mean(cosine > 0.999) > 0.95


def test_normals_face_the_camera(rendered: tuple[int, Views]):
    _, views = rendered
    assert views.masks is not None
    points, normals = surface(views)
    towards = views.cameras.centers[views.masks.nonzero()[:, 0]] - points
    assert ((towards * normals).sum(-1) > 0).float().mean() > 0.99


def test_distance_never_exceeds_the_way(rendered: tuple[int, Views]):
    """The sphere of that radius around a point outside is empty, so steps skip nothing."""
    scene, views = rendered
    found = surface(views)[0][::3].double()
    generator = np.random.default_rng(0)
    points = torch.from_numpy(generator.uniform(-1.4, 1.4, (2000, 3)))
    close = found[::5] + torch.from_numpy(generator.normal(size=found[::5].shape)) * 0.03
    points = torch.cat([points, close])
    way = torch.cdist(points, found).amin(1)
    excess = torch.from_numpy(distances(scene, points.numpy())) - way
    assert excess.max() < 1e-3


def test_images_are_premultiplied_and_covered_where_hit(rendered: tuple[int, Views]):
    _, views = rendered
    assert views.masks is not None
    assert views.depths is not None
    alpha = views.images[..., 3]
    assert alpha.min() == 0
    assert alpha.max() == 1
    assert views.images.min() >= 0
    assert (views.images[..., :3] <= alpha[..., None] + 1e-6).all()
    assert torch.equal(views.masks, views.depths > 0)
    # The middle one of nine samples is the pixel's centre.
    assert (alpha[views.masks] > 0).all()
    assert (alpha[~views.masks] < 1).all()
    assert (alpha > 0).float().mean().item() == pytest.approx(alpha.mean().item(), abs=0.1)


def test_depth_of_one_view_is_consistent_with_another(rendered: tuple[int, Views]):
    """A point visible to one camera has the other's depth, or is occluded there."""
    _, views = rendered
    assert views.masks is not None
    assert views.depths is not None
    points, _ = surface(views)
    other = torch.full((len(points),), 1)
    pixel, _ = views.cameras.project(other, points)
    x, y = (pixel.floor().long().clamp(0, SIZE - 1)).unbind(-1)
    way = (points - views.cameras.centers[1]).norm(dim=-1)
    seen = views.depths[1, y, x]
    # At a silhouette a pixel's centre may see past the point by a few pixels' widths.
    beyond = (seen == 0) | (seen > way + 0.15)
    assert beyond.float().mean() < 0.1
    same = (seen - way).abs() < 0.15
    assert same.float().mean() > 0.35


def test_more_samples_change_edges_only():
    coarse, fine = (render_scene("chair", cameras(1), factor) for factor in (3, 6))
    assert coarse.depths is not None
    assert fine.depths is not None
    assert torch.equal(coarse.depths, fine.depths)
    assert (coarse.images - fine.images).abs().mean() < 0.01


def test_sizes_agree():
    """A view of twice the size, averaged over blocks, is the view with twice the samples."""
    small = render_scene("bricks", cameras(1), 4)
    large = render_scene("bricks", cameras(1).resized(2 * SIZE, 2 * SIZE), 2)
    blocks = large.images.unflatten(2, (SIZE, 2)).unflatten(1, (SIZE, 2)).mean((2, 4))
    torch.testing.assert_close(blocks, small.images, atol=1e-3, rtol=0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNRENDER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_second_time_comes_from_the_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    first = make_scene("chair", 16, 3, 2, 1)
    assert (len(first.train), len(first.test)) == (3, 2)
    assert "of the built-in scene chair" in capsys.readouterr().err
    assert len(os.listdir(folder)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(procedural, "render_scene", None)
        second = make_scene("chair", 16, 3, 2, 1)
    assert capsys.readouterr().err == ""
    for name in ("images", "masks", "depths", "normals"):
        assert torch.equal(getattr(first.train, name), getattr(second.train, name))
    true = render_scene("chair", first.train.cameras, 1)
    torch.testing.assert_close(first.train.images, true.images, atol=1e-5, rtol=0)
    torch.testing.assert_close(first.train.normals, true.normals, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [0, 100, 2000])
def test_a_damaged_cache_is_made_again(
    folder: Path, capsys: pytest.CaptureFixture[str], length: int
):
    whole = make_scene("chair", 16, 2, 1, 1)
    (file,) = folder.iterdir()
    data = file.read_bytes()
    file.write_bytes(data[:length])
    capsys.readouterr()
    again = make_scene("chair", 16, 2, 1, 1)
    assert "rendering the scene again" in capsys.readouterr().err
    assert torch.equal(whole.train.images, again.train.images)
    assert file.read_bytes()[:4] == data[:4]


def test_without_a_writable_cache_the_scene_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNRENDER_CACHE", str(tmp_path / "file" / "cache"))
    assert len(make_scene("chair", 16, 2, 1, 1).train) == 2
    assert "the scene is not cached" in capsys.readouterr().err


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("UNRENDER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/unrender")
    monkeypatch.setenv("UNRENDER_CACHE", "/own")
    assert cache_folder() == Path("/own")


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="bricks, chair, hotdog"):
        make_scene("teapot")


def test_a_user_without_a_home_has_no_cache(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def without_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("UNRENDER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", without_home)
    assert cache_folder() is None
    assert len(make_scene("chair", 16, 2, 1, 1).train) == 2
    assert capsys.readouterr().err.endswith("views of the built-in scene chair\n")
