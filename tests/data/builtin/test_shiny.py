"""The shiny built-in scene: its views, exact depths, and that the view decides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unrender.data.builtin import SCENES, built_in, shiny, specular_scene
from unrender.data.builtin.shiny import (
    MATERIALS,
    balls,
    dark,
    hologram,
    make_shiny,
    render_shiny,
    shiny_cameras,
    shiny_materials,
)
from unrender.data.load import load_dataset
from unrender.data.options import LoadOptions
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras

MATTE, METAL, GLASS, GRATING, _ = range(len(MATERIALS))


@pytest.fixture(scope="module", autouse=True)
def coarse_light() -> None:
    """A light map by few directions: its grain is the same in all views."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specular_scene, "GATHER_SAMPLES", (4, 8))
        shiny.surfaces.cache_clear()
        shiny.surfaces()


@pytest.fixture(scope="module")
def pair() -> tuple[Cameras, Views]:
    """Two neighboring views."""
    cameras = shiny_cameras()[0].select(torch.tensor([24, 26]))
    return cameras, render_shiny(cameras)


def test_images_are_opaque_and_complete(pair: tuple[Cameras, Views]) -> None:
    cameras, views = pair
    assert views.images.shape == (2, cameras.height, cameras.width, 4)
    assert (views.images[..., 3] == 1).all()
    assert views.masks is None
    assert ((views.images >= 0) & (views.images <= 1)).all()
    assert views.depths is not None
    assert views.normals is not None
    assert float(views.depths.min()) > 2
    torch.testing.assert_close(views.normals.norm(dim=-1), torch.ones_like(views.depths))
    # Every material but the lamps, behind the cameras and above, is seen.
    counts = shiny_materials(cameras).flatten().bincount(minlength=len(MATERIALS))
    assert (counts[:4] > 0.04 * counts.sum()).all()
    assert counts[4] == 0


def points(views: Views) -> Tensor:
    """The surface points in the pixels' centers."""
    cameras = views.cameras
    rows, columns = torch.meshgrid(
        torch.arange(cameras.height), torch.arange(cameras.width), indexing="ij"
    )
    place = torch.stack([columns, rows], dim=-1) + 0.5
    number = torch.arange(len(views))[:, None, None].expand(-1, *rows.shape)
    rays = cameras.rays(number, place[None].expand(len(views), -1, -1, -1))
    assert views.depths is not None
    return rays.origins + views.depths[..., None] * rays.directions


def test_depths_are_exact(pair: tuple[Cameras, Views]) -> None:
    cameras, views = pair
    found, what = points(views), shiny_materials(cameras)
    glass = balls()[-1]
    away = (found[what == GLASS] - torch.tensor(glass.center)).norm(dim=1)
    torch.testing.assert_close(away, torch.full_like(away, glass.radius), atol=1e-5, rtol=0)
    # The hologram is the last rectangle.
    corner, normal = dark().quads[-1, :3], dark().quads[-1, 9:12]
    off = (found[what == GRATING].double().numpy() - corner) @ normal
    assert np.abs(off).max() < 1e-5


def change(cameras: Cameras, views: Views, material: int) -> float:
    """Mean squared difference of the colors of the same points in two views."""
    what = shiny_materials(cameras)
    place, depth = cameras.project(torch.ones_like(what[0]), points(views)[0])
    assert views.depths is not None
    column, row = place.floor().long().unbind(-1)
    inside = (column >= 0) & (column < cameras.width) & (row >= 0) & (row < cameras.height)
    column, row = column.clamp(0, cameras.width - 1), row.clamp(0, cameras.height - 1)
    away = (points(views)[0] - cameras.centers[1]).norm(dim=-1)
    seen = inside & ((views.depths[1, row, column] - away).abs() < 0.02)
    seen = seen & (what[0] == material) & (depth > 0)
    assert int(seen.sum()) > 300
    off = views.images[0, seen] - views.images[1, row[seen], column[seen]]
    return float(off.square().mean())


