"""Novel views of photographs and of scenes, with view models that learned nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from view_models import FakeFlow, FakeViews, Oracle, fitted

import unrender as ur
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image
from unrender.methods.presets import view_models
from unrender.notes import collected, silenced
from unrender.training.method import Fitted

FAKE, ORACLE, FLOW = fitted(FakeViews()), fitted(Oracle()), fitted(FakeFlow())


def made(source: Any, cameras: Any = None, run: Fitted[Any] = FAKE, **options: Any):
    with silenced():
        return ur.novel_views(source, cameras, run=run, progress=False, **options)


@pytest.fixture(scope="module")
def photo(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "chair.png"
    write_image(path, unpremultiply(small_scene.train.images[0]))
    return path


def test_a_turntable_of_a_photograph(photo: Path) -> None:
    found = made(photo, ur.turntable(6))
    assert repr(found) == "NovelViews(6 × 16×16 RGBA, from 1 input)"
    assert found.scores == {}
    # What is seen from where the photograph was taken is the photograph.
    assert torch.allclose(found.views.images[0], found.inputs.images[0], atol=1e-6)
    ball = found.views.ball
    assert ball is not None
    distances = found.cameras.centers.norm(dim=1)
    assert torch.allclose(distances, distances[0].expand(6), rtol=1e-5)


def test_a_photograph_is_a_turntable_by_default(photo: Path) -> None:
    assert len(made(photo)) == 60


def test_several_photographs_are_placed_around(photo: Path) -> None:
    found = made([photo, photo], ur.turntable(4), azimuth=(0, 90), neighbors=1)
    assert len(found.inputs) == 2
    with pytest.raises(InputError, match="say from where"):
        made([photo, photo])


def test_tensors_are_photographs(small_scene: Dataset) -> None:
    image = small_scene.train.images[0]
    assert len(made(image, ur.turntable(2))) == 2
    assert len(made(small_scene.train.images[:2], ur.turntable(2), azimuth=(0, 9))) == 2


def test_held_out_views_are_scored_beside_baselines(small_scene: Dataset) -> None:
    found = made(small_scene, run=ORACLE)
    assert len(found) == len(small_scene.test)
    assert list(found.scores) == ["this model", "nearest input", "mean of the inputs"]
    psnr = {name: scores.psnr for name, scores in found.scores.items()}
    # It renders 16 pixels with 4 rays each, and the truth is averaged from 32.
    assert psnr["this model"] > 25
    assert max(psnr["nearest input"], psnr["mean of the inputs"]) < 22
    assert found.scores["this model"].lpips is None


def test_copying_is_the_baseline_of_the_nearest(small_scene: Dataset) -> None:
    found = made(small_scene, neighbors=1)
    assert found.scores["this model"].psnr == found.scores["nearest input"].psnr
    every = made(small_scene, inputs="all")
    assert every.scores["this model"].psnr == pytest.approx(
        every.scores["mean of the inputs"].psnr, abs=1e-4
    )


def test_fewer_inputs_are_among_more_and_the_center_stays(small_scene: Dataset) -> None:
    few, more = (made(small_scene, count=count) for count in (3, 10))
    assert (len(few.inputs), len(more.inputs)) == (3, 10)
    centers = {tuple(each) for each in more.inputs.cameras.centers.tolist()}
    assert {tuple(each) for each in few.inputs.cameras.centers.tolist()} < centers
    assert torch.equal(few.inputs.ball, more.inputs.ball)
    with pytest.raises(InputError, match="--count 31: small has 30 views"):
        made(small_scene, count=31)


@pytest.mark.fit
def test_a_fitted_scene_warps_inputs(small_scene: Dataset, scene_run: ur.Run) -> None:
    found = made(small_scene, run=ORACLE, scene=scene_run)
    psnr = {name: scores.psnr for name, scores in found.scores.items()}
    assert psnr["inputs warped by its depth"] > psnr["nearest input"]


def test_a_scene_from_other_cameras_is_not_scored(small_scene: Dataset) -> None:
    found = made(small_scene, ur.turntable(3))
    assert found.scores == {}
    assert len(found) == 3
    camera = ur.Cameras.look_at((4, 0, 1), size=(64, 48))
    assert made(small_scene, camera).cameras.sizes.one == (16, 16)


def test_samples_of_a_flow_differ_and_the_seed_decides(small_scene: Dataset) -> None:
    found = made(small_scene, run=FLOW, samples=3, seed=5)
    assert len(found.samples) == 3
    assert not torch.equal(found.samples[0].images, found.samples[1].images)
    later = made(small_scene, run=FLOW, samples=1, seed=6)
    assert torch.equal(later.views.images, found.samples[1].images)
    assert found.scores["best of 3 samples"].psnr >= found.scores["this model"].psnr


def test_options_of_a_flow_reach_it(small_scene: Dataset) -> None:
    seen: list[Any] = []

    class Watched(FakeFlow):
        def novel_views(self, model, inputs, targets, generator):
            seen.append((self.guidance, self.image_steps))
            return super().novel_views(model, inputs, targets, generator)

    made(small_scene, run=fitted(Watched()), guidance=2.5, steps=7)
    assert set(seen) == {(2.5, 7)}
    with pytest.raises(InputError, match="guidance -1"):
        made(small_scene, run=FLOW, guidance=-1.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"guidance": 3.0}, "--guidance: is an option of flows"),
        ({"steps": 3}, "--steps: is an option of flows"),
        ({"samples": 2}, "--samples 2: a regression makes one"),
        ({"samples": 0}, "--samples 0"),
        ({"size": 0}, "--size 0"),
        ({"neighbors": 0}, "0 of 30 inputs"),
        ({"count": 0}, "--count 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(small_scene, options, told) -> None:
    with pytest.raises(InputError, match=told):
        made(small_scene, **options)


def test_a_camera_inside_the_object_is_refused(photo: Path) -> None:
    inside = ur.Cameras.look_at([(3, 0, 1), (0.1, 0, 0.1)])
    with pytest.raises(InputError, match="camera 1: is inside the object"):
        made(photo, inside)


def test_cameras_may_be_anywhere_in_a_place(small_scene: Dataset) -> None:
    """Where views have their background, there is no object to be inside of."""
    near = ur.Cameras.look_at((0.1, 0, 0.1), size=(32, 32))
    with pytest.raises(InputError, match="inside the object"):
        made(small_scene, near)
    opaque = small_scene.train.images.clone()
    opaque[..., 3] = 1
    assert len(made(Views(small_scene.train.cameras, opaque), near)) == 1


def test_a_scene_without_held_out_views_needs_cameras(small_scene: Dataset) -> None:
    with pytest.raises(InputError, match="no held-out views"):
        made(small_scene.train)
    assert len(made(small_scene.train, ur.turntable(2))) == 2


def test_runs_of_other_methods_are_refused(photo: Path, scene_run: ur.Run) -> None:
    with pytest.raises(InputError, match="makes no views of scenes"):
        made(photo, run=scene_run.fitted)
    with pytest.raises(InputError, match="not a run folder"), silenced():
        ur.novel_views(photo, run="nowhere", progress=False)


def test_the_package_has_the_default_model(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def shipped(kind: str) -> Fitted[Any]:
        asked.append(kind)
        return FLOW

    monkeypatch.setattr(view_models, "shipped", shipped)
    for kind in ("regression", "flow"):
        with silenced():
            ur.novel_views(photo, ur.turntable(1), model=kind, progress=False)
    assert asked == ["regression", "flow"]


def test_images_with_a_background_and_oblong_ones_are_said(small_scene: Dataset) -> None:
    views = small_scene.train
    opaque = views.images.clone()
    opaque[..., 3] = 1
    cameras = ur.Cameras(views.cameras.world_from_camera, views.cameras.intrinsics, 32, 24)
    with collected() as notes:
        ur.novel_views(
            Views(cameras, opaque[:, :24]), ur.turntable(1), run=FAKE, progress=False
        )
    assert any("squares in their middle" in each for each in notes)
    assert any("--masks" in each for each in notes)


@pytest.mark.parametrize("name", ["film.gif", "film.webp", "sheet.png", "sheet.jpg"])
def test_films_and_sheets(photo: Path, tmp_path: Path, name: str) -> None:
    made(photo, ur.turntable(5), ORACLE).save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert getattr(image, "n_frames", 1) == (5 if name.startswith("film") else 1)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_samples_stand_side_by_side(small_scene: Dataset, tmp_path: Path) -> None:
    found = made(small_scene, run=FLOW, samples=3)
    assert found.frames().shape == (6, 16, 48, 3)
    with pytest.raises(InputError, match="holds one sample"):
        found.save(tmp_path / "views.npz")
    found.save(tmp_path / "views")
    assert sorted(each.name for each in (tmp_path / "views").iterdir()) == [
        f"sample_{k}" for k in range(3)
    ]


@pytest.mark.parametrize("name", ["views", "views.npz"])
def test_images_are_kept_with_their_cameras(photo: Path, tmp_path: Path, name: str) -> None:
    found = made(photo, ur.turntable(5), size=24)
    found.save(tmp_path / name)
    again = ur.load(tmp_path / name, hold_out=0).train
    assert torch.allclose(
        again.cameras.world_from_camera, found.cameras.world_from_camera, atol=1e-5
    )
    assert torch.allclose(again.images, found.views.images, atol=2 / 255)
    assert again.images.shape == (5, 24, 24, 4)


def test_other_endings_and_existing_folders_are_refused(photo: Path, tmp_path: Path) -> None:
    found = made(photo, ur.turntable(1))
    with pytest.raises(InputError, match="change the ending"):
        found.save(tmp_path / "views.txt")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        found.save(tmp_path / "there")
