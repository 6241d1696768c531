"""DVGO's fine box and skipped samples, and the total variation of Plenoxels."""

import math
from dataclasses import replace

import pytest
import torch

from unrender.data.dataset import Dataset
from unrender.fields.sparse_voxels import vertex_positions
from unrender.kernels.composite import composite
from unrender.kernels.march import Samples
from unrender.methods.dvgo import DVGO, DVGOModel
from unrender.methods.plenoxels import Plenoxels, variation
from unrender.rendering.volume.skipping import drop_light_bins
from unrender.training.method import Progress
from unrender.training.pixels import entropy

SMALL = DVGO(coarse_vertices=24, finest=32, refinements=2, width=16, rays=64)


def with_a_brick(scene: Dataset) -> tuple[DVGOModel, torch.Tensor, torch.Tensor]:
    """A coarse grid with a brick in it, and the world positions of its corners."""
    model = SMALL.build(scene.train, torch.Generator().manual_seed(0))
    places = 2 * vertex_positions(model.index) - 1
    low, high = torch.tensor([-0.4, -0.1, 0.0]), torch.tensor([0.2, 0.5, 0.3])
    inside = ((places >= low) & (places <= high)).all(1)
    with torch.no_grad():
        model.raw_density[1:][inside] = 20.0
    found = places[inside]
    corners = torch.stack([found.amin(0), found.amax(0)])
    return model, model.ball.center + model.ball.radius * corners, inside


def test_the_fine_box_contains_the_coarse_geometry(small_scene: Dataset) -> None:
    model, corners, _ = with_a_brick(small_scene)
    optimizer = SMALL.optimizer(model)
    radius = float(model.ball.radius)
    assert SMALL._refine(model, optimizer, 1)
    unit = model.ball.to_box(model.ball.to_unit(corners))
    assert float(unit.min()) > 0
    assert float(unit.max()) < 1
    # And little else: the margin is a twentieth of the geometry's extent.
    torch.testing.assert_close(unit[1] - unit[0], torch.full((3,), 1 / 1.05))
    assert float(model.ball.radius) < radius / 2
    assert model.features.shape == (*model.raw_density.shape[:1], 12)
    a, b, c = model.index.shape
    assert a * b * c == pytest.approx(32**3 / 4, rel=0.15)


def test_further_grids_keep_the_box(small_scene: Dataset) -> None:
    model, _, _ = with_a_brick(small_scene)
    optimizer = SMALL.optimizer(model)
    SMALL._refine(model, optimizer, 1)
    center, radius = model.ball.center.clone(), float(model.ball.radius)
    assert SMALL._refine(model, optimizer, 2)
    assert torch.equal(model.ball.center, center)
    assert float(model.ball.radius) == radius
    a, b, c = model.index.shape
    assert a * b * c == pytest.approx(32**3 / 2, rel=0.15)


@torch.no_grad()
def test_space_beyond_the_fine_box_is_empty(small_scene: Dataset) -> None:
    model, _, _ = with_a_brick(small_scene)
    SMALL._refine(model, SMALL.optimizer(model), 1)
    with torch.no_grad():
        model.raw_density[1:] = 20.0
    outside = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 3 - 1
    outside = outside[((outside < 0) | (outside > 1)).any(1)]
    assert float((model.density(outside) * model.voxel).max()) < 1e-6
    assert float((model.density(torch.full((1, 3), 0.5)) * model.voxel).min()) > 1


def test_an_empty_coarse_grid_waits(small_scene: Dataset) -> None:
    model = SMALL.build(small_scene.train, torch.Generator().manual_seed(0))
    assert not SMALL._refine(model, SMALL.optimizer(model), 1)
    assert not model.stage


