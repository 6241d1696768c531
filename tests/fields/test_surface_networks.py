"""Fields that begin as spheres, and the grid that says where their surface may be."""

import math

import pytest
import torch
from torch import Tensor

from unrender.fields.surface_networks import (
    MLPSDF,
    TETRAHEDRON,
    ColorNetwork,
    HashSDF,
    IDRColor,
    SDFField,
    SDFSamples,
    WeightNormLayer,
    finite_differences,
)
from unrender.kernels.hash_grid import HashGridLayout
from unrender.shapes.implicit.distance_grid import DistanceGrid


def fields() -> dict[str, SDFField]:
    generator = torch.Generator().manual_seed(0)
    layout = HashGridLayout(4, 12, 8, 32)
    return {
        "hash": HashSDF(layout, 2, 32, 7, 0.6, generator),
        "mlp": MLPSDF(128, 6, 6, 7, 0.6, generator),
    }


def points_in_cube(count: int) -> Tensor:
    return 2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("kind", ["hash", "mlp"])
def test_begins_as_a_sphere(kind: str) -> None:
    points = points_in_cube(2000)
    distance = fields()[kind].distance(points).detach()
    true = points.norm(dim=1) - 0.6
    # Random weights keep lengths in the mean alone.
    assert float((distance - true).abs().mean()) < (1e-3 if kind == "hash" else 0.15)
    assert float(((distance > 0) == (true > 0)).float().mean()) > 0.9


@pytest.mark.parametrize("kind", ["hash", "mlp"])
def test_slopes_are_those_of_the_field(kind: str) -> None:
    """At the start, where it is smooth, against derivatives by autograd."""
    field = fields()[kind]
    points = points_in_cube(200).requires_grad_()
    (slope,) = torch.autograd.grad(field.distance(points).sum(), points)
    local = field.with_gradients(points.detach())
    error = (local.gradient - slope).norm(dim=1)
    assert float(error.detach().median()) < 0.05
    assert float((local.gradient.detach().norm(dim=1) - 1).abs().mean()) < 0.3


class Linear(SDFField):
    """2 x − y + z / 2 + 3, and a feature."""

    def forward(self, points: Tensor) -> Tensor:
        value = points @ torch.tensor([2.0, -1.0, 0.5]) + 3
        return torch.stack([value, points.square().sum(1)], dim=1)

    def with_gradients(self, points: Tensor) -> SDFSamples:
        return finite_differences(self, points, 0.1)


def test_differences_of_a_linear_field_are_exact() -> None:
    points = points_in_cube(50)
    local = Linear().with_gradients(points)
    torch.testing.assert_close(local.distance, Linear().distance(points))
    torch.testing.assert_close(
        local.gradient, torch.tensor([2.0, -1.0, 0.5]).expand(50, 3), rtol=1e-4, atol=1e-4
    )
    # The mean of |x|², whose Laplacian is 6, is 6 cell² / 24 more.
    torch.testing.assert_close(
        local.features[:, 0], points.square().sum(1) + 0.1**2 / 4, rtol=1e-4, atol=1e-5
    )


def test_gradients_of_the_large_network_are_exact_and_trained() -> None:
    field = fields()["mlp"]
    points = points_in_cube(50)
    local = field.with_gradients(points)
    step = 1e-3 * torch.eye(3, dtype=torch.float64)
    exact = field.double()
    for axis in range(3):
        ahead, behind = (exact.distance(points.double() + s * step[axis]) for s in (1, -1))
        difference = (ahead - behind) / 2e-3
        torch.testing.assert_close(
            local.gradient[:, axis].double(), difference, atol=1e-3, rtol=0
        )
    field.float()
    field.zero_grad()
    (field.with_gradients(points).gradient.norm(dim=1) - 1).square().mean().backward()
    first = field.layers[0].direction.grad
    assert first is not None
    assert float(first.abs().max()) > 0
    with torch.no_grad():
        assert not field.with_gradients(points).gradient.requires_grad


def test_normalized_weights_have_length_and_direction() -> None:
    weight = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    layer = WeightNormLayer(weight.clone(), torch.zeros(5))
    x = torch.randn(3, 7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(x), x @ weight.T)
    with torch.no_grad():
        layer.direction *= 3
    torch.testing.assert_close(layer(x), x @ weight.T)
    with torch.no_grad():
        layer.scale *= 2
    torch.testing.assert_close(layer(x), 2 * x @ weight.T)


