"""By default every shape is lit from the camera, so that all sides of it are equally bright."""

from collections.abc import Callable

import pytest

from unrender.geometry.cameras import Cameras
from unrender.rendering.mesh.shading import MeshRenderOptions, mesh_renderer
from unrender.rendering.renderer import Renderer, Rendering
from unrender.rendering.shapes import cameras_around, cloud_renderer, lit, shape_renderer
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import icosphere

BALL = icosphere(3)


def points() -> Renderer:
    """The ball's vertices with their normals."""
    return cloud_renderer(PointCloud(BALL.vertices, None, BALL.vertices))


def afterwards() -> Renderer:
    """The ball without shading, which is then lit."""
    unlit = mesh_renderer(BALL, MeshRenderOptions(shading="none"))

    def render(cameras: Cameras) -> Rendering:
        return lit(unlit(cameras), cameras)

    return render


@pytest.mark.parametrize("make", [lambda: shape_renderer(BALL), points, afterwards])
def test_a_ball_is_as_bright_from_every_side(make: Callable[[], Renderer]) -> None:
    rendering = make()(cameras_around(BALL, 6, 32))
    brightness = (rendering.color.mean(3) * rendering.opacity).sum((1, 2))
    brightness = brightness / rendering.opacity.sum((1, 2))
    assert float(brightness.min()) > 0.97 * float(brightness.max()) > 0.1
