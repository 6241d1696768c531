"""What every radiance field owes: it learns, restores, goes on, and follows the camera."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unrender.api.fit import AnyMethod, fit_to
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.evaluation.renders import WHITE, evaluate_images
from unrender.geometry.poses import compose, se3_exp
from unrender.methods.dvgo import DVGO
from unrender.methods.gaussian_splatting import GaussianSplatting
from unrender.methods.hypernerf import FastHyperNeRF, HyperNeRF
from unrender.methods.light_field import LightField
from unrender.methods.mip_nerf import MipNeRF
from unrender.methods.mip_nerf_360 import MipNeRF360
from unrender.methods.nerf import NeRF
from unrender.methods.nerfacto import Nerfacto
from unrender.methods.nerfies import FastNerfies, Nerfies
from unrender.methods.neus import NeuS
from unrender.methods.plenoxels import Plenoxels
from unrender.methods.presets import PRESETS
from unrender.methods.volsdf import VolSDF
from unrender.training.fit import FitOptions
from unrender.training.method import Progress
from unrender.training.run_folder import RunFolder
from unrender.training.surface_method import SurfaceMethod

SMALL = {"width": 32, "depth": 2, "skip": 0, "rays": 256, "learning_rate": 0.03, "muon": True}
EMPTY = {"density_gain": 10.0, "density_shift": -5.0}
PROPOSED = {"proposal_width": 16, "proposal_depth": 1, "proposal_bins": 12}
DEFORMED = {
    "deformation_width": 16, "deformation_depth": 2, "deformation_skip": 0,
    "deformation_frequencies": 2,
}  # fmt: skip
SURFACE = {
    "levels": 4,
    "initial_levels": 2,
    "log2_table_size": 12,
    "finest": 64,
    "width": 16,
    "color_width": 16,
    "color_layers": 1,
    "features": 7,
    "cells": 32,
    "coarse_samples": 12,
    "bins": 8,
    "rays": 256,
    "learning_rate": 0.01,
    "mask_weight": 1.0,
    "eikonal_weight": 0.03,
    # Pixels are a sixteenth of the ball: a layer much thinner has no gradient by the pose.
    "final_width": 0.05,
}

TINY: dict[str, tuple[AnyMethod, int]] = {
    "nerf": (NeRF(frequencies=5, coarse_bins=16, fine_bins=16, noise=1.0, **SMALL), 150),
    "mip-nerf": (MipNeRF(frequencies=5, bins=16, warm_up=10, **EMPTY, **SMALL), 100),
    "mip-nerf-360": (
        MipNeRF360(
            frequencies=4,
            bins=16,
            max_norm=1.0,
            warm_up=10,
            charbonnier=0.0,
            unbounded=False,
            **PROPOSED,
            **EMPTY,
            **SMALL,
        ),
        100,
    ),
    "nerfacto": (
        Nerfacto(
            levels=4,
            log2_table_size=12,
            finest=128,
            width=16,
            proposal_bins=16,
            bins=16,
            unbounded=False,
            pose_learning_rate=0.0,
            rays=512,
            learning_rate=0.03,
        ),
        130,
    ),
    "plenoxels": (
        Plenoxels(coarsest=24, finest=48, rays=256, step_size=1.0, color_learning_rate=0.1),
        250,
    ),
    "dvgo": (
        DVGO(
            coarse_vertices=24,
            finest=48,
            width=16,
            rays=256,
            step_size=1.0,
            grid_learning_rate=0.3,
            epsilon=1e-15,
        ),
        260,
    ),
    "gaussian-splatting": (
        GaussianSplatting(
            initial_gaussians=200,
            max_gaussians=400,
            sh_degree=1,
            relocate_every=10,
            mean_learning_rate=2e-3,
            color_learning_rate=0.05,
            scale_learning_rate=0.02,
            rotation_learning_rate=0.005,
        ),
        250,
    ),
    "light-field": (
        LightField(
            views=4,
            samples=3,
            width=16,
            hidden=16,
            epipolar_layers=1,
            view_layers=1,
            neighborhood=1,
            frequencies=2,
            search_layers=2,
            residual=True,
            rays=256,
            patch=8,
            learning_rate=0.01,
            warm_up=10,
        ),
        150,
    ),
    "nerfies": (
        Nerfies(
            frequencies=5,
            coarse_bins=16,
            fine_bins=16,
            noise=1.0,
            elastic_samples=64,
            **DEFORMED,
            **(SMALL | {"muon": False}),
        ),
        150,
    ),
    "hypernerf": (
        HyperNeRF(
            frequencies=5,
            coarse_bins=16,
            fine_bins=16,
            noise=1.0,
            slicing_width=16,
            slicing_depth=2,
            slicing_skip=0,
            **DEFORMED,
            **(SMALL | {"muon": False, "learning_rate": 0.01}),
        ),
        150,
    ),
    "hypernerf-fast": (
        FastHyperNeRF(
            levels=4,
            log2_table_size=12,
            finest=64,
            samples=4096,
            occupancy_cells=32,
            step_size=0.03,
            stop_optical_depth=1e4,
            slicing_width=16,
            slicing_depth=2,
            slicing_skip=0,
            **DEFORMED,
        ),
        150,
    ),
    "nerfies-fast": (
        FastNerfies(
            levels=4,
            log2_table_size=12,
            finest=64,
            samples=4096,
            occupancy_cells=32,
            step_size=0.03,
            stop_optical_depth=1e4,
            elastic_samples=64,
            **DEFORMED,
        ),
        150,
    ),
    "neus": (NeuS(**SURFACE), 250),
    "volsdf": (VolSDF(**SURFACE), 250),
}
"""Small forms, and the steps in which they learn something."""


@pytest.fixture(scope="module")
def small_scene(small_scene: Dataset) -> Dataset:
    """The scene with times, which those methods need that know motion, and others ignore."""
    parts = [
        replace(views, cameras=views.cameras.at_times(torch.linspace(0, 1, len(views))))
        for views in (small_scene.train, small_scene.test)
    ]
    return Dataset("small", *parts)


@pytest.fixture(scope="module", params=sorted(TINY))
def field(
    request: pytest.FixtureRequest,
    small_scene: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    method, steps = TINY[request.param]
    out = tmp_path_factory.mktemp("runs") / request.param
    options = FitOptions(steps=steps, device="cpu")
    return fit_to(method, small_scene, options, out=out, progress=False)


def test_learns_views_it_never_saw(field: Run, small_scene: Dataset) -> None:
    mean = small_scene.train.over(WHITE).mean(0, keepdim=True)
    error = (mean - small_scene.test.over(WHITE)).square().mean((1, 2, 3))
    without = float((-10 * error.log10()).mean())
    assert evaluate_images(field.renderer, small_scene.test).scores.mean_psnr > without + 0.5


def test_the_figure_can_fail(small_scene: Dataset, field: Run) -> None:
    """An untrained model must not pass for a trained one."""
    method = field.method
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    found = evaluate_images(lambda cameras: method.render(model, cameras), small_scene.test)
    trained = evaluate_images(field.renderer, small_scene.test)
    assert found.scores.mean_psnr < trained.scores.mean_psnr - 3


def test_a_run_renders_the_same_without_its_data(field: Run, small_scene: Dataset) -> None:
    assert field.path is not None
    again = Run.open(field.path, "cpu")
    cameras = small_scene.test.cameras
    assert torch.equal(again.renderer(cameras).rgba, field.renderer(cameras).rgba)


def test_renders_are_colours(field: Run, small_scene: Dataset) -> None:
    found = field.renderer(small_scene.test.cameras.resized(20, 12))
    assert found.color.shape == (len(small_scene.test), 12, 20, 3)
    assert float(found.color.min()) > -0.01
    assert float(found.opacity.min()) >= 0
    assert float(found.opacity.max()) <= 1.0001
    # The scene is seen at the distance where it is.
    solid = found.opacity > 0.9
    assert bool((found.depth[solid] > 2.0).all())
    assert bool((found.depth[solid] < 6.0).all())


def test_the_image_is_differentiable_in_the_pose(field: Run, small_scene: Dataset) -> None:
    """The gradient points where the error grows."""
    cameras = small_scene.test.cameras.select(slice(0, 1))
    wanted = small_scene.test.rgba[:1]
    method = field.method
    if isinstance(method, SurfaceMethod):
        # Bins move with the pose, and what few of them miss has no gradient.
        method = replace(method, coarse_samples=64, bins=48)

    def loss(tangent: Tensor) -> Tensor:
        moved = cameras.with_poses(compose(se3_exp(tangent), cameras.world_from_camera))
        return (method.render(field.model, moved).rgba - wanted).square().mean()

    start = torch.tensor([[0.02, 0, 0.0, 0.03, 0, 0.02]])
    start.requires_grad_()
    loss(start).backward()
    assert start.grad is not None
    with torch.no_grad():
        steps = 2e-3 * torch.eye(6)[:, None]
        numeric = torch.stack([loss(start + step) - loss(start - step) for step in steps])
    assert float(torch.cosine_similarity(start.grad[0], numeric, dim=0)) > 0.8


def test_resume_is_bit_identical(field: Run, small_scene: Dataset, tmp_path: Path) -> None:
    options = FitOptions(steps=16, device="cpu", checkpoint_every=9)

    def run(name: str, resume: bool = False) -> dict[str, Tensor]:
        out = tmp_path / name
        if resume:
            record = RunFolder.open(out)
            opened = fit_to(field.method, small_scene, options, record=record, progress=False)
        else:
            opened = fit_to(field.method, small_scene, options, out=out, progress=False)
        return opened.model.state_dict()

    whole = run("whole")
    run("parts")
    # As if it had been killed after its first checkpoint.
    for checkpoint in RunFolder.open(tmp_path / "parts").checkpoints()[1:]:
        shutil.rmtree(checkpoint)
    parts = run("parts", resume=True)
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_the_unit_of_length_does_not_matter(field: Run, small_scene: Dataset) -> None:
    """A scene ten times as large begins as the same picture."""

    def scaled(scene: Dataset, factor: float) -> Dataset:
        views = scene.train
        pose = views.cameras.world_from_camera.clone()
        pose[:, :, 3] *= factor
        views = replace(views, cameras=views.cameras.with_poses(pose))
        return Dataset("scaled", views, views)

    def first_image(factor: float) -> Tensor:
        views = scaled(small_scene, factor).train
        model = field.method.build(views, torch.Generator().manual_seed(0))
        return field.method.render(model, views.cameras.select(slice(0, 1))).rgba

    difference = (first_image(10.0) - first_image(1.0)).abs()
    assert float(difference.mean()) < 1e-3


def test_every_preset_is_tested_in_a_small_form() -> None:
    kinds = {type(method) for method, _ in TINY.values()}
    others = {"instant-ngp", "sit", "sit-gaussian", "pose-regressor", "mesh-from-views", "box"}
    others |= {"image-field", "sdf", "occupancy", "distilled"}
    others |= {name for name in PRESETS if name.startswith(("image-to-", "fit-", "view-"))}
    types = {name: type(preset.method()) for name, preset in PRESETS.items()}
    assert set(types.values()) - kinds == {types[name] for name in others}


def test_harmonics_come_one_degree_after_the_other() -> None:
    method = GaussianSplatting(degree_every=0.1)
    degrees = [method._degree(Progress(0, f)) for f in (0.0, 0.15, 0.25, 0.9)]
    assert degrees == [0, 1, 2, 3]
    assert method.schedule(Progress(0, 1.0))[0] == pytest.approx(0.01)
    assert math.prod(method.schedule(Progress(0, 0.0))) == 1


def test_normals_learn_to_face_the_camera(small_scene: Dataset) -> None:
    method = replace(TINY["nerfacto"][0], orientation=1e-3)
    generator = torch.Generator().manual_seed(0)
    model = method.build(small_scene.train, generator)
    losses = method.losses(model, small_scene.train, Progress(0, 0.0), generator)
    assert float(losses["orientation"].detach()) > 0
    losses["orientation"].backward()
    assert all(float(weight.grad.abs().max()) > 0 for weight in model.normal)
