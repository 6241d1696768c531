"""Volume rendering against closed forms: three segments, and a box of fog."""

import math

import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.paths import spherical_shell
from unrender.kernels.composite import composite_dense
from unrender.rendering.volume.medium import (
    even_bins,
    medium_renderer,
    points_at,
    render_medium,
    soft_solid,
    stratified,
)
from unrender.rendering.volume.proposals import RayInterval
from unrender.shapes.implicit.sdf import box, sphere, translated

RED, GREEN, BLUE = torch.eye(3)
ORANGE = torch.tensor([0.9, 0.4, 0.1])


def test_three_segments_by_hand() -> None:
    """Thin red fog for one unit, denser green fog for half a unit, and a blue wall.

    Optical depths are ln 2 × 1 = ln 2, 2 ln 2 × ½ = ln 2, and ∞ for the wall. Each fog has a
    transmittance of ½, so the weights are ½ for red, ¼ for green and ¼ for blue. The midpoints
    are 1½, 2¼ and 3, so the mean distance is ½ · 1½ + ¼ · 2¼ + ¼ · 3 = 2 1/16.
    """
    density = torch.tensor([[math.log(2), 2 * math.log(2), 100.0]])
    edges = torch.tensor([[1.0, 2.0, 2.5, 3.5]])
    color = torch.stack([RED, GREEN, BLUE])[None]
    weights = composite_dense(density, None, edges).weights
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.25, 0.25]]))
    found = composite_dense(density, color, edges)
    torch.testing.assert_close(found.color, torch.tensor([[0.5, 0.25, 0.25]]))
    torch.testing.assert_close(found.opacity, torch.ones(1))
    torch.testing.assert_close(found.mean_distance, torch.tensor([2.0625]))
    # Without the wall, the transmittance is a quarter, which is the weight of the background.
    clear = composite_dense(density * torch.tensor([1, 1, 0]), color, edges)
    torch.testing.assert_close(clear.opacity, torch.tensor([0.75]))
    behind = (1 - clear.opacity[:, None]) * BLUE
    torch.testing.assert_close(clear.color + behind, found.color)
    # Control: the order matters.
    assert not torch.allclose(composite_dense(density.flip(1), None, edges).weights, weights)


def test_splitting_a_bin_changes_nothing() -> None:
    """exp(−a) exp(−b) = exp(−(a + b)): quadrature is exact for constant bins."""
    whole = composite_dense(torch.tensor([[1.7]]), RED[None, None], torch.tensor([[1.0, 3.0]]))
    cut = torch.tensor([[1.0, 1.1, 1.9, 2.0, 3.0]])
    parts = composite_dense(torch.full((1, 4), 1.7), RED.expand(1, 4, 3), cut)
    torch.testing.assert_close(parts.color, whole.color)
    torch.testing.assert_close(whole.opacity, torch.tensor([1 - math.exp(-3.4)]))


def test_a_quadratic_density_has_its_closed_form() -> None:
    """σ = 3 t² has the optical depth t³: the opacity converges to 1 − exp(−t³) as 1/n²."""
    errors = []
    for bins in (8, 16, 32):
        edges = torch.linspace(0, 1, bins + 1).double()[None]
        middles = (edges[:, 1:] + edges[:, :-1]) / 2
        opacity = composite_dense(3 * middles.square(), None, edges).weights.sum()
        errors.append(abs(float(opacity) - (1 - math.exp(-1))))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def some_rays(count: int = 200) -> Rays:
    """Rays from outside through the cube [−1, 1]³."""
    generator = torch.Generator().manual_seed(0)
    origins = 3 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator))
    ends = 2 * torch.rand(count, 3, generator=generator) - 1
    directions = torch.nn.functional.normalize(ends - origins, dim=1)
    return Rays(origins, directions, torch.zeros(count), torch.zeros(count, dtype=torch.long))


def chord(rays: Rays, center: Tensor, sides: Tensor) -> Tensor:
    """Lengths of rays inside of a box, by the slab method."""
    faces = torch.stack([center - sides / 2, center + sides / 2])[:, None]
    hits = (faces - rays.origins) / rays.directions
    return (hits.amax(0).amin(1) - hits.amin(0).amax(1)).clamp_min(0)


