"""Recorded functions: a tape gives what torch gives, or there is none."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.kernels.tape import evaluate, record
from unrender.kernels.tape.recorder import UnrecordableError, record_tape
from unrender.shapes.implicit import sdf
from unrender.shapes.implicit import solids as sdf_shapes
from unrender.shapes.implicit import warps as sdf_warps
from unrender.shapes.implicit.sdf import SDF

Pointwise = Callable[[Tensor, Tensor, Tensor], Tensor]


def around(count: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) - 1


OPERATIONS: dict[str, Pointwise] = {
    "sums": lambda x, y, z: 2 - (x + y - 3 * z) * y / (2 + z),
    "least and most": lambda x, y, z: torch.maximum(torch.minimum(x, y), z.clamp(-0.5, 0.5)),
    "clamps": lambda x, y, z: x.clamp_min(0.1) + y.clamp_max(y.new_tensor(0.2)) + z.relu(),
    "roots": lambda x, y, z: x.abs().sqrt() + y.square() + z**3 + x.abs() ** 0.5,
    "angles": lambda x, y, z: x.sin() * y.cos() + torch.atan2(y, z),
    "growth": lambda x, y, z: x.exp() + (2 + y).log() + z.tanh() + torch.sigmoid(3 * x),
    "steps": lambda x, y, z: (3 * x).floor() + (3 * y).round() + (5 * z) % 2,
    "choices": lambda x, y, z: torch.where((x > 0) & (y <= z) | ~(z >= 0.3), x, -y),
    "truths": lambda x, y, z: ((x < y) ^ (y != z)).to(x.dtype) * z + (x == y).float(),
    "mixes": lambda x, y, z: (
        torch.lerp(x, y, z) + torch.addcmul(x, y, z) + x.reciprocal() * 0.1
    ),
    "rows": lambda x, y, z: (
        torch.stack([x, y, z], dim=1).amax(1)
        + torch.stack([x, y, z]).T.square().sum(dim=1).sqrt()
        + torch.linalg.vector_norm(torch.stack([x, y], dim=1), dim=1)
    ),
    "products": lambda x, y, z: (
        (torch.stack([x, y, z], dim=1) @ torch.eye(3).roll(1, 0))[:, 0]
        + torch.stack([x, y, z], dim=1) @ torch.tensor([1.0, 2.0, 3.0])
    ),
    "no matter what": lambda x, y, z: torch.full_like(x, 0.7) + 0 * y,
    "infinity": lambda x, y, z: torch.minimum(x, torch.full_like(y, torch.inf)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_torchs(name: str) -> None:
    def function(points: Tensor) -> Tensor:
        return OPERATIONS[name](*points.unbind(1))

    points = around(3000)
    torch.testing.assert_close(
        evaluate(record_tape(function), points), function(points), atol=1e-5, rtol=1e-5
    )


def scenes(seed: int) -> SDF:
    """Some shapes of all kinds, moved and combined in ways that the seed says."""
    draw = torch.Generator().manual_seed(seed)

    def number(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=draw))

    parts: list[SDF] = [
        sdf.box((number(0.1, 0.5), 0.2, 0.3)),
        sdf.capsule((-0.3, 0.0, 0.1), (0.2, number(0.1, 0.5), 0.0), 0.2),
        sdf_shapes.ellipsoid((0.5, number(0.2, 0.6), 0.3)),
        sdf_shapes.octahedron(number(0.2, 0.7)),
        sdf_shapes.extruded(sdf_shapes.regular_polygon(5, 0.4), number(0.1, 0.4)),
        sdf_shapes.capped_cone(0.3, number(0.1, 0.2), 0.3),
        sdf_warps.twisted(sdf.box((0.2, 0.1, 0.5)), number(1, 4), 0.3),
        sdf_warps.bent(sdf.box((0.8, 0.1, 0.1)), number(0.4, 1.0), 0.15),
        sdf_warps.repeated(sdf.sphere(0.1), (number(0.3, 0.5), 0.4, 0.0), (3, 2, 1), True),
        sdf_warps.repeated_around(sdf.translated(sdf.torus(0.1, 0.04), (0.6, 0.0, 0.0)), 7),
    ]
    order = torch.randperm(len(parts), generator=draw).tolist()
    whole = sdf.sphere(0.3)
    for k in order[:5]:
        turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=draw))
        part = sdf.rotated(sdf.translated(parts[k], (number(-0.5, 0.5), 0.1, 0.0)), turn)
        ways = (sdf.smooth_union(whole, part, 0.1), sdf.union(whole, part))
        whole = (*ways, sdf.smooth_difference(whole, part, 0.05))[k % 3]
    return whole


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_scenes_are_recorded_whole(seed: int) -> None:
    function, points = scenes(seed), around(1000, seed)
    tape = record(function, points[:200])
    assert tape is not None
    found, expected = evaluate(tape, points), function(points)
    # On the border between copies, rounding decides which is asked.
    off = (found - expected).abs()
    assert float((off < 1e-5).float().mean()) > 0.99
    assert tape.num_registers - len(tape.constants) < len(tape.code)


def test_numbers_of_points_that_fill_no_block() -> None:
    tape = record_tape(sdf.sphere(0.5))
    for count in (0, 1, 255, 256, 257, 1000):
        points = around(count)
        torch.testing.assert_close(evaluate(tape, points), sdf.sphere(0.5)(points))


def test_what_is_not_a_number_stays_so() -> None:
    def function(points: Tensor) -> Tensor:
        return torch.minimum(
            points[:, 0].sqrt(), torch.maximum(points[:, 1].log(), points[:, 2])
        )

    points = around(500)
    assert torch.equal(
        evaluate(record_tape(function), points).isnan(), function(points).isnan()
    )


def test_parameters_are_those_of_the_time() -> None:
    """A tape holds numbers: it does not follow a tensor that changes."""
    radius = torch.tensor(0.5)
    tape = record_tape(sdf.sphere(radius))
    radius.fill_(0.7)
    value = evaluate(tape, torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(value, torch.tensor([0.5]))


@pytest.mark.parametrize(
    "function",
    [
        lambda points: points[:, 0] if bool((points[:, 0] > 0).all()) else points[:, 1],
        lambda points: points[:, 0].cumsum(0),
        lambda points: points[:, :2],
        lambda points: points[points[:, 0] > 0][:, 1],
        lambda points: torch.nn.functional.softplus(points[:, 0]),
        lambda points: points[:, 0] * torch.nan,
    ],
)
def test_other_functions_have_no_tape(function: SDF) -> None:
    with pytest.raises(UnrecordableError):
        record_tape(function)
    assert record(function, around(100)) is None


@pytest.mark.parametrize(
    "function",
    [
        # At one point, the first is the point itself.
        lambda points: points[:, 0] - points[:1, 1],
        lambda points: points[:, 0] * len(points),
    ],
)
def test_tapes_that_are_wrong_are_not_used(function: SDF) -> None:
    """The check at many points: what depends on other points cannot be told at one."""
    assert record(function, around(100)) is None
    assert record_tape(function) is not None


def test_there_is_no_tape_for_double_precision() -> None:
    assert record(sdf.sphere(1.0), around(50).double()) is None
    assert record(sdf.sphere(1.0), around(50), "reference") is None
