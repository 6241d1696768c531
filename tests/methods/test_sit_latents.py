"""The flow in an autoencoder's latents: images of 64 pixels as 8 x 8 cells."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.builtin import render_scene
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.latents import Latents
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.methods.sit import SiTFlow
from unrender.training.fit import FitOptions
from unrender.training.run_folder import RunFolder

SIZE = 64
STEPS = 40


def chair(count: int) -> Views:
    poses = spherical_shell(count, (3.9, 4.1), torch.Generator().manual_seed(count), (0.1, 1.2))
    return render_scene("chair", Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE), 1)


@pytest.fixture(scope="module")
def scene() -> Dataset:
    return Dataset("chair", chair(24), chair(3))


@pytest.fixture(scope="module")
def method(tiny_autoencoder: Path) -> SiTFlow:
    return SiTFlow(
        patch=2,
        width=48,
        depth=1,
        heads=2,
        batch=8,
        warm_up=5,
        average_decay=0.9,
        precision="float32",
        autoencoder=str(tiny_autoencoder),
    )


@pytest.fixture(scope="module")
def encoded() -> list[int]:
    """How many images each call encoded while `run` was fitted."""
    return []


@pytest.fixture(scope="module")
def run(
    method: SiTFlow,
    scene: Dataset,
    encoded: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    options = FitOptions(steps=STEPS, device="cpu", log_every=10)
    out = tmp_path_factory.mktemp("runs") / "latents"
    encode = Latents.encode

    def counted(self: Latents, images: torch.Tensor) -> torch.Tensor:
        encoded.append(len(images))
        return encode(self, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Latents, "encode", counted)
        return fit_to(method, scene, options, out=out, progress=False)


def test_each_training_image_is_encoded_once(run: Run, encoded: list[int]) -> None:
    assert encoded == [24]


def test_the_loss_falls(run: Run) -> None:
    assert run.path is not None
    text = (run.path / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert "psnr" not in lines[0]


def test_images_have_the_size_of_the_views_and_no_holes(run: Run, scene: Dataset) -> None:
    assert run.image_size == SIZE
    rgba = run.renderer(scene.test.cameras).rgba
    assert rgba.shape == (3, SIZE, SIZE, 4)
    assert (rgba[..., 3] == 1).all()
    assert rgba.min() >= 0
    assert rgba.max() <= 1
    assert isinstance(run.method, SiTFlow)
    sampled = run.method.render_sampled(run.model, scene.test.cameras, torch.Generator())
    assert sampled.rgba.shape == rgba.shape
    with pytest.raises(InputError, match=r"8x8.*64x64"):
        run.renderer(scene.test.cameras.resized(8, 8))


def test_images_follow_poses_that_require_gradients(run: Run, scene: Dataset) -> None:
    cameras = scene.test.cameras
    pose = cameras.world_from_camera.clone().requires_grad_()
    run.renderer(cameras.with_poses(pose)).color.sum().backward()
    assert pose.grad is not None
    assert pose.grad.abs().sum() > 0


def test_poses_come_back(run: Run, scene: Dataset) -> None:
    """Modes of an energy in latents, at the images' own size."""
    found = run.fitted.estimate_poses(scene.test.images)
    assert found.cameras.width == SIZE
    assert found.cameras.world_from_camera.isfinite().all()
    assert (found.rotation_error > 0).all()
    torch.testing.assert_close(found.cameras.intrinsics, scene.test.cameras.intrinsics)


def test_a_run_opened_again_makes_the_same_images(run: Run, scene: Dataset) -> None:
    assert run.path is not None
    opened = Run.open(run.path, "cpu")
    cameras = scene.test.cameras
    assert torch.equal(opened.renderer(cameras).rgba, run.renderer(cameras).rgba)
    a, b = (each.fitted.estimate_poses(scene.test.images).cameras for each in (opened, run))
    assert torch.equal(a.world_from_camera, b.world_from_camera)


def test_a_checkpoint_does_not_hold_the_autoencoder(run: Run) -> None:
    names = run.model.state_dict().keys()
    assert not any("encoder" in name or "decoder" in name for name in names)


def test_resuming_continues_bit_by_bit(
    method: SiTFlow, scene: Dataset, run: Run, tmp_path: Path
) -> None:
    """From the checkpoint of half the steps, as after a kill."""
    out = tmp_path / "run"
    options = FitOptions(steps=STEPS, device="cpu", checkpoint_every=STEPS // 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiTFlow, "finish", _killed)
        with pytest.raises(KeyboardInterrupt):
            fit_to(method, scene, options, out=out, progress=False)
    record = RunFolder.open(out)
    shutil.rmtree(record.checkpoints()[-1])
    resumed = fit_to(method, scene, options, record=record, progress=False)
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_run_whose_autoencoder_has_gone_says_so(
    run: Run, method: SiTFlow, tmp_path: Path
) -> None:
    gone = dataclasses.replace(method, autoencoder=str(tmp_path / "gone"))
    path = tmp_path / "run"
    assert run.path is not None
    shutil.copytree(run.path, path)
    config = path / "config.json"
    config.write_text(config.read_text().replace(method.autoencoder, gone.autoencoder))
    with pytest.raises(InputError, match=r"--autoencoder .*/gone") as e:
        Run.open(path, "cpu")
    assert "\n" not in str(e.value)


def test_views_must_suit_patches_of_latents(method: SiTFlow, scene: Dataset) -> None:
    wide = dataclasses.replace(method, patch=16)
    with pytest.raises(InputError, match=r"64×64.*patch size 16 latents, 128 pixels"):
        wide.build(scene.train, torch.Generator())


def test_plucker_rays_are_those_of_the_cells(method: SiTFlow, scene: Dataset) -> None:
    plucker = dataclasses.replace(method, lifting="plucker")
    model = plucker.build(scene.train, torch.Generator().manual_seed(0))
    assert model.lift(scene.test.cameras).shape == (3, 6, 8, 8)
    assert model.image_size == SIZE
    x1 = model.flow_from_images(scene.test.images)
    assert not x1[:, 4:].any()
    lifted = model.lift(scene.test.cameras)
    cells = scene.test.cameras.resized(8, 8)
    read = model.lifting.unlift(lifted, cells, model.radius).world_from_camera
    torch.testing.assert_close(read, cells.world_from_camera, rtol=0, atol=1e-4)


def test_diffusers_is_not_imported_unless_it_is_asked_for() -> None:
    code = "import sys, unrender.app.cli; sys.exit('diffusers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
