"""The whole report: what it holds, that a browser runs it, and that it needs no network."""

import json
import math
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.images import score_images
from unrender.evaluation.poses import score_poses
from unrender.evaluation.renders import WHITE, ImageEvaluation
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.poses import compose, se3_exp
from unrender.imaging.video import write_video
from unrender.rendering.renderer import PoseEstimate, Rendering
from unrender.report.demo import MEANING, Outcome, write_report
from unrender.report.run import write_run_report
from unrender.training.run_folder import RunFolder

NUM_VIEWS = 7

FIGURES = {
    "scene": {"name": "ball & <b>box</b>", "train_views": 7, "test_views": 7},
    "fit": {"method": "instant-ngp", "psnr": 30.125, "ssim": 0.9, "seconds": 90.0},
    "flow": {
        "psnr_mean_start": 24.0,
        "psnr_sampled_start": 22.0,
        "ceiling_psnr": 33.0,
        "seconds": 240,
        "train_views": 4000,
    },
    "pose": {
        "rotation_deg_median": 1.5,
        "rotation_deg_mean": None,
        "translation_percent_median": 2.0,
        "under_5deg": 0.98,
        "refined_rotation_deg_median": 0.1,
        "num_views": NUM_VIEWS,
    },
    "total_seconds": 431.5,
    "peak_memory_mb": 2100.0,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def views(size: int) -> Views:
    poses = spherical_shell(NUM_VIEWS, (4.0, 4.0), generator())
    cameras = Cameras.from_focal(poses, 1.4 * size, size, size)
    images = torch.rand(NUM_VIEWS, size, size, 4, generator=generator(1))
    images[..., :3] *= images[..., 3:]
    return Views(cameras, images)


def evaluation(size: int, depth: float) -> ImageEvaluation:
    photographs = views(size)
    noisy = (photographs.images + 0.01).clamp(0, 1)
    everywhere = torch.full(noisy.shape[:3], depth)
    rendering = Rendering(noisy[..., :3], torch.ones_like(everywhere), everywhere)
    rendered, truth = rendering.over(WHITE), photographs.over(WHITE)
    scores = score_images(rendered, truth)
    lists = list(rendering), list(rendered), list(truth)
    return ImageEvaluation(photographs, *lists, scores, "white", 1.5)


def estimate(size: int, error: float) -> PoseEstimate:
    truth = views(size).cameras
    twist: Tensor = error * torch.randn(NUM_VIEWS, 6, generator=generator(2))
    found = truth.with_poses(compose(se3_exp(twist), truth.world_from_camera))
    return PoseEstimate.isotropic(
        found, torch.full((NUM_VIEWS,), error), torch.full((NUM_VIEWS,), error)
    )


def outcome() -> Outcome:
    scene = Dataset("ball & <b>box</b>", views(24), views(24))
    flow, refined = estimate(24, 0.05), estimate(24, 0.002)
    return Outcome(
        scene=scene,
        fitted=evaluation(24, 3.0),
        ceiling=evaluation(12, 3.0),
        mean_start=evaluation(12, 0.0),
        sampled_start=evaluation(12, 0.0),
        estimate=flow,
        flow_scores=score_poses(flow.cameras, scene.test.cameras),
        refined=refined,
        refined_scores=score_poses(refined.cameras, scene.test.cameras),
        details={"pose_seconds_per_view": 0.25, "nested": {"new_figure": 7}},
    )


def log(path: Path) -> None:
    lines = [
        json.dumps({"step": i, "seconds": i / 2, "loss": 1 / i, "psnr": 20 + i})
        for i in range(1, 9)
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + '\n{"step": 9, "sec')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a demo leaves behind, with its report."""
    out = tmp_path_factory.mktemp("demo")
    for name in ("scene", "flow"):
        log(out / name / "metrics.jsonl")
        write_video(out / f"{name}.mp4", torch.rand(2, 16, 16, 3, generator=generator()), 2)
    write_report(out / "report.html", outcome(), FIGURES, out)
    return out


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text()


def test_every_figure_is_in_the_table_with_its_meaning(page: str) -> None:
    def keys(figures: dict[str, object], prefix: str = "") -> list[str]:
        found: list[str] = []
        for key, value in figures.items():
            nested = isinstance(value, dict)
            found += keys(value, f"{prefix}{key}.") if nested else [f"{prefix}{key}"]
        return found

    expected = keys(FIGURES)
    rows = dict(re.findall(r"<tr><td><code>([^<]*)</code></td><td[^>]*>(.*?)</td>", page))
    assert set(expected) | {"pose_seconds_per_view", "nested.new_figure"} == set(rows)
    assert rows["fit.psnr"] == "30.12"
    assert rows["flow.train_views"] == "4,000"
    assert rows["pose.rotation_deg_mean"] == "–"
    assert set(expected) <= set(MEANING)
    assert all(MEANING[key] in unescape(page) for key in expected)


def test_text_is_escaped(page: str) -> None:
    assert "ball &amp; &lt;b&gt;box&lt;/b&gt;" in page
    assert "<b>box</b>" not in page


def test_the_page_asks_the_network_nothing(page: str) -> None:
    addresses = re.findall(r"\b(?:src|href|poster|data)=\"([^\"]*)\"", page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_images_films_and_drawings_are_inside(page: str) -> None:
    # Six of the seven views: truth, render, error; then truth, ceiling and two starts.
    assert page.count('src="data:image/png;base64,') == 6 * 3 + 6 * 4
    assert page.count('src="data:video/mp4;base64,') == 2
    assert page.count("<svg") == 2 + 3 + 2
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]*)', page)) <= set(ids)


def test_the_same_results_give_the_same_page(folder: Path, page: str) -> None:
    write_report(folder / "again.html", outcome(), FIGURES, folder)
    assert (folder / "again.html").read_text() == page


def test_a_missing_film_is_named_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "flow.mp4").unlink()
    target = tmp_path / "new.html"
    with pytest.raises(InputError, match=r"flow\.mp4"):
        write_report(target, outcome(), FIGURES, tmp_path / "copy")
    assert not target.exists()


def test_runs_without_a_log_have_no_curves(folder: Path, tmp_path: Path) -> None:
    for name in ("scene", "flow"):
        shutil.copy(folder / f"{name}.mp4", tmp_path)
    write_report(tmp_path / "report.html", outcome(), FIGURES, tmp_path)
    assert "No training log" in (tmp_path / "report.html").read_text()


def test_a_run_has_a_page_of_its_own(tmp_path: Path) -> None:
    config = {"method": {"name": "sit", "options": {"width": 64}}, "fit": {"minutes": 4.0}}
    run = RunFolder.create(tmp_path / "my <run>", config)
    run.log({"step": 1, "seconds": 0.5, "loss": 0.5})
    run.log({"step": 2, "seconds": 1.5, "loss": 0.25})
    found = estimate(12, 0.05)
    scores = score_poses(found.cameras, views(12).cameras)
    write_run_report(
        run.path / "report.html", run, views(12), evaluation(12, 0.0), found, scores
    )
    page = (run.path / "report.html").read_text()
    assert "my &lt;run&gt;" in page
    assert page.count("<svg") == 1 + 3 + 1
    assert "method.options.width" in page
    assert f"{scores.rotation_deg_median:.2f}°" in page
    write_run_report(run.path / "scene.html", run, views(24), evaluation(24, 3.0), None, None)
    scene = (run.path / "scene.html").read_text()
    assert "<canvas" not in scene
    assert "://" not in scene


def test_perfect_and_empty_results_still_make_a_page(tmp_path: Path) -> None:
    photographs = views(12)
    truth = photographs.over(WHITE)
    nothing = torch.zeros(NUM_VIEWS, 12, 12)
    rendering = Rendering(torch.zeros(*nothing.shape, 3), nothing, nothing)
    scores = score_images(truth, truth)
    lists = list(rendering), list(truth), list(truth)
    perfect = ImageEvaluation(photographs, *lists, scores, "white", 1.0)
    exact = PoseEstimate.isotropic(
        photographs.cameras, torch.zeros(NUM_VIEWS), torch.zeros(NUM_VIEWS)
    )
    run = RunFolder.create(tmp_path / "run", {"method": {"name": "sit"}})
    errors = score_poses(exact.cameras, photographs.cameras)
    write_run_report(tmp_path / "report.html", run, perfect.views, perfect, exact, errors)
    page = (tmp_path / "report.html").read_text()
    assert "∞" in page
    assert not re.search(r"\b(nan|inf) ?(dB|%|°|<)", page)
    assert math.isinf(scores.mean_psnr)


def test_the_page_runs_in_a_browser(folder: Path, opened: Callable[[Path], str]) -> None:
    document = opened(folder / "report.html")
    canvas = re.search(r"<canvas[^>]*>", document)
    assert canvas
    assert 'data-ready="true"' in canvas[0]
    assert "hidden" not in canvas[0]
    assert not re.search(r"\b(?:src|href)=\"https?://", document)
