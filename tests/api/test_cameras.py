"""Camera paths of the front door, and the sizes at which they render."""

import math

import pytest
import torch

from unrender.api.cameras import (
    CameraPath,
    as_cameras,
    interpolate,
    path_by_name,
    resized,
    spiral,
    turntable,
)
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.errors import InputError
from unrender.geometry import paths
from unrender.geometry.bounds import focus_point
from unrender.geometry.cameras import Cameras
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import torus


@pytest.fixture(scope="module")
def ring() -> Mesh:
    """A torus whose middle is not the origin."""
    mesh = torus(1.0, 0.4, 12, 24)
    return mesh.with_vertices(mesh.vertices + torch.tensor([3.0, -1.0, 2.0]))


def test_a_turntable_keeps_its_distance_and_elevation(small_scene: Dataset) -> None:
    known = small_scene.train.cameras
    found = turntable(8, elevation=20.0).cameras(small_scene)
    assert len(found) == 8
    assert (found.width, found.height) == (known.width, known.height)
    assert torch.equal(found.intrinsics, known.intrinsics[:1].expand(8, 3, 3))
    focus = focus_point(known)
    away = found.centers - focus
    distance = (known.centers - focus).norm(dim=1).mean()
    torch.testing.assert_close(away.norm(dim=1), distance.expand(8))
    height = float(distance) * math.sin(math.radians(20))
    torch.testing.assert_close(away[:, 2], torch.full((8,), height), atol=1e-4, rtol=0)
    pixel, depth = found.project(torch.arange(8), focus.expand(8, 3))
    torch.testing.assert_close(pixel, torch.full((8, 2), known.width / 2), atol=1e-2, rtol=0)
    assert bool((depth > 0).all())


def test_a_turntable_has_its_radius_and_30_degrees(small_scene: Dataset) -> None:
    focus = focus_point(small_scene.train.cameras)
    away = turntable(5, radius=7.0).cameras(small_scene).centers - focus
    torch.testing.assert_close(away.norm(dim=1), torch.full((5,), 7.0))
    torch.testing.assert_close(away[:, 2], torch.full((5,), 3.5), atol=1e-4, rtol=0)


def test_all_of_a_shape_is_visible(ring: Mesh) -> None:
    for shape in (ring, PointCloud(ring.vertices)):
        cameras = turntable(6).cameras(shape)
        for k in range(6):
            index = torch.full((len(ring.vertices),), k)
            pixel, depth = cameras.project(index, ring.vertices)
            assert bool((depth > 0).all())
            assert bool(((pixel >= 0) & (pixel <= 256)).all())
    middle = (ring.vertices.amax(0) + ring.vertices.amin(0)) / 2
    away = turntable(6, elevation=0.0, radius=5.0).cameras(ring).centers - middle
    torch.testing.assert_close(away.norm(dim=1), torch.full((6,), 5.0))
    torch.testing.assert_close(away[:, 2], torch.zeros(6), atol=1e-5, rtol=0)


def test_what_a_path_is_like_comes_before_what_is_rendered(
    ring: Mesh, small_scene: Dataset
) -> None:
    for path in (turntable(4, like=small_scene), spiral(4, like=small_scene)):
        poses = path.cameras(ring).world_from_camera
        own = path.cameras(small_scene).world_from_camera
        assert torch.equal(poses, own)


def test_all_that_has_cameras_gives_the_same_path(small_scene: Dataset, scene_run: Run) -> None:
    for make in (turntable, spiral, interpolate):
        path = make(6)
        assert isinstance(path, CameraPath)
        assert len(path) == path.frames == 6
        found = [
            path.cameras(about).world_from_camera
            for about in (
                small_scene,
                small_scene.train,
                small_scene.train.cameras,
                scene_run,
            )
        ]
        for other in found[1:]:
            torch.testing.assert_close(other, found[0])


