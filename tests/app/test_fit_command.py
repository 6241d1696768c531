"""What `unrender fit` says, leaves behind and continues."""

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unrender.api.run import Run
from unrender.app import outcome
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import read_cameras
from unrender.files.locks import locked
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image

pytestmark = pytest.mark.fit

Command = Callable[..., str]
BOX = ("--steps", 2, "--device", "cpu", "--rays", 64)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_fit_ends_with_scores_a_preview_and_the_next_command(
    command: Command, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = command("fit", "box", "-d", scene_folder, *BOX)
    run = Path("runs/chair/box/1")
    assert "Held-out views: PSNR" in said
    assert "SSIM" in said
    assert "(3 views)" in said
    assert f"Next: unrender render {run} --out clip.mp4" in said
    with Image.open(run / "preview.png") as preview:
        assert preview.width > preview.height
    # The next one gets the next number.
    command("fit", "box", "-d", scene_folder, *BOX, "--quiet")
    assert Run.open("runs/chair/box/2").preset == "box"


def test_a_quiet_fit_prints_its_folder_alone(
    command: Command, scene_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert command("fit", "box", "-d", scene_folder, *BOX, "-q", "-o", out) == f"{out}\n"
    assert not (out / "preview.png").exists()


def test_of_many_held_out_views_some_are_rendered(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    fit = ("fit", "box", "-d", "bricks", "--downscale", 4, *BOX)
    assert "(8 of 50 views)" in command(*fit, "-o", out)
    # Where time is short, fewer, and then smaller ones.
    monkeypatch.setattr(outcome, "SECONDS", 1e-6)
    assert "(3 of 50 views, at 16×16)" in command(*fit, "-o", tmp_path / "short")


def test_nothing_is_lost_if_the_preview_fails(
    command: Command, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError("no fonts here")

    monkeypatch.setattr(outcome, "write_picture", fail)
    said = command("fit", "box", "-d", scene_folder, *BOX, "-o", tmp_path / "run")
    assert "Not scored: no fonts here" in said
    assert "Next: unrender render" in said
    assert Run.open(tmp_path / "run").finished


def test_old_names_work_and_say_the_new_ones(
    command: Command,
    scene_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        "unrender.app.commands.fit.note", lambda text, quiet=False: told.append(text)
    )
    out = tmp_path / "run"
    small = ("--width", 8, "--depth", 1, "--rays", 16, "--steps", 1, "--device", "cpu")
    command("fit", "nerf_tiny", "-d", scene_folder, *small, "-o", out)
    assert "note: `nerf-tiny` is now called `nerf-fast`" in told
    assert Run.open(out).preset == "nerf-fast"
    told.clear()
    large = ("fit", "nerf", "-d", scene_folder, *small, "-o", tmp_path / "large")
    command(*large)
    assert any("`nerf-fast` is good within minutes" in line for line in told)


def test_resume_needs_the_run_alone(
    command: Command, refused: Command, scene_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command("fit", "box", "-d", scene_folder, *BOX, "--seed", 3, "-o", out)
    command("fit", "--resume", out, "--steps", 5)
    run = Run.open(out)
    assert (run.steps, run.config["fit"]["seed"]) == (5, 3)
    line = refused("fit", "--resume", out, "--seed", 4, "--steps", 6)
    assert "--seed 4: a run is continued as it was begun" in line
    assert "other options" in refused("fit", "box", "--resume", out, "--bins", 7)
    assert "in its own folder" in refused("fit", "--resume", out, "--out", tmp_path / "b")
    assert Run.open(out).steps == 5


def test_a_finished_run_stays_as_it_is(
    command: Command, scene_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command("fit", "box", "-d", scene_folder, *BOX, "-o", out)
    before = contents(out)
    assert command("fit", "--resume", out) == f"{out}\n"
    assert contents(out) == before


def test_an_interrupted_fit_ends_with_code_130(
    command: Command, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`unrender fit … && unrender render …` must not go on."""
    from unrender.methods.box import Box  # noqa: PLC0415

    losses = Box.losses

    def stop_at_the_third(self, model, data, progress, generator):
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return losses(self, model, data, progress, generator)

    monkeypatch.setattr(Box, "losses", stop_at_the_third)
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as caught:
        command("fit", "box", "-d", scene_folder, "--rays", 64, "--steps", 99, "-o", out)
    assert caught.value.code == 130
    assert Run.open(out).steps == 3
    monkeypatch.setattr(Box, "losses", losses)
    command("fit", "--resume", out, "--steps", 4)
    assert Run.open(out).finished


def test_a_folder_without_a_checkpoint_is_used_again(
    command: Command, refused: Command, scene_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    fit = ("fit", "box", "-d", scene_folder, *BOX, "-o", out)
    command(*fit)
    shutil.rmtree(out / "checkpoints")
    (out / "checkpoints").mkdir()
    # Something that no fit writes: it stays.
    assert "exists already" in refused(*fit)
    (out / "preview.png").unlink()
    with locked(out):
        assert f"is being written by process {os.getpid()} on" in refused(*fit)
    command(*fit)
    assert Run.open(out).finished


def test_a_shape_ends_with_its_scores(command: Command, tmp_path: Path) -> None:
    from unrender.shapes.files.meshes import write_mesh  # noqa: PLC0415
    from unrender.shapes.primitives import icosphere  # noqa: PLC0415

    write_mesh(tmp_path / "ball.obj", icosphere(1))
    out = tmp_path / "run"
    said = command("fit", "fit-points", "-d", tmp_path / "ball.obj", *BOX[:4], "-o", out)
    assert "chamfer distance" in said
    assert f"Preview: {out / 'progress.gif'}" in said
    assert "--out clip.gif" in said


def test_inspect_lists_the_runs_of_a_folder(
    command: Command, scene_run: Run, flow_run: Run
) -> None:
    assert scene_run.path is not None
    assert flow_run.path is not None
    above = Path(os.path.commonpath([scene_run.path, flow_run.path]))
    said = command("inspect", above)
    assert f"{scene_run.path}" in said
    assert "instant-ngp on small, 600 steps" in said
    assert "sit on small, 20 steps" in said


@pytest.fixture
def photos(small_scene: Dataset, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"photo_{index}.png" for index in range(2)]
    for path, image in zip(paths, small_scene.test.images, strict=False):
        write_image(path, unpremultiply(image))
    return paths


def test_pose_prints_poses_and_draws_them(
    command: Command, flow_run: Run, photos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "found.json"
    said = command("pose", flow_run.path, *photos, "--out", out)
    for path in photos:
        assert f"{path}: camera at (" in said
    assert "looking at (" in said
    assert "azimuth" in said
    assert "rotation expected within" in said
    with Image.open(out.with_suffix(".png")) as overlay:
        assert overlay.width > 200
    command("pose", flow_run.path, photos[0], "--out", tmp_path / "b.json", "--no-overlay")
    assert not (tmp_path / "b.png").exists()


def test_pose_of_an_opaque_and_oblong_photo(
    command: Command,
    flow_run: Run,
    small_scene: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """White is taken for its background, and its middle is read: both are said."""
    told: list[str] = []
    monkeypatch.setattr(
        "unrender.app.commands.pose.note", lambda text, quiet=False: told.append(text)
    )
    image = small_scene.test.over(torch.ones(3))[0]
    wide = torch.nn.functional.pad(image, (0, 0, 8, 8), value=1.0)
    write_image(tmp_path / "wide.png", wide)
    out = tmp_path / "wide.json"
    command("pose", flow_run.path, tmp_path / "wide.png", "--out", out)
    assert any("has no alpha: white is taken" in line for line in told)
    assert any("cropped to the central 32×32 pixels" in line for line in told)
    write_image(tmp_path / "same.png", image)
    same = tmp_path / "same.json"
    command("pose", flow_run.path, tmp_path / "same.png", "--out", same)
    a, b = (read_cameras(path).cameras for path in (out, same))
    torch.testing.assert_close(a.world_from_camera, b.world_from_camera)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.npz"])
def test_render_writes_what_the_ending_says(
    command: Command, scene_run: Run, tmp_path: Path, name: str
) -> None:
    command("render", scene_run.path, "-o", tmp_path / name, "--frames", 1, "--size", 16)
    assert (tmp_path / name).stat().st_size > 100


@pytest.mark.parametrize("cameras", ["spiral", "interpolate"])
def test_render_follows_the_training_cameras(
    command: Command, scene_run: Run, tmp_path: Path, cameras: str
) -> None:
    out = tmp_path / "frames"
    words = ("--cameras", cameras, "--frames", 2, "--size", 16, "--background", "navy")
    command("render", scene_run.path, "-o", out, *words, "--what", "color,depth")
    names = sorted(path.name for path in out.iterdir())
    assert names == ["color_0000.png", "color_0001.png", "depth_0000.png", "depth_0001.png"]


def test_an_unlit_mesh_has_its_own_colors(command: Command, tmp_path: Path) -> None:
    from unrender.imaging.files import read_rgba  # noqa: PLC0415
    from unrender.shapes.files.meshes import write_mesh  # noqa: PLC0415
    from unrender.shapes.mesh import Mesh  # noqa: PLC0415
    from unrender.shapes.primitives import icosphere  # noqa: PLC0415
    from unrender.shapes.textures import VertexColors  # noqa: PLC0415

    ball = icosphere(1)
    red = VertexColors(torch.tensor([1.0, 0.0, 0.0]).expand(len(ball.vertices), 3))
    write_mesh(tmp_path / "ball.ply", Mesh(ball.vertices, ball.faces, red))
    words = ("--frames", 1, "--size", 32, "--unlit")
    command("render", tmp_path / "ball.ply", "-o", tmp_path / "out", *words)
    middle = read_rgba(tmp_path / "out/color_0000.png")[16, 16, :3]
    torch.testing.assert_close(middle, torch.tensor([1.0, 0.0, 0.0]), atol=0.01, rtol=0)


def test_export_takes_the_file_by_its_place(
    command: Command, refused: Command, scene_run: Run, tmp_path: Path
) -> None:
    command("export", scene_run.path, tmp_path / "cameras.json")
    assert len(read_cameras(tmp_path / "cameras.json").cameras) == 30
    assert "name one file" in refused("export", scene_run.path)


def test_views_of_a_capture_are_made(command: Command, scene_run: Run, tmp_path: Path) -> None:
    """Oblong images whose axis is off their middle: the largest square in the middle."""
    from unrender.data.formats.npz import load_npz  # noqa: PLC0415

    path = shutil.copytree(str(scene_run.path), tmp_path / "run")
    config = json.loads((path / "config.json").read_text())
    config["views"] |= {"width": 48, "height": 32}
    config["views"]["intrinsics"][0][2] = 27.0
    (path / "config.json").write_text(json.dumps(config))
    out = tmp_path / "views.npz"
    command("make-views", path, "--count", 2, "--size", 16, "--out", out)
    focal = config["views"]["intrinsics"][0][0]
    torch.testing.assert_close(load_npz(out).cameras.focal, torch.full((2,), focal / 2))


def test_the_loop_of_the_readme_on_a_capture(
    command: Command, capture_file: Path, tmp_path: Path
) -> None:
    """fit → make-views → fit sit → render, pose, evaluate, as on an object at the origin."""
    from unrender.data.formats.npz import load_npz  # noqa: PLC0415

    scene, views, flow = (tmp_path / name for name in ("scene", "views.npz", "flow"))
    command("fit", "box", "-d", capture_file, *BOX, "-q", "-o", scene)
    assert Run.open(scene).opaque
    command("make-views", scene, "--count", 40, "--size", 16, "--out", views)
    made, true = load_npz(views), load_npz(capture_file).cameras
    assert bool((made.images[..., 3] == 1).all())
    away = torch.cdist(made.cameras.centers, true.centers).amin(1)
    assert float(away.max()) < 2.0
    small = ("--width", 32, "--depth", 1, "--heads", 2, "--steps", 3, "--device", "cpu", "-q")
    command("fit", "sit", "-d", views, "--out", flow, *small)
    for run, size in ((scene, 31), (flow, 16)):
        for path in ("auto", "turntable"):
            out = tmp_path / f"{run.name}_{path}.npz"
            command("render", run, "--cameras", path, "--frames", 3, "-o", out)
            assert Run.open(run).path == run
            assert max(load_npz_images(out)[1:3]) == size
    photo = tmp_path / "photo.png"
    write_image(photo, load_npz(capture_file).images[0, ..., :3])
    command("pose", flow, photo, "--out", tmp_path / "found.json")
    found = read_cameras(tmp_path / "found.json").cameras.centers
    # Three steps learn no pose, but it is about the chair and not about the origin.
    assert float((found - torch.tensor([10.0, -20.0, 5.0])).norm()) < 12
    command("evaluate", flow, "--data", capture_file, "--out", tmp_path / "scores.json")


def load_npz_images(path: Path) -> tuple[int, ...]:
    return np.load(path)["color"].shape


def test_auto_takes_the_method_that_suits_and_says_why(
    command: Command,
    small_scene: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A capture with its background and an object: by `auto`, and with no method named."""
    from unrender.data.formats.npz import save_npz  # noqa: PLC0415

    told: list[str] = []
    monkeypatch.setattr(
        "unrender.app.commands.fit.note", lambda text, quiet=False: told.append(text)
    )
    views = small_scene.train.select(slice(0, 8))
    noise = torch.rand(views.images.shape, generator=torch.Generator().manual_seed(0))
    noise[..., 3] = 1
    save_npz(tmp_path / "capture.npz", dataclasses.replace(views, images=noise))
    save_npz(tmp_path / "object.npz", views)
    words = ("--steps", 1, "--device", "cpu", "-q")
    for name, preset, method in (
        ("object", "instant-ngp-fast", ()),
        ("capture", "gaussian-splatting-fast", ("auto",)),
    ):
        told.clear()
        data, out = tmp_path / f"{name}.npz", tmp_path / name
        command("fit", *method, "-d", data, "-o", out, "--background", "opaque", *words)
        run = Run.open(out)
        assert run.preset == preset
        assert run.reason is not None
        assert run.reason.startswith("chosen automatically because the ")
        assert f"Method: {preset}, {run.reason}" in told
        assert f"{preset}, chosen automatically" in command("inspect", out)
        command("fit", "auto", "--resume", out, "--steps", 2, "-q")
        assert Run.open(out).reason == run.reason
    told.clear()
    fit = ("fit", "box", "-d", tmp_path / "capture.npz", *BOX, "-o", tmp_path / "box")
    command(*fit)
    assert any("`auto` would take gaussian-splatting-fast, because" in line for line in told)
    assert Run.open(tmp_path / "box").reason is None


def test_auto_refuses_what_no_method_can_reconstruct(
    command: Command, refused: Command, small_scene: Dataset, tmp_path: Path
) -> None:
    """Three photographs, and a tripod; a method that is named is fitted all the same."""
    from unrender.data.formats.npz import save_npz  # noqa: PLC0415

    views = small_scene.train.select(slice(0, 9))
    save_npz(tmp_path / "three.npz", views[:3])
    poses = views.cameras.world_from_camera.clone()
    poses[:, :, 3] = torch.tensor([1.0, 2.0, 3.0])
    tripod = dataclasses.replace(views, cameras=views.cameras.with_poses(poses))
    save_npz(tmp_path / "tripod.npz", tripod)
    out = tmp_path / "run"
    for name, sentence in (
        ("three", "too few to reconstruct a scene: take 20 or more"),
        ("tripod", "all cameras stand in one place"),
    ):
        data = tmp_path / f"{name}.npz"
        assert sentence in refused("fit", "-d", data, "--hold-out", 0, "-o", out)
        assert not out.exists()
        assert sentence in command("inspect", data)
        fit = ("fit", "box", "-d", data, *BOX, "-q", "-o", tmp_path / name)
        if name == "three":
            command(*fit)
        else:  # Its cameras bound no space, and the model has no finite place in it.
            assert "not finite" in refused(*fit)
            assert not (tmp_path / name).exists()


def test_views_that_are_learned_by_heart_are_remarked_on(
    command: Command, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = ("fit", "box", "-d", scene_folder, *BOX, "--log-every", 1, "--steps", 5)
    monkeypatch.setattr(outcome, "OVERFITTED", 100.0)
    assert "warning: training views" not in command(*fit, "-o", tmp_path / "a")
    monkeypatch.setattr(outcome, "OVERFITTED", -100.0)
    said = command(*fit, "-o", tmp_path / "b")
    assert "warning: training views reach" in said
    assert "fit `instant-ngp-fast`, because the images show an object" in said


def test_a_refinement_is_never_worse_than_its_start(
    command: Command,
    scene_run: Run,
    photos: list[Path],
    small_scene: Dataset,
    tmp_path: Path,
) -> None:
    """A first step of a whole unit leads astray; then the start is kept."""
    from unrender.data.formats.camera_files import NamedCameras, write_cameras  # noqa: PLC0415

    true = small_scene.test.cameras.select(slice(0, 2))
    start, out = tmp_path / "start.json", tmp_path / "out.json"
    write_cameras(start, NamedCameras(true, ("a", "b")))
    words = ("--coarse-steps", 3, "--fine-steps", 0, "--rate", 1.0)
    command("pose", scene_run.path, *photos, "--start", start, "--out", out, *words)
    found = read_cameras(out).cameras
    torch.testing.assert_close(
        found.world_from_camera, true.world_from_camera, atol=1e-4, rtol=0
    )
