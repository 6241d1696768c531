"""What fits of a shape owe: they come near, restore, go on, and give the shape where it was."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unrender.api.fit import AnyMethod, fit_to
from unrender.api.run import Run
from unrender.data.shape_target import ShapeTarget
from unrender.errors import InputError
from unrender.methods import from_description
from unrender.methods.fit_mesh import MeshFit
from unrender.methods.fit_points import PointFit
from unrender.methods.fit_voxels import VoxelFit
from unrender.methods.presets import find_preset
from unrender.rendering.shapes import cameras_around
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import icosphere
from unrender.shapes.shape import bounds
from unrender.shapes.voxels import VoxelGrid
from unrender.training.data_kinds.shape import FILES
from unrender.training.fit import FitOptions
from unrender.training.method import Fitted
from unrender.training.run_folder import RunFolder

TINY: dict[str, tuple[AnyMethod, int, float]] = {
    "fit-mesh": (MeshFit(level=2, samples=500, learning_rate=0.2), 60, 0.9),
    "fit-points": (PointFit(points=800, target_points=1000, learning_rate=0.03), 60, 0.8),
    "fit-voxels": (VoxelFit(resolution=16), 40, 0.8),
}
"""Small forms, the steps in which they learn, and F1 at a twentieth of the size then."""
BALL = icosphere(3)
AWAY = torch.tensor([3.0, -1.0, 0.5])


def target() -> ShapeTarget:
    """A bent cigar, far from 0 and not of unit size."""
    x, y, z = BALL.vertices.T
    bent = torch.stack([2 * x, 0.6 * y, 0.6 * z + 0.8 * x.square()], dim=1)
    return ShapeTarget.of_mesh("cigar", Mesh(bent + AWAY, BALL.faces), 5000)


@pytest.fixture(scope="module", params=sorted(TINY))
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    method, steps, _ = TINY[request.param]
    out = tmp_path_factory.mktemp("runs") / request.param
    options = FitOptions(steps=steps, device="cpu", log_every=10)
    return fit_to(method, target(), options, out=out, progress=False)


def kind(opened: Run) -> str:
    return str(opened.config["method"]["name"])


def test_comes_near(fitted: Run) -> None:
    scores = fitted.evaluate(target())
    assert scores["f1"][-1] > TINY[kind(fitted)][2]
    assert fitted.path is not None
    assert not (fitted.path / "evaluation.json").exists()


def test_the_figure_can_fail(fitted: Run) -> None:
    """Before the first step it is not there yet."""
    method = fitted.method
    assert method.has_shape
    model = method.build(target(), torch.Generator())
    untrained = replace(fitted, fitted=Fitted(method, model))
    if kind(fitted) == "fit-voxels":
        with pytest.raises(InputError, match="is empty"):
            untrained.evaluate(target())
    else:
        assert untrained.evaluate(target())["f1"][-1] < TINY[kind(fitted)][2]


def test_lies_where_its_target_does(fitted: Run) -> None:
    low, high = bounds(fitted.shape())
    true_low, true_high = bounds(target().shape())
    assert float((low - true_low).abs().max()) < 0.4
    assert float((high - true_high).abs().max()) < 0.4


def test_the_folder_has_the_shape_and_a_film(fitted: Run) -> None:
    files = {"fit-mesh": Mesh, "fit-points": PointCloud, "fit-voxels": VoxelGrid}
    assert fitted.path is not None
    assert (fitted.path / FILES[files[kind(fitted)]]).stat().st_size > 0
    assert (fitted.path / "progress.gif").stat().st_size > 0


def test_restores_without_its_target(fitted: Run) -> None:
    assert fitted.path is not None
    again = Run.open(fitted.path, "cpu")
    cameras = cameras_around(fitted.shape(), 2, 24)
    assert torch.equal(again.renderer(cameras).rgba, fitted.renderer(cameras).rgba)


def test_goes_on_as_if_it_had_not_stopped(fitted: Run, tmp_path: Path) -> None:
    method, steps, _ = TINY[kind(fitted)]

    def fit(out: Path, number: int, resume: bool = False) -> Run:
        options = FitOptions(steps=number, device="cpu", checkpoint_every=3)
        if resume:
            record = RunFolder.open(out)
            return fit_to(method, target(), options, record=record, progress=False)
        return fit_to(method, target(), options, out=out, progress=False)

    once = fit(tmp_path / "once", 6)
    fit(tmp_path / "twice", 6)
    # Back to the checkpoint in the middle.
    shutil.rmtree(sorted((tmp_path / "twice/checkpoints").iterdir())[-1])
    twice = fit(tmp_path / "twice", 6, resume=True)
    for name, tensor in once.model.state_dict().items():
        assert torch.equal(tensor, twice.model.state_dict()[name]), name
    assert steps > 6


def test_an_icosphere_stays_closed(fitted: Run) -> None:
    shape = fitted.shape()
    if isinstance(shape, Mesh):
        assert is_watertight(shape.faces)


@pytest.mark.parametrize("name", sorted([*TINY, "fit-sdf", "fit-occupancy"]))
def test_is_found_by_its_description(name: str) -> None:
    method = find_preset(name).method()
    options = method.__dict__
    assert from_description({"name": name, "options": options}, "x") == method


@pytest.mark.fit
def test_points_are_a_target_too(tmp_path: Path) -> None:
    cloud = PointCloud(target().shape().vertices)  # pyright: ignore[reportAttributeAccessIssue]
    options = FitOptions(steps=5, device="cpu")
    for name, method in (("mesh", TINY["fit-mesh"][0]), ("voxels", TINY["fit-voxels"][0])):
        given = ShapeTarget.of_points("cloud", cloud)
        opened = fit_to(method, given, options, out=tmp_path / name, progress=False)
        assert opened.evaluate(given)["f1"][-1] > 0
