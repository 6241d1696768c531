"""instant-ngp: it learns, restores, resumes, and its images follow the camera."""

import copy
import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.evaluation.images import psnr
from unrender.evaluation.renders import evaluate_images
from unrender.geometry.poses import compose, se3_exp
from unrender.methods.instant_ngp import InstantNGP
from unrender.training.fit import FitOptions
from unrender.training.method import Progress
from unrender.training.run_folder import RunFolder

TINY = InstantNGP(
    log2_table_size=10, finest=32, levels=4, width=8, occupancy_cells=16, samples=1 << 10
)


def test_learns_views_it_never_saw(scene_run: Run, small_scene: Dataset) -> None:
    scores = evaluate_images(scene_run.renderer, small_scene.test).scores
    assert scores.mean_psnr > mean_image_psnr(small_scene) + 5


def test_the_figure_can_fail(small_scene: Dataset) -> None:
    """An untrained model must not pass for a trained one."""
    model = TINY.build(small_scene.train, torch.Generator())
    found = evaluate_images(lambda cameras: TINY.render(model, cameras), small_scene.test)
    assert found.scores.mean_psnr < mean_image_psnr(small_scene)


def mean_image_psnr(scene: Dataset) -> torch.Tensor:
    """What one gets without looking at the pose."""
    mean = scene.train.over(torch.ones(3)).mean(0, keepdim=True)
    return psnr(mean.expand(len(scene.test), -1, -1, -1), scene.test.over(torch.ones(3))).mean()


def test_a_run_renders_the_same_without_its_data(scene_run: Run, small_scene: Dataset) -> None:
    assert scene_run.path is not None
    again = Run.open(scene_run.path, "cpu")
    cameras = small_scene.test.cameras
    assert torch.equal(again.renderer(cameras).rgba, scene_run.renderer(cameras).rgba)


def test_empty_space_is_empty(scene_run: Run, small_scene: Dataset) -> None:
    """Where all test images are transparent, the occupancy grid let rays pass."""
    rendering = scene_run.renderer(small_scene.test.cameras)
    empty = small_scene.test.images[..., 3] == 0
    assert rendering.opacity[empty].mean() < 0.03
    assert scene_run.model.occupancy.occupied.float().mean() < 0.5


def test_depth_is_near_the_truth(scene_run: Run, small_scene: Dataset) -> None:
    rendering = scene_run.renderer(small_scene.test.cameras)
    truth = small_scene.test.depths
    assert truth is not None
    solid = (small_scene.test.images[..., 3] == 1) & (truth > 0)
    assert (rendering.depth - truth)[solid].abs().median() < 0.1


@pytest.mark.fit
def test_the_image_is_differentiable_in_the_pose(scene_run: Run, small_scene: Dataset) -> None:
    """As finite differences say, once bins are so short that their places hardly matter."""
    model = copy.deepcopy(scene_run.model)
    model.occupancy.update(lambda points: torch.ones(len(points)), 1.0, torch.Generator(), True)
    model.options = dataclasses.replace(model.options, stop_optical_depth=1e9, step_size=0.0014)
    cameras = small_scene.test.cameras.select(slice(0, 1))
    wanted = small_scene.test.images[:1]

    def loss(tangent: torch.Tensor) -> torch.Tensor:
        moved = cameras.with_poses(compose(se3_exp(tangent), cameras.world_from_camera))
        return (scene_run.method.render(model, moved).rgba - wanted).square().mean((1, 2, 3))

    tangent = torch.zeros(1, 6, requires_grad=True)
    loss(tangent).sum().backward()
    assert tangent.grad is not None
    with torch.no_grad():
        steps = 1e-3 * torch.eye(6)[:, None]
        numeric = torch.stack([loss(step) - loss(-step) for step in steps], dim=1) / 2e-3
    assert (numeric - tangent.grad).norm() < 0.15 * numeric.norm()


def test_the_cube_holds_a_ball_that_is_given(small_scene: Dataset) -> None:
    views = dataclasses.replace(small_scene.train, ball=torch.tensor([1.0, 2.0, 3.0, 0.5]))
    cube = TINY.build(views, torch.Generator())
    edge = cube.ball.to_unit(torch.tensor([[1.5, 2.0, 2.5]]))
    torch.testing.assert_close(cube.to_unit(edge), torch.tensor([[1.0, 0.5, 0.0]]))
    assert cube.ball.radius > 0.5
    wide = dataclasses.replace(TINY, half_width=8.0).build(views, torch.Generator())
    assert wide.ball.radius == 0.5


def test_a_wide_scene_looks_the_same_by_disparities(
    scene_run: Run, small_scene: Dataset
) -> None:
    """Bins that do not grow yet: colours as before, and depths where surfaces are opaque."""
    model = copy.deepcopy(scene_run.model)
    cameras = small_scene.test.cameras.select(slice(0, 2))
    model.options = dataclasses.replace(model.options, near=0.1)
    plain = scene_run.method.render(model, cameras)
    model.options = dataclasses.replace(model.options, growth=1e-6)
    wide = scene_run.method.render(model, cameras)
    torch.testing.assert_close(wide.rgba, plain.rgba, atol=2e-3, rtol=0)
    solid = plain.opacity > 0.99
    assert solid.any()
    # A harmonic mean is below the arithmetic one: little, where light is from one place.
    nearer = (plain.depth - wide.depth)[solid]
    assert nearer.min() > -1e-3
    assert nearer.median() < 0.02


