"""Sphere tracing against closed forms and brute force, and derivatives of hits."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.kernels.tape import record
from unrender.rendering.implicit.sphere_tracing import (
    Marching,
    along,
    reached,
    sdf_normals,
    sphere_trace,
)
from unrender.shapes.implicit import sdf
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.implicit.warps import (
    bent,
    displaced,
    repeated,
    shell,
    twisted,
    with_bounding_sphere,
)

FINE = 2e-3
any_way = pytest.mark.parametrize(
    "marching", [Marching(), Marching(relaxed=False)], ids=["relaxed", "plain"]
)


def rays(count: int, seed: int = 0, radius: float = 4.0) -> tuple[Tensor, Tensor]:
    """Rays from a sphere toward points of a ball of radius 1.2."""
    generator = torch.Generator().manual_seed(seed)
    origins = radius * normalize(torch.randn(count, 3, generator=generator), dim=1)
    targets = 1.2 * (2 * torch.rand(count, 3, generator=generator) - 1)
    return origins, normalize(targets - origins, dim=1)


def scene() -> SDF:
    """Shapes that are hard to trace: gaps, edges, thin objects, seams and warps."""
    ring = sdf.translated(sdf.torus(0.6, 0.05), (0.0, 0.0, 0.3))
    grid = sdf.intersection(
        repeated(sdf.sphere(0.12), (0.4, 0.4, 0.4)), sdf.box((0.9, 0.9, 0.3))
    )
    bar = sdf.translated(twisted(sdf.box((0.15, 0.05, 0.8)), 3.0, 0.2), (0.7, -0.5, 0.0))
    return sdf.smooth_union(sdf.union(grid, bar), ring, 0.1)


def first_crossing(function: SDF, origins: Tensor, directions: Tensor) -> Tensor:
    """The first of samples `FINE` apart at which the function is negative; 0 without any."""
    places = torch.arange(2.0, 6.5, FINE)
    points = origins[:, None] + places[:, None] * directions[:, None]
    columns = points.view(-1, 3).T.contiguous().T
    inside = function(columns).view(len(origins), -1) < 0
    return torch.where(inside.any(1), places[inside.int().argmax(1)], 0.0)


def test_sphere_hits_have_their_closed_form() -> None:
    origins, directions = rays(2000)
    found = sphere_trace(sdf.sphere(0.8), origins.double(), directions.double(), 0.0, 100.0)
    b = (origins * directions).sum(1).double()
    root = b * b - (origins.double().square().sum(1) - 0.64)
    clear = root.abs() > 0.02
    assert torch.equal(found.mask[clear], root[clear] > 0)
    hit = found.mask & clear
    expected = -b - root.clamp_min(0).sqrt()
    assert float((found.distance - expected)[hit].abs().max()) < 1e-3
    assert float((found.distance - expected)[hit].abs().mean()) < 1e-5
    assert float(found.distance[~found.mask].abs().sum()) == 0
    assert not bool(found.exhausted.any() | found.inside.any())


@any_way
def test_no_surface_is_stepped_over(marching: Marching) -> None:
    """Against a dense search along the rays."""
    function = scene()
    origins, directions = rays(500, seed=1)
    found = sphere_trace(function, origins, directions, 0.0, 8.0, marching)
    expected = first_crossing(function, origins, directions)
    assert not bool(found.exhausted.any())
    # Grazing rays may count as hits or misses.
    sure = (expected > 0) == found.mask
    assert float(sure.float().mean()) > 0.995
    both = found.mask & (expected > 0)
    assert float(both.float().mean()) > 0.25
    assert float((found.distance - expected)[both].abs().quantile(0.98)) < FINE + 1e-4
    values = function(along(origins, directions, found.distance))[found.mask]
    assert float(values.abs().max()) < 2e-3


def test_longer_steps_are_fewer() -> None:
    origins, directions = rays(1500, seed=1)
    plain, relaxed = (
        sphere_trace(scene(), origins, directions, 0.0, 8.0, Marching(relaxed=way)).steps.sum()
        for way in (False, True)
    )
    assert float(relaxed) < 0.9 * float(plain)


def test_functions_that_are_not_distances_need_their_lipschitz_constant() -> None:
    """A function steeper than a distance steps over surfaces, unless divided by its slope."""
    origins, directions = rays(1500, seed=1)
    function = scene()

    def steep(points: Tensor) -> Tensor:
        return 1.5 * function(points)

    plain = Marching(relaxed=False)
    expected = sphere_trace(function, origins, directions, 0.0, 8.0, plain)
    wrong = sphere_trace(steep, origins, directions, 0.0, 8.0, plain)
    right = sphere_trace(
        steep, origins, directions, 0.0, 8.0, Marching(relaxed=False, lipschitz=1.5)
    )
    assert float((wrong.mask == expected.mask).float().mean()) < 0.99
    assert torch.equal(right.mask, expected.mask)
    torch.testing.assert_close(right.distance, expected.distance, atol=2e-3, rtol=0)
    # Its hits are on the surface nevertheless, by bracketing.
    off = function(along(origins, directions, wrong.distance))[wrong.mask]
    assert float(off.abs().max()) < 2e-3


def test_every_ray_terminates() -> None:
    """A function whose steps shrink forever: rays are exhausted, without hits."""
    origins, directions = rays(100)
    found = sphere_trace(
        lambda points: torch.full_like(points[:, 0], 1e-2), origins, directions, 0.1, 1e9
    )
    assert bool(found.exhausted.all())
    assert not bool(found.mask.any())
    assert int(found.steps.max()) == Marching().max_steps


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 3.0), st.integers(1, 30))
def test_any_function_terminates_with_valid_hits(seed: int, slope: float, waves: int) -> None:
    """Functions that are not distances: rays terminate, and every hit is a sign change."""
    origins, directions = rays(64, seed)

    def function(points: Tensor) -> Tensor:
        return slope * (points.norm(dim=1) - 1) + 0.5 * (waves * points[:, 0]).sin()

    found = sphere_trace(function, origins, directions, 0.0, 20.0)
    assert bool(found.distance.isfinite().all())
    assert not bool((found.mask & found.exhausted).any())
    place = found.distance[found.mask]
    away = function(along(origins[found.mask], directions[found.mask], place)).abs()
    assert float(away.max() if len(away) else 0) < 0.02 * (1 + slope + waves)


def test_empty_space_gives_misses() -> None:
    origins, directions = rays(50)
    assert not bool(sphere_trace(sdf.union(), origins, directions, 0.0, 10.0).mask.any())
    for near, far in ((3.0, 1.0), (2.0, 2.0), (5.0, 9.0)):
        found = sphere_trace(sdf.sphere(0.5), origins, directions, near, far)
        assert not bool((found.mask | found.exhausted).any())
    none = sphere_trace(sdf.sphere(0.5), origins[:0], directions[:0], 0.0, 9.0)
    assert len(none.mask) == 0


def test_rays_from_inside_hit_the_surface() -> None:
    directions = rays(200)[1]
    found = sphere_trace(sdf.sphere(2.0), torch.zeros(200, 3), directions, 0.0, 9.0)
    assert bool((found.mask & found.inside).all())
    torch.testing.assert_close(found.distance, torch.full((200,), 2.0), atol=1e-3, rtol=0)


def test_a_sheet_is_hit() -> None:
    """A surface without thickness, so that no value is negative."""
    origins = torch.tensor([[0.0, 0, 3], [1.0, 0, 3]])
    directions = normalize(torch.tensor([[0.0, 0, -1], [0.3, 0.2, -1]]), dim=1)
    found = sphere_trace(lambda points: points[:, 2].abs(), origins, directions, 0.0, 9.0)
    assert bool(found.mask.all())
    torch.testing.assert_close(found.distance, -3 / directions[:, 2], atol=1e-3, rtol=0)


def test_threads_change_nothing() -> None:
    origins, directions = rays(10_000, seed=2)
    whole = sphere_trace(scene(), origins, directions, 0.0, 8.0, backend="reference")
    parts = [
        sphere_trace(scene(), o, d, 0.0, 8.0)
        for o, d in zip(origins.split(1000), directions.split(1000), strict=True)
    ]
    for name in ("mask", "distance", "steps", "inside", "exhausted"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(getattr(whole, name), joined), name


@any_way
@pytest.mark.parametrize("start", [0.0, 4.0])
def test_the_kernel_equals_the_reference(marching: Marching, start: float) -> None:
    """From outside and from inside."""
    origins, directions = rays(4000, seed=3)
    function = scene()
    assert record(function, origins) is not None
    reference, kernel = (
        sphere_trace(function, origins, directions, start, 8.0, marching, backend)
        for backend in ("reference", "cpu")
    )
    assert torch.equal(reference.inside, kernel.inside)
    assert bool(reference.inside.any()) == (start > 0)
    assert not bool((reference.exhausted | kernel.exhausted).any())
    # Rounding differs, which may change grazing rays.
    same = reference.mask == kernel.mask
    assert float(same.float().mean()) > 0.998
    away = (reference.distance - kernel.distance)[same].abs()
    assert float((away < 1e-4).float().mean()) > 0.995
    assert float((reference.steps == kernel.steps).float().mean()) > 0.95


def test_functions_that_cannot_be_recorded_use_the_reference() -> None:
    """A function that branches on its points, and one that returns NaN."""
    origins, directions = rays(4000, seed=3)
    part = sdf.translated(sdf.sphere(0.4), (0.5, 0.0, 0.0))
    chosen = with_bounding_sphere(part, (0.5, 0.0, 0.0), 0.5)
    assert record(chosen, origins) is None
    found = sphere_trace(chosen, origins, directions, 0.0, 9.0)
    expected = sphere_trace(part, origins, directions, 0.0, 9.0)
    assert float((found.mask == expected.mask).float().mean()) > 0.998

    def broken(points: Tensor) -> Tensor:
        distance = sdf.sphere(0.5)(points)
        return torch.where(distance < 0.01, torch.nan, distance)

    with pytest.raises(InputError, match="NaN"):
        sphere_trace(broken, origins, directions, 0.0, 9.0)
    none = sphere_trace(sdf.sphere(0.5), origins, directions, 3.0, 1.0)
    assert not bool((none.mask | none.exhausted).any())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda points: points[:, 0] * torch.nan, "NaN at 50 of 50"),
        (lambda points: points[:, :1], r"\(50, 1\) for \(50, 3\)"),
        (lambda points: points.sum(), r"gave \(\) for"),
    ],
)
def test_bad_functions_are_refused(function: SDF, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sphere_trace(function, *rays(50), 0.0, 9.0)


def test_both_kinds_of_normals_agree() -> None:
    function = scene()
    origins, directions = rays(3000, seed=4)
    found = sphere_trace(function, origins, directions, 0.0, 8.0)
    points = along(origins, directions, found.distance)[found.mask]
    exact, near = (sdf_normals(function, points, way) for way in ("autograd", "tetrahedron"))
    torch.testing.assert_close(exact.norm(dim=1), torch.ones(len(points)))
    # Finite differences straddle edges.
    assert float(((exact * near).sum(1) > 0.999).float().mean()) > 0.97


def test_functions_without_gradients_need_normals_by_differences() -> None:
    def function(points: Tensor) -> Tensor:
        return sdf.sphere(1.0)(points.detach())

    points = torch.tensor([[1.0, 0, 0]])
    with pytest.raises(InputError, match="tetrahedron"):
        sdf_normals(function, points)
    torch.testing.assert_close(
        sdf_normals(function, points, "tetrahedron"), points, atol=1e-3, rtol=0
    )


Parameters = dict[str, Tensor]


def shaped(by: Parameters) -> SDF:
    """A smooth scene with all kinds of parameters."""
    ball = sdf.translated(sdf.sphere(by["radius"]), by["offset"])
    tube = sdf.torus(by["major"], 0.2)
    return sdf.smooth_union(ball, tube, by["blend"])


def parameters() -> Parameters:
    values = {
        "radius": torch.tensor(0.6),
        "offset": torch.tensor([0.3, 0.1, 0.2]),
        "major": torch.tensor(0.8),
        "blend": torch.tensor(0.3),
    }
    return {name: value.double().requires_grad_() for name, value in values.items()}


@pytest.mark.parametrize("name", [*parameters(), "origin", "direction"])
def test_hit_gradients_by_finite_differences(name: str) -> None:
    """Distances, points and normals with respect to the shape and the rays."""
    by = parameters()
    fine = Marching(tolerance=1e-9, max_steps=2000)
    origins, directions = (part.double() for part in rays(400, seed=5))
    generator = torch.Generator().manual_seed(6)
    shift = torch.randn(3, dtype=torch.double, generator=generator)
    step = torch.zeros((), dtype=torch.double, requires_grad=True)

    def at(step: Tensor) -> tuple[SDF, Tensor, Tensor]:
        way = {key: value.detach() for key, value in by.items()}
        o, d = origins, directions
        if name == "origin":
            o = o + step * shift
        elif name == "direction":
            d = normalize(d + step * shift, dim=1)
        else:
            way[name] = way[name] + step * (shift if way[name].ndim else 1.0)
        return shaped(way), o, d

    function, o, d = at(step)
    found = sphere_trace(function, o.detach(), d.detach(), 0.0, 9.0, fine)
    steep = (sdf_normals(function, along(o, d, found.distance)) * d).sum(1).abs() > 0.2
    hit = (found.mask & steep).nonzero()[:, 0]
    assert len(hit) > 50

    def outcome(function: SDF, o: Tensor, d: Tensor, distance: Tensor) -> Tensor:
        points = along(o, d, distance)
        normals = sdf_normals(function, points)
        return torch.cat([distance[:, None], points, normals], dim=1)

    distance = reached(function, o[hit], d[hit], found.distance[hit])
    torch.testing.assert_close(distance, found.distance[hit])
    values = outcome(function, o[hit], d[hit], distance)
    rows = [
        torch.autograd.grad(column.sum(), step, retain_graph=True)[0]
        for column in values.unbind(1)
    ]
    size = 1e-5
    shifted: list[Tensor] = []
    for sign in (1, -1):
        f, o, d = at(torch.tensor(sign * size, dtype=torch.double))
        there = sphere_trace(f, o[hit], d[hit], 0.0, 9.0, fine)
        assert bool(there.mask.all())
        shifted.append(outcome(f, o[hit], d[hit], there.distance).detach())
    expected = ((shifted[0] - shifted[1]) / (2 * size)).sum(0)
    torch.testing.assert_close(torch.stack(rows), expected, atol=2e-3, rtol=2e-3)
    assert float(expected.abs().max()) > 0.1


WARPS: dict[str, Callable[[], SDF]] = {
    "twisted": lambda: twisted(sdf.box((0.4, 0.2, 0.8)), 2.5, 0.5),
    "bent": lambda: bent(sdf.box((1.0, 0.2, 0.1)), 1.2, 0.15),
    "displaced": lambda: displaced(
        sdf.sphere(0.8), lambda points: 0.05 * (12 * points[:, 0]).sin(), 0.6
    ),
    "shell": lambda: shell(sdf.torus(0.7, 0.3), 0.06),
}


@pytest.mark.parametrize("name", WARPS)
def test_warped_shapes_are_hit_on_their_surface(name: str) -> None:
    function = WARPS[name]()
    origins, directions = rays(300, seed=7)
    found = sphere_trace(function, origins, directions, 0.0, 8.0)
    expected = first_crossing(function, origins, directions)
    assert float(((expected > 0) == found.mask).float().mean()) > 0.99
    both = found.mask & (expected > 0)
    assert float(both.float().mean()) > 0.05
    assert float((found.distance - expected)[both].abs().quantile(0.95)) < FINE + 2e-3
