"""zero123's and ZeroNVS's conditions: their definitions, numbers by hand, invariances."""

import doctest
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from unrender.errors import InputError
from unrender.geometry import spherical, view_conditions
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opengl_from_opencv
from unrender.geometry.poses import so3_exp
from unrender.geometry.spherical import pose_from_spherical
from unrender.geometry.view_conditions import (
    agg_scale,
    depths_along_axis,
    embedding_3dof,
    embedding_6dof,
    fields_of_view,
    fill_holes,
    norm_scale,
    opengl_poses,
    quantile,
    viewer_scale,
)

FOV = math.radians(50)
NAN = math.nan


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def random_poses(*batch: int, seed: int = 0) -> torch.Tensor:
    """Rigid motions [*batch, 4, 4]."""
    source = torch.Generator().manual_seed(seed)
    found = torch.eye(4, dtype=torch.float64).repeat(*batch, 1, 1)
    found[..., :3, :3] = so3_exp(torch.randn(*batch, 3, generator=source, dtype=torch.float64))
    found[..., :3, 3] = torch.randn(*batch, 3, generator=source, dtype=torch.float64)
    return found


def upright(elevation: float, azimuth: float, radius: float) -> torch.Tensor:
    """An OpenGL pose."""
    return opengl_from_opencv(pose_from_spherical(elevation, azimuth, radius))


def with_scale(poses: torch.Tensor, factor: float) -> torch.Tensor:
    found = poses.clone()
    found[..., :3, 3] *= factor
    return found


@pytest.mark.parametrize("module", [spherical, view_conditions])
def test_examples_print_what_they_say(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # pyright: ignore[reportArgumentType]


# 3DoF


def test_3dof_by_hand() -> None:
    """From the equator on +x to the north pole's side on +y: 60° up, 90° on, half as far."""
    start, end = upright(0.0, 0.0, 4.0), upright(math.radians(60), math.pi / 2, 2.0)
    found = embedding_3dof(start, end)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([-math.radians(60), 1, 0, -2], abs=1e-15)
    back = embedding_3dof(end, start)
    assert back.tolist() == pytest.approx([math.radians(60), -1, 0, 2], abs=1e-15)


def test_3dof_is_the_formula_in_positions() -> None:
    a, b = random_poses(50), random_poses(50, seed=1)
    x, y = a[:, :3, 3].numpy(), b[:, :3, 3].numpy()
    r, s = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    turn = (np.arctan2(y[:, 1], y[:, 0]) - np.arctan2(x[:, 1], x[:, 0])) % (2 * np.pi)
    tilt = np.arccos(y[:, 2] / s) - np.arccos(x[:, 2] / r)
    expected = np.stack([tilt, np.sin(turn), np.cos(turn), s - r], axis=1)
    np.testing.assert_allclose(embedding_3dof(a, b).numpy(), expected, atol=1e-14)


def test_3dof_depends_on_neither_the_turn_about_z_nor_the_cameras_rotations() -> None:
    a, b = random_poses(20), random_poses(20, seed=1)
    expected = embedding_3dof(a, b)
    turn = torch.eye(4, dtype=torch.float64)
    turn[:3, :3] = so3_exp(torch.tensor([0, 0, 2.5], dtype=torch.float64))
    torch.testing.assert_close(embedding_3dof(turn @ a, turn @ b), expected)
    b[:, :3, :3] = random_poses(20, seed=2)[:, :3, :3]
    torch.testing.assert_close(embedding_3dof(a, b), expected)
    a[:, :3, 3] += 5
    b[:, :3, 3] += 5
    torch.testing.assert_close(embedding_3dof(a, b, center=(5, 5, 5)), expected)


def test_3dof_at_the_pole_and_at_the_center() -> None:
    pole = upright(math.pi / 2, 1.0, 2.0)
    pole[:2, 3] = 0  # Exactly above, where the azimuth counts as 0.
    found = embedding_3dof(pole, upright(0.0, math.pi / 2, 2.0))
    assert found.tolist() == pytest.approx([math.pi / 2, 1, 0, 0], abs=1e-15)
    with pytest.raises(InputError, match="camera 0: is at the center"):
        embedding_3dof(torch.eye(4), pole)


# 6DoF+1


def test_6dof_by_hand() -> None:
    """The input at (0, 0, 5) turned by 90° about z; the target 2 to its right, not turned."""
    start = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1.0]])
    end = np.array([[1, 0, 0, 0], [0, 1, 0, 2], [0, 0, 1, 4], [0, 0, 0, 1.0]])
    relative = [0.0, 1, 0, 2, -1, 0, 0, 0, 0, 0, 1, -1, 0, 0, 0, 1]
    lens = [FOV, math.sin(FOV), math.cos(FOV)]
    found = embedding_6dof(start, end, FOV)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(relative + lens, abs=1e-15)
    halved = embedding_6dof(start, end, FOV, scale=2.0).tolist()
    relative[3], relative[11] = 1, -0.5
    assert halved == pytest.approx(relative + lens, abs=1e-15)


