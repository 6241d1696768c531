"""No text of the studies' drawings is cropped."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.report.findings import Plot, Record
from unrender.report.plots import STYLE, draw_curves
from unrender.studies import ablations, robustness
from unrender.studies.gradient_pictures import width_and_cost
from unrender.studies.turntable import draw_paths

NAMES = ["one backward step", "energy's mode", "refined on the scene"]
Cropped = Callable[[Path], bool]


def written(plot: Plot, folder: Path) -> Path:
    path = folder / f"{plot.name}.png"
    with mpl.rc_context(STYLE):
        plot.drawing.savefig(path, dpi=200, facecolor="white")
    return path


@pytest.mark.parametrize("count", [1, 2, 3])
def test_camera_paths(count: int, tmp_path: Path, cropped: Cropped) -> None:
    truth = Cameras.from_focal(turntable(24, 4.0, 0.5), 40.0, 32, 32)
    poses = truth.world_from_camera.clone()
    poses[:, :, 3] += 0.02 * torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
    drawing = draw_paths(truth, dict.fromkeys(NAMES[:count], truth.with_poses(poses)))
    assert not cropped(written(Plot("path", drawing, "Paths."), tmp_path))


def test_variants(tmp_path: Path, cropped: Cropped) -> None:
    records: list[Record] = [
        {
            "variant": name,
            "PSNR, dB": 24.0 + k,
            "one step, degrees": 1.0,
            "mode, degrees": k + 1,
        }
        for k, name in enumerate(ablations.VARIANTS)
    ]
    drawing = ablations.draw_variants(records)
    assert not cropped(written(Plot("variants", drawing, "Variants."), tmp_path))


def test_sweeps(tmp_path: Path, cropped: Cropped) -> None:
    sweep = robustness.Sweep("look-at offset", "degrees", [0.0, 1.0, 2.0], (0.0, 1.0))
    records: list[Record] = [
        {"parameter": sweep.name, "value": v, "psnr": 20.0, "rotation_deg": 10.0, "energy": 0.1}
        for v in sweep.values
    ]
    drawing = robustness.draw_sweeps([sweep] * 2, records)
    assert not cropped(written(Plot("sweeps", drawing, "Sweeps."), tmp_path))


def test_errors_of_derivatives(tmp_path: Path, cropped: Cropped) -> None:
    records: list[Record] = [
        {"scene": "ring and box", "technique": f"soft, blur {k} px", "parameter": "position",
         "kind": "soft", "width": 0.1 * 4**k, "error": 0.1 + k / 4, "cost": 4.0**k}
        for k in range(4)
    ]  # fmt: skip
    for plot in width_and_cost(records):
        assert not cropped(written(plot, tmp_path))


def test_long_names_of_curves(tmp_path: Path, cropped: Cropped) -> None:
    names = [f"{name}, a long name of a series {k}" for k, name in enumerate(NAMES)]
    drawing = draw_curves({name: ([1, 2], [3, 4]) for name in names}, "seconds", "PSNR (dB)")
    assert not cropped(written(Plot("curves", drawing, "Curves."), tmp_path))
