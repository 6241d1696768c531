"""The built-in moving scene: what its images, depths and motions say agrees."""

import functools
import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import grid_sample

from unrender.data.builtin import lamp
from unrender.data.builtin.lamp import (
    ASIDE,
    POINTS,
    lamp_cameras,
    lamp_flow,
    lamp_moving,
    make_lamp,
    part_poses,
    render_lamp,
)
from unrender.data.load import load_dataset
from unrender.data.options import LoadOptions
from unrender.errors import InputError
from unrender.geometry.pixels import pixel_grid

SIZE = 64


def test_parts_are_rigid_and_joined_and_the_film_ends_as_it_begins() -> None:
    poses = part_poses(torch.linspace(0, 1, 9))
    rotations = poses[..., :3]
    identity = torch.eye(3).expand(9, 5, 3, 3)
    torch.testing.assert_close(rotations @ rotations.mT, identity, atol=1e-5, rtol=0)
    torch.testing.assert_close(poses[0], poses[-1], atol=1e-5, rtol=0)
    assert torch.equal(poses[:, 0], poses[:1, 0].expand(9, 3, 4))
    # Joints of the arms, the head and the hinge keep their distances; all parts move.
    joints = poses[..., 3]
    for a, b in ((0, 1), (1, 2), (2, 3), (0, 4)):
        apart = (joints[:, a] - joints[:, b]).norm(dim=1)
        assert float(apart.max() - apart.min()) < 1e-5
    moved = (poses[:, 1:] - poses[:1, 1:]).abs().amax((0, 2, 3))
    assert bool((moved > 0.2).all())


def test_two_cameras_film_the_same_moments() -> None:
    data = make_lamp(size=24, frames=5, supersample=1)
    assert len(data.train) == len(data.test) == 5
    for views, number in ((data.train, 0), (data.test, 1)):
        assert views.cameras.times is not None
        assert views.cameras.times.tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert views.ids is not None
        assert views.ids.camera.tolist() == [number] * 5
        assert views.ids.deformation.tolist() == [0, 1, 2, 3, 4]
    first, second = data.train.cameras, data.test.cameras
    cosine = (first.centers[:, :2] * second.centers[:, :2]).sum(1)
    cosine /= first.centers[:, :2].norm(dim=1) * second.centers[:, :2].norm(dim=1)
    torch.testing.assert_close(cosine.arccos(), torch.full((5,), ASIDE), atol=1e-3, rtol=0)
    # The object is within its images, and fills a part of them.
    for views in (data.train, data.test):
        alpha = views.images[..., 3]
        border = torch.cat([alpha[:, 0], alpha[:, -1], alpha[:, :, 0], alpha[:, :, -1]], 1)
        assert float(border.max()) == 0
        assert 0.05 < float(alpha.mean()) < 0.5


def test_nothing_moves_within_a_moment() -> None:
    cameras = lamp_cameras(torch.tensor([0.3]), size=SIZE)
    flow, seen = lamp_flow(cameras, cameras)
    views = render_lamp(cameras, supersample=1)
    assert views.masks is not None
    assert torch.equal(seen, views.masks)
    assert float(flow.abs().max()) < 1e-2


@pytest.mark.parametrize(("start", "end", "aside"), [(0.1, 0.16, 0.0), (0.5, 0.5, ASIDE)])
def test_images_agree_along_the_flow(start: float, end: float, aside: float) -> None:
    here = lamp_cameras(torch.tensor([start]), size=SIZE)
    there = lamp_cameras(torch.tensor([end]), aside, size=SIZE)
    flow, seen = lamp_flow(here, there)
    views, other = render_lamp(here, 4), render_lamp(there, 4)
    assert 0.5 < float(seen.sum() / (views.images[..., 3] > 0.5).sum()) <= 1
    place = pixel_grid(SIZE, SIZE) + flow[0]
    warped = grid_sample(
        other.images.movedim(-1, 1), 2 * place[None] / SIZE - 1, align_corners=False
    ).movedim(1, -1)
    # Depths say the same as the flow; away from outlines colors do, up to their shading.
    assert other.depths is not None
    depth = grid_sample(
        other.depths[:, None], 2 * place[None] / SIZE - 1, "nearest", align_corners=False
    )[0, 0]
    assert float(((depth > 0) & seen[0]).sum() / seen.sum()) > 0.9
    error = (warped - views.images)[seen].abs().mean()
    still = (other.images - views.images)[seen].abs().mean()
    assert float(error) < 0.5 * float(still)


