"""What fits of fields owe: the distance and its sign, of meshes with holes and of points."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unrender.api import fit as fit_module
from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.data.shape_target import ShapeTarget
from unrender.errors import InputError
from unrender.fields.field import FIELD_KINDS, FieldKind
from unrender.methods import describe, from_description, presets
from unrender.methods.fit_occupancy import OccupancyFit
from unrender.methods.fit_sdf import SDFFit
from unrender.rendering.shapes import cameras_around
from unrender.shapes.files.meshes import write_mesh
from unrender.shapes.files.points import write_points
from unrender.shapes.files.shape import load_shape
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import icosphere, torus
from unrender.shapes.sampling import sample_surface
from unrender.training.field_fit import FieldFit
from unrender.training.fit import FitOptions
from unrender.training.method import Fitted, Progress
from unrender.training.run_folder import RunFolder

SMALL = {
    "field": "grid",
    "learning_rate": 3.0,
    "levels": 3,
    "log2_table_size": 12,
    "finest": 32,
    "small_width": 16,
    "width": 16,
    "depth": 2,
    "resolution": 16,
    "volume_resolution": 16,
    "batch": 1024,
    "pool_size": 20_000,
    "cells": 32,
    "preview_cells": 16,
}
"""A dense grid, which in a few steps learns what needs no detail."""
SDF = SDFFit(step_size=0.02, gain=0.3, **{**SMALL, "learning_rate": 1.5})  # pyright: ignore[reportArgumentType]
OCCUPANCY = OccupancyFit(softness=0.02, **SMALL)  # pyright: ignore[reportArgumentType]
BALL = icosphere(4)
AWAY = torch.tensor([3.0, -1.0, 0.5])
RADIUS = 2.0


def ball() -> ShapeTarget:
    """Far from 0, and not of unit size."""
    return ShapeTarget.of_mesh("ball", BALL.with_vertices(RADIUS * BALL.vertices + AWAY), 5000)


def ring() -> ShapeTarget:
    return ShapeTarget.of_mesh("ring", torus(1.0, 0.35, 24, 48), 5000)


def cloud(oriented: bool) -> ShapeTarget:
    """Of the ring."""
    drawn = sample_surface(torus(1.0, 0.35, 24, 48), 3000, torch.Generator().manual_seed(0))
    normals = drawn.normals if oriented else None
    return ShapeTarget.of_points("cloud", PointCloud(drawn.points, None, normals))


def cut() -> ShapeTarget:
    """A ball without its top."""
    high = BALL.vertices[BALL.faces].mean(1)[:, 2] > 0.95
    return ShapeTarget.of_mesh("cut", Mesh(BALL.vertices, BALL.faces[~high]), 5000)


TARGETS: dict[str, Callable[[], ShapeTarget]] = {
    "ball": ball,
    "ring": ring,
    "oriented": lambda: cloud(True),
    "unoriented": lambda: cloud(False),
    "cut": cut,
}


def fitted(
    method: FieldFit, target: ShapeTarget, out: Path, steps: int, resume: bool = False
) -> Run:
    options = FitOptions(steps=steps, device="cpu", log_every=100, checkpoint_every=5)
    if resume:
        record = RunFolder.open(out)
        return fit_to(method, target, options, record=record, progress=False)
    return fit_to(method, target, options, out=out, progress=False)


@pytest.fixture(scope="module")
def sphere_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fitted(SDF, ball(), tmp_path_factory.mktemp("runs") / "ball", 150)


def test_a_sphere_has_its_radius_and_slope_1(sphere_run: Run) -> None:
    mesh = sphere_run.shape()
    assert isinstance(mesh, Mesh)
    assert is_watertight(mesh.faces)
    radius = (mesh.vertices - AWAY).norm(dim=1)
    assert float(radius.mean()) == pytest.approx(RADIUS, rel=0.005)
    assert float((radius - RADIUS).abs().max()) < 0.03 * RADIUS
    method, model = sphere_run.method, sphere_run.model
    assert isinstance(method, SDFFit)
    assert method.eikonal(model, 2000, torch.Generator()) < 0.1  # pyright: ignore[reportArgumentType]


def test_the_sign_is_right_in_and_out(sphere_run: Run) -> None:
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    true = points.norm(dim=1) - 0.5
    method = sphere_run.method
    assert isinstance(method, SDFFit)
    with torch.no_grad():
        found = method.values(sphere_run.model, points)  # pyright: ignore[reportArgumentType]
    clear = true.abs() > 0.02
    assert torch.equal(found[clear] < 0, true[clear] < 0)
    assert float((found - true).abs().mean()) < 0.01


def test_restores_without_its_target(sphere_run: Run) -> None:
    assert sphere_run.path is not None
    again = Run.open(sphere_run.path, "cpu")
    cameras = cameras_around(sphere_run.shape(), 2, 24)
    seen = sphere_run.renderer(cameras).rgba
    assert torch.equal(again.renderer(cameras).rgba, seen)
    assert float(seen[..., 3].max()) == pytest.approx(1)


@pytest.mark.fit
@pytest.mark.parametrize("method", [SDF, OCCUPANCY], ids=["sdf", "occupancy"])
@pytest.mark.parametrize("name", ["ring", "oriented", "unoriented", "cut"])
def test_comes_near(name: str, method: FieldFit, tmp_path: Path) -> None:
    """From a mesh, from points, and from a mesh with a hole: judged by the whole mesh."""
    target = TARGETS[name]()
    opened = fitted(method, target, tmp_path / "run", 100)
    truth = ring() if target.mesh is None else target
    scores = opened.evaluate(truth)
    assert scores["iou"] > 0.93
    assert scores["chamfer_percent"] < 1
    assert scores["signed_normal_consistency"] > 0.9
    assert ("eikonal_rms" in scores) == isinstance(method, SDFFit)


def test_the_figures_can_fail(sphere_run: Run) -> None:
    """Before the first step, a distance is that of a ball, and an occupancy nowhere inside."""
    ball = Fitted(SDF, SDF.build(ring(), torch.Generator()))
    scores = replace(sphere_run, fitted=ball).evaluate(ring())
    assert scores["iou"] < 0.7
    assert scores["chamfer_percent"] > 2
    nothing = Fitted(OCCUPANCY, OCCUPANCY.build(ring(), torch.Generator()))
    with pytest.raises(InputError, match="nowhere negative"):
        replace(sphere_run, fitted=nothing).evaluate(ring())


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_every_kind_of_field_learns(kind: FieldKind) -> None:
    method = replace(SDF, field=kind, learning_rate=1.0, pool_size=5000, batch=256)
    model = method.build(ring(), torch.Generator().manual_seed(0))
    data = method.prepare(model, ring())
    optimizer = method.optimizer(model)
    found: list[float] = []
    for _ in range(30):
        optimizer.zero_grad()
        drawn = torch.Generator().manual_seed(1)
        terms = method.losses(model, data, Progress(0, 0.0), drawn)
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.95 * found[0]


def test_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    once = fitted(SDF, ring(), tmp_path / "once", 10)
    fitted(SDF, ring(), tmp_path / "twice", 10)
    shutil.rmtree(sorted((tmp_path / "twice/checkpoints").iterdir())[-1])
    twice = fitted(SDF, ring(), tmp_path / "twice", 10, resume=True)
    for name, tensor in once.model.state_dict().items():
        assert torch.equal(tensor, twice.model.state_dict()[name]), name


def constant(method: FieldFit, value: float) -> torch.nn.Module:
    """A model whose field is the same everywhere."""
    grid = replace(method, field="grid")
    model = grid.build(ball(), torch.Generator())
    with torch.no_grad():
        for vertices in model.parameters():
            vertices.fill_(value)
    return model


@pytest.mark.parametrize("method", [SDF, OCCUPANCY], ids=["sdf", "occupancy"])
def test_no_surface_is_said(method: FieldFit) -> None:
    grid = replace(method, field="grid")
    nothing, everything = constant(method, 2.0), constant(method, -2.0)
    with pytest.raises(InputError, match="nowhere negative"):
        grid.shape(nothing)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="fills its box"):
        grid.shape(everything)  # pyright: ignore[reportArgumentType]
    # While it learns, there may be nothing to see yet.
    cameras = cameras_around(BALL, 1, 16)
    image = grid.render(nothing, cameras)  # pyright: ignore[reportArgumentType]
    assert float(image.opacity.max()) == 0
    assert bool(image.color.isfinite().all())


def test_probabilities_are_those_of_inside() -> None:
    model = constant(OCCUPANCY, -2.0)
    with torch.no_grad():
        found = OCCUPANCY.probability(model, torch.zeros(1, 3))  # pyright: ignore[reportArgumentType]
    assert float(found) > 0.99


def test_what_is_assumed_is_said() -> None:
    assert ball().remarks() == []
    assert cloud(True).remarks() == []
    assert "no normals" in cloud(False).remarks()[0]
    (said,) = cut().remarks()
    assert "is open (" in said
    assert "winding number" in said


def test_descriptions_are_of_their_own_kind() -> None:
    for name in ("fit-sdf", "fit-occupancy"):
        method = presets.find_preset(name).method()
        assert from_description(describe(method), "x") == method
    sdf, occupancy = (presets.PRESETS[name].method() for name in ("sdf", "occupancy"))
    assert describe(sdf) != describe(occupancy)


@pytest.mark.parametrize("name", ["sheet", "inside out", "plane", "no length", "inward"])
def test_what_has_no_inside_is_refused(name: str) -> None:
    """At once, in place of a fit to nothing."""
    drawn = sample_surface(BALL, 500, torch.Generator().manual_seed(0))
    assert drawn.normals is not None
    plane = torch.stack([drawn.points[:, 0], drawn.points[:, 1], drawn.points[:, 0]], dim=1)
    target, said = {
        "sheet": (ShapeTarget.of_mesh("x", Mesh(BALL.vertices, BALL.faces[:1])), "is a sheet"),
        "inside out": (
            ShapeTarget.of_mesh("x", Mesh(BALL.vertices, BALL.faces.flip(1))),
            "inward",
        ),
        "plane": (ShapeTarget.of_points("x", PointCloud(plane)), "in a plane"),
        "no length": (
            ShapeTarget.of_points("x", PointCloud(drawn.points, None, 0 * drawn.normals)),
            "all 0",
        ),
        "inward": (
            ShapeTarget.of_points("x", PointCloud(drawn.points, None, -drawn.normals)),
            "point inward",
        ),
    }[name]
    with pytest.raises(InputError, match=said):
        SDF.prepare(SDF.build(target, torch.Generator()), target)


@pytest.fixture(scope="module")
def cut_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "cut.obj"
    mesh = cut().mesh
    assert mesh is not None
    write_mesh(path, mesh)
    return path


@pytest.mark.fit
@pytest.mark.parametrize("kind", ["sdf", "occupancy"])
def test_both_commands_fit_and_the_others_know_the_run(
    kind: str,
    cut_file: Path,
    command: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remarks: list[str] = []
    monkeypatch.setattr(fit_module, "tell", remarks.append)
    small = {"sdf": SDF, "occupancy": OCCUPANCY}[kind]
    options = describe(small)["options"]
    preset = replace(presets.PRESETS[kind], options=options)
    monkeypatch.setitem(presets.PRESETS, kind, preset)
    short = ("--steps", 40, "--device", "cpu")
    one, two = tmp_path / "one", tmp_path / "two"
    said = command("fit-shape", cut_file, "--as", kind, "--out", one, *short)
    assert sum("is open (" in remark for remark in remarks) == 1
    assert "chamfer distance" in said
    given = [
        text
        for name, value in options.items()
        for text in (f"--{name.replace('_', '-')}", value)
    ]
    command("fit", kind, *given, "--data", cut_file, "--out", two, *short)
    assert sum("is open (" in remark for remark in remarks) == 2
    first, second = (Run.open(run, "cpu").model.state_dict() for run in (one, two))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert "iou" in command("evaluate", two)
    said = command("inspect", two)
    assert "40" in said
    assert "is open (" in said
    command("export", two, "--to", tmp_path / "again.ply")
    again, shape = load_shape(tmp_path / "again.ply"), Run.open(one, "cpu").shape()
    assert isinstance(again, Mesh)
    assert isinstance(shape, Mesh)
    assert again.faces.shape == shape.faces.shape
    command("render", two, "--out", tmp_path / "frames", "--frames", 1, "--size", 24)
    assert (tmp_path / "frames/color_0000.png").exists()


def test_few_points_leave_no_folder(refused: Callable[..., str], tmp_path: Path) -> None:
    points = tmp_path / "few.ply"
    write_points(points, PointCloud(torch.rand(20, 3)))
    message = refused("fit-shape", points, "--as", "occupancy", "--out", tmp_path / "no")
    assert "at least 100" in message
    assert not (tmp_path / "no").exists()
