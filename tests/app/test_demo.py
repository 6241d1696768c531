"""The whole loop on a small scene in seconds: every part runs, and says what it should."""

import json
from pathlib import Path

import pytest

from unrender.app import demo
from unrender.app.demo import DemoOptions, run_demo
from unrender.data.formats.camera_files import read_cameras
from unrender.data.formats.npz import load_npz
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
