"""The main job's first step on the real scene: minutes, so only with `-m slow`."""

from pathlib import Path

import pytest
import torch
from inputs import SHARED

from unrender.api.fit import fit_to
from unrender.data.load import load_dataset
from unrender.evaluation.renders import evaluate_images
from unrender.methods.instant_ngp import InstantNGP
from unrender.training.fit import FitOptions

LEGO = SHARED / "nerf_synthetic/lego_200"


@pytest.mark.slow
@pytest.mark.skipif(not LEGO.is_dir(), reason=f"{LEGO} is absent")
def test_lego_is_fitted_within_a_minute(tmp_path: Path) -> None:
    scene = load_dataset(str(LEGO))
    options = FitOptions(minutes=1.0, device="cpu")
    opened = fit_to(InstantNGP(), scene, options, out=tmp_path / "run", progress=False)
    views = scene.test.select(torch.arange(0, 50, 5))
    assert evaluate_images(opened.renderer, views).scores.mean_psnr > 28
