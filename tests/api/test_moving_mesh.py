"""The mesh of a moving scene: canonical, at a time, and in motion."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from moving_scenes import (
    CENTERS,
    FIRST,
    LAST,
    RADII,
    TurningBalls,
    moved,
    named_run,
    turning_balls,
    turning_run,
)
from torch import Tensor

import unrender as ur
from unrender.api.run import Run
from unrender.errors import InputError
from unrender.fields.inverse_deformation import TOLERANCE
from unrender.geometry.coverage import upright_axes
from unrender.notes import collected
from unrender.shapes.mesh import Mesh

Command = Callable[..., str]
OPTIONS = {"voxels": 40, "faces": 1500, "progress": False}


@pytest.fixture(scope="module")
def run() -> Run:
    return turning_run(turning_balls(frames=20, size=48))


@pytest.fixture
def named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return named_run(run, tmp_path / "balls", monkeypatch)


def distance(points: Tensor) -> Tensor:
    """From the surface of the canonical balls, with the sign of the outside."""
    each = [
        (points - torch.tensor(center)).norm(dim=1) - radius
        for center, radius in zip(CENTERS, RADII, strict=True)
    ]
    return torch.stack(each).amin(0)


def in_canonical(mesh: Mesh, run: Run, time: float, upright: bool = True) -> Tensor:
    axes = upright_axes(run.cameras) if upright else torch.eye(3)
    return run.method.deform(run.model, mesh.vertices @ axes.mT, time)


@pytest.mark.parametrize("upright", [True, False])
def test_the_mesh_is_the_canonical_scene_or_that_at_a_time(run: Run, upright: bool) -> None:
    for time in (None, 3.0, LAST):
        mesh = run.mesh(time=time, upright=upright, **OPTIONS)
        canonical = in_canonical(mesh, run, FIRST if time is None else time, upright)
        assert float(distance(canonical).abs().median()) < 0.03
        assert len(mesh.faces) <= 1500
        assert mesh.unlit
    # These are not one mesh: the smaller ball has turned by more than 90°.
    first, last = (run.mesh(time=time, **OPTIONS).vertices.mean(0) for time in (FIRST, LAST))
    assert float((first - last).norm()) > 0.15


def test_a_sequence_is_the_canonical_mesh_moved(run: Run) -> None:
    """Vertices are those of the canonical mesh, rigidly moved as the truth says."""
    times = [5.0, FIRST, LAST, 3.3]
    with collected() as notes:
        found = run.mesh_sequence(times, **OPTIONS)
    assert not notes
    assert found.times.tolist() == pytest.approx(times)
    axes = upright_axes(run.cameras)
    world = found.mesh.vertices @ axes.mT
    radius = 2.0  # The ball that the cameras look at is smaller.
    for frame, time in zip(found, times, strict=True):
        truth = moved(world, time) @ axes
        assert float((frame.vertices - truth).norm(dim=1).max()) < 2 * TOLERANCE * radius
        assert torch.equal(frame.faces, found.mesh.faces)
        assert frame.texture is found.mesh.texture
    even = run.mesh_sequence(3, **OPTIONS)
    assert even.times.tolist() == [FIRST, 4.0, LAST]


def test_vertices_without_an_inverse_move_as_those_beside_them(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deformation that reaches no point of the smaller ball's far end."""
    real = TurningBalls.deform

    def cut(self: TurningBalls, model: object, points: Tensor, time: float) -> Tensor:
        canonical = real(self, model, points, time)
        return torch.cat([canonical[:, :1].clamp_max(0.8), canonical[:, 1:]], dim=1)

    monkeypatch.setattr(TurningBalls, "deform", cut)
    with collected() as notes:
        found = run.mesh_sequence([4.0], **OPTIONS)
    assert len(notes) == 1
    assert "of the vertices (at time 4) are where the deformation has no inverse" in notes[0]
    axes = upright_axes(run.cameras)
    world = found.mesh.vertices @ axes.mT
    error = (found.vertices[0] - moved(world, 4.0) @ axes).norm(dim=1)
    beyond = world[:, 0] > 0.8 + 1e-3
    assert bool(beyond.any())
    assert float(error[~beyond].max()) < 1e-3
    assert float(error[beyond].max()) < 0.35
    monkeypatch.setattr(
        TurningBalls, "deform", lambda *_: torch.full((1, 3), 9.0).expand(_[2].shape)
    )
    with pytest.raises(InputError, match="time 4: no vertex can be followed"):
        run.mesh_sequence([4.0], **OPTIONS)


