"""A page opened in a real browser: its script runs, and nothing comes from elsewhere."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.report.cameras3d import CameraSet, camera_view
from unrender.report.page import Page, figure, image_grid, section
from unrender.report.plots import draw_curves, svg

Opened = Callable[[Path], str]


def report() -> Page:
    truth = Cameras.from_focal(turntable(8, 4.0, 0.5), 40.0, 32, 32)
    poses = truth.world_from_camera.clone()
    poses[:, 2, 3] += 0.3
    sets = [CameraSet("true", truth), CameraSet("flow", truth.with_poses(poses))]
    return Page(
        "A report",
        "Of <nothing>",
        (
            section(
                "Cameras",
                camera_view(sets, caption="Cameras."),
                image_grid([("truth", torch.rand(2, 8, 8, 3))], ["view 0", "view 1"]),
                figure(svg(draw_curves({"loss": ([0, 1], [1, 2])}, "s", "loss")), "Loss."),
            ),
        ),
    )


def test_the_script_replaces_the_still_picture(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    report().write(path)
    document = opened(path)
    canvas = re.search(r"<canvas[^>]*>", document)
    assert canvas is not None
    assert 'data-ready="true"' in canvas[0]
    assert "hidden" not in canvas[0]
    assert re.search(r'<figure class="cameras3d live">', document)
    assert "Of &lt;nothing&gt;" in document
    # Nothing in the document, as the browser sees it, comes from elsewhere.
    addresses = re.findall(r'(?:src|href|poster|action)="([^"]*)"', document)
    assert addresses
    assert all(unescape(address).startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"https?://", re.sub(r"base64,[\w+/=]*", "", document))


def test_without_the_script_the_still_picture_stays(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    content = report().html()
    # A page without its script stands for a browser that runs none.
    path.write_text(re.sub(r"<script>.*?</script>", "", content, flags=re.DOTALL))
    document = opened(path)
    assert "data-ready" not in document
    assert re.search(r"<canvas[^>]* hidden", document)
    assert document.count('<path class="set0"') > 0
    assert document.count('type="checkbox"') == 2
