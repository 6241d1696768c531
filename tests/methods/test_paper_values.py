"""The presets without -fast are the papers: their published sizes, schedules and constants."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from unrender.data.dataset import Dataset
from unrender.methods.dvgo import DVGO
from unrender.methods.gaussian_splatting import GaussianSplatting
from unrender.methods.instant_ngp import InstantNGP
from unrender.methods.plenoxels import Plenoxels
from unrender.methods.presets import find_preset
from unrender.training.method import Progress
from unrender.training.parameters import MovingAverages


def test_instant_ngp_is_the_papers() -> None:
    """Müller et al. 2022, table 1, sec. 4 and 5.4, appendix E; configs/nerf/base.json."""
    method = find_preset("instant-ngp").method()
    assert isinstance(method, InstantNGP)
    assert (method.levels, method.log2_table_size, method.coarsest) == (16, 19, 16)
    assert (method.finest, method.width, method.color_layers) == (2048, 64, 2)
    # Steps of √3 / 1024 of the unit cube, which is 2 half_width wide here.
    assert method.step_size / (2 * method.half_width) == pytest.approx(math.sqrt(3) / 1024)
    assert math.exp(-method.stop_optical_depth) == pytest.approx(1e-4, rel=0.01)
    assert method.samples == 2**18
    assert (method.occupancy_cells, method.occupancy_decay) == (128, 0.95)
    assert method.occupancy_queries == 128**3 // 2
    assert method.learning_rate == method.table_learning_rate == 1e-2
    assert (method.weight_decay, method.huber, method.average) == (1e-6, 0.1, 0.95)
    assert method.distortion == 0
    rates = [method.schedule(Progress(step, 0.9)) for step in (0, 19_999, 20_000, 30_000)]
    assert rates == pytest.approx([1, 1, 0.33, 0.33**2])


def test_only_the_networks_have_a_weight_decay(small_scene: Dataset) -> None:
    method = InstantNGP(log2_table_size=10, levels=2, occupancy_cells=16, weight_decay=1e-6)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    table, networks = method.optimizer(model).param_groups
    assert table["params"] == [model.field.table]
    assert table["weight_decay"] == 0
    assert networks["weight_decay"] == 1e-6


def test_averages_are_what_is_rendered(small_scene: Dataset) -> None:
    """After a step with decay 0.9, a tenth of the step has arrived."""
    method = InstantNGP(log2_table_size=10, levels=2, occupancy_cells=16, average=0.9)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    before = model.field.table.detach().clone()
    with torch.no_grad():
        model.field.table += 1
    method.after_step(model, method.optimizer(model), Progress(0, 0.0))
    method.finish(model, small_scene.train)
    torch.testing.assert_close(model.field.table.detach(), before + 0.1, atol=1e-6, rtol=0)


def test_a_moving_average_weighs_steps_geometrically() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    averages = MovingAverages([parameter])
    for value in (1.0, 2.0, 3.0):
        parameter.data.fill_(value)
        averages.update([parameter], 0.5)
    averages.copy_to([parameter])
    assert float(parameter.detach()) == pytest.approx(0.125 * 1 + 0.25 * 2 + 0.5 * 3)


def test_the_huber_loss_is_a_square_for_small_errors(small_scene: Dataset) -> None:
    """With a threshold above all errors it is half the squared error over backgrounds."""
    method = InstantNGP(log2_table_size=10, levels=2, occupancy_cells=16, huber=10.0)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    losses = method.losses(
        model, small_scene.train, Progress(0, 0.0), torch.Generator().manual_seed(1)
    )
    square = 10 ** (-float(losses["metric/psnr"]) / 10)
    assert float(losses["color"].detach()) == pytest.approx(square / 2, rel=0.1)


def test_plenoxels_is_the_papers() -> None:
    """Yu et al. 2022, sec. 3 and 4; the authors' configuration of the synthetic scenes."""
    method = find_preset("plenoxels").method()
    assert isinstance(method, Plenoxels)
    assert (method.coarsest, method.finest, method.refinements) == (256, 512, 1)
    assert (method.rays, method.step_size, method.sh_degree) == (5000, 0.5, 2)
    assert method.initial_density == 0.1
    assert (method.density_variation, method.color_variation) == (1e-5, 1e-3)
    assert method.variation_share == 0.01
    steps, split = 128_000, 38_400
    assert method.refine_until == method.variation_until == split / steps
    assert [method._vertices(f) for f in (0.0, 0.29, 0.3, 1.0)] == [256, 256, 512, 512]
    for step in (15_000, 64_000, steps):
        density, color = method.schedule(Progress(step, step / steps))
        # Log-linear from 30 to 0.05 and from 0.01 to 5e-6 in 250,000 steps.
        wanted = math.exp(math.log(0.05 / 30) * step / 250_000)
        assert density == pytest.approx(wanted, rel=0.02)
        wanted = math.exp(math.log(5e-6 / 1e-2) * step / 250_000)
        assert color == pytest.approx(wanted, rel=0.03)
    assert method.density_learning_rate == 30
    assert method.color_learning_rate == 0.01
    # The rate of the densities is delayed by 15,000 steps, from a hundredth.
    assert method.schedule(Progress(0, 0.0)) == pytest.approx([0.01, 1])
    assert method.schedule(Progress(0, 5 / 128))[0] == pytest.approx(
        (0.01 + 0.99 * math.sin(math.pi / 6)) * method.learning_rate_decay ** (5 / 128)
    )


