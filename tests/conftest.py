"""What several tests need: a small true scene, and runs fitted to it in seconds."""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# As the command does (see unrender/__main__.py), before anything imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Each of two test processes computes on one thread: pools of two threads each would spend more
# time waiting for one another than computing. Commands that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)

# Without a GPU, the GPU's kernels are tested in Triton's interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from unrender.api.fit import AnyMethod, fit_to
from unrender.api.run import Run
from unrender.data.builtin import render_scene
from unrender.data.dataset import Dataset
from unrender.data.formats.blender import write_blender
from unrender.data.formats.npz import save_npz
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.methods.instant_ngp import InstantNGP
from unrender.methods.pose_regressor import PoseRegressor
from unrender.methods.sit import SiTFlow
from unrender.methods.sit_gaussian import SiTGaussian
from unrender.training.fit import FitOptions

SIZE = 32
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@contextmanager
def unchecked(here: bool) -> Iterator[None]:
    """Without the checks of shapes and types, which make a fit a third slower."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", before or here)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """What is imported stays to the end: the garbage collector need not look through it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    with unchecked(item.get_closest_marker("fit") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """What several tests share is a fitted model: they are checked, and the fit is not."""
    with unchecked(fixturedef.scope in ("session", "module")):
        return (yield)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Work is split over two threads, as on the smallest machine that users have."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def chair_views(count: int, seed: int) -> Views:
    """The built-in chair from random sides."""
    generator = torch.Generator().manual_seed(seed)
    poses = spherical_shell(count, (3.9, 4.1), generator, (0.1, 1.2))
    return render_scene("chair", Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE), 2)


@pytest.fixture(scope="session")
def small_scene() -> Dataset:
    return Dataset("small", chair_views(30, seed=0), chair_views(6, seed=1))


@pytest.fixture(scope="session")
def scene_folder(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene's training views as a Blender folder."""
    path = tmp_path_factory.mktemp("data") / "chair"
    write_blender(path, small_scene.train)
    return path


@pytest.fixture(scope="session")
def capture_file(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture as an .npz: oblong opaque photographs from one side of a chair, which stands
    far from the origin, with the principal point off the center.
    """
    views = small_scene.train
    aside = views.cameras.centers[:, 0] > -1
    views = views.select(aside)
    images = views.images[:, 4:28].clone()
    images[..., :3] += (1 - images[..., 3:]) * torch.tensor([0.3, 0.5, 0.7])
    images[..., 3] = 1
    pose, matrix = views.cameras.world_from_camera.clone(), views.cameras.intrinsics.clone()
    pose[:, :, 3] += torch.tensor([10.0, -20.0, 5.0])
    matrix[:, 1, 2] -= 4
    images, matrix[:, 0, 2] = images[:, :, 1:], matrix[:, 0, 2] - 1
    path = tmp_path_factory.mktemp("data") / "capture.npz"
    save_npz(path, Views(Cameras(pose, matrix, 31, 24), images))
    return path


@pytest.fixture(scope="session")
def scene_run(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """instant-ngp after a few seconds: a blurred chair."""
    method = InstantNGP(
        log2_table_size=13,
        finest=64,
        levels=6,
        width=16,
        color_layers=1,
        occupancy_cells=32,
        step_size=0.022,
        samples=1 << 13,
    )
    out = tmp_path_factory.mktemp("runs") / "scene"
    options = FitOptions(steps=600, device="cpu")
    return fit_to(method, small_scene, options, out=out, progress=False)


@pytest.fixture(scope="session")
def flow_run(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A flow after a few steps: it runs, and knows little."""
    method = SiTFlow(width=32, depth=1, heads=2, batch=8)
    return briefly_fitted(method, small_scene, tmp_path_factory.mktemp("runs") / "flow")


@pytest.fixture(scope="session")
def regressor_run(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A regressor of poses after a few steps."""
    method = PoseRegressor(width=32, depth=1, heads=2, batch=8)
    return briefly_fitted(method, small_scene, tmp_path_factory.mktemp("runs") / "regressor")


@pytest.fixture(scope="session")
def noise_run(small_scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A flow from noise after a few steps."""
    method = SiTGaussian(width=32, depth=1, heads=2, batch=8, image_steps=2)
    return briefly_fitted(method, small_scene, tmp_path_factory.mktemp("runs") / "noise")


def briefly_fitted(method: AnyMethod, scene: Dataset, out: Path) -> Run:
    options = FitOptions(steps=20, device="cpu", log_every=5)
    return fit_to(method, scene, options, out=out, progress=False)


@pytest.fixture(scope="session")
def tiny_autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an AutoencoderKL of four narrow blocks, with random weights."""
    from diffusers import AutoencoderKL  # noqa: PLC0415 - slow to import

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        autoencoder = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            norm_num_groups=4,
        )
    path = tmp_path_factory.mktemp("autoencoder") / "tiny"
    autoencoder.save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., str]:
    """Run `unrender ARGUMENTS` and return what it printed."""

    def run(*arguments: object) -> str:
        from unrender.app.cli import main  # noqa: PLC0415 - few tests run a command

        monkeypatch.setattr(sys, "argv", ["unrender", *map(str, arguments)])
        main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(monkeypatch, capsys) -> Callable[..., str]:
    """Run a command that must end with one line on stderr and code 2; returns the line."""

    def run(*arguments: object) -> str:
        from unrender.app.cli import main  # noqa: PLC0415 - few tests run a command

        monkeypatch.setattr(sys, "argv", ["unrender", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        lines = [
            line for line in capsys.readouterr().err.splitlines() if line.startswith("unrender")
        ]
        assert len(lines) == 1, lines
        return lines[0]

    return run


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Path], str]:
    """Gives a page's document as it stands once its script has run."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no chromium or chrome on the PATH")
    profile = tmp_path / "profile"

    def opened(page: Path) -> str:
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=3000",
            "--enable-logging=stderr",
            "--dump-dom",
            page.as_uri(),
        ]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True
        )
        # What the page's script throws, or its policy forbids, comes as a console message.
        complaints = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, "\n".join(complaints)
        return result.stdout

    return opened


@pytest.fixture(scope="session")
def cropped() -> Callable[[Path], bool]:
    """Whether a dark pixel touches a drawing's edge, as those of text that is cut off do."""

    def found(path: Path) -> bool:
        with Image.open(path) as image:
            gray = np.asarray(image.convert("L"))
        sides = (gray[0], gray[-1], gray[:, 0], gray[:, -1])
        return min(int(side.min()) for side in sides) < 200

    return found