def test_the_tetrahedron_is_regular() -> None:
    corners = torch.tensor(TETRAHEDRON)
    torch.testing.assert_close(corners.T @ corners, 4 * torch.eye(3))
    torch.testing.assert_close(corners.sum(0), torch.zeros(3))


def test_levels_come_one_after_the_other() -> None:
    field = fields()["hash"]
    assert isinstance(field, HashSDF)
    with torch.no_grad():
        field.residual.table.normal_(generator=torch.Generator().manual_seed(2))
        field.residual.network[-1].normal_(generator=torch.Generator().manual_seed(3))
    points, before = points_in_cube(100), field.cell()
    coarse = field(points)
    start = field.layout.offsets[2]
    with torch.no_grad():
        field.residual.table[start:] += 1
    torch.testing.assert_close(field(points), coarse)
    field.advance(0.25)
    assert not torch.allclose(field(points), coarse)
    field.advance(1.0)
    assert field.levels == 4
    assert field.cell() == pytest.approx(2 / 32)
    assert field.cell() < before
    # What a level has not yet is not learned either.
    field.advance(0.0)
    field(points).sum().backward()
    assert field.residual.table.grad is not None
    assert float(field.residual.table.grad[start:].abs().max()) == 0


@pytest.mark.parametrize("kind", [ColorNetwork, IDRColor])
def test_colours_know_each_ray_s_direction(
    kind: type[ColorNetwork | IDRColor],
) -> None:
    generator = torch.Generator().manual_seed(0)
    color = kind(7, 16, 1, generator)
    local = fields()["hash"].with_gradients(points_in_cube(6))
    directions = torch.nn.functional.normalize(points_in_cube(2), dim=1)
    together = color(points_in_cube(6), local, directions)
    each = color(points_in_cube(6), local, directions.repeat_interleave(3, 0))
    torch.testing.assert_close(together, each)
    assert float(together.detach().min()) >= 0
    assert float(together.detach().max()) <= 1


def sphere(points: Tensor) -> Tensor:
    return points.norm(dim=1) - 0.5


def density(distance: Tensor) -> Tensor:
    return 200 * (-200 * distance).sigmoid()


def rays(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    aims = 1.6 * torch.rand(count, 3, generator=generator) - 0.8
    origins = 3 * origins
    return origins, torch.nn.functional.normalize(aims - origins, dim=1)


def test_no_stretch_leaves_out_the_surface() -> None:
    origins, directions = rays(2000)
    grid = DistanceGrid(32)
    grid.update(sphere, density)
    near, far = grid.ray_intervals(origins, directions)
    along = -(origins * directions).sum(1)
    across = (origins.square().sum(1) - along.square()).clamp_min(0)
    hit = across.sqrt() < 0.5
    entry = along - (0.25 - across).clamp_min(0).sqrt()
    assert bool((near < entry)[hit].all())
    assert bool((far > entry)[hit].all())
    assert bool((near == far)[across.sqrt() > 0.7].all())
    # Rays that go through the middle end soon behind the surface.
    central = across.sqrt() < 0.2
    assert float((far - near)[central].max()) < 0.6


def test_before_the_first_update_all_of_the_cube_is_looked_at() -> None:
    near, far = DistanceGrid(16).ray_intervals(
        torch.tensor([[-3.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    )
    assert float(near) < 2.0 + 0.2
    assert float(far) > 4.0 - 0.2


def test_the_grid_can_leave_out_a_surface() -> None:
    """The canary: a field that is steeper than is allowed for has thinner layers."""
    grid = DistanceGrid(16)
    grid.update(lambda points: 40 * sphere(points), density)
    origins, directions = rays(500)
    near, far = grid.ray_intervals(origins, directions)
    across = (
        (origins.square().sum(1) - (origins * directions).sum(1).square()).clamp_min(0).sqrt()
    )
    assert not bool((far > near)[(across < 0.5) & (across > 0.45)].all())


def test_a_ray_from_inside_the_cube_begins_there() -> None:
    grid = DistanceGrid(16)
    near, far = grid.ray_intervals(torch.zeros(1, 3), torch.tensor([[0.0, 0, 1.0]]))
    assert float(near) == 0.0
    assert float(far) == pytest.approx(1.0, abs=0.2)
    assert math.isfinite(float(far))
