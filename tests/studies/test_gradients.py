"""Derivatives of pixels against what must hold of them, and the studies' pages."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unrender.rendering.mesh.raster import rasterize_mesh
from unrender.studies import gradients
from unrender.studies import projective as mitsuba
from unrender.studies.gradient_pictures import diverging
from unrender.studies.gradient_scenes import REACH, GradientScene, gradient_scenes, setting_at
from unrender.studies.gradient_techniques import (
    Draw,
    derivatives,
    most_layers,
    rasterized,
    softened,
    truth,
    volumetric,
)
from unrender.studies.gradients import relative_errors

SIDE = 24
TRIANGLE, SPHERE, RING = gradient_scenes()


def techniques(side: int = SIDE) -> dict[str, Draw]:
    return {
        "plain": rasterized(SPHERE, side, antialias=False),
        "antialiased": rasterized(SPHERE, side),
        "soft": softened(SPHERE, side, 0.5),
        "volume": volumetric(SPHERE, side, 0.03),
    }


@pytest.mark.parametrize("name", techniques())
def test_the_derivative_by_colour_is_exact(name: str) -> None:
    """Pixels are linear in the brightness: a difference of any step is the derivative."""
    draw = techniques()[name]
    found = derivatives(draw)[2]
    step = torch.tensor([0.0, 0.0, 0.3, 0.0])
    with torch.no_grad():
        expected = (draw(step) - draw(-step)) / 0.6
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", techniques())
def test_derivatives_are_those_of_the_same_image(name: str) -> None:
    """By the light, which moves no edge."""
    draw = techniques()[name]
    found = derivatives(draw)[3]
    step = torch.tensor([0.0, 0.0, 0.0, 2e-3])
    with torch.no_grad():
        expected = (draw(step) - draw(-step)) / 4e-3
    assert float((found - expected).norm() / expected.norm()) < 0.02


def test_moving_integrates_to_what_shifting_does() -> None:
    """Brightness that a move takes to the right: the derivative's first moment is the sum."""
    for draw in (rasterized(TRIANGLE, SIDE, 2), volumetric(SPHERE, SIDE, 0.06, 2)):
        setting = setting_at(torch.zeros(4), SIDE)
        with torch.no_grad():
            dark = (1 - draw(torch.zeros(4))).mean(2)
        found = -derivatives(draw)[0].mean(2)
        x = torch.arange(SIDE) + 0.5
        moved = float((found * x).sum())
        # What is nearer moves by more pixels, and light and perspective change a little.
        assert moved == pytest.approx(float(dark.sum()) / setting.pixel, rel=0.1)
        assert abs(float(found.sum())) < 0.1 * abs(moved) / SIDE


def test_edges_need_more_than_faces_and_antialiasing_gives_it() -> None:
    true = truth(TRIANGLE, SIDE, torch.Generator().manual_seed(0), rays=8, passes=2)
    errors = {
        antialias: relative_errors(
            derivatives(rasterized(TRIANGLE, SIDE, antialias=antialias)), true.derivatives
        )
        for antialias in (False, True)
    }
    assert float(true.noise[0]) < 0.1
    assert float(errors[False][0]) > 0.95
    assert float(errors[True][0]) < 0.5
    assert float(errors[True][2]) < 0.1


def test_the_bias_of_soft_edges_falls_with_the_blur() -> None:
    true = truth(TRIANGLE, SIDE, torch.Generator().manual_seed(0), rays=8, passes=2)
    found = [
        float(relative_errors(derivatives(softened(TRIANGLE, SIDE, blur)), true.derivatives)[0])
        for blur in (2.0, 0.7, 0.3)
    ]
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.7


def test_volumes_approach_the_truth_as_beta_falls() -> None:
    """Within the sphere and at its edges, by many rays a pixel."""
    true = truth(SPHERE, SIDE, torch.Generator().manual_seed(0), rays=8, passes=2)
    errors = torch.stack(
        [
            relative_errors(derivatives(volumetric(SPHERE, SIDE, beta, 4)), true.derivatives)
            for beta in (0.1, 0.03, 0.008)
        ]
    )
    for parameter in (0, 2, 3):
        assert bool((errors[:, parameter].diff() < 0).all()), errors
    assert float(errors[2, 2]) < 0.1


@pytest.mark.parametrize("scene", gradient_scenes(), ids=lambda scene: scene.name)
def test_mesh_and_distance_are_the_same_solid(scene: GradientScene) -> None:
    """As far as triangles are round; the flat one is a side of a slab."""
    points = scene.mesh.vertices[scene.mesh.faces].mean(1)
    assert float(scene.distance(points).abs().max()) < 0.02
    assert float(points.norm(dim=1).max()) < REACH
    assert scene.mesh.normals is not None
    ahead = scene.mesh.vertices + 0.05 * scene.mesh.normals
    assert bool((scene.distance(ahead) > 0).all())