def test_zeros_have_the_opacity_of_their_stage(small_scene: Dataset) -> None:
    """Eq. 9: 1e-6 for the coarse grid, 1e-2 for the fine one, per voxel."""
    model, _, _ = with_a_brick(small_scene)

    def opacity() -> float:
        # Rows hold densities relative to empty space's.
        raw = torch.full((1, 1), 15.0)
        return float(-torch.expm1(-model.activated(raw) * model.voxel))

    assert opacity() == pytest.approx(1e-6, rel=1e-3)
    SMALL._refine(model, SMALL.optimizer(model), 1)
    assert opacity() == pytest.approx(1e-2, rel=1e-3)


def test_the_point_loss_sums_over_channels(small_scene: Dataset) -> None:
    """Gray samples of weights that sum to w, against black, are off by 3 w / 4."""
    model, _, _ = with_a_brick(small_scene)
    rays = small_scene.train.sample_pixels(64, torch.Generator().manual_seed(0)).rays
    rendering, off = model.render_rays(rays, torch.full((64,), 0.5), torch.zeros(64, 3))
    assert float(rendering.opacity.detach().max()) > 0.9
    torch.testing.assert_close(off, 0.75 * rendering.opacity.mean(), atol=1e-5, rtol=1e-4)


def test_weights_are_a_tenth_for_the_fine_grid(small_scene: Dataset) -> None:
    model, _, _ = with_a_brick(small_scene)
    method = replace(SMALL, entropy_weight=1.0)
    for stage, weight in ((0, 1.0), (1, 0.1)):
        if stage:
            method._refine(model, method.optimizer(model), 1)
        generator = torch.Generator().manual_seed(0)
        losses = method.losses(model, small_scene.train, Progress(0, 0.0), generator)
        batch = small_scene.train.sample_pixels(64, torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(0)
        small_scene.train.sample_pixels(64, generator)
        jitter = torch.rand(64, generator=generator)
        opacity = model.render_rays(batch.rays, jitter, None)[0].opacity
        expected = weight * entropy(opacity).mean()
        torch.testing.assert_close(losses["entropy"], expected)


def test_light_bins_are_dropped_and_the_others_kept_in_order() -> None:
    generator = torch.Generator().manual_seed(0)
    offsets = torch.tensor([0, 7, 7, 20, 30])
    starts = torch.rand(30, generator=generator)
    bins = Samples(starts, starts + 0.1, offsets)
    density = 20 * torch.rand(30, generator=generator) ** 4
    weights = composite(density, None, bins.starts, bins.ends, offsets).weights
    found = drop_light_bins(bins, density, 0.05)
    assert torch.equal(found.starts, starts[weights > 0.05])
    assert torch.equal(found.ends, (starts + 0.1)[weights > 0.05])
    for ray in range(4):
        first, last = offsets[ray], offsets[ray + 1]
        kept = (weights[first:last] > 0.05).sum()
        assert found.offsets[ray + 1] - found.offsets[ray] == kept
    assert len(drop_light_bins(bins, density, -1.0)) == 30
    assert len(drop_light_bins(bins, density, 2.0)) == 0


def test_the_variation_of_a_slope_does_not_depend_on_the_resolution() -> None:
    """Eq. 3: differences are relative to the resolution, and channels are summed."""
    for size in (64, 128, 256):
        values = torch.arange(size)[:, None] * torch.tensor([[3.0, -4.0]]) / size
        rows = torch.arange(size - 1)
        beside = torch.stack([rows + 1, rows, rows])
        found = float(variation(values, rows, beside, size / 256))
        assert found == pytest.approx(7 / 256, rel=0.01)


def test_the_variation_ends(small_scene: Dataset) -> None:
    method = Plenoxels(coarsest=8, finest=16, rays=16, variation_until=0.3)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.density[1::3] += 1
    for fraction, some in ((0.0, True), (0.29, True), (0.3, False), (0.9, False)):
        generator = torch.Generator().manual_seed(0)
        losses = method.losses(model, small_scene.train, Progress(0, fraction), generator)
        assert bool(losses["density variation"].detach() > 0) == some
        assert math.isfinite(float(losses["color"].detach()))
