"""The front door's fit: in memory or in a folder, resumed, evaluated, and what it refuses."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from unrender.api.data import load
from unrender.api.fit import fit, fit_shape, fit_to
from unrender.api.resume import fit_or_open, resume
from unrender.api.run import Run, open_run
from unrender.data.dataset import Dataset
from unrender.errors import InputError
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.methods.box import Box
from unrender.shapes.components import face_components
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import torus
from unrender.training.fit import FitOptions

pytestmark = pytest.mark.fit

BOX: dict[str, Any] = {"bins": 12, "rays": 32, "log_every": 4, "device": "cpu"}
"""A fit of ten parameters: each step takes a millisecond or so."""
QUICK = RenderAndCompare(coarse_steps=1, fine_steps=1, pixels=4)
SIT: dict[str, Any] = {"width": 32, "depth": 1, "heads": 2, "batch": 8, "device": "cpu"}


def box(data: object, steps: int = 8, **options: Any) -> Run:
    return fit("box", data, steps=steps, progress=False, **{**BOX, **options})


def logged(run: Run) -> list[dict[str, float]]:
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in run.metrics]


def same_model(a: Run, b: Run) -> bool:
    first, second = a.model.state_dict(), b.model.state_dict()
    assert first.keys() == second.keys()
    return all(torch.equal(value, second[name]) for name, value in first.items())


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def interrupt(_model: object, _seconds: float) -> None:
    """Ctrl-C, at a logged step."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def kept(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in a folder."""
    return box(small_scene, out=tmp_path_factory.mktemp("runs") / "box")


@pytest.fixture(scope="module")
def in_memory(small_scene: Dataset) -> Run:
    return box(small_scene)


def test_memory_and_folder_are_bit_identical(kept: Run, in_memory: Run) -> None:
    assert same_model(kept, in_memory)
    assert logged(kept) == logged(in_memory)
    assert [entry["step"] for entry in in_memory.metrics] == [4, 8]
    assert in_memory.path is None
    assert kept.path is not None
    assert kept.steps == in_memory.steps == 8
    assert kept.finished
    assert in_memory.finished
    for part in ("method", "fit", "data", "views"):
        assert kept.config[part] == in_memory.config[part]
    assert {"command", "commit", "versions", "machine"} <= set(in_memory.config)
    a, b = kept.named_cameras(), in_memory.named_cameras()
    assert torch.equal(a.cameras.world_from_camera, b.cameras.world_from_camera)
    assert a.names == b.names


def test_a_saved_run_opens_and_renders_the_same(
    in_memory: Run, small_scene: Dataset, tmp_path: Path
) -> None:
    saved = in_memory.save(tmp_path / "kept")
    assert saved.path == tmp_path / "kept"
    opened = open_run(tmp_path / "kept", device="cpu")
    cameras = small_scene.test.cameras[:2]
    before, after = (run.render(cameras, progress=False) for run in (in_memory, opened))
    assert torch.equal(before.rgba, after.rgba)
    assert torch.equal(before.depth, after.depth)
    assert opened.metrics == in_memory.metrics
    assert (opened.steps, opened.seconds) == (in_memory.steps, in_memory.seconds)
    assert opened.finished
    assert opened.method == in_memory.method
    assert torch.equal(opened.cameras.world_from_camera, in_memory.cameras.world_from_camera)
    with pytest.raises(InputError, match="exists already"):
        in_memory.save(tmp_path / "kept")


def test_a_folder_is_copied_by_saving_it_elsewhere(kept: Run, tmp_path: Path) -> None:
    copy = kept.save(tmp_path / "copy")
    assert same_model(Run.open(tmp_path / "copy", "cpu"), kept)
    assert copy.config == kept.config
    # It has all that is needed to continue.
    longer, other = (run.resume(steps=10, progress=False) for run in (copy, box_again(kept)))
    assert same_model(longer, other)


def box_again(kept: Run) -> Run:
    """The same fit, in memory."""
    return box(kept.data)


