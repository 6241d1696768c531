"""The command line: each command does its work, and bad input ends with one line and code 2."""

import inspect
import json
import os
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from inputs import SAMPLES
from safetensors.torch import load_file, save_file

import unrender.kernels
from unrender.api.run import Run
from unrender.app.cli import main
from unrender.app.commands import doctor
from unrender.app.kernel_checks import CHECKS, has_gpu_kernel
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import NamedCameras, read_cameras, write_cameras
from unrender.data.formats.npz import load_npz, save_npz
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image
from unrender.training.run_folder import RunFolder

pytestmark = pytest.mark.fit

Command = Callable[..., str]


@pytest.fixture
def photographs(small_scene: Dataset, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"photo_{index}.png" for index in range(3)]
    for path, image in zip(paths, small_scene.test.images, strict=False):
        write_image(path, unpremultiply(image))
    return paths


def test_a_study_by_its_name(
    command: Command, scene_run: Run, flow_run: Run, scene_folder: Path, tmp_path: Path
) -> None:
    runs = ("--run", flow_run.path, "--scene", scene_run.path)
    out = command(
        *("study", "interpolation", *runs, "--data", scene_folder, "--out", tmp_path / "page"),
        *("--frames", 3, "--pairs", 1, "--shown", 2),
    )
    assert out.strip().endswith("interpolation.html")
    assert (tmp_path / "page" / "interpolation.csv").read_text().startswith("from,to,share,")


def test_an_experiment_needs_no_run(command: Command, refused: Command, tmp_path: Path) -> None:
    small = ("--steps", 5, "--repeats", 1, "--size", 6)
    # None of the encodings with which the picture's networks are trained.
    small += ("--octaves", 1, "--scales", 1, "--widths", 8)
    out = command("study", "ntk", "--out", tmp_path / "page", *small)
    assert out.strip().endswith("ntk.html")
    assert (tmp_path / "page" / "ntk.csv").read_text().startswith("part,encoding,")
    line = refused("study", "ntk", "--run", tmp_path, "--out", tmp_path / "other", *small)
    assert "needs no run" in line
    assert not (tmp_path / "other").exists()
    # It is said before the first kernel is made.
    assert "--widths (0,)" in refused("study", "ntk", "--out", tmp_path / "page", "--widths", 0)


def test_an_unknown_scene_of_a_study_is_one_line(
    refused: Command, flow_run: Run, tmp_path: Path
) -> None:
    flow = flow_run.path
    assert "not a run folder" in refused(
        "study", "loop", "--run", flow, "--scene", tmp_path / "x"
    )
    assert "not a fitted scene" in refused("study", "loop", "--run", flow, "--scene", flow)


def test_a_study_whose_folder_cannot_be_made(
    refused: Command, scene_run: Run, flow_run: Run, scene_folder: Path, tmp_path: Path
) -> None:
    """It is said before the work is done, not after."""
    (tmp_path / "file").write_text("mine")
    runs = ("--run", flow_run.path, "--scene", scene_run.path, "--data", scene_folder)
    line = refused("study", "loop", *runs, "--out", tmp_path / "file")
    assert "cannot be made" in line
    assert (tmp_path / "file").read_text() == "mine"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_doctor_says_what_is_there(command: Command) -> None:
    out = command("doctor")
    for word in ("unrender", "torch", "numba", "Device", "Free memory", "Free disk", "Verdict"):
        assert word in out
    for name, _, purpose in doctor.EXTRAS:
        assert name in out
        assert purpose in out
    assert "ffmpeg" in out
    assert all(f"{name:38} works" in out for name in CHECKS)