def test_depths_and_normals_are_those_of_the_surface() -> None:
    cameras = lamp_cameras(torch.tensor([0.7]), size=SIZE)
    views = render_lamp(cameras, supersample=1)
    assert views.depths is not None
    assert views.normals is not None
    assert views.masks is not None
    index = torch.zeros(SIZE, SIZE, dtype=torch.long)
    rays = cameras.rays(index, pixel_grid(SIZE, SIZE))
    facing = (views.normals[0] * rays.directions).sum(-1)
    assert bool((facing[views.masks[0]] < 0).all())
    points = rays.origins + views.depths[0][..., None] * rays.directions
    assert float(points[views.masks[0]].norm(dim=1).max()) < 1.4
    # Neighbors on one plane: the normal is across what joins them.
    step = points[:, 1:] - points[:, :-1]
    same = (views.normals[0][:, 1:] == views.normals[0][:, :-1]).all(-1)
    same &= views.masks[0][:, 1:] & views.masks[0][:, :-1]
    height = (step * views.normals[0][:, 1:]).sum(-1).abs()
    assert float(height[same].median()) < 1e-5


def test_times_are_needed_and_within_the_film() -> None:
    cameras = lamp_cameras(torch.tensor([0.5]), size=8)
    with pytest.raises(InputError, match="have no times"):
        render_lamp(cameras.at_times(None))
    for time in (1.5, -0.1, math.nan):
        with pytest.raises(InputError, match="outside the film"):
            render_lamp(cameras.at_times(time))


def test_the_film_is_a_built_in_scene_that_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNRENDER_CACHE", str(tmp_path / "cache"))
    small = functools.partial(lamp.make_lamp, 16, 3, 1)
    monkeypatch.setattr(lamp, "make_lamp", small)
    first = load_dataset("lamp")
    assert "rendering 6 views of the built-in scene lamp" in capsys.readouterr().err
    second = load_dataset("lamp", LoadOptions(downscale=2))
    assert capsys.readouterr().err == ""
    true = render_lamp(first.test.cameras, 1)
    torch.testing.assert_close(first.test.images, true.images, atol=1e-5, rtol=0)
    torch.testing.assert_close(first.test.depths, true.depths)
    assert (len(first.train), len(first.test)) == (3, 3)
    assert first.train.cameras.times is not None
    assert first.test.cameras.times is not None
    assert torch.equal(first.train.cameras.times, first.test.cameras.times)
    assert second.train.cameras.times is not None
    assert second.train.cameras.times.tolist() == [0, 0.5, 1]
    assert str(second.train.cameras.sizes) == "8×8"
    with pytest.raises(InputError, match="--light path: the built-in scene lamp has direct"):
        load_dataset("lamp", LoadOptions(light="path"))


def test_points_of_a_reconstruction_stand_still_where_images_show_it() -> None:
    data = make_lamp(size=24, frames=3, supersample=1)
    views = data.test
    assert views.points is not None
    assert len(views.points) == POINTS
    # Their foot and box are inside the images at all times, and no point is in front of both.
    seen = lamp_moving(views.cameras)
    assert views.masks is not None
    assert bool((seen <= views.masks).all())
    for k in range(len(views)):
        pixel, depth = views.cameras.project(torch.full((POINTS,), k), views.points)
        column, row = pixel.long().clamp(0, 23).unbind(1)
        assert float(views.masks[k][row, column].float().mean()) > 0.9
        assert bool((depth > 0).all())
    # The lid and the head are above the box and the foot.
    assert float(views.points[:, 2].max()) < -0.4
    assert 0.1 < float(seen.float().sum() / views.masks.float().sum()) < 0.7