def test_6dof_is_input_inverse_times_target_by_rows() -> None:
    a, b = random_poses(30), random_poses(30, seed=1)
    expected = (np.linalg.inv(a.numpy()) @ b.numpy()).reshape(30, 16)
    found = embedding_6dof(a, b, FOV)
    assert found.shape == (30, 19)
    np.testing.assert_allclose(found[:, :16].numpy(), expected, atol=1e-14)


def test_6dof_of_a_camera_to_itself_is_the_identity() -> None:
    pose = random_poses()
    found = embedding_6dof(pose, pose, FOV)[:16].reshape(4, 4)
    torch.testing.assert_close(found, torch.eye(4, dtype=torch.float64), atol=1e-15, rtol=0)


def test_6dof_does_not_depend_on_the_world_frame() -> None:
    a, b, frame = random_poses(20), random_poses(20, seed=1), random_poses(seed=2)
    torch.testing.assert_close(
        embedding_6dof(frame @ a, frame @ b, FOV), embedding_6dof(a, b, FOV)
    )


def test_6dof_keeps_the_last_row_and_the_rotation_at_every_scale() -> None:
    a, b = random_poses(), random_poses(seed=1)
    found = embedding_6dof(a, b, FOV, scale=7.0)[:16].reshape(4, 4)
    plain = embedding_6dof(a, b, FOV)[:16].reshape(4, 4)
    assert found[3].tolist() == [0, 0, 0, 1]
    assert torch.equal(found[:3, :3], plain[:3, :3])
    torch.testing.assert_close(found[:3, 3] * 7, plain[:3, 3])


def test_saturation_is_the_codes() -> None:
    """5 tanh(t / 10) of each component after the division: t / 2 if small, at most 5."""
    far = torch.eye(4, dtype=torch.float64)
    far[:3, 3] = torch.tensor([0.02, -20.0, 2e6], dtype=torch.float64)
    found = embedding_6dof(torch.eye(4), far, FOV, scale=2.0, saturate=True)
    expected = [5 * math.tanh(0.001), 5 * math.tanh(-1), 5]
    assert found[[3, 7, 11]].tolist() == pytest.approx(expected, rel=1e-15)


def test_what_broadcasts() -> None:
    many = random_poses(2, 3)
    assert embedding_6dof(many[:, :1], many, FOV).shape == (2, 3, 19)
    assert embedding_6dof(many[0, 0], many, np.full((2, 1), FOV), [1.0, 2, 3]).shape == (
        2,
        3,
        19,
    )
    assert embedding_6dof(many[0, 0], many[0, 1], FOV, scale=np.ones(5)).shape == (5, 19)
    assert embedding_3dof(many[:, :1], many).shape == (2, 3, 4)
    assert norm_scale(many).shape == (2,)
    assert embedding_6dof(many[..., :3, :], many, FOV).shape == (2, 3, 19)


def test_single_precision_is_computed_in_double() -> None:
    a, b = random_poses(), random_poses(seed=1)
    found = embedding_6dof(a.float(), b.float(), FOV)
    assert torch.equal(found, embedding_6dof(a.float().double(), b.float().double(), FOV))


# Scales


def test_norm_by_hand() -> None:
    """Cameras at 0, 0, 3 and 5 on the x axis: centroid 2, distances 2, 2, 1, 3."""
    poses = torch.eye(4).repeat(4, 1, 1)
    poses[:, 0, 3] = torch.tensor([0.0, 0, 3, 5])
    assert float(norm_scale(poses)) == 2.0


