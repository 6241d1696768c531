"""The whole loop on a small scene in seconds: every part runs, and says what it should."""

import json
from pathlib import Path

import pytest
import torch

from unrender.api.run import Run
from unrender.app import demo, demo_plan
from unrender.app.demo import DemoOptions, run_demo
from unrender.data.capture import is_cut_out
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import read_cameras
from unrender.data.formats.npz import load_npz, save_npz
from unrender.errors import InputError
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.methods.instant_ngp import InstantNGP
from unrender.methods.sit import SiTFlow
from unrender.training.run_folder import RunFolder

pytestmark = pytest.mark.fit

SUMMARY = {
    "scene": {"name", "train_views", "test_views"},
    "fit": {"method", "psnr", "ssim", "seconds"},
    "flow": {"psnr_mean_start", "psnr_sampled_start", "ceiling_psnr", "seconds", "train_views"},
    "pose": {
        "rotation_deg_median",
        "rotation_deg_mean",
        "translation_percent_median",
        "under_5deg",
        "refined_rotation_deg_median",
        "num_views",
    },
}


@pytest.fixture(params=["small", pytest.param("whole", marks=pytest.mark.study)])
def minutes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """The demo's minutes: its own models and films in ten seconds, or small ones in two."""
    if request.param == "whole":
        return 0.15
    small = RenderAndCompare(coarse_steps=2, fine_steps=2)
    monkeypatch.setattr(demo, "VIDEO_FRAMES", 4)
    monkeypatch.setattr(demo, "REFINEMENT", small)
    monkeypatch.setattr(demo, "SCENE", InstantNGP(log2_table_size=15, finest=200))
    monkeypatch.setattr(demo, "FLOW", SiTFlow(width=32, depth=1, heads=2, batch=8))
    return 0.03


def test_the_loop_writes_all_it_promises(
    minutes: float, scene_folder: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    out = tmp_path / "demo"
    data = str(scene_folder)
    options = DemoOptions(data=data, out=out, minutes=minutes, views=40, device="cpu")
    report = run_demo(options, said.append)
    assert report == out / "report.html"
    page = report.read_text()
    assert "flow.psnr_mean_start" in page
    summary = json.loads((out / "summary.json").read_text())
    assert {key: set(value) for key, value in summary.items() if key in SUMMARY} == SUMMARY
    assert set(summary) - set(SUMMARY) == {"total_seconds", "peak_memory_mb"}
    # Nothing was trained on the views it is judged by.
    assert summary["scene"] == {"name": "chair", "train_views": 27, "test_views": 3}
    assert summary["pose"]["num_views"] == 3
    assert summary["flow"]["train_views"] == len(load_npz(out / "views.npz")) == 40
    for name in ("scene", "flow"):
        assert RunFolder.open(out / name).load().state["finished"]
        assert (out / f"{name}.mp4").is_file()
    for name in ("cameras_flow", "cameras_refined"):
        assert len(read_cameras(out / f"{name}.json").cameras) == 3
    assert (out / "loop.png").is_file()
    assert "Method: instant-ngp-fast, chosen automatically because the images show" in said[1]
    assert summary["fit"]["method"] == "instant-ngp-fast"


def test_the_loop_runs_on_a_capture_and_says_what_it_cannot_do_well(
    capture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oblong opaque photographs from one side of something far from the origin."""
    monkeypatch.setattr(demo, "VIDEO_FRAMES", 4)
    monkeypatch.setattr(demo, "REFINEMENT", RenderAndCompare(coarse_steps=2, fine_steps=2))
    monkeypatch.setattr(demo, "SCENE", InstantNGP(log2_table_size=15, finest=200))
    monkeypatch.setattr(demo, "FLOW", SiTFlow(width=32, depth=1, heads=2, batch=8))
    monkeypatch.setattr(demo, "FEWEST_VIEWS", 30)
    monkeypatch.setattr(demo_plan, "LARGEST", 20)
    out, said = tmp_path / "demo", list[str]()
    data = str(capture_file)
    options = DemoOptions(data=data, out=out, minutes=0.03, views=40, device="cpu")
    page = run_demo(options, said.append).read_text()
    notes = json.loads((out / "details.json").read_text())["notes"]
    for words in (
        "downscaled by 2",
        "central squares of the 15×12 photographs",
        "background too",
        "held-out views, so that the figures are rough",
    ):
        assert any(words in note for note in notes), words
        assert words in page
        assert any(line.startswith("note: ") and words in line for line in said)
    views = load_npz(out / "views.npz")
    assert not is_cut_out(views)
    true = load_npz(capture_file).cameras
    middle, reach = (
        true.centers.mean(0),
        (true.centers - true.centers.mean(0)).norm(dim=1).max(),
    )
    assert bool(((views.cameras.centers - middle).norm(dim=1) < 1.2 * reach).all())
    flow = Run.open(out / "flow")
    assert flow.opaque
    assert float((flow.model.center - torch.tensor([10.0, -20.0, 5.0])).norm()) < 0.5
    found = read_cameras(out / "cameras_flow.json").cameras
    assert bool((found.centers - middle).norm(dim=1).isfinite().all())


def test_a_demo_refuses_too_few_photographs_and_leaves_nothing(
    small_scene: Dataset, tmp_path: Path
) -> None:
    save_npz(tmp_path / "three.npz", small_scene.train[:3])
    out = tmp_path / "demo"
    with pytest.raises(InputError, match="too few to reconstruct a scene"):
        run_demo(DemoOptions(data=str(tmp_path / "three.npz"), out=out))
    assert not out.exists()