def test_times_outside_the_film_and_scenes_at_rest_are_refused(
    run: Run, scene_run: Run
) -> None:
    with pytest.raises(InputError, match="time 1 is outside of the film: give 2 to 6"):
        run.mesh(time=1.0)
    with pytest.raises(InputError, match=r"time 6\.5 is outside of the film"):
        run.mesh_sequence([3.0, 6.5])
    with pytest.raises(InputError, match="0 frames"):
        run.mesh_sequence(0)
    with pytest.raises(InputError, match="give a list of 1 to"):
        run.mesh_sequence([])
    with pytest.raises(InputError, match="leave out the one"):
        run.mesh_sequence(2, time=3.0)
    with pytest.raises(InputError, match="needs a run of a moving scene"):
        scene_run.mesh(time=0.0)
    with pytest.raises(InputError, match="does not move: use its mesh"):
        scene_run.mesh_sequence(3)


def test_the_command_writes_a_mesh_at_a_time_and_in_motion(
    command: Command, named: Path, run: Run, tmp_path: Path
) -> None:
    options = ("--voxels", 32, "--faces", 600)
    still, moving = tmp_path / "still.ply", tmp_path / "moving.glb"
    command("export", named, still, "--time", 6, *options)
    canonical = in_canonical(Mesh.load(still), run, LAST)
    assert float(distance(canonical).abs().median()) < 0.05
    said = command("export", named, moving, tmp_path / "m.ply", "--sequence", 3, *options)
    assert f"{moving}: MeshSequence(3 frames of" in said
    assert f"m_0000.ply … {tmp_path}/m_0002.ply" in said
    tree = json.loads(moving.read_bytes()[20:].split(b"\0")[0][: json_size(moving)])
    assert len(tree["meshes"][0]["primitives"][0]["targets"]) == 3
    last = in_canonical(Mesh.load(tmp_path / "m_0002.ply"), run, LAST)
    assert float(distance(last).abs().median()) < 0.05
    command(
        "export", named, "--to", moving, "--sequence", "--times", 4, 3, "--fps", 10, *options
    )
    tree = json.loads(moving.read_bytes()[20 : 20 + json_size(moving)])
    names = tree["meshes"][0]["extras"]["targetNames"]
    assert (len(names), names[0], names[-1]) == (24, "time 4", "time 3")


def json_size(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[12:16], "little")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("m.ply", "--time", 1), "time 1 is outside of the film: give 2 to 6"),
        (("m.ply", "--sequence", 3, "--times", 1, 4), "time 1 is outside of the film"),
        (("m.ply", "--times", 3, 4), "--times: needs --sequence"),
        (("m.ply", "--sequence", 0), "sequence 0: give 1 to"),
        (("m.ply", "--sequence", 3, "--time", 3), "leave out the one"),
        (("m.ply", "--sequence", 3, "--fps", 0), "fps 0"),
        (("points.ply", "--sequence", 3), "--sequence: writes meshes"),
        (("m.glb", "cameras.json", "--sequence", 3), "--sequence: writes meshes"),
    ],
)
def test_the_command_refuses_what_it_cannot_export(
    refused: Command,
    named: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused("export", named, *words)
    assert [each.name for each in tmp_path.iterdir()] == ["balls"]


@pytest.mark.parametrize("option", [("--time", 1), ("--sequence", 3)])
def test_the_command_refuses_motion_of_what_does_not_move(
    refused: Command, scene_run: Run, tmp_path: Path, option: tuple[object, ...]
) -> None:
    out = tmp_path / "m.glb"
    said = refused("export", scene_run.path, out, *option)
    assert "needs a run of a moving scene" in said or "does not move" in said
    assert not out.exists()


def test_a_sequence_is_shown_in_a_line() -> None:
    torus = ur.Mesh.torus()
    found = ur.MeshSequence(torus, torus.vertices.expand(2, -1, 3), torch.tensor([1.0, 1.5]))
    assert repr(found) == "MeshSequence(2 frames of 1152 vertices, 2304 faces, times 1 to 1.5)"
    assert len(found) == 2