def test_the_view_decides(pair: tuple[Cameras, Views]) -> None:
    """Between views two apart the hologram changes much more than what is diffuse."""
    diffuse = change(*pair, MATTE)
    assert change(*pair, GRATING) > 10 * diffuse
    assert change(*pair, METAL) > 2 * diffuse
    assert change(*pair, GLASS) > 2 * diffuse


def test_noise_is_below_what_is_measured(pair: tuple[Cameras, Views]) -> None:
    """Two seeds differ by more than 40 dB of PSNR; the same seed gives the same bits."""
    cameras = pair[0].resized(100, 75)
    views = render_shiny(cameras)
    again = render_shiny(cameras.select(torch.tensor([1])))
    assert torch.equal(again.images[0], views.images[1])
    other = render_shiny(cameras, seed=1)
    off = (other.images - views.images).square()[..., :3].mean(-1)
    assert float(off.mean()) < 1e-4
    what = shiny_materials(cameras)
    # Diffuse pixels have none, unless they border on the hologram.
    assert float(off[what == MATTE].median()) == 0
    assert float(off[what == MATTE].mean()) < 1e-4
    assert 0 < float(off[what == GRATING].mean()) < 1e-3


def test_held_out_cameras_are_between_the_others() -> None:
    train, test = shiny_cameras()
    assert (len(train), len(test)) == (60, 15)
    away = torch.cdist(test.centers, train.centers).sort(dim=1).values
    spacing = shiny.BASELINE[0] / (shiny.COLUMNS - 1)
    assert float(away[:, 0].min()) > 0.2 * spacing
    assert float(away[:, 3].max()) < 1.5 * spacing
    for axis in (0, 2):
        low, high = train.centers[:, axis].min(), train.centers[:, axis].max()
        inside = (test.centers[:, axis] > low) & (test.centers[:, axis] < high)
        assert inside.all()
    # All look forward, at one point.
    assert (train.rotations[:, :, 2][:, 1] > 0.9).all()


def test_each_cell_of_the_hologram_is_a_grating() -> None:
    found = hologram()
    assert found.cells.shape == (shiny.CELLS, shiny.CELLS)
    assert found.cells.min() >= 0
    assert found.cells.max() < len(found.gratings)
    np.testing.assert_allclose(np.hypot(found.gratings[:, 0], found.gratings[:, 1]), 1)
    zero, first, second = found.efficiency
    assert zero + 2 * first + 2 * second <= 1
    # The rosette is the same after half a turn about the center.
    assert len(np.unique(found.cells)) == len(found.gratings)


def small(cameras: Cameras) -> Views:
    return render_shiny(cameras.resized(20, 15), supersample=1)


def test_points_are_on_matte_surfaces() -> None:
    data = make_shiny(small)
    assert (len(data.train), len(data.test)) == (60, 15)
    found, colors = data.train.points, data.train.point_colors
    assert found is not None
    assert colors is not None
    assert len(found) == len(colors) == shiny.POINTS
    for ball in balls():
        assert float((found - torch.tensor(ball.center)).norm(dim=1).min()) > ball.radius
    low, high = found.amin(0), found.amax(0)
    assert (low > torch.tensor([-3.601, -3.0, -0.001])).all()
    assert (high < torch.tensor([3.601, 2.401, 4.601])).all()


def test_it_loads_and_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNRENDER_CACHE", str(tmp_path))
    monkeypatch.setattr(shiny, "WIDTH", 16)
    monkeypatch.setattr(shiny, "HEIGHT", 12)
    assert "shiny" in SCENES
    first = load_dataset("shiny")
    assert "75 views of the built-in scene shiny by path tracing" in capsys.readouterr().err
    again = load_dataset("shiny", LoadOptions(light="path", downscale=1))
    assert not capsys.readouterr().err
    assert torch.equal(first.test.images, again.test.images)
    assert torch.equal(first.train.images, again.train.images)
    assert first.train.depths is not None
    half = load_dataset("shiny", LoadOptions(downscale=2))
    assert (half.test.cameras.width, half.test.cameras.height) == (8, 6)
    plain = built_in("shiny")
    assert plain.train.masks is None
    assert replace(plain, source=None).name == "shiny"
