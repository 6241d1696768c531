"""Scenes distilled from models of novel views: what they learn, and how they are kept."""

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from view_models import FakeFlow, FakeViews, Oracle, OracleFlow, fitted

import unrender as ur
from unrender.data.builtin import render_scene
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image
from unrender.methods import distilled
from unrender.methods.distilled import Distilled, DistilledModel
from unrender.training.data_kinds.few_views import (
    FEW_VIEWS,
    FewViews,
    FewViewsOptions,
    cameras_around,
)
from unrender.training.method import Progress
from unrender.training.run_folder import RunFolder

SIZE = 16
SMALL = {"around": 8}


def cameras(count: int, seed: int) -> Cameras:
    poses = spherical_shell(count, (4.0, 4.0), torch.Generator().manual_seed(seed), (0.1, 1.0))
    return Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE)


@pytest.fixture(scope="module")
def chair() -> Dataset:
    """Two inputs, and six held-out views."""
    parts = (render_scene("chair", cameras(*each), 2) for each in ((2, 0), (6, 1)))
    return Dataset("chair", *parts)


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of novel views sees the chair as it is."""
    use(monkeypatch, Oracle(side=SIZE))


def use(monkeypatch: pytest.MonkeyPatch, method: FakeViews) -> None:
    monkeypatch.setattr(
        distilled, "open_view_model", lambda folder, kind, device: fitted(method)
    )


def fit(data: object, steps: int = 100, **options: Any) -> ur.Run:
    return ur.fit("distilled", data, steps=steps, progress=False, **{**SMALL, **options})


@pytest.mark.fit
def test_generated_views_help(chair: Dataset, oracle: None) -> None:
    """Against the same field with the same steps on the inputs alone."""
    with_views = fit(chair, around=24).evaluate().psnr
    alone = fit(chair, input_share=1.0, last_input_share=1.0).evaluate().psnr
    assert with_views > alone + 3


@pytest.mark.fit
def test_score_distillation_helps(chair: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, OracleFlow(side=SIZE))
    options = {"guidance_mode": "sds", "batch": 2, "around": 12}
    alone = fit(chair, 50, **options, score_weight=0.0).evaluate().psnr
    for mode in ("sds", "sjc"):
        guided = fit(chair, 50, **{**options, "guidance_mode": mode}, score_weight=1.0)
        assert guided.evaluate().psnr > alone + 1.5
        assert {"score", "normals", "orientation"} <= set(guided.metrics[-1])


@pytest.mark.fit
def test_a_run_is_one_like_any_other(chair: Dataset, oracle: None, tmp_path: Path) -> None:
    """It opens, renders the same, keeps the generated views, and makes a mesh."""
    run = fit(chair, 100, out=tmp_path / "run", around=24)
    again = ur.open(tmp_path / "run")
    assert again.preset == "distilled"
    assert torch.equal(again.model.images, run.model.images)
    assert len(again.model.generated) == 24
    view = chair.test.cameras[:1]
    assert torch.equal(
        again.render(view, progress=False).rgba, run.render(view, progress=False).rgba
    )
    assert len(again.cameras) == len(chair.train) + 24
    turning = again.render(ur.turntable(6), size=8, progress=False)
    azimuths = torch.atan2(*turning.cameras.centers[:, :2].T)
    assert len(azimuths.round(decimals=2).unique()) == 6
    assert len(again.mesh(voxels=24, progress=False).faces) > 50


def test_a_few_views_of_a_film_are_taken_as_of_one_moment(
    chair: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    """Cameras around the object have no times."""
    moving = Dataset("film", *(at_times(views) for views in (chair.train, chair.test)))
    found = FEW_VIEWS.read(moving, FewViewsOptions(inputs=1))
    assert found.train.cameras.times is None
    assert found.test.cameras.times is None
    assert "its times are not used" in caplog.text
    around = FEW_VIEWS.training(found).targets
    assert len(FEW_VIEWS.describe(found).cameras) == 1 + len(around)


def at_times(views: Views) -> Views:
    cameras = views.cameras.at_times(torch.arange(float(len(views))))
    return dataclasses.replace(views, cameras=cameras)


@pytest.mark.fit
@pytest.mark.parametrize("mode", ["generated", "sds"])
def test_resumes_bit_by_bit(
    chair: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    """Without generating again: views and anchors are those of the first session."""
    use(monkeypatch, OracleFlow(side=SIZE))
    source, folder = tmp_path / "chair.npz", tmp_path / "run"
    chair.train.save(source)
    options = {"guidance_mode": mode, "batch": 2, "anchoring": "paper", "hold_out": 0}
    whole = fit(source, 12, checkpoint_every=7, out=folder, **options)
    # As if it had been killed after its first checkpoint.
    for checkpoint in RunFolder.open(folder).checkpoints()[1:]:
        shutil.rmtree(checkpoint)
    CALLS.clear()
    use(monkeypatch, Counted(side=SIZE))
    resumed = ur.open(folder).resume(progress=False)
    assert resumed.steps == 12
    assert not CALLS
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


CALLS: list[int] = []


class Counted(OracleFlow):
    """It may not be asked for views."""

    def novel_views(self, model, inputs, targets, generator):  # type: ignore[no-untyped-def]
        CALLS.append(len(targets))
        return super().novel_views(model, inputs, targets, generator)


def test_seeds_generate_other_views(chair: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeFlow(side=SIZE))
    images = [fit(chair, 1, seed=seed).model.images for seed in (0, 0, 1)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_anchors_are_sampled_first(chair: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, OracleFlow(side=SIZE))
    options = {"guidance_mode": "sds", "batch": 1, "normal_weight": 0.0, "orientation": 0.0}
    run = fit(chair, 1, anchoring="paper", **options)
    found = run.model.generated
    assert len(found) == 2
    first = chair.train.cameras.centers[0]
    for k, azimuth in enumerate((120, 240)):
        turn = math.radians(azimuth)
        x, y, z = first.tolist()
        there = [
            x * math.cos(turn) - y * math.sin(turn),
            x * math.sin(turn) + y * math.cos(turn),
            z,
        ]
        place = found.cameras.centers[k]
        torch.testing.assert_close(place, torch.tensor(there), rtol=0, atol=0.05)
    assert len(fit(chair, 1, anchoring="off", **options).model.generated) == 0


@pytest.mark.fit
def test_any_radiance_field_is_distilled_into(chair: Dataset, oracle: None) -> None:
    run = fit(chair, 5, field="nerf-fast")
    assert run.render(chair.test.cameras[:1], progress=False).color.shape == (1, SIZE, SIZE, 3)
    with pytest.raises(InputError, match="is no radiance field"):
        fit(chair, 1, field="sit")
    with pytest.raises(InputError, match="is not a method"):
        fit(chair, 1, field="hash-gird")
    with pytest.raises(InputError, match="no density field"):
        Distilled(field="mip-nerf-fast").density_at(
            Distilled(field="mip-nerf-fast").build(few(chair), torch.Generator()),
            torch.zeros(1, 3),
        )


def few(data: Dataset) -> FewViews:
    return FewViews(data.train, cameras_around(data.train, 8))


def test_the_field_is_about_the_object_of_a_single_input(chair: Dataset) -> None:
    """One camera alone does not say how far away the object is."""
    one = dataclasses.replace(chair, train=chair.train[:1])
    model = Distilled().build(few(one), torch.Generator())
    assert model.field.ball.center.norm() < 0.05
    assert 1 < float(model.field.ball.radius) < 2.5


def test_memory_that_does_not_suffice_is_halved() -> None:
    method = Distilled()
    smaller = method.smaller()
    assert isinstance(smaller, Distilled)
    assert smaller.batch == method.batch // 2 == 1
    assert smaller.inner.samples == method.inner.samples // 2
    while smaller is not None:
        last, smaller = smaller, smaller.smaller()
    assert last.batch == 1


def test_a_view_model_is_needed(chair: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        fit(chair, 1, view_model=str(tmp_path / "none"))
    ur.fit("box", chair, steps=1, out=tmp_path / "box", progress=False)
    with pytest.raises(InputError, match="makes no views of scenes"):
        fit(chair, 1, view_model=str(tmp_path / "box"))


def test_a_regression_is_no_flow(chair: Dataset, oracle: None, tmp_path: Path) -> None:
    """And nothing is left of the fit."""
    with pytest.raises(InputError, match="no flow"):
        fit(chair, 1, guidance_mode="sds", batch=1, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_photograph_becomes_a_scene(chair: Dataset, oracle: None, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    write_image(path, unpremultiply(render_scene("chair", cameras(1, 5), 2).images[0]))
    run = fit(str(path), 5, elevation=30.0, out=tmp_path / "run")
    assert len(run.model.generated) == 8
    again = ur.open(tmp_path / "run")
    assert again.source == str(path)
    around = again.render(ur.turntable(4), size=8, progress=False).cameras.centers
    # A whole turn, at the elevation and distance of the photograph.
    assert around[:, :2].norm(dim=1).min() > 0.5 * around.norm(dim=1).max()
    resumed = again.resume(steps=7, progress=False)
    assert resumed.steps == 7
    with pytest.raises(InputError, match="no held-out views"):
        run.evaluate()


def test_noise_is_between_its_bounds() -> None:
    with pytest.raises(InputError, match="least_noise"):
        Distilled(least_noise=0.6, last_noise=0.4)


def test_views_that_were_generated_elsewhere(chair: Dataset) -> None:
    method, given = Distilled(), render_scene("chair", cameras(4, 3))
    data = dataclasses.replace(few(chair), generated=Views(given.cameras, given.images))
    model = method.build(data, torch.Generator())
    prepared = method.prepare(model, data)
    assert isinstance(model, DistilledModel)
    assert torch.equal(model.images, given.images)
    losses = method.losses(model, prepared, Progress(0, 0.0), torch.Generator())
    assert losses["color"].isfinite()
