"""The box is found where it is, from a wrong start, by pictures that other formulas made."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.pixels import pixel_grid
from unrender.methods.box import Box, BoxModel
from unrender.training.fit import FitOptions

SIZE, CAMERAS = 48, 12
CENTER, SIDES = torch.tensor([0.2, -0.15, 0.1]), torch.tensor([0.7, 1.1, 0.5])
COLOR = torch.tensor([0.9, 0.4, 0.1])


def views_of_fog(density: float, scale: float = 1.0, seed: int = 0) -> Views:
    """A box of fog by its closed form, 1 − exp(−density × chord): no samples."""
    poses = spherical_shell(
        CAMERAS, (3.9, 4.1), torch.Generator().manual_seed(seed), (-1.2, 1.2)
    )
    cameras = Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE)
    index = torch.arange(CAMERAS)[:, None, None].expand(-1, SIZE, SIZE)
    rays = cameras.rays(index, pixel_grid(SIZE, SIZE).expand(CAMERAS, -1, -1, -1))
    faces = torch.stack([CENTER - SIDES / 2, CENTER + SIDES / 2])[:, None, None, None]
    hits = (faces - rays.origins) / rays.directions
    chord = (hits.amax(0).amin(-1) - hits.amin(0).amax(-1)).clamp_min(0)
    opacity = 1 - (-density * chord).exp()[..., None]
    poses = poses.clone()
    poses[:, :, 3] *= scale
    return Views(cameras.with_poses(poses), torch.cat([opacity * COLOR, opacity], dim=-1))


def fitted(data: Views, out: Path, method: Box, steps: int) -> BoxModel:
    scene, options = Dataset("box", data, data), FitOptions(steps=steps, device="cpu")
    model = fit_to(method, scene, options, out=out, progress=False).model
    assert isinstance(model, BoxModel)
    return model


@pytest.mark.fit
@pytest.mark.parametrize(
    ("density", "method"),
    [
        pytest.param(3.0, Box(rays=256, bins=64), id="fog"),
        pytest.param(20.0, Box(), id="solid", marks=pytest.mark.slow),
    ],
)
def test_centre_and_sides_are_found_to_a_hundredth(
    density: float, method: Box, tmp_path: Path
) -> None:
    model = fitted(views_of_fog(density), tmp_path / "run", method, 600)
    start = method.build(views_of_fog(density), torch.Generator())
    # It began far from there.
    assert float((start.center - CENTER).detach().abs().max()) > 0.1
    assert float((start.sides - SIDES).detach().abs().max()) > 0.3
    torch.testing.assert_close(model.center.detach(), CENTER, atol=0.01, rtol=0)
    torch.testing.assert_close(model.sides.detach(), SIDES, atol=0.01, rtol=0)
    torch.testing.assert_close(model.color.sigmoid().detach(), COLOR, atol=0.01, rtol=0)
    found = float(model.log_density.detach().exp() / model.ball.radius)
    assert found == pytest.approx(density, rel=0.15)


def test_the_unit_of_length_does_not_matter(tmp_path: Path) -> None:
    short = replace(Box(), bins=48)
    one, ten = (
        fitted(views_of_fog(3.0, scale), tmp_path / f"{scale}", short, 40)
        for scale in (1.0, 10.0)
    )
    torch.testing.assert_close(ten.center, 10 * one.center, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ten.sides, 10 * one.sides, rtol=1e-3, atol=1e-3)


def test_a_run_opens_again(tmp_path: Path) -> None:
    data = views_of_fog(3.0)
    model = fitted(data, tmp_path / "run", replace(Box(), bins=32), 5)
    again = Run.open(tmp_path / "run", "cpu")
    assert isinstance(again.model, BoxModel)
    assert torch.equal(again.model.softness, model.softness)
    camera = data.cameras.select(slice(0, 1))
    assert torch.equal(again.renderer(camera).rgba, again.method.render(model, camera).rgba)


def test_faces_harden_by_the_middle_of_the_training(tmp_path: Path) -> None:
    method = replace(Box(), bins=16, rays=16)
    model = fitted(views_of_fog(3.0), tmp_path / "run", method, 10)
    assert float(model.softness) == pytest.approx(method.final_softness)