def test_layers_hold_every_face_near_to_a_pixel() -> None:
    cameras = setting_at(torch.zeros(4), SIDE).cameras
    layers = most_layers(RING, SIDE, 1.0)
    found = rasterize_mesh(RING.mesh, cameras, layers, blur=3.0)
    assert bool((found.pix_to_face[..., -1] < 0).all())
    assert bool(
        (rasterize_mesh(RING.mesh, cameras, 8, blur=3.0).pix_to_face[..., -1] >= 0).any()
    )


def test_diverging_colours_are_white_at_zero() -> None:
    colors = diverging(torch.tensor([[-1.0, 0.0, 1.0]]), 1.0)[0]
    assert float(colors[1].min()) > 0.95
    assert float(colors[0][2]) > float(colors[0][0])
    assert float(colors[2][0]) > float(colors[2][2])


@pytest.mark.parametrize("scene", gradient_scenes(), ids=lambda scene: scene.name)
def test_mitsuba_draws_the_same_image(scene: GradientScene, tmp_path: Path) -> None:
    """Its scalar variant, which has no derivatives but runs everywhere."""
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("scalar_rgb")
    made = mitsuba.load_dataset(mi, mitsuba.request(scene, SIDE), tmp_path, 64)
    integrator = mi.load_dict({"type": "path", "max_depth": 1})
    theirs = torch.tensor(np.array(mi.render(made, integrator=integrator)))[..., :3]
    ours = rasterized(scene, SIDE, 6, antialias=False)(torch.zeros(4))
    assert float((ours - theirs).abs().mean()) < 0.01


@pytest.mark.parametrize(("code", "reason"), [(-6, "signal 6"), (1, "no LLVM")])
def test_a_process_that_dies_is_a_reason(
    code: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: subprocess.CompletedProcess[str] = subprocess.CompletedProcess(
        [], code, "", "ImportError: no LLVM"
    )

    def dies(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return ended

    monkeypatch.setattr(mitsuba.subprocess, "run", dies)
    with pytest.raises(mitsuba.AbsentError, match=reason):
        mitsuba.projective(TRIANGLE, 8, 4, 0)


@pytest.mark.fit
@pytest.mark.parametrize("scenes", [1, pytest.param(3, marks=pytest.mark.study)])
def test_gradients_by_their_command(
    scenes: int, command: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "gradient_scenes", lambda: gradient_scenes()[:scenes])
    short = ("--side", 16, "--blurs", 0.3, "--betas", 0.03, "--runs", 2, "--rays", 2)
    out = command("study", "gradients", "--out", tmp_path, *short, "--no-mitsuba")
    text = _whole(out, tmp_path / "gradients.html")
    assert text.count("<figure") == 2 + scenes
    rows = (tmp_path / "gradients.csv").read_text().splitlines()
    # Five techniques and four parameters of each scene.
    assert len(rows) == 1 + scenes * 5 * 4


@pytest.mark.fit
def test_inverse_problems_by_their_command(command: Callable[..., str], tmp_path: Path) -> None:
    short = ("--side", 16, "--poses", 1, "--views", 3, "--steps", 5)
    out = command("study", "inverse-problems", "--out", tmp_path, *short)
    text = _whole(out, tmp_path / "inverse-problems.html")
    assert text.count("<figure") == 5
    for problem in ("pose", "light", "texture", "shape"):
        assert f"\n{problem}," in (tmp_path / "inverse-problems.csv").read_text()


@pytest.mark.parametrize(
    ("study", "option", "message"),
    [
        ("gradients", "--runs", "give at least 16 pixels"),
        ("gradients", "--side", "give at least 16 pixels"),
        ("inverse-problems", "--views", "give at least 1"),
    ],
)
def test_too_little_to_study_is_one_line(
    study: str, option: str, message: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    assert message in refused("study", study, "--out", tmp_path, option, 0)


def _whole(out: str, page: Path) -> str:
    """The page, whose path the command ends with, with a number wherever there is one."""
    assert out.strip().endswith(str(page))
    text = page.read_text()
    assert not re.search(r">[^<]*\bnan\b", text.split("<body>")[1])
    return text


def test_a_wrong_derivative_is_seen() -> None:
    """The laws above can fail: a scene whose light turns twice as fast is not this one."""
    draw = rasterized(SPHERE, SIDE)
    found = derivatives(draw)

    def faster(amounts: Tensor) -> Tensor:
        return draw(amounts * amounts.new_tensor([1.0, 1.0, 1.0, 2.0]))

    errors = relative_errors(derivatives(faster), found)
    torch.testing.assert_close(errors, torch.tensor([0.0, 0.0, 0.0, 1.0]), atol=1e-4, rtol=0)