def test_agg_by_hand() -> None:
    """Q5 of 1 … 21 is 2; of 11 … 31 it is 12; Q10 of both is 3."""
    first, second = np.arange(1.0, 22).reshape(3, 7), np.arange(11.0, 32).reshape(3, 7)
    assert float(agg_scale(np.stack([first, second]))) == pytest.approx(3.0, abs=1e-14)
    holes = np.array([[0, 0, 0, -1, NAN, math.inf, 0]])
    ragged = [np.concatenate([first, holes]), second, holes]
    assert float(agg_scale(ragged)) == pytest.approx(3.0, abs=1e-14)


def test_agg_is_numpys_quantile_of_quantiles() -> None:
    depths = generator().uniform(1, 9, (12, 15, 17))
    depths[generator().random(depths.shape) < 0.3] = 0
    each = [np.quantile(view[view > 0], 0.05) for view in depths]
    assert float(agg_scale(depths)) == pytest.approx(np.quantile(each, 0.1), rel=1e-15)
    batch = agg_scale(torch.from_numpy(np.stack([depths, 2 * depths])))
    assert batch.tolist() == pytest.approx([np.quantile(each, 0.1), 2 * np.quantile(each, 0.1)])


def test_viewer_by_hand() -> None:
    """Of 1 2 3 4 5 6 the quantile 0.2 is 2; with holes filled, 1 1 1 2 3 4 have it at 1."""
    assert float(viewer_scale([[1.0, 2, 3], [4, 5, 6]])) == 2.0
    holes = [[0.0, NAN, 1, 2, 3, 4]]
    assert fill_holes(holes).tolist() == [[1, 1, 1, 2, 3, 4]]
    assert float(viewer_scale(holes)) == 1.0


def test_viewer_is_numpys_quantile_of_the_nearest_depths() -> None:
    depth = generator().uniform(1, 9, (40, 31))
    depth[generator().random(depth.shape) < 0.6] = 0
    index = distance_transform_edt(depth == 0, return_distances=False, return_indices=True)
    filled = depth[tuple(np.asarray(index))]
    np.testing.assert_array_equal(fill_holes(depth).numpy(), filled)
    assert float(viewer_scale(depth)) == pytest.approx(np.quantile(filled, 0.2), rel=1e-15)


def test_holes_take_the_depth_of_a_nearest_pixel() -> None:
    """Brute force, whatever is chosen among equally near ones."""
    depth = generator().uniform(1, 9, (9, 8))
    depth[generator().random(depth.shape) < 0.7] = NAN
    rows, columns = np.nonzero(~np.isnan(depth))
    filled = fill_holes(depth).numpy()
    for i, j in np.ndindex(depth.shape):
        square = (rows - i) ** 2 + (columns - j) ** 2
        assert filled[i, j] in depth[rows, columns][square == square.min()]


def test_maps_of_a_batch_are_filled_one_by_one() -> None:
    maps = [[[0.0, 2.0]], [[3.0, 0.0]]]
    assert fill_holes(maps).tolist() == [[[2, 2]], [[3, 3]]]
    assert viewer_scale(maps).tolist() == [2, 3]


@pytest.mark.parametrize("factor", [1e-3, 7.0])
@pytest.mark.parametrize("kind", ["norm", "agg", "viewer"])
def test_a_scaled_scene_gives_the_same_condition(kind: str, factor: float) -> None:
    poses = random_poses(6)
    depths = torch.from_numpy(generator().uniform(1, 9, (6, 8, 8)))
    depths[:, :2] = 0

    def embedded(unit: float) -> torch.Tensor:
        scaled = with_scale(poses, unit)
        scale = {
            "norm": lambda: norm_scale(scaled),
            "agg": lambda: agg_scale(unit * depths),
            "viewer": lambda: viewer_scale(unit * depths[0]),
        }[kind]()
        return embedding_6dof(scaled[0], scaled, FOV, scale)

    torch.testing.assert_close(embedded(factor), embedded(1.0))
    plain = embedding_6dof(with_scale(poses, factor)[0], with_scale(poses, factor), FOV)
    assert not torch.allclose(plain, embedding_6dof(poses[0], poses, FOV))


def test_norm_depends_on_neither_the_frame_nor_the_order() -> None:
    poses = random_poses(7)
    expected = norm_scale(poses)
    torch.testing.assert_close(norm_scale(random_poses(seed=3) @ poses), expected)
    torch.testing.assert_close(norm_scale(poses.flip(0)), expected)


