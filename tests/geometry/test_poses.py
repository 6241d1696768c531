"""Laws of SO(3), SE(3) and look-at."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from unrender.geometry.poses import (
    SMALL_ANGLE,
    compose,
    hat,
    invert,
    look_at,
    project_to_so3,
    se3_exp,
    se3_log,
    se3_move,
    so3_distance,
    so3_exp,
    so3_from_quaternion,
    so3_log,
)

laws = settings(max_examples=50, deadline=None, derandomize=True)
TIGHT = {"rtol": 0.0, "atol": 1e-9}


@st.composite
def vectors(draw: st.DrawFn, size: int = 3, bound: float = 10.0) -> Tensor:
    number = st.floats(-bound, bound, allow_nan=False)
    return torch.tensor([draw(number) for _ in range(size)], dtype=torch.float64)


@st.composite
def axes(draw: st.DrawFn) -> Tensor:
    height, angle = draw(st.floats(-1, 1)), draw(st.floats(-math.pi, math.pi))
    ring = math.sqrt(1 - height**2)
    axis = [ring * math.cos(angle), ring * math.sin(angle), height]
    return torch.nn.functional.normalize(torch.tensor(axis, dtype=torch.float64), dim=0)


# The ends of the range are where the formulas change, so they are drawn as often as the middle.
angles = st.one_of(
    st.floats(0, math.pi),
    st.floats(0, 2 * SMALL_ANGLE),
    st.floats(math.pi - 1e-4, math.pi),
)


@st.composite
def rotations(draw: st.DrawFn) -> Tensor:
    return so3_exp(draw(axes()) * draw(angles))


@st.composite
def poses(draw: st.DrawFn) -> Tensor:
    return torch.cat([draw(rotations()), draw(vectors())[:, None]], dim=-1)


def random_rotations(count: int, seed: int) -> Tensor:
    """Uniform over SO(3): the Q of a Gaussian matrix, with the signs that make it unique."""
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    return q * torch.linalg.det(q)[:, None, None]


@laws
@given(vectors(), vectors())
def test_hat_is_the_cross_product(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(hat(a) @ b, torch.linalg.cross(a, b), **TIGHT)


@laws
@given(vectors())
def test_so3_exp_is_a_rotation_and_equals_the_matrix_exponential(vector: Tensor) -> None:
    rotation = so3_exp(vector)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double(), **TIGHT)
    assert torch.linalg.det(rotation).item() == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(rotation, torch.matrix_exp(hat(vector)), **TIGHT)


@laws
@given(axes(), angles)
def test_so3_log_undoes_exp(axis: Tensor, angle: float) -> None:
    rotation = so3_exp(axis * angle)
    log = so3_log(rotation)
    assert log.norm().item() == pytest.approx(angle, abs=1e-9)
    # At π an axis and its opposite are one rotation, so only the rotation comes back.
    torch.testing.assert_close(so3_exp(log), rotation, **TIGHT)
    if angle < math.pi - 1e-6:
        torch.testing.assert_close(log, axis * angle, **TIGHT)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (-1, 2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_so3_log_of_half_turns(axis: tuple[int, ...], dtype: torch.dtype) -> None:
    unit = torch.nn.functional.normalize(torch.tensor(axis, dtype=dtype), dim=0)
    half_turn = 2 * torch.outer(unit, unit) - torch.eye(3, dtype=dtype)
    log = so3_log(half_turn)
    assert log.norm().item() == pytest.approx(math.pi, abs=1e-6)
    torch.testing.assert_close(torch.linalg.cross(log, unit), torch.zeros_like(log))


def test_so3_keeps_single_precision_at_all_angles() -> None:
    angle = torch.cat([torch.logspace(-6, 0, 100), math.pi - torch.logspace(-6, 0, 100)])
    axis = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]]), dim=-1)
    vector = angle[:, None] * axis
    rotation = so3_exp(vector)
    exact = so3_exp(vector.double())
    torch.testing.assert_close(rotation.double(), exact, rtol=0, atol=1e-6)
    torch.testing.assert_close(so3_log(rotation).norm(dim=-1), angle, rtol=0, atol=2e-6)
    distance = so3_distance(rotation, torch.eye(3).expand_as(rotation))
    torch.testing.assert_close(distance, angle, rtol=0, atol=2e-6)


@laws
@given(rotations(), rotations(), rotations())
def test_distance_is_a_bi_invariant_metric(a: Tensor, b: Tensor, c: Tensor) -> None:
    distance = so3_distance(a, b)
    near = pytest.approx(distance.item(), abs=1e-8)
    assert so3_log(a.mT @ b).norm().item() == near
    assert so3_distance(b, a).item() == near
    assert so3_distance(c @ a, c @ b).item() == near
    assert so3_distance(a @ c, b @ c).item() == near
    assert so3_distance(a, a).item() == 0
    assert 0 <= distance <= math.pi
    assert distance <= so3_distance(a, c) + so3_distance(c, b) + 1e-8


@pytest.mark.parametrize("scale", [0.0, 1e-8, 0.99 * SMALL_ANGLE, 1.01 * SMALL_ANGLE, 1.0, 3.0])
def test_gradients_match_finite_differences(scale: float) -> None:
    direction = torch.tensor([0.48, -0.6, 0.64, 1.0, -2.0, 0.5], dtype=torch.float64)
    twist = (scale * direction).requires_grad_()
    assert torch.autograd.gradcheck(so3_exp, (twist[:3].detach().requires_grad_(),))
    assert torch.autograd.gradcheck(se3_exp, (twist,))
    assert torch.autograd.gradcheck(lambda v: so3_log(so3_exp(v)), (twist[:3],))
    assert torch.autograd.gradcheck(lambda v: se3_log(se3_exp(v)), (twist,))


def test_distance_of_equal_rotations_has_a_finite_gradient() -> None:
    rotation = so3_exp(torch.tensor([0.1, 0.2, 0.3])).requires_grad_()
    so3_distance(rotation, rotation.detach()).backward()
    assert rotation.grad is not None
    assert rotation.grad.isfinite().all()


@laws
@given(vectors(9))
def test_projection_is_the_nearest_rotation(numbers: Tensor) -> None:
    matrix = numbers.reshape(3, 3)
    projected = project_to_so3(matrix)
    torch.testing.assert_close(projected @ projected.mT, torch.eye(3).double(), **TIGHT)
    assert torch.linalg.det(projected).item() == pytest.approx(1, abs=1e-9)
    best = (matrix - projected).norm()
    away = torch.linspace(1e-3, 1, 30, dtype=torch.float64)[:, None] * torch.ones(3).double()
    others = torch.cat([random_rotations(300, seed=0), projected @ so3_exp(away)])
    assert (matrix - others).norm(dim=(-2, -1)).min() >= best - 1e-9


@laws
@given(rotations())
def test_projection_leaves_rotations_and_mends_reflections(rotation: Tensor) -> None:
    torch.testing.assert_close(project_to_so3(rotation), rotation, **TIGHT)
    torch.testing.assert_close(project_to_so3(2.5 * rotation), rotation, **TIGHT)
    mirrored = project_to_so3(rotation * torch.tensor([1.0, 1.0, -0.5]).double())
    assert torch.linalg.det(mirrored).item() == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(mirrored, rotation, **TIGHT)


@laws
@given(vectors(6, bound=1.8))
def test_se3_log_undoes_exp_and_exp_equals_the_matrix_exponential(twist: Tensor) -> None:
    # |rotation| ≤ 1.8 √3 < π, where the logarithm is unique.
    pose = se3_exp(twist)
    generator = torch.zeros(4, 4, dtype=torch.float64)
    generator[:3, :3], generator[:3, 3] = hat(twist[:3]), twist[3:]
    torch.testing.assert_close(pose, torch.matrix_exp(generator)[:3], **TIGHT)
    torch.testing.assert_close(se3_log(pose), twist, rtol=0, atol=1e-8)


@laws
@given(poses(), poses(), poses(), vectors())
def test_poses_are_a_group_that_moves_points(
    a: Tensor, b: Tensor, c: Tensor, point: Tensor
) -> None:
    def move(pose: Tensor, x: Tensor) -> Tensor:
        return pose[:, :3] @ x + pose[:, 3]

    torch.testing.assert_close(compose(compose(a, b), c), compose(a, compose(b, c)), **TIGHT)
    torch.testing.assert_close(compose(a, invert(a)), torch.eye(4).double()[:3], **TIGHT)
    torch.testing.assert_close(compose(invert(a), a), torch.eye(4).double()[:3], **TIGHT)
    torch.testing.assert_close(move(compose(a, b), point), move(a, move(b, point)), **TIGHT)


UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


@laws
@given(vectors(), axes(), st.floats(0.1, 10), st.floats(0.1, 5))
def test_look_at_sees_the_target_with_up_upwards(
    eye: Tensor, direction: Tensor, distance: float, length: float
) -> None:
    pose = look_at(eye, eye + distance * direction, length * UP)
    torch.testing.assert_close(pose[:, :3].mT @ pose[:, :3], torch.eye(3).double(), **TIGHT)
    assert torch.linalg.det(pose[:, :3]).item() == pytest.approx(1, abs=1e-9)
    torch.testing.assert_close(pose[:, 2], direction, **TIGHT)
    torch.testing.assert_close(pose[:, 3], eye)
    right, down, _ = pose[:, :3].unbind(-1)
    steepness = torch.linalg.cross(direction, UP).norm()
    if steepness > 1e-5:
        assert right @ UP == pytest.approx(0, abs=1e-9)
        assert down @ UP == pytest.approx(-steepness.item(), abs=1e-9)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("offset", [0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0)])
def test_look_at_is_a_rotation_at_and_near_the_poles(
    up: tuple[float, float, float], offset: float, sign: float
) -> None:
    pole = torch.tensor(up)
    eye = sign * 4 * pole + offset * torch.tensor([0.3, 0.7, -0.2])
    rotation = look_at(eye, torch.zeros(3), pole)[:, :3]
    torch.testing.assert_close(rotation.mT @ rotation, torch.eye(3), rtol=0, atol=1e-6)
    assert torch.linalg.det(rotation).item() == pytest.approx(1, abs=1e-6)


@laws
@given(axes(), st.floats(-math.pi, math.pi))
def test_roll_turns_the_camera_clockwise(eye: Tensor, roll: float) -> None:
    turn = torch.tensor(roll, dtype=torch.float64)
    level = look_at(eye, torch.zeros_like(eye), UP)
    rolled = look_at(eye, torch.zeros_like(eye), UP, turn)
    torch.testing.assert_close(rolled[:, 2:], level[:, 2:], **TIGHT)
    # Clockwise in an image whose y points down: right turns towards down.
    right = level[:, 0] * turn.cos() + level[:, 1] * turn.sin()
    torch.testing.assert_close(rolled[:, 0], right, **TIGHT)


def test_quaternions_are_those_of_the_field() -> None:
    quaternion = torch.randn(10, 4, dtype=torch.float64)
    expected = Rotation.from_quat(quaternion.roll(-1, 1).numpy()).as_matrix()
    torch.testing.assert_close(so3_from_quaternion(quaternion), torch.from_numpy(expected))
    torch.testing.assert_close(
        so3_from_quaternion(3 * quaternion), so3_from_quaternion(quaternion)
    )


def test_moving_points_by_twists_is_their_exponential_map() -> None:
    generator = torch.Generator().manual_seed(0)
    twists = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    # From turns of many radians down to none at all.
    twists[:, :3] *= torch.logspace(1, -12, 40, dtype=torch.float64)[:, None]
    twists[-1, :3] = 0
    points = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    pose = se3_exp(twists)
    expected = (pose[..., :3] @ points[..., None])[..., 0] + pose[..., 3]
    torch.testing.assert_close(se3_move(twists, points), expected)
    twists.requires_grad_()
    (gradient,) = torch.autograd.grad(se3_move(twists, points).sum(), twists)
    assert bool(gradient.isfinite().all())
