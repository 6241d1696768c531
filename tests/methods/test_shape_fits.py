"""What fits of a shape owe: they come near, restore, go on, and give the shape where it was."""

import shutil
from pathlib import Path

import pytest
import torch
from unrender.api.opened_run import OpenRun, open_run
from unrender.api.shape_tasks import FILES, evaluate_fit, fit_shape, shape_of
from unrender.training.shape_fit import ShapeFit

from unrender.data.shape_target import ShapeTarget
from unrender.errors import InputError
from unrender.methods import SHAPE_FITS, from_description
from unrender.methods.fit_mesh import MeshFit
from unrender.methods.fit_points import PointFit
from unrender.methods.fit_voxels import VoxelFit
from unrender.rendering.shapes import cameras_around
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import icosphere
from unrender.shapes.shape import bounds
from unrender.shapes.voxels import VoxelGrid
from unrender.training.fit import FitOptions

TINY = {
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
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpenRun:
    method, steps, _ = TINY[request.param]
    out = tmp_path_factory.mktemp("runs") / request.param
    options = FitOptions(steps=steps, device="cpu", log_every=10)
    source = Path("cigar.obj")
    return fit_shape(target(), source, "auto", method, out, options, show=False)[0]


def kind(opened: OpenRun) -> str:
    return str(opened.run.config["method"]["name"])


def test_comes_near(fitted: OpenRun) -> None:
    scores = evaluate_fit(fitted, target())
    assert scores["f1"][-1] > TINY[kind(fitted)][2]
    assert (fitted.run.path / "evaluation.json").exists()


def test_the_figure_can_fail(fitted: OpenRun) -> None:
    """Before the first step it is not there yet."""
    method = fitted.method
    assert isinstance(method, ShapeFit)
    untrained = OpenRun(fitted.run, method, method.build(target(), torch.Generator()))
    if kind(fitted) == "fit-voxels":
        with pytest.raises(InputError, match="no points"):
            evaluate_fit(untrained, target())
    else:
        assert evaluate_fit(untrained, target())["f1"][-1] < TINY[kind(fitted)][2]


def test_lies_where_its_target_does(fitted: OpenRun) -> None:
    low, high = bounds(shape_of(fitted))
    true_low, true_high = bounds(target().shape())
    assert float((low - true_low).abs().max()) < 0.4
    assert float((high - true_high).abs().max()) < 0.4


def test_the_folder_has_the_shape_and_a_film(fitted: OpenRun) -> None:
    files = {"fit-mesh": Mesh, "fit-points": PointCloud, "fit-voxels": VoxelGrid}
    assert (fitted.run.path / FILES[files[kind(fitted)]]).stat().st_size > 0
    assert (fitted.run.path / "progress.gif").stat().st_size > 0


def test_restores_without_its_target(fitted: OpenRun) -> None:
    again = open_run(fitted.run.path)
    cameras = cameras_around(shape_of(fitted), 2, 24)
    assert torch.equal(again.renderer(cameras).rgba, fitted.renderer(cameras).rgba)


def test_goes_on_as_if_it_had_not_stopped(fitted: OpenRun, tmp_path: Path) -> None:
    method, steps, _ = TINY[kind(fitted)]

    def fit(out: Path, number: int, resume: bool = False) -> OpenRun:
        options = FitOptions(steps=number, device="cpu", checkpoint_every=5)
        source = Path("cigar.obj")
        return fit_shape(target(), source, "auto", method, out, options, resume, False)[0]

    once = fit(tmp_path / "once", 10)
    fit(tmp_path / "twice", 10)
    # Back to the checkpoint in the middle.
    shutil.rmtree(sorted((tmp_path / "twice/checkpoints").iterdir())[-1])
    twice = fit(tmp_path / "twice", 10, resume=True)
    for name, tensor in once.model.state_dict().items():
        assert torch.equal(tensor, twice.model.state_dict()[name]), name
    assert steps > 10


def test_an_icosphere_stays_closed(fitted: OpenRun) -> None:
    shape = shape_of(fitted)
    if isinstance(shape, Mesh):
        assert is_watertight(shape.faces)


@pytest.mark.parametrize("name", sorted(SHAPE_FITS))
def test_is_found_by_its_description(name: str) -> None:
    options = SHAPE_FITS[name].__dict__
    assert from_description({"name": name, "options": options}, "x") == SHAPE_FITS[name]


@pytest.mark.fit
def test_points_are_a_target_too(tmp_path: Path) -> None:
    cloud = PointCloud(target().shape().vertices)  # pyright: ignore[reportAttributeAccessIssue]
    options = FitOptions(steps=5, device="cpu")
    for name, method in (("mesh", TINY["fit-mesh"][0]), ("voxels", TINY["fit-voxels"][0])):
        given = ShapeTarget.of_points("cloud", cloud)
        opened, _ = fit_shape(
            given, Path("cloud.ply"), "auto", method, tmp_path / name, options, show=False
        )
        assert evaluate_fit(opened, given)["f1"][-1] > 0