@pytest.mark.parametrize("count", [1, 2, 5, 20, 21, 1000])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.2, 0.5, 1.0])
def test_quantiles_are_numpys(share: float, count: int) -> None:
    values = generator().normal(size=(3, count))
    expected = np.quantile(values, share, axis=-1)
    np.testing.assert_allclose(
        quantile(values, share).numpy(), expected, rtol=1e-14, atol=1e-16
    )
    padded = np.concatenate([values, np.full((3, 4), NAN)], axis=1)
    np.testing.assert_array_equal(quantile(padded, share), quantile(values, share))
    assert bool(quantile([NAN, NAN], share).isnan())


# From Cameras


def test_opengl_poses_of_cameras() -> None:
    cameras = Cameras.look_at([(0, -4, 0), (3, 0, 4)], size=(40, 40))
    found = opengl_poses(cameras)
    assert found.dtype == torch.float64
    expected = [[1, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0], [0, 0, 0, 1]]
    torch.testing.assert_close(found[0], torch.tensor(expected, dtype=torch.float64))
    # The camera looks along −z.
    ahead = (found @ torch.tensor([0, 0, -5.0, 1], dtype=torch.float64))[:, :3]
    torch.testing.assert_close(ahead[1], torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_depths_of_a_wall_are_equal_along_the_axis() -> None:
    """A wall across the optical axis, seen through an odd lens: z = 3 at every pixel."""
    matrix = torch.tensor([[9.0, 0.7, 3.5], [0, 8, 2.0], [0, 0, 1]])[None]
    cameras = Cameras(torch.eye(3, 4)[None], matrix, 7, 5)
    y, x = torch.meshgrid(torch.arange(5) + 0.5, torch.arange(7) + 0.5, indexing="ij")
    rays = cameras.rays(torch.zeros(5, 7, dtype=torch.long), torch.stack([x, y], dim=-1))
    along_rays = 3 / rays.directions[..., 2].double()
    found = depths_along_axis(cameras, along_rays[None])
    torch.testing.assert_close(found, torch.full_like(found, 3.0), atol=1e-6, rtol=0)
    with pytest.raises(InputError, match=r"have the shape \[5, 7\]; give \[1, 5, 7\]"):
        depths_along_axis(cameras, along_rays)


def test_field_of_view_is_that_of_the_central_square() -> None:
    square = Cameras.look_at((4, 0, 0), fov=50, size=(64, 64))
    assert float(fields_of_view(square)) == pytest.approx(FOV, rel=1e-6)
    wide = Cameras.from_focal(torch.eye(3, 4)[None], 30.0, 80, 60)
    assert float(fields_of_view(wide)) == pytest.approx(2 * math.atan(1.0))
    tall = Cameras.from_focal(torch.eye(3, 4).expand(2, 3, 4), 30.0, 60, 80)
    assert fields_of_view(tall).tolist() == pytest.approx([2 * math.atan(1.0)] * 2)


# Bad input

EYE = np.eye(4)
MIRROR = np.diag([1.0, -1, 1, 1])


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: embedding_6dof(EYE, 2 * EYE, 1.0), "the last row is not 0 0 0 1"),
        (lambda: embedding_6dof(EYE.T + np.eye(4)[3] * 1e-3, EYE, 1.0), "last row is not"),
        (lambda: embedding_6dof(MIRROR, EYE, 1.0), "input pose: is not a rotation"),
        (lambda: embedding_6dof(EYE, 3 * EYE[:3], 1.0), "target pose: is not a rotation"),
        (lambda: embedding_6dof(EYE[:2], EYE, 1.0), r"input pose: has the shape \[2, 4\]"),
        (lambda: embedding_6dof(EYE, EYE * NAN, 1.0), "target pose: contains NaN"),
        (lambda: embedding_6dof(EYE, EYE, 50), "fov 50: give radians"),
        (lambda: embedding_6dof(EYE, EYE, 1.0, 0.0), "scale 0: give a length"),
        (lambda: norm_scale(EYE), "have the shape"),
        (lambda: norm_scale(EYE[None]), "all cameras are at one place"),
        (lambda: agg_scale(np.zeros((3, 4, 4))), "no view has a pixel with a depth"),
        (lambda: viewer_scale(np.zeros((4, 4))), "no pixel has a depth"),
        (lambda: viewer_scale(np.zeros(4)), r"depth: has the shape \[4\]"),
        (lambda: viewer_scale(np.zeros((0, 4))), r"depth: has the shape \[0, 4\]"),
    ],
)
def test_what_has_no_condition_is_refused(call: object, what: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=what):
        call()