def test_gaussian_splatting_is_the_papers() -> None:
    """Kerbl et al. 2023, sec. 6 and 7.1; Kheradmand et al. 2024, sec. 4 and 5."""
    method = find_preset("gaussian-splatting").method()
    assert isinstance(method, GaussianSplatting)
    assert method == GaussianSplatting()
    assert (method.initial_gaussians, method.sh_degree) == (100_000, 3)
    assert (method.initial_opacity, method.initial_scale) == (0.5, 0.1)
    assert (method.similarity, method.opacity_weight, method.scale_weight) == (0.2, 0.01, 0.01)
    assert method.relocate_every == 100
    assert method.relocate_from * 30_000 == pytest.approx(500)
    assert method.relocate_until * 30_000 == pytest.approx(25_000)
    # One more degree of the harmonics every 1,000 steps.
    steps = (0, 999, 1000, 2000, 3000, 29_999)
    assert [method._degree(Progress(k, k / 30_000)) for k in steps] == [0, 0, 1, 2, 3, 3]
    assert (method.mean_learning_rate, method.mean_learning_rate_decay) == (1.6e-4, 0.01)
    assert (method.scale_learning_rate, method.rotation_learning_rate) == (5e-3, 1e-3)
    assert (method.opacity_learning_rate, method.color_learning_rate) == (0.05, 2.5e-3)
    # 5% more every 100 steps from step 500 is ten times as many by then.
    growths = method.grow_until * 300 - 5
    assert 1.05**growths == pytest.approx(10, rel=0.1)


def test_rates_of_the_means_are_relative_to_the_cameras(small_scene: Dataset) -> None:
    """1.1 times the largest distance of a camera from their mean."""
    method = GaussianSplatting(initial_gaussians=8, max_gaussians=8)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    centers = small_scene.train.cameras.centers
    extent = 1.1 * float((centers - centers.mean(0)).norm(dim=1).max())
    assert method.optimizer(model).param_groups[0]["lr"] == pytest.approx(1.6e-4 * extent)
    method = replace(method, by_extent=False)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    rate = 1.6e-4 * float(model.ball.radius)
    assert method.optimizer(model).param_groups[0]["lr"] == pytest.approx(rate)


def test_dvgo_is_the_papers() -> None:
    """Sun et al. 2022, sec. 5 and 6.2; the authors' default configuration."""
    method = find_preset("dvgo").method()
    assert isinstance(method, DVGO)
    assert method == DVGO()
    assert (method.coarse_vertices, method.finest, method.step_size) == (100, 160, 0.5)
    assert (method.features, method.width, method.layers) == (12, 128, 2)
    assert (method.frequencies, method.direction_frequencies) == (5, 4)
    assert (method.rays, method.grid_learning_rate) == (8192, 0.1)
    assert (method.network_learning_rate, method.epsilon) == (1e-3, 1e-8)
    assert (method.box_threshold, method.prune_threshold) == (1e-3, 1e-4)
    assert (method.sample_weight, method.entropy_weight) == (0.1, 0.01)
    # 5,000 steps of the coarse grid, then a refinement after each thousand.
    steps = (0, 4999, 5000, 6000, 7000, 8000, 9000, 24_999)
    assert [method._stage(k / 25_000)[0] for k in steps] == [0, 0, 1, 2, 3, 4, 5, 5]
    # A tenth in 20,000 steps, and from the start again at each refinement.
    rates = [method.schedule(Progress(k, k / 25_000)) for k in (0, 5000, 9000, 25_000)]
    assert rates == pytest.approx([1, 1, 1, 0.1**0.8])