def test_an_interrupted_fit_continues_as_if_it_had_not_stopped(
    in_memory: Run, small_scene: Dataset, tmp_path: Path
) -> None:
    for out in (None, tmp_path / "run"):
        half = box(small_scene, out=out, watch=interrupt)
        assert half.steps == 4
        assert not half.finished
        assert "not finished" in repr(half)
        whole = half.resume(progress=False)
        assert whole.finished
        assert same_model(whole, in_memory)
        assert logged(whole) == logged(in_memory)


def test_a_run_saved_halfway_continues_in_its_folder(
    in_memory: Run, small_scene: Dataset, tmp_path: Path
) -> None:
    box(small_scene, watch=interrupt).save(tmp_path / "half")
    opened = Run.open(tmp_path / "half", "cpu")
    assert not opened.finished
    # The data were in memory, so that the folder alone does not have them.
    with pytest.raises(InputError, match="data in memory"):
        opened.resume(progress=False)
    data = dataclasses.replace(opened, data=small_scene)
    assert same_model(data.resume(progress=False), in_memory)
    assert same_model(Run.open(tmp_path / "half", "cpu"), in_memory)


def test_resuming_leaves_a_run_in_memory_as_it_was(small_scene: Dataset) -> None:
    run = box(small_scene)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    first, second = (run.resume(steps=12, progress=False) for _ in range(2))
    assert same_model(first, second)
    assert logged(first) == logged(second)
    assert (run.steps, first.steps) == (8, 12)
    assert [entry["step"] for entry in run.metrics] == [4, 8]
    assert all(torch.equal(before[k], v) for k, v in run.model.state_dict().items())
    assert not same_model(run, first)