def test_doctor_says_where_caches_are(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNRENDER_CACHE", str(tmp_path / "new" / "cache"))
    out = command("doctor", "--no-kernels")
    assert f"scenes       {tmp_path}/new/cache" in out
    assert "kernels      /" in out
    (tmp_path / "new").touch()
    assert "scenes       none: set UNRENDER_CACHE" in command("doctor", "--no-kernels")


def test_doctor_tells_of_a_kernel_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(device: torch.device, backend: str) -> torch.Tensor:
        return torch.ones(3) if backend == "reference" else torch.zeros(3)

    def crashed(device: torch.device, backend: str) -> torch.Tensor:
        raise RuntimeError("no such instruction")

    checks = {"composite": broken, "footprint": crashed}
    monkeypatch.setattr("unrender.app.kernel_checks.CHECKS", checks)
    with pytest.raises(SystemExit) as caught:
        doctor.doctor()
    assert caught.value.code == 1
    out = capsys.readouterr().out
    assert "differs from the reference" in out
    assert "RuntimeError: no such instruction" in out
    verdict = next(line for line in out.splitlines() if line.startswith("Verdict"))
    assert "composite fails" in verdict
    assert "footprint fails" in verdict


def test_every_operation_of_every_kernel_is_checked() -> None:
    """An operation is what takes a backend and is in the reference."""
    (folder,) = unrender.kernels.__path__
    packages = {path.name for path in Path(folder).iterdir() if (path / "cpu.py").is_file()}
    operations = {"tape"}
    for name in packages - {"tape"}:
        package = import_module(f"unrender.kernels.{name}")
        reference = import_module(f"unrender.kernels.{name}.reference")
        for operation, function in inspect.getmembers(package, inspect.isfunction):
            takes = "backend" in inspect.signature(function).parameters
            if takes and hasattr(reference, operation):
                operations.add(name if operation == name else f"{name}.{operation}")
    assert set(CHECKS) == operations


def test_doctor_knows_what_has_no_gpu_kernel() -> None:
    without = {name for name in CHECKS if not has_gpu_kernel(name)}
    assert without == {
        "depth_fusion.fuse_colors",
        "depth_fusion.fuse_depth",
        "encoding.encode",
        "gaussian_projection.project_gaussians",
        "lazy_adam",
        "occupancy.occupied_cells",
        "ray_mesh.any_hit",
        "ray_mesh.closest_hit",
        "tape",
    }


@pytest.mark.parametrize(
    "name",
    [
        *("demo", "make-views", "render", "pose", "evaluate", "fit", "study"),
        *("inspect", "export", "compare"),
    ],
)
def test_help_of_every_command(name: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["unrender", name, "--help"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "--out" in said or name in ("evaluate", "export")
    assert "--to" in said or name != "export"


def test_fit_and_resume(command: Command, scene_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    fit = ("fit", "instant-ngp-tiny", "--data", scene_folder, "--out", out, "--device", "cpu")
    assert str(out) in command(*fit, "--steps", 3, "--samples", 512)
    assert json.loads((out / "config.json").read_text())["method"]["name"] == "instant-ngp"
    command(*fit, "--steps", 5, "--samples", 512, "--resume")
    assert (out / "checkpoints" / "step_00000005" / "model.safetensors").is_file()


def test_make_views_then_fit_a_flow(command: Command, scene_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "views.npz"
    made = ("make-views", scene_run.path, "--count", 24, "--out", out, "--size", 16)
    command(*made, "--radius", 3, 5, "--elevation", 10, 60, "--roll", 20)
    views = load_npz(out)
    assert views.images.shape == (24, 16, 16, 4)
    radius = views.cameras.centers.norm(dim=1)
    assert radius.min() >= 3
    assert radius.max() <= 5
    options = ("--width", 32, "--depth", 1, "--heads", 2, "--batch", 4, "--steps", 2)
    command("fit", "sit", "--data", out, "--out", tmp_path / "flow", *options)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
@pytest.mark.parametrize("run", ["scene_run", "flow_run"])
def test_render_makes_a_film_of_either_renderer(
    command: Command, tmp_path: Path, name: str, run: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(run).path
    command("render", path, "--cameras", "turntable", "--frames", 3, "--out", tmp_path / name)
    assert (tmp_path / name).stat().st_size > 500


def test_pose_by_the_flow_then_refined_on_the_scene(
    command: Command,
    scene_run: Run,
    flow_run: Run,
    photographs: list[Path],
    tmp_path: Path,
) -> None:
    flow, scene = flow_run.path, scene_run.path
    first, second, third = (tmp_path / f"{name}.json" for name in "abc")
    command("pose", flow, *photographs, "--out", first)
    frames = json.loads(first.read_text())["frames"]
    assert len(frames) == 3
    assert all(frame["rotation_error_deg"] >= 0 for frame in frames)
    steps = ("--coarse-steps", 2, "--fine-steps", 2)
    command("pose", scene, *photographs, "--start", first, "--out", second, *steps)
    command("pose", scene, *photographs, "--flow", flow, "--out", third, *steps)
    a, b = read_cameras(second).cameras, read_cameras(third).cameras
    torch.testing.assert_close(a.world_from_camera, b.world_from_camera, atol=1e-4, rtol=0)
    clip = tmp_path / "clip.mp4"
    command("render", scene, "--cameras", second, "--out", clip)
    assert clip.is_file()


@pytest.mark.parametrize("run", ["scene_run", "flow_run"])
def test_evaluate_writes_figures_and_a_report(
    command: Command,
    run: str,
    scene_folder: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    path, out = request.getfixturevalue(run).path, tmp_path / "kept"
    before = contents(path)
    said = command("evaluate", path, "--data", scene_folder, "--out", out)
    assert "psnr" in said
    assert "not known: its weights were not given" in said
    assert contents(path) == before
    figures = json.loads((out / "evaluation.json").read_text())
    assert {"psnr", "ssim", "model_mb", "background", "views", "commit"} <= set(figures)
    assert ("poses" in figures) == (run == "flow_run")
    assert "<html" in (out / "report.html").read_text()


def test_evaluate_keeps_only_what_belongs_to_the_run(
    command: Command, scene_folder: Path, tmp_path: Path
) -> None:
    """Scores on a run's own held-out views are kept in its folder, others are printed."""
    out = tmp_path / "run"
    fit = ("fit", "box", "--data", scene_folder, "--out", out, "--steps", 2, "--device", "cpu")
    command(*fit, "--bins", 16)
    before = contents(out)
    assert "psnr" in command("evaluate", out, "--background", "white")
    assert "psnr" in command("evaluate", out, "--data", SAMPLES / "blender")
    assert contents(out) == before
    command("evaluate", out)
    assert json.loads((out / "evaluation.json").read_text())["num_views"] == 3
    assert (out / "report.html").is_file()


def test_the_split_that_is_held_out_is_recorded(
    command: Command, refused: Command, scene_folder: Path, tmp_path: Path
) -> None:
    """Each split has other views; `evaluate` takes the one that `fit` was given."""
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(scene_folder, data)
    whole = json.loads((data / "transforms_train.json").read_text())
    for name, some in (("train", slice(6)), ("test", slice(6, 7)), ("val", slice(7, 9))):
        content = {**whole, "frames": whole["frames"][some]}
        (data / f"transforms_{name}.json").write_text(json.dumps(content))
    fit = ("fit", "box", "--data", data, "--out", out, "--steps", 2, "--device", "cpu")
    command(*fit, "--bins", 16, "--split", "val")
    assert json.loads((out / "config.json").read_text())["data"]["split"] == "val"
    command("evaluate", out)
    kept = contents(out)
    assert json.loads((out / "evaluation.json").read_text())["num_views"] == 2
    # Scores of another split are not those of the run.
    command("evaluate", out, "--split", "test")
    assert contents(out) == kept
    command("evaluate", out, "--split", "test", "--out", tmp_path / "test")
    assert json.loads((tmp_path / "test/evaluation.json").read_text())["num_views"] == 1
    assert "held-out views             2" in command("inspect", data, "--split", "val")
    said = refused("evaluate", out, "--data", scene_folder, "--split", "val")
    assert "--split val" in said


def test_a_regressor_is_judged_by_its_poses_alone(
    command: Command,
    refused: Command,
    regressor_run: Run,
    scene_folder: Path,
    photographs: list[Path],
    tmp_path: Path,
) -> None:
    path = tmp_path / "run"
    shutil.copytree(regressor_run.path, path)
    kept = tmp_path / "kept"
    out = command("evaluate", path, "--data", scene_folder, "--out", kept)
    assert "poses.rotation_deg_median" in out
    assert "psnr" not in out
    figures = json.loads((kept / "evaluation.json").read_text())
    assert {"num_views", "poses", "commit"} <= set(figures)
    assert not {"psnr", "ssim", "background", "views"} & set(figures)
    assert "PSNR" not in (kept / "report.html").read_text()
    command("pose", path, *photographs, "--out", tmp_path / "cameras.json")
    frames = json.loads((tmp_path / "cameras.json").read_text())["frames"]
    assert len(frames) == 3
    clip = tmp_path / "clip.mp4"
    assert "makes no images" in refused("render", path, "--frames", 2, "--out", clip)
    assert not clip.exists()


def test_a_flow_from_noise_is_judged_by_its_images_alone(
    command: Command,
    refused: Command,
    noise_run: Run,
    scene_folder: Path,
    photographs: list[Path],
    tmp_path: Path,
) -> None:
    path = tmp_path / "run"
    shutil.copytree(noise_run.path, path)
    kept = tmp_path / "kept"
    assert "psnr" in command("evaluate", path, "--data", scene_folder, "--out", kept)
    assert "poses" not in json.loads((kept / "evaluation.json").read_text())
    clip = tmp_path / "clip.mp4"
    command("render", path, "--frames", 2, "--out", clip)
    assert clip.is_file()
    out = tmp_path / "cameras.json"
    assert "estimates no poses" in refused("pose", path, *photographs, "--out", out)
    assert not out.exists()


# Bad input. Whatever was there stays as it was.


def test_missing_and_existing_paths(
    refused: Command, scene_folder: Path, scene_run: Run, tmp_path: Path
) -> None:
    existing = tmp_path / "there"
    existing.mkdir()
    (existing / "mine").write_text("mine")
    fit = ("fit", "instant-ngp-tiny", "--steps", 1)
    assert "nowhere" in refused(*fit, "--data", tmp_path / "nowhere", "--out", tmp_path / "a")
    line = refused(*fit, "--data", scene_folder, "--out", existing)
    assert "exists already" in line
    assert "--resume" in line
    assert "not a run folder" in refused("evaluate", tmp_path / "nowhere")
    views = tmp_path / "views.npz"
    views.write_text("mine")
    assert "exists already" in refused("make-views", scene_run.path, "--out", views)
    assert "exists already" in refused("demo", "--out", existing)
    assert contents(tmp_path) == {
        str(existing / "mine"): b"mine",
        str(views): b"mine",
    }


def test_an_autoencoder_that_is_not_there(
    refused: Command, scene_folder: Path, tmp_path: Path
) -> None:
    fit = ("fit", "sit", "--data", scene_folder, "--out", tmp_path / "run", "--steps", 1)
    line = refused(*fit, "--autoencoder", tmp_path / "nowhere")
    assert "nowhere" in line
    assert "no such folder" in line
    # The name is free for the corrected command.
    assert not (tmp_path / "run").exists()


def test_weights_that_are_no_numbers(
    refused: Command, flow_run: Run, photographs: list[Path], tmp_path: Path
) -> None:
    copy = tmp_path / "flow"
    shutil.copytree(flow_run.path, copy)
    file = RunFolder.open(copy).checkpoints()[-1] / "model.safetensors"
    tensors = load_file(file)
    tensors["average.pos_embed"][0, 0, 0] = torch.nan
    save_file(tensors, file)
    line = refused("pose", copy, *photographs, "--out", tmp_path / "cameras.json")
    assert str(file) in line
    assert "average.pos_embed" in line


def test_a_broken_data_set_leaves_no_run(
    refused: Command, scene_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(scene_folder, data)
    file = data / "transforms_train.json"
    whole = file.read_text()
    out = tmp_path / "run"
    frame = json.loads(whole)["frames"][0]

    def check(text: str, *words: str) -> None:
        file.write_text(text)
        line = refused("fit", "instant-ngp", "--data", data, "--out", out)
        assert all(word in line for word in ("transforms_train.json", *words)), line
        assert not out.exists()

    def with_frame(**values: object) -> str:
        content = json.loads(whole)
        content["frames"][0] = {**frame, **values}
        return json.dumps(content)

    check(whole[: len(whole) // 2], "JSON")
    check("[]")
    check(json.dumps({**json.loads(whole), "frames": 3}), "frames")
    check(json.dumps({**json.loads(whole), "frames": []}))
    check(with_frame(file_path="./train/none"), "none")
    check(with_frame(file_path="../../etc/passwd"), "../../etc/passwd")
    nan = [[float("nan")] * 4] * 4
    check(with_frame(transform_matrix=nan), "NaN")
    check(with_frame(transform_matrix=(2 * torch.eye(4)).tolist()), "rotation")


def test_an_image_of_another_or_an_enormous_size(
    refused: Command, scene_folder: Path, tmp_path: Path
) -> None:
    from PIL import Image  # noqa: PLC0415

    data = tmp_path / "data"
    shutil.copytree(scene_folder, data)
    fit = ("fit", "instant-ngp", "--data", data, "--out", tmp_path / "run")
    Image.new("L", (20_000, 20_000)).save(data / "train" / "r_3.png")
    line = refused(*fit)
    assert "r_3.png" in line
    assert "20000x20000" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(refused: Command, scene_folder: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    fit = ("fit", "instant-ngp-tiny", "--data", scene_folder, "--steps", 1)
    assert "cannot be written" in refused(*fit, "--out", tmp_path / "run")


def test_an_output_that_cannot_be(
    refused: Command, scene_folder: Path, scene_run: Run, tmp_path: Path
) -> None:
    """A file stands where a folder is needed: so root is stopped too."""
    (tmp_path / "file").write_text("mine")
    below = tmp_path / "file" / "below"
    fit = ("fit", "instant-ngp-tiny", "--data", scene_folder, "--steps", 1)
    assert "cannot be" in refused(*fit, "--out", below)
    assert "cannot be" in refused(
        "render", scene_run.path, "--frames", 1, "--out", below / "x.mp4"
    )
    assert "cannot be" in refused(
        "make-views", scene_run.path, "--count", 1, "--out", below / "x.npz"
    )
    assert "cannot be" in refused("demo", "--out", below, "--data", scene_folder)
    assert contents(tmp_path) == {str(tmp_path / "file"): b"mine"}


def test_a_checkpoint_that_is_damaged_or_of_another_method(
    refused: Command, scene_run: Run, flow_run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(scene_run.path, path)
    file = next(path.glob("checkpoints/*/model.safetensors"))
    whole = file.read_bytes()
    evaluate = ("evaluate", path, "--data", "chair")
    for part in (whole[: len(whole) // 2], whole[:4], b"", b"\xff" * 64):
        file.write_bytes(part)
        assert "model.safetensors" in refused(*evaluate)
    other = next(flow_run.path.glob("checkpoints/*/model.safetensors"))
    file.write_bytes(other.read_bytes())
    line = refused(*evaluate)
    assert "model.safetensors" in line
    assert "instant-ngp" in line
    file.write_bytes(whole)
    config = json.loads((path / "config.json").read_text())
    for method in ({"name": "no-such", "options": {}}, {"name": "sit", "options": {}}, 3):
        (path / "config.json").write_text(json.dumps({**config, "method": method}))
        assert "config.json" in refused(*evaluate)


def test_resume_asks_for_the_same_method_and_data(
    refused: Command, command: Command, scene_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    fit = ("fit", "instant-ngp-tiny", "--data", scene_folder, "--steps", 2, "--samples", 512)
    command(*fit, "--out", out)
    before = contents(out)
    assert "other options" in refused(*fit, "--out", out, "--resume", "--width", 64)
    other = tmp_path / "other.npz"
    save_npz(other, load_other(scene_folder))
    again = ("fit", "instant-ngp-tiny", "--data", other, "--steps", 2, "--samples", 512)
    assert "other data" in refused(*again, "--out", out, "--resume")
    assert contents(out) == before


def test_a_run_that_lost_its_cameras_finds_them_again(
    refused: Command, command: Command, scene_folder: Path, tmp_path: Path
) -> None:
    """A kill may come between the run's folder and its cameras."""
    out, cameras = tmp_path / "run", tmp_path / "run/cameras.json"
    fit = ("fit", "instant-ngp-tiny", "--data", scene_folder, "--steps", 2, "--samples", 512)
    command(*fit, "--out", out)
    before = cameras.read_bytes()
    cameras.unlink()
    assert "--resume" in refused("export", out, "--to", tmp_path / "mesh.obj")
    command(*fit, "--out", out, "--resume")
    assert cameras.read_bytes() == before


def load_other(scene_folder: Path):
    from unrender.data.formats.blender import load_blender  # noqa: PLC0415

    return load_blender(scene_folder).test


def test_pose_says_what_it_lacks(
    refused: Command,
    command: Command,
    scene_run: Run,
    flow_run: Run,
    photographs: list[Path],
    small_scene: Dataset,
    tmp_path: Path,
) -> None:
    scene, flow = scene_run.path, flow_run.path
    out = tmp_path / "cameras.json"
    assert "--start" in refused("pose", scene, *photographs, "--out", out)
    start = tmp_path / "start.json"
    write_cameras(start, NamedCameras(small_scene.test.cameras.select(slice(0, 2)), ("a", "b")))
    line = refused("pose", scene, *photographs, "--start", start, "--out", out)
    assert "2 starting cameras for 3 images" in line
    assert "missing.png" in refused("pose", flow, tmp_path / "missing.png", "--out", out)
    small = tmp_path / "small.png"
    write_image(small, torch.zeros(5, 5, 4))
    mixed = tmp_path / "mixed.json"
    command("pose", flow, *photographs, small, "--out", mixed)
    assert len(json.loads(mixed.read_text())["frames"]) == 4
    opaque = tmp_path / "opaque.png"
    write_image(opaque, torch.ones(32, 32, 3))
    command("pose", flow, opaque, "--background", "white", "--out", tmp_path / "opaque.json")
    start.write_text('{"frames": []}')
    assert "start.json" in refused("pose", scene, *photographs, "--start", start, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("make-views", "RUN", "--out", "OUT.npz", "--count", "0"),
        ("make-views", "RUN", "--out", "OUT.npz", "--radius", "5", "3"),
        ("make-views", "RUN", "--out", "OUT.txt"),
        ("render", "RUN", "--out", "OUT.avi", "--frames", "2"),
        ("render", "RUN", "--out", "OUT.mp4", "--frames", "0"),
        ("render", "RUN", "--out", "OUT.mp4", "--size", "1000000"),
        ("render", "RUN", "--out", "OUT.mp4", "--radius", "0"),
        ("render", "RUN", "--out", "OUT.mp4", "--cameras", "nowhere.json"),
        ("demo", "--out", "OUT", "--minutes", "0"),
        ("demo", "--out", "OUT", "--minutes", "nan"),
        ("demo", "--out", "OUT", "--views", "3"),
        ("demo", "--out", "OUT", "--data", "no-such-scene"),
    ],
    ids=" ".join,
)
def test_values_out_of_range(
    refused: Command, scene_run: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    names = {"RUN": str(scene_run.path)}
    filled = [names.get(a, a.replace("OUT", str(tmp_path / "out"))) for a in arguments]
    refused(*filled)
    assert contents(tmp_path) == {}


def test_an_option_that_does_not_exist_ends_with_code_2(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["unrender", "demo", "--no-such-option"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