def test_the_turntable_of_a_flow_looks_at_the_origin(flow_run: Run) -> None:
    cameras = turntable(6).cameras(flow_run)
    low, high = flow_run.view_ranges["radius"]
    distance = torch.full((6,), (low + high) / 2)
    torch.testing.assert_close(cameras.centers.norm(dim=1), distance)
    forward = cameras.rotations[:, :, 2]
    torch.testing.assert_close(forward, -cameras.centers / distance[:, None])
    assert cameras.width == flow_run.image_size


def test_a_spiral_and_an_interpolation_are_those_of_their_cameras(
    small_scene: Dataset,
) -> None:
    known = small_scene.train.cameras[:5]
    found = spiral(10, turns=1.0).cameras(known).world_from_camera
    assert torch.equal(found, paths.spiral(known, 10, 1.0).world_from_camera)
    # Each camera is passed in its order: here every second frame is one.
    through = interpolate(9).cameras(known)
    torch.testing.assert_close(
        through.world_from_camera[::2], known.world_from_camera, atol=1e-5, rtol=0
    )
    between = (known.centers[1:] + known.centers[:-1]) / 2
    torch.testing.assert_close(through.centers[1::2], between, atol=1e-5, rtol=0)


def test_paths_say_what_they_are() -> None:
    assert repr(turntable(30)) == "CameraPath(turntable, 30 frames)"
    assert repr(spiral(3)) == "CameraPath(spiral, 3 frames)"
    assert repr(interpolate(2)) == "CameraPath(interpolation, 2 frames)"


def test_what_cannot_be_followed_is_refused(ring: Mesh) -> None:
    for make in (turntable, spiral, interpolate):
        with pytest.raises(InputError, match="frames 0: give at least 1"):
            make(0)
    for radius in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="radius"):
            turntable(3, radius=radius)
    for path in (spiral(3), interpolate(3)):
        with pytest.raises(InputError, match="a shape has no training cameras"):
            path.cameras(ring)
        with pytest.raises(InputError, match="int: has no cameras"):
            path.cameras(3)


def test_paths_by_name(small_scene: Dataset, tmp_path: object) -> None:
    known = small_scene.train.cameras
    for name, path in (
        ("turntable", turntable(4, elevation=10.0, radius=3.0)),
        ("spiral", spiral(4)),
        ("interpolate", interpolate(4)),
    ):
        found = path_by_name(name, 4, 10.0, 3.0)
        assert isinstance(found, CameraPath)
        poses = found.cameras(known).world_from_camera
        assert torch.equal(poses, path.cameras(known).world_from_camera)
    assert path_by_name("test", 4) == "test"
    with pytest.raises(InputError, match=r"nothing\.json"):
        path_by_name(f"{tmp_path}/nothing.json", 4)


def test_sizes(small_scene: Dataset) -> None:
    cameras = small_scene.train.cameras[:2].resized(40, 20)
    assert resized(cameras, None) is cameras
    for size, expected in ((80, (80, 40)), (10, (10, 5)), ((7, 9), (7, 9)), (1, (1, 1))):
        found = resized(cameras, size)
        assert (found.width, found.height) == expected
    # The field of view stays.
    double = resized(cameras, 80)
    torch.testing.assert_close(double.intrinsics[:, :2], 2 * cameras.intrinsics[:, :2])
    for size in (0, -3, 10_000, (0, 5), (5, 10_000)):
        with pytest.raises(InputError, match="give 1 to 8192 pixels"):
            resized(cameras, size)
    assert resized(cameras, None, fixed=16).width == 16
    assert resized(cameras, 16, fixed=16).height == 16
    with pytest.raises(InputError, match="16×16 pixels only"):
        resized(cameras, 32, fixed=16)


def test_cameras_are_cameras_or_a_path(ring: Mesh, small_scene: Dataset) -> None:
    known = small_scene.train.cameras
    assert as_cameras(known, ring) is known
    assert as_cameras(turntable(3), ring, 64).width == 64
    with pytest.raises(InputError, match="str: is not cameras"):
        as_cameras("turntable", ring)
    assert isinstance(as_cameras(turntable(3), ring), Cameras)