def test_a_first_bin_may_begin_behind_the_camera(scene_run: Run, small_scene: Dataset) -> None:
    """Cameras inside the scene, and bins many times as long as what they skip."""
    model = copy.deepcopy(scene_run.model)
    model.occupancy.update(lambda points: torch.ones(len(points)), 1.0, torch.Generator(), True)
    cameras = small_scene.test.cameras.select(slice(0, 1))
    poses = cameras.world_from_camera.clone()
    poses[:, :, 3] = model.ball.center
    model.options = dataclasses.replace(model.options, near=1e-4, growth=1e-6)
    seen = scene_run.method.render(model, cameras.with_poses(poses))
    assert seen.opacity.max() > 0.5
    assert seen.rgba.isfinite().all()
    assert float(seen.rgba.min()) >= 0
    assert seen.depth.isfinite().all()
    assert float(seen.depth.min()) >= 0


def test_samples_follow_their_budget(small_scene: Dataset) -> None:
    generator = torch.Generator().manual_seed(0)
    method = dataclasses.replace(TINY, samples=1 << 15)
    model = method.build(small_scene.train, generator)

    def num_rays() -> float:
        for step in range(5):
            method.losses(model, small_scene.train, Progress(step, 0.0), generator)
        return method.samples / float(model.samples_a_ray)

    full = num_rays()
    model.occupancy.update(
        lambda points: 1e3 * (points[:, 0].abs() < 0.1).float(), 0.015, generator, True
    )
    assert num_rays() > 3 * full


@pytest.mark.fit
def test_rgb_on_white_is_learnt_over_white(small_scene: Dataset, tmp_path: Path) -> None:
    def on_white(views):
        return dataclasses.replace(
            views, images=views.over(torch.ones(3)), background=torch.ones(3)
        )

    scene = Dataset("white", on_white(small_scene.train), on_white(small_scene.test))
    options = FitOptions(steps=200, device="cpu")
    opened = fit_to(TINY, scene, options, out=tmp_path / "run", progress=False)
    assert evaluate_images(opened.renderer, scene.test).scores.mean_psnr > 14
    assert opened.view_ranges["background"] == [1, 1, 1]


def test_a_finished_run_stays_as_it_is(small_scene: Dataset, tmp_path: Path) -> None:
    def run(steps: int) -> dict[str, torch.Tensor]:
        options = FitOptions(steps=steps, device="cpu")
        out = tmp_path / "run"
        if out.exists():
            record = RunFolder.open(out)
            again = fit_to(TINY, small_scene, options, record=record, progress=False)
        else:
            again = fit_to(TINY, small_scene, options, out=out, progress=False)
        kept = Run.open(out, "cpu").model.state_dict()
        assert all(torch.equal(kept[k], v) for k, v in again.model.state_dict().items())
        return kept

    first, second, longer = run(20), run(20), run(25)
    assert all(torch.equal(first[name], value) for name, value in second.items())
    assert not torch.equal(first["field.table"], longer["field.table"])


def test_resume_is_bit_identical(small_scene: Dataset, tmp_path: Path) -> None:
    options = FitOptions(steps=40, device="cpu", checkpoint_every=23)

    def run(name: str, resume: bool = False) -> dict[str, torch.Tensor]:
        path = tmp_path / name
        if resume:
            record = RunFolder.open(path)
            opened = fit_to(TINY, small_scene, options, record=record, progress=False)
        else:
            opened = fit_to(TINY, small_scene, options, out=path, progress=False)
        return opened.model.state_dict()

    whole = run("whole")
    run("parts")
    # As if it had been killed after its first checkpoint.
    for checkpoint in RunFolder.open(tmp_path / "parts").checkpoints()[1:]:
        shutil.rmtree(checkpoint)
    assert RunFolder.open(tmp_path / "parts").load().state["step"] == 23
    parts = run("parts", resume=True)
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    assert TINY.schedule(Progress(0, 0.0)) < 0.05
    assert TINY.schedule(Progress(500, 0.5)) == 1
    assert TINY.schedule(Progress(900, 0.9)) == pytest.approx(0.2)
    assert TINY.schedule(Progress(1000, 1.0)) == 0


def test_the_error_is_the_mean_over_all_backgrounds(small_scene: Dataset) -> None:
    """A model that says nothing is wrong by what the images show over random colours."""
    generator = torch.Generator().manual_seed(0)
    method = dataclasses.replace(TINY, samples=1 << 23)
    model = method.build(small_scene.train, generator)
    model.occupancy.update(lambda points: torch.zeros(len(points)), 1.0, generator, True)
    losses = method.losses(model, small_scene.train, Progress(0, 0.0), generator)
    color, opacity = small_scene.train.images.split([3, 1], dim=-1)
    backgrounds = torch.rand(8, *color.shape, generator=generator)
    expected = (color - opacity * backgrounds).square().mean()
    assert float(losses["color"].detach()) == pytest.approx(float(expected), rel=0.03)