def test_a_resumed_folder_reads_its_data_again(scene_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    box(scene_folder, out=out, downscale=2, hold_out=6, watch=interrupt)
    continued = resume(out, progress=False)
    whole = box(scene_folder, downscale=2, hold_out=6)
    assert continued.finished
    assert same_model(continued, whole)
    assert len(continued.load_data().test) == len(whole.load_data().test) == 5


def test_a_run_records_its_preset_its_source_and_its_options(
    scene_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run = fit(
        "box", str(scene_folder), steps=2, seed=3, out=str(out), progress=False,
        device="cpu", bins=9, rays=16, downscale=2, hold_out=6,
    )  # fmt: skip
    config = json.loads((out / "config.json").read_text())
    assert config == run.config
    method = Box(bins=9, rays=16)
    assert run.method == method
    assert config["method"] == {
        "name": "box",
        "preset": "box",
        "options": dataclasses.asdict(method),
    }
    assert config["fit"]["steps"] == 2
    assert config["fit"]["seed"] == 3
    data = config["data"]
    assert data["source"] == str(scene_folder) == run.source
    assert (data["downscale"], data["hold_out"], data["scene"]) == (2, 6, "chair")
    assert (data["train_views"], data["test_views"]) == (25, 5)
    assert (config["views"]["width"], config["views"]["count"]) == (16, 25)
    assert repr(run) == "Run(box on chair, 2 steps)"


def test_a_preset_of_an_old_name_is_recorded_by_its_new_one(small_scene: Dataset) -> None:
    run = fit("instant-ngp-paper", small_scene, steps=1, progress=False, device="cpu",
              levels=2, log2_table_size=8, width=8, samples=64)  # fmt: skip
    assert run.preset == "instant-ngp"
    assert run.config["method"]["name"] == "instant-ngp"
    assert run.config["data"]["source"] is None
    assert run.source is None


def test_a_method_may_be_given_itself(small_scene: Dataset, in_memory: Run) -> None:
    run = fit(
        Box(bins=12), small_scene, steps=8, rays=32, log_every=4, device="cpu", progress=False
    )
    assert run.method == in_memory.method
    assert same_model(run, in_memory)


def test_evaluation_writes_nothing(kept: Run, in_memory: Run) -> None:
    assert kept.path is not None
    before = content(kept.path)
    scores, again = kept.evaluate(), in_memory.evaluate()
    assert scores["psnr"] == again["psnr"]
    assert scores["num_views"] == 6
    assert content(kept.path) == before
    opened = Run.open(kept.path, "cpu")
    with pytest.raises(InputError, match="data in memory"):
        opened.evaluate()
    assert opened.evaluate(kept.data)["psnr"] == scores["psnr"]


def test_other_data_are_read_as_the_fit_read_its_own(scene_folder: Path) -> None:
    run = box(scene_folder, downscale=2, hold_out=6)
    assert run.evaluate()["width"] == 16
    own, by_name, by_path = (
        run.evaluate(data) for data in (None, str(scene_folder), scene_folder)
    )
    for name in ("psnr", "ssim", "width", "num_views"):
        assert own[name] == by_name[name] == by_path[name]
    assert own["num_views"] == 5
    with pytest.raises(InputError, match="no held-out views"):
        run.evaluate(run.load_data().train)


def test_a_watcher_is_told_of_every_logged_step(small_scene: Dataset) -> None:
    seen: list[float] = []
    run = box(small_scene, steps=12, watch=lambda _model, seconds: seen.append(seconds))
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert run.seconds >= seen[-1]


def test_progress_is_shown_and_can_be_silent(
    small_scene: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    box(small_scene)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    fit("box", small_scene, steps=8, **BOX)
    assert "fit box: 100%" in capsys.readouterr().err


def test_what_is_there_is_opened_and_what_is_half_done_continued(
    small_scene: Dataset, in_memory: Run, tmp_path: Path
) -> None:
    method = Box(bins=12, rays=32)
    options = FitOptions(steps=8, log_every=4, device="cpu")
    out = tmp_path / "run"
    fit_to(method, small_scene, options, out=out, progress=False, watch=interrupt)
    run = fit_or_open(method, small_scene, options, out, progress=False)
    assert run.finished
    assert same_model(run, in_memory)
    before = content(out)
    opened = fit_or_open(method, small_scene, options, out, progress=False)
    assert same_model(opened, run)
    assert content(out) == before
    with pytest.raises(InputError, match="other options"):
        fit_or_open(Box(bins=13), small_scene, options, out, progress=False)
    other = Dataset.of_views(small_scene.test)
    with pytest.raises(InputError, match="other data"):
        fit_or_open(method, other, options, out, progress=False)


def test_a_shape_is_fitted_with_its_file_and_film(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = fit_shape(torus(1.0, 0.4, 12, 24), "points", steps=3, out=out, progress=False,
                    points=200, target_points=300, log_every=1, device="cpu")  # fmt: skip
    assert isinstance(run.shape(), PointCloud)
    assert len(run.points()) == 200
    assert (out / "points.ply").stat().st_size > 0
    assert (out / "progress.gif").stat().st_size > 0
    assert run.evaluate()["target"] == "shape"
    with pytest.raises(InputError, match="without a surface"):
        run.mesh()
    with pytest.raises(InputError, match="predicts no shapes"):
        run.predict(torch.zeros(8, 8, 4))


def test_views_are_rendered_for_a_flow(in_memory: Run) -> None:
    views = in_memory.make_views(5, size=8, supersample=1, progress=False)
    assert len(views) == 5
    assert views.images.shape == (5, 8, 8, 4)
    again = in_memory.make_views(5, size=8, supersample=1, progress=False)
    assert torch.equal(views.images, again.images)
    low, high = in_memory.view_ranges["radius"]
    distance = views.cameras.centers.norm(dim=1)
    assert float(distance.min()) >= low - 1e-4
    assert float(distance.max()) <= high + 1e-4
    for name in ("count", "size", "supersample"):
        with pytest.raises(InputError, match=f"{name} 0: give at least 1"):
            in_memory.make_views(**{"count": 1, name: 0})
    with pytest.raises(InputError, match="radius"):
        in_memory.make_views(2, radius=(2.0, 1.0))


@pytest.fixture(scope="module")
def flow(in_memory: Run) -> Run:
    views = in_memory.make_views(20, size=8, supersample=1, progress=False)
    return fit("sit", views, steps=2, progress=False, patch=4, **SIT)


def test_a_flow_finds_poses_in_files_and_tensors(
    flow: Run, small_scene: Dataset, tmp_path: Path
) -> None:
    views = small_scene.test[:2]
    found = flow.pose(views)
    assert len(found) == 2
    assert (found.cameras.width, found.cameras.height) == (32, 32)
    views.save(tmp_path / "views")
    files = sorted((tmp_path / "views").rglob("*.png"))
    assert len(flow.pose(files)) == 2
    assert len(flow.pose(files[0])) == len(flow.pose(views.images[0])) == 1
    with pytest.raises(InputError, match="finds poses by itself"):
        flow.pose(views, start=views.cameras)


def test_a_radiance_field_refines_a_start(
    in_memory: Run, flow: Run, small_scene: Dataset
) -> None:
    views = small_scene.test[:1]
    for start in (views.cameras, flow, flow.pose(views)):
        found = in_memory.pose(views, start=start, options=QUICK)
        assert found.cameras.world_from_camera.isfinite().all()
        assert found.cameras.width == 32
    with pytest.raises(InputError, match="2 starting cameras for 1 images"):
        in_memory.pose(views, start=small_scene.test.cameras[:2])
    with pytest.raises(InputError, match="gives no starting poses"):
        in_memory.pose(views, start=3)  # pyright: ignore[reportArgumentType]


def test_a_flow_renders_at_its_own_size_only(flow: Run, small_scene: Dataset) -> None:
    assert flow.image_size == 8
    assert flow.render(small_scene.test.cameras[:1], progress=False).rgba.shape == (1, 8, 8, 4)
    with pytest.raises(InputError, match="8×8 pixels only"):
        flow.render(small_scene.test.cameras[:1], size=16)
    with pytest.raises(InputError, match="keeps no cameras"):
        flow.named_cameras()


def unwritable(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("mine")
    return tmp_path / "file" / "run"


def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(2):
        Image.new("RGB", (8, 6)).save(folder / f"{k}.jpg")
    return folder


FAULTS: dict[str, tuple[Callable[[Dataset, Path], object], str]] = {
    "option": (lambda data, _: box(data, binz=3), r"box: has no option 'binz'.*mean bins"),
    "option of others": (lambda data, _: box(data, max_steps=3), r"'max_steps'.*mean steps"),
    "method": (lambda data, _: fit("nerv", data), r"'nerv': is not a method.*mean.* nerf"),
    "device": (lambda data, _: box(data, device="cuda"), "no CUDA GPU"),
    "steps": (lambda data, _: box(data, steps=-1), "steps -1: give at least 0"),
    "minutes": (lambda data, _: box(data, minutes=-1.0), r"minutes -1.*: give more than 0"),
    "log_every": (lambda data, _: box(data, log_every=0), "log_every 0: give at least 1"),
    "place": (lambda data, tmp: box(data, out=unwritable(tmp)), "file/run: cannot be made"),
    "kind": (lambda _, __: box(torch.zeros(3)), "Tensor: is not posed images"),
    "shape": (lambda data, _: fit("sdf", data, steps=1), "Dataset: is not a shape"),
    "image": (lambda data, _: fit("image-field", data, steps=1), "Dataset: is not an image"),
    "pairs": (lambda data, _: fit("image-to-mesh", data, steps=1), "is not a set of shapes"),
    "name": (lambda _, __: load("briks"), "did you mean bricks"),
    "load": (lambda _, tmp: load(photographs(tmp)), r"2 images without.*unrender\.process"),
    "fit": (lambda _, tmp: box(photographs(tmp)), r"2 images without.*unrender\.process"),
    "reading": (lambda _, __: load("bricks", downscal=2), r"'downscal'.*mean downscale"),
    "as": (lambda _, __: fit_shape("x.obj", "meshes"), "as_='meshes': choose one of mesh"),  # pyright: ignore[reportArgumentType]
    "no file": (lambda _, __: fit_shape("x.obj"), "x.obj: no such file"),
    "no folder": (lambda _, tmp: open_run(tmp / "no"), "is not a run folder"),
    "no run": (lambda _, tmp: open_run(tmp), r"config\.json"),
    "resume": (lambda _, tmp: resume(tmp / "no"), "is not a run folder"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_one_line(name: str, small_scene: Dataset, tmp_path: Path) -> None:
    if name == "device" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    call, message = FAULTS[name]
    with pytest.raises(InputError, match=message) as caught:
        call(small_scene, tmp_path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_faults_of_a_fit_leave_no_folder(small_scene: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for options in ({"binz": 3}, {"steps": -1}):
        with pytest.raises(InputError):
            box(small_scene, out=out, **options)
    assert not list(tmp_path.iterdir())
    out.mkdir()
    with pytest.raises(InputError, match="exists already"):
        # Said before the data are read.
        box("no such data", out=out)


def test_faults_of_a_run(
    in_memory: Run, flow: Run, small_scene: Dataset, tmp_path: Path
) -> None:
    views = small_scene.test[:1]
    rendering = in_memory.render(views.cameras, size=8, progress=False)
    faults: list[tuple[Callable[[], object], str]] = [
        (lambda: in_memory.pose(views, start=views.cameras, background="wite"), "wite"),
        (lambda: rendering.over("wite"), "wite"),
        (lambda: rendering.save(tmp_path / "a.bmp"), r"as \.bmp: end it in"),
        (lambda: rendering.save(unwritable(tmp_path)), "cannot be made"),
        (lambda: rendering.save(tmp_path / "no" / "a.png"), "cannot be written"),
        (lambda: rendering.save(tmp_path / "a.png", what="heat"), "heat"),
        (flow.mesh, "no surface: use a radiance field"),
        (flow.points, "no surface: use a radiance field"),
        (in_memory.splats, "holds no Gaussians"),
        (in_memory.shape, "holds no shape"),
        (lambda: in_memory.pose(views), "give starting cameras"),
        (lambda: in_memory.pose(tmp_path / "no.png"), "no such file"),
        (lambda: in_memory.pose([]), "no image was given"),
        (lambda: in_memory.pose(torch.zeros(4, 4)), r"images of shape \(4, 4\)"),
        (lambda: in_memory.mesh(voxels=4), "voxels 4: give 16 to 512"),
        (lambda: in_memory.mesh(half_width=-1.0), "half_width -1"),
        (lambda: in_memory.render(views.cameras, size=0), "size 0: give 1 to"),
        (lambda: in_memory.render(views, progress=False), "Views: is not cameras"),  # pyright: ignore[reportArgumentType]
        (lambda: in_memory.evaluate(torch.zeros(2)), "is not posed images"),
        (lambda: in_memory.evaluate(lpips=tmp_path / "no.safetensors"), "no.safetensors"),
        (lambda: in_memory.save(tmp_path / "file" / "run"), "cannot be written"),
    ]
    for call, message in faults:
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_radiance_field_becomes_a_mesh(scene_run: Run) -> None:
    mesh = scene_run.mesh(voxels=24, progress=False)
    assert isinstance(mesh, Mesh)
    assert len(mesh.faces) > 100
    assert mesh.unlit
    assert int(face_components(mesh).max()) == 0
    points = scene_run.points(voxels=24, progress=False)
    assert torch.equal(points.points, mesh.vertices)
    assert points.colors is not None
    # Where z is up already, upright changes nothing.
    own = scene_run.mesh(voxels=24, upright=False, progress=False)
    assert torch.equal(own.vertices, mesh.vertices)
    assert len(scene_run.mesh(voxels=24, faces=60, progress=False).faces) <= 60


def test_other_options_use_the_same_model(flow: Run) -> None:
    other = flow.with_options(refine_steps=0)
    assert other.model is flow.model
    assert other.method != flow.method


def test_a_notebook_shows_the_curve(kept: Run) -> None:
    html = kept._repr_html_()
    assert "svg" in html
    assert "box" in html