def test_a_box_of_fog_has_its_closed_form() -> None:
    """Opacity is 1 − exp(−σ × chord)."""
    rays = some_rays()
    center, sides = torch.tensor([0.1, -0.2, 0.0]), torch.tensor([1.0, 0.8, 1.4])
    fog = soft_solid(translated(box(sides / 2), center), ORANGE, 1.5, 1e-4)
    expected = 1 - (-1.5 * chord(rays, center, sides)).exp()
    assert 0.2 < float((expected > 0).double().mean()) < 1
    interval = RayInterval(torch.full((200,), 0.5), torch.full((200,), 5.5))
    errors = []
    for bins in (50, 500):
        found = render_medium(fog, rays, even_bins(interval, bins))
        torch.testing.assert_close(found.color, found.opacity[:, None] * ORANGE)
        errors.append(float((found.opacity - expected).abs().mean()))
    assert errors[1] < 0.003
    assert errors[1] < errors[0] / 5


def test_stratified_samples_are_unbiased() -> None:
    """A ball between two bin centers is missed by midpoints, but not by stratified samples.

    The mean optical depth of the latter is the true one.
    """
    count = 20_000
    origins = torch.zeros(count, 3)
    rays = Rays(origins, RED.expand(count, 3), origins[:, 0], torch.zeros(count).long())
    ball = soft_solid(translated(sphere(0.15), [2.0, 0.0, 0.0]), RED, 0.1, 1e-5)
    edges = even_bins(RayInterval(torch.zeros(count), torch.full((count,), 5.0)), 5)
    places = stratified(edges, torch.Generator().manual_seed(0))
    assert bool(((edges[:, :-1] <= places) & (places <= edges[:, 1:])).all())
    assert float(render_medium(ball, rays, edges).opacity.max()) < 1e-6
    found = render_medium(ball, rays, edges, torch.Generator().manual_seed(0)).opacity
    depth = -torch.log1p(-found)
    assert float(depth.mean()) == pytest.approx(0.1 * 0.3, rel=0.05)
    # Opacity is not: both bins are hit for 0.15 of their length, and then count in full.
    expected = 1 - (1 - 0.15 * (1 - math.exp(-0.1))) ** 2
    assert float(found.mean()) == pytest.approx(expected, rel=0.05)
    assert float(found.mean()) < 1 - math.exp(-0.03)


def test_surface_gradients_by_finite_differences() -> None:
    """Derivatives with respect to center, sides and density."""
    rays = some_rays(60)
    interval = RayInterval(torch.full((60,), 0.5).double(), torch.full((60,), 5.5).double())
    rays = Rays(
        rays.origins.double(), rays.directions.double(), rays.pixel_radius, rays.camera_index
    )
    edges = even_bins(interval, 40)
    color = ORANGE.double()

    def total(numbers: Tensor) -> Tensor:
        solid = translated(box(numbers[3:6] / 2), numbers[:3])
        medium = soft_solid(solid, color, numbers[6], 0.1)
        density, _ = medium(points_at(rays, stratified(edges, None)).flatten(0, 1))
        return composite_dense(density.view(60, 40), None, edges).weights.sum()

    numbers = torch.tensor([0.1, -0.2, 0.05, 1.0, 0.8, 1.4, 2.0]).double().requires_grad_()
    assert torch.autograd.gradcheck(total, (numbers,), eps=1e-6, atol=1e-5)


def test_a_medium_is_rendered_at_its_position() -> None:
    poses = spherical_shell(2, (4.0, 4.0), torch.Generator().manual_seed(0))
    cameras = Cameras.from_focal(poses, 40.0, 31, 31)
    red = soft_solid(sphere(0.6), RED, 200.0, 1e-3)
    found = medium_renderer(red, torch.zeros(3), 1.0, 256)(cameras)
    middle = found.depth[:, 15, 15]
    torch.testing.assert_close(middle, torch.full((2,), 3.4), atol=0.02, rtol=0)
    assert float(found.opacity[:, 0, 0].max()) < 1e-6
    assert float(found.opacity[:, 15, 15].min()) > 0.999
    # A vanishing density: no light, and no NaN.
    none = medium_renderer(soft_solid(sphere(0.6), RED, 0.0, 1e-3), torch.zeros(3), 1.0)(
        cameras
    )
    assert float(none.rgba.abs().max()) == 0
    assert bool(torch.isfinite(none.depth).all())
    with pytest.raises(InputError, match="give a radius above 0"):
        medium_renderer(red, torch.zeros(3), 0.0)
