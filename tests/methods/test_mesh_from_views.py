"""A mesh by silhouettes and colours alone."""

import dataclasses
import math
import shutil
from pathlib import Path

import pytest
import torch

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.builtin import render_scene
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.renders import evaluate_images
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.methods.mesh_from_views import MeshFromViews
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.training.fit import FitOptions
from unrender.training.method import Fitted
from unrender.training.run_folder import RunFolder

TINY = MeshFromViews(level=2, views=2, learning_rate=0.2, color_learning_rate=0.1)


def hotdogs(count: int, seed: int) -> Views:
    generator = torch.Generator().manual_seed(seed)
    poses = spherical_shell(count, (4.0, 4.0), generator, (0.1, 1.2))
    return render_scene("hotdog", Cameras.from_focal(poses, 56.0, 40, 40), 2)


@pytest.fixture(scope="module")
def scene() -> Dataset:
    return Dataset("hotdog", hotdogs(12, 0), hotdogs(4, 1))


@pytest.fixture(scope="module")
def fitted(scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "mesh"
    options = FitOptions(steps=60, device="cpu")
    return fit_to(TINY, scene, options, out=out, progress=False)


def overlap(opened: Run, views: Views) -> float:
    drawn = evaluate_images(opened.renderer, views).renderings
    mask = torch.cat([each.opacity for each in drawn]) > 0.5
    true = views.rgba[..., 3] > 0.5
    return float(((mask & true).sum((1, 2)) / (mask | true).sum((1, 2))).mean())


def test_silhouettes_of_views_it_never_saw(fitted: Run, scene: Dataset) -> None:
    assert overlap(fitted, scene.test) > 0.85


def test_the_figure_can_fail(fitted: Run, scene: Dataset) -> None:
    model = TINY.build(scene.train, torch.Generator())
    assert overlap(dataclasses.replace(fitted, fitted=Fitted(TINY, model)), scene.test) < 0.7


def test_the_mesh_is_closed_and_coloured(fitted: Run) -> None:
    mesh = fitted.shape()
    assert isinstance(mesh, Mesh)
    assert is_watertight(mesh.faces)
    assert mesh.texture is not None


def test_restores_without_its_views(fitted: Run, scene: Dataset) -> None:
    assert fitted.path is not None
    again = Run.open(fitted.path, "cpu")
    cameras = scene.test.cameras
    assert torch.equal(again.renderer(cameras).rgba, fitted.renderer(cameras).rgba)


def test_goes_on_as_if_it_had_not_stopped(scene: Dataset, tmp_path: Path) -> None:
    def fit(out: Path, resume: bool = False) -> Run:
        options = FitOptions(steps=10, device="cpu", checkpoint_every=5)
        if resume:
            record = RunFolder.open(out)
            return fit_to(TINY, scene, options, record=record, progress=False)
        return fit_to(TINY, scene, options, out=out, progress=False)

    once = fit(tmp_path / "once")
    fit(tmp_path / "twice")
    shutil.rmtree(sorted((tmp_path / "twice/checkpoints").iterdir())[-1])
    twice = fit(tmp_path / "twice", resume=True)
    for name, tensor in once.model.state_dict().items():
        assert torch.equal(tensor, twice.model.state_dict()[name]), name


def test_views_on_a_plain_background_are_cut_out(scene: Dataset) -> None:
    white = torch.ones(3)
    plain = dataclasses.replace(scene.train, images=scene.train.over(white), background=white)
    model = TINY.build(plain, torch.Generator().manual_seed(0))
    prepared = TINY.prepare(model, plain)
    assert float((prepared.images[..., 3] - scene.train.images[..., 3]).abs().mean()) < 0.05


def test_views_without_silhouettes_are_refused(scene: Dataset) -> None:
    opaque = dataclasses.replace(
        scene.train, images=scene.train.images[..., :3], background=None
    )
    with pytest.raises(InputError, match="masks"):
        TINY.prepare(TINY.build(opaque, torch.Generator()), opaque)


def test_scenes_of_another_unit_are_the_same(scene: Dataset) -> None:
    """Ten times as large, ten times as far."""
    views = scene.train
    poses = views.cameras.world_from_camera.clone()
    poses[:, :, 3] *= 10
    large = dataclasses.replace(views, cameras=views.cameras.with_poses(poses))
    one, other = (TINY.build(each, torch.Generator().manual_seed(0)) for each in (views, large))
    image = TINY.render(one, views.cameras.select(slice(0, 1)))
    again = TINY.render(other, large.cameras.select(slice(0, 1)))
    assert math.isclose(float(image.opacity.sum()), float(again.opacity.sum()), rel_tol=1e-3)
    torch.testing.assert_close(again.depth, 10 * image.depth, rtol=1e-2, atol=0.2)
