"""Models of novel views: they learn, a flow samples, and both say what they cannot take."""

import dataclasses
from pathlib import Path

import pytest
import torch

from unrender.data.view_sets.objects import ObjectStream
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.view_sets import score_view_sets, split
from unrender.geometry.cameras import Cameras
from unrender.methods.view_flow import ViewFlow
from unrender.methods.view_regression import ViewRegression
from unrender.training.data_kinds.view_sets import VIEW_SETS, ViewSetDataset, ViewSetOptions
from unrender.training.fit import train
from unrender.training.method import Fitted
from unrender.training.options import FitOptions
from unrender.training.run_folder import RunFolder

SIZE = 16
OPTIONS = ViewSetOptions(SIZE, "car", 16, 0, 6)
SMALL = {"width": 48, "heads": 3, "depth": 2, "encoder_depth": 1, "batch": 8, "warm_up": 10}
REGRESSION = ViewRegression(**SMALL, average_decay=0.9)
FLOW = ViewFlow(**SMALL, average_decay=0.9, image_steps=8)


@pytest.fixture(scope="module")
def objects() -> ViewSetDataset:
    data = VIEW_SETS.read("objects", OPTIONS)
    assert isinstance(data.train, ObjectStream)
    return data


@pytest.fixture(scope="module")
def regression(objects: ViewSetDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a short fit."""
    folder = tmp_path_factory.mktemp("runs") / "regression"
    record = RunFolder.create(folder, {})
    train(REGRESSION, objects.train, FitOptions(steps=80, device="cpu"), record, show=False)
    return folder


def fitted(folder: Path) -> Fitted:
    return Fitted(REGRESSION, REGRESSION.restore(RunFolder.open(folder).load().model))


def one(objects: ViewSetDataset) -> tuple[Views, Cameras]:
    batch = objects.train.draw(1, 6, 0, torch.Generator().manual_seed(0))
    return split(batch, 0, 2)


def test_a_regression_beats_the_copied_input(objects: ViewSetDataset, regression: Path) -> None:
    assert isinstance(objects.train, ObjectStream)
    scores = score_view_sets(fitted(regression).novel_views, objects.train.held_out(12))
    assert scores["psnr"] > scores["copy_psnr"] + 0.5
    assert scores["sharpness"] < 0.9


def test_units_and_place_of_the_object_do_not_matter(
    objects: ViewSetDataset, regression: Path
) -> None:
    views, cameras = one(objects)
    model, generator = fitted(regression), torch.Generator()
    expected = model.novel_views(views, cameras, generator)
    move = torch.tensor([1.0, -2.0, 0.5])

    def changed(each: Cameras) -> Cameras:
        pose = each.world_from_camera
        return each.with_poses(
            torch.cat([pose[..., :3], 3 * pose[..., 3:] + move[:, None]], dim=-1)
        )

    ball = torch.cat([move, torch.tensor([1.5])])
    other = dataclasses.replace(views, cameras=changed(views.cameras), ball=ball)
    found = model.novel_views(other, changed(cameras), generator)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_a_flow_begins_with_a_regression_and_samples(
    objects: ViewSetDataset, regression: Path
) -> None:
    method = dataclasses.replace(FLOW, weights=str(regression))
    model = method.build(objects.train, torch.Generator().manual_seed(0))
    views, cameras = one(objects)
    # Before its first step its estimate is the regression's, whatever the noise.
    expected = fitted(regression).novel_views(views, cameras, torch.Generator())
    same = dataclasses.replace(method, guidance=1.0)
    plain = same.novel_views(model, views, cameras, torch.Generator())
    torch.testing.assert_close(plain, expected, rtol=1e-3, atol=2e-3)
    record = RunFolder.create(regression.parent / "flow", {})
    model, _ = train(
        method, objects.train, FitOptions(steps=20, device="cpu"), record, show=False
    )
    samples = [
        method.novel_views(model, views, cameras, torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    ]
    assert not torch.equal(samples[0], samples[1])
    # A sample is one for all cameras: the same camera sees the same.
    twice = cameras.select(torch.tensor([1, 1]))
    pair = method.novel_views(model, views, twice, torch.Generator().manual_seed(0))
    torch.testing.assert_close(pair[0], pair[1])
    alpha = samples[0][..., 3:]
    assert bool((samples[0][..., :3] <= alpha + 1e-6).all())
    # A resumed run is the same model.
    again = method.restore(model.state_dict())
    torch.testing.assert_close(
        method.novel_views(again, views, cameras, torch.Generator().manual_seed(0)), samples[0]
    )


def test_a_flow_of_other_sizes_is_refused(objects: ViewSetDataset, regression: Path) -> None:
    method = dataclasses.replace(FLOW, weights=str(regression), width=24)
    with pytest.raises(InputError, match="other sizes"):
        method.build(objects.train, torch.Generator())


def test_what_cannot_be_taken_is_told(objects: ViewSetDataset, regression: Path) -> None:
    views, cameras = one(objects)
    model = fitted(regression)
    with pytest.raises(InputError, match="square"):
        model.novel_views(views, cameras.resized(16, 8), torch.Generator())
    with pytest.raises(InputError, match="no flow"):
        model.method.denoiser(model.model, views, cameras, 1.0)
    with pytest.raises(InputError, match="patch 7"):
        ViewRegression(patch=7).build(objects.train, torch.Generator())
    with pytest.raises(InputError, match="multiple of 40"):
        ViewRegression(width=100)
    at = views.cameras.world_from_camera.clone()
    at[0, :, 3] = 0
    inside = dataclasses.replace(views, cameras=views.cameras.with_poses(at))
    with pytest.raises(InputError, match="center of the object"):
        model.novel_views(inside, cameras, torch.Generator())
