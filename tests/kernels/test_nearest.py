"""Nearest neighbours against brute force, to the last bit, and clouds that make trees slow."""

import math
import time
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.nearest import k_nearest, nearest
from unrender.kernels.runtime.backend import Backend


def clouds(n: int, m: int, batch: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, n, 3, generator=generator),
        torch.randn(batch, m, 3, generator=generator),
    )


def same(backend: Backend, device: torch.device, queries: Tensor, points: Tensor) -> None:
    for k in (1, 3):
        expected = k_nearest(queries, points, k, backend="reference")
        found = k_nearest(queries.to(device), points.to(device), k, backend=backend)
        torch.testing.assert_close(found.distance2.cpu(), expected.distance2, rtol=0, atol=0)
        torch.testing.assert_close(found.index.cpu(), expected.index)


def test_the_reference_is_a_loop() -> None:
    queries, points = clouds(5, 7)
    found = nearest(queries, points, backend="reference")
    for q in range(5):
        distances = [float((queries[0, q] - p).square().sum()) for p in points[0]]
        least = min(distances)
        assert float(found.distance2[0, q]) == pytest.approx(least)
        assert int(found.index[0, q]) == distances.index(least)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 16), (33, 17), (200, 150), (3, 500)])
@pytest.mark.interpreted("33-17", "1-1")
def test_agrees_with_brute_force(
    backend: Backend, device: torch.device, n: int, m: int
) -> None:
    same(backend, device, *clouds(n, m, 2, seed=n))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=70),
    st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=10),
)
def test_of_equally_near_points_the_lower_row_is_taken(
    points: list[tuple[int, int, int]], queries: list[tuple[int, int, int]]
) -> None:
    """Few places for many points: nearly all are tied."""
    cloud = torch.tensor([points], dtype=torch.float32)
    asked = torch.tensor([queries], dtype=torch.float32)
    same("cpu", torch.device("cpu"), asked, cloud)


def test_ties_in_every_backend(backend: Backend, device: torch.device) -> None:
    points = torch.randint(-1, 2, (1, 100, 3), generator=torch.Generator().manual_seed(0))
    same(backend, device, torch.zeros(1, 4, 3), points.float())


def test_padding_changes_nothing(backend: Backend, device: torch.device) -> None:
    queries, points = clouds(40, 30, batch=4)
    n, m = torch.tensor([40, 3, 7, 0]), torch.tensor([30, 2, 0, 4])
    found = k_nearest(queries.to(device), points.to(device), 3, n, m, backend)
    for cloud in range(4):
        count, held = int(n[cloud]), int(m[cloud])
        assert (found.index[cloud, count:] == -1).all()
        assert (found.distance2[cloud, count:] == 0).all()
        if count and held:
            alone = k_nearest(
                queries[cloud : cloud + 1, :count], points[cloud : cloud + 1, :held], 3
            )
            assert torch.equal(found.index[cloud, :count].cpu(), alone.index[0])
        else:
            assert (found.index[cloud] == -1).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_nowhere_is_refused(backend: Backend, device: torch.device, bad: float) -> None:
    queries, points = (each.to(device) for each in clouds(4, 5))
    points[0, 3, 1] = bad
    for a, b in ((queries, points), (points, queries)):
        with pytest.raises(InputError, match="point 3 of cloud 0 is at"):
            nearest(a, b, backend=backend)
    padded = nearest(queries, points, num_points=torch.tensor([3]), backend=backend)
    assert padded.index.max() < 3


@pytest.mark.parametrize("padded", [False, True])
def test_gradients_agree_with_the_reference(agree, padded: bool) -> None:
    queries, points = clouds(60, 25, batch=2)
    sizes = (torch.tensor([60, 20]), torch.tensor([25, 9])) if padded else (None, None)

    def run(name: Backend, a: Tensor, b: Tensor) -> list[Tensor]:
        return [nearest(a, b, *sizes, name).distance2]

    agree(run, [queries.requires_grad_(), points.requires_grad_()], 1e-6)


def test_gradients_by_finite_differences() -> None:
    queries, points = (each.double().requires_grad_() for each in clouds(6, 4))
    assert torch.autograd.gradcheck(lambda a, b: nearest(a, b).distance2, (queries, points))


COUNT = 4000


def _line(uniform: Callable[..., Tensor]) -> Tensor:
    return uniform(COUNT, 1) * torch.tensor([1.0, 0.0, 0.0])


def _repeated(uniform: Callable[..., Tensor]) -> Tensor:
    return uniform(3, 3)[torch.arange(COUNT) % 3]


def _outlier(uniform: Callable[..., Tensor]) -> Tensor:
    return torch.cat([1e-3 * uniform(COUNT - 1, 3), torch.full((1, 3), 1e7)])


CLOUDS: dict[str, Callable[[Callable[..., Tensor]], Tensor]] = {
    "volume": lambda uniform: uniform(COUNT, 3),
    "one place": lambda uniform: uniform(1, 3).expand(COUNT, 3),
    "three places": _repeated,
    "a line": _line,
    "a plane": lambda uniform: uniform(COUNT, 3) * torch.tensor([1.0, 1.0, 0.0]),
    "an outlier": _outlier,
    "scales": lambda uniform: uniform(COUNT, 3) ** 20,
}


def seconds(points: Tensor, queries: Tensor) -> float:
    """Of the processor, which others who use it change little; the least of some tries."""
    times: list[float] = []
    for _ in range(4):
        start = time.process_time()
        nearest(queries, points, backend="cpu")
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("name", CLOUDS)
def test_no_cloud_makes_the_tree_slow(name: str) -> None:
    """Sixteen times as many points take far less than sixteen times sixteen times as long."""
    generator = torch.Generator().manual_seed(0)
    cloud = CLOUDS[name](lambda *shape: torch.rand(*shape, generator=generator))[None]
    queries = cloud[:, torch.randperm(COUNT, generator=generator)]
    for asked in (queries, queries + 100):
        few, some = cloud[:, :: COUNT // 250].contiguous(), asked[:, :250].contiguous()
        same("cpu", torch.device("cpu"), some, few)
        assert seconds(cloud.contiguous(), asked) < 60 * seconds(few, some)


def test_a_search_of_all_points_would_be_told() -> None:
    """A canary: from a sphere's centre all points are nearly as far, and the tree is slow."""
    generator = torch.Generator().manual_seed(0)
    sphere = torch.nn.functional.normalize(torch.randn(1, COUNT, 3, generator=generator), dim=2)
    center = 1e-6 * torch.randn(1, COUNT, 3, generator=generator)
    assert seconds(sphere, center) > 5 * seconds(sphere, sphere)
