"""Cameras in space: the frusta are where the cameras look, and the still drawing is whole."""

import json
import math
import re

import pytest
import torch

from unrender.data.views import Views
from unrender.evaluation.images import score_images
from unrender.evaluation.renders import WHITE, ImageEvaluation
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.rendering.renderer import Rendering
from unrender.report.cameras3d import (
    MAX_CAMERAS,
    MAX_POINTS,
    CameraSet,
    PointCloud,
    camera_picture,
    camera_view,
    frusta,
    point_cloud,
)


def cameras(count: int) -> Cameras:
    poses = spherical_shell(count, (4.0, 4.0), torch.Generator().manual_seed(0))
    return Cameras.from_focal(poses, 30.0, 24, 16)


def test_frusta_project_back_to_the_corners_of_the_image() -> None:
    taken = cameras(5)
    shapes = frusta(taken, 0.5)
    torch.testing.assert_close(shapes[:, 0], taken.centers)
    lengths = (shapes[:, 1:] - shapes[:, :1]).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full((5, 5), 0.5))
    index = torch.arange(5)[:, None].expand(5, 4)
    pixel, depth = taken.project(index, shapes[:, 1:5])
    corners = torch.tensor([[0.0, 0], [24, 0], [24, 16], [0, 16]]).expand(5, 4, 2)
    torch.testing.assert_close(pixel, corners, atol=1e-3, rtol=0)
    assert (depth > 0).all()


def test_the_tip_shows_where_up_is() -> None:
    # Cameras of the shell do not roll, so their up is the world's.
    shapes = frusta(cameras(8), 1.0)
    assert (shapes[:, 5, 2] > shapes[:, 1:3, 2].mean(1)).all()


def test_the_point_cloud_is_where_the_depth_says() -> None:
    taken = cameras(3)
    depth = torch.full((3, 16, 24), 2.5)
    opacity = torch.zeros(3, 16, 24)
    opacity[1] = 1
    opacity[1, 0, 0] = 0.5
    color = torch.rand(3, 16, 24, 3, generator=torch.Generator().manual_seed(1))
    rgba = torch.cat([color, torch.ones(3, 16, 24, 1)], dim=-1)
    rendering = Rendering(color, opacity, depth)
    scores = score_images(color, color)
    lists = list(rendering), list(color), list(color)
    evaluation = ImageEvaluation(Views(taken, rgba), *lists, scores, "white", 1.0)
    cloud = point_cloud(evaluation)
    assert len(cloud.points) == min(16 * 24 - 1, MAX_POINTS)
    distance = (cloud.points - taken.centers[1]).norm(dim=-1)
    torch.testing.assert_close(distance, torch.full_like(distance, 2.5))
    pixel, _ = taken.project(torch.ones(len(cloud.points)).long(), cloud.points)
    x, y = pixel.floor().long().unbind(-1)
    torch.testing.assert_close(color[1, y, x], cloud.colors)
    assert WHITE.shape == (3,)


def drawing_data(markup: str) -> dict[str, list[object]]:
    found = re.search(r'<script type="application/json">(.*?)</script>', markup)
    assert found
    return json.loads(found[1])


def test_every_set_is_drawn_and_has_a_switch() -> None:
    sets = (CameraSet("true", cameras(4)), CameraSet("<found>", cameras(4)))
    markup = camera_view(sets, caption="a & b").markup
    assert markup.count('type="checkbox"') == 2
    assert "&lt;found&gt;" in markup
    assert "<found>" not in markup
    assert "a &amp; b" in markup
    for index in range(2):
        assert f'<path class="set{index}"' in markup
    data = drawing_data(markup)
    assert [len(frustum) for frustum in data["sets"][0]] == [18] * 4
    assert data["points"] == []


def test_all_true_cameras_and_points_lie_in_the_drawing() -> None:
    cloud = PointCloud(torch.randn(50, 3) / 3, torch.rand(50, 3))
    markup = camera_picture([CameraSet("true", cameras(40))], cloud).markup
    left, top, width, height = map(int, re.findall(r'viewBox="(.*?)"', markup)[0].split())
    points = re.findall(r'c[xy]="(-?[\d.]+)" cy="(-?[\d.]+)"', markup)
    for path in re.findall(r'<path class="set0" d="(.*?)"', markup):
        points += re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)
    assert len(points) > 50 + 40 * 6
    assert all(left <= float(x) <= left + width for x, _ in points)
    assert all(top <= float(y) <= top + height for _, y in points)
    assert "<script" not in markup


@pytest.mark.parametrize("count", [1, MAX_CAMERAS + 30])
def test_any_number_of_cameras_can_be_drawn(count: int) -> None:
    data = drawing_data(camera_view([CameraSet("true", cameras(count))]).markup)
    assert len(data["sets"][0]) == min(count, MAX_CAMERAS)


def test_data_cannot_end_its_script() -> None:
    markup = camera_view([CameraSet("</script>", cameras(2))]).markup
    assert markup.count("</script>") == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_recovered_camera_that_is_no_number_is_left_out(bad: float) -> None:
    poses = cameras(4).world_from_camera.clone()
    poses[2, 0, 3] = bad
    sets = (CameraSet("true", cameras(4)), CameraSet("found", cameras(4).with_poses(poses)))
    markup = camera_view(sets).markup
    true, found = drawing_data(markup)["sets"]
    assert None not in true
    assert [shape is None for shape in found] == [False, False, True, False]
    # One drawn camera is three strokes, and a line to its partner.
    strokes = re.findall(r'<path class="set1" d="([^"]*)"', markup)
    assert sum(path.count("M") for path in strokes) == 3 * (3 + 1)
    assert not re.search(r"nan|inf\b", "".join(strokes))
