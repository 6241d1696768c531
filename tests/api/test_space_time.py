"""Paths through a moving scene: time stops, the camera stops, or both run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from moving_scenes import FIRST, LAST, film_cameras, named_run, turning_balls, turning_run

import unrender as ur
from unrender.api.cameras import film, still
from unrender.api.run import Run
from unrender.app.inspect import inspect_run
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import NamedCameras, write_cameras
from unrender.errors import InputError
from unrender.geometry import paths
from unrender.geometry.cameras import Cameras

Command = Callable[..., str]
WHOLE = torch.linspace(FIRST, LAST, 5)


@pytest.fixture(scope="module")
def balls() -> Dataset:
    return turning_balls()


@pytest.fixture(scope="module")
def run(balls: Dataset) -> Run:
    return turning_run(balls)


@pytest.fixture
def named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return named_run(run, tmp_path / "balls", monkeypatch)


def test_time_runs_through_the_film_on_every_path(balls: Dataset, run: Run) -> None:
    for about in (balls, balls.train, balls.train.cameras, run):
        for path in (ur.turntable(5), ur.spiral(5), still(5, 3), film(5)):
            times = path.cameras(about).times
            assert times is not None
            torch.testing.assert_close(times, WHOLE)


def test_a_stopped_time_is_that_of_all_frames(run: Run) -> None:
    path = ur.turntable(4).at_times(3.5)
    assert repr(path) == "CameraPath(turntable, 4 frames, time 3.5)"
    cameras = path.cameras(run)
    assert cameras.times is not None
    assert cameras.times.tolist() == [3.5] * 4
    moving = ur.turntable(4).cameras(run)
    assert torch.equal(cameras.world_from_camera, moving.world_from_camera)


def test_the_interpolation_follows_the_film(balls: Dataset) -> None:
    """Also of cameras that are not in the order of their times, at unequal distances."""
    known = balls.train.cameras[:9]
    assert known.times is not None
    order = torch.tensor([3, 0, 8, 1, 7, 2, 6, 4, 5])
    uneven = known.at_times(known.times.square())
    for given in (uneven, uneven.select(order)):
        found = ur.interpolate(17).cameras(given)
        torch.testing.assert_close(found.times[::2], uneven.times)
        torch.testing.assert_close(
            found.world_from_camera[::2], known.world_from_camera, atol=1e-5, rtol=0
        )
        assert bool((found.times.diff() > 0).all())


def test_the_film_is_as_filmed_and_stopped_time_is_gone_around(run: Run) -> None:
    filmed = film(7).cameras(run)
    own = ur.interpolate(7).cameras(run)
    assert torch.equal(filmed.world_from_camera, own.world_from_camera)
    stopped = film(7, stopped=True).at_times(3.0).cameras(run)
    around = film(7).cameras(run.cameras.at_times(None))
    assert torch.equal(stopped.world_from_camera, around.world_from_camera)
    assert not torch.equal(stopped.world_from_camera, own.world_from_camera)


def test_photographs_from_everywhere_are_no_film() -> None:
    generator = torch.Generator().manual_seed(0)
    poses = paths.spherical_shell(40, (4.0, 4.0), generator, (0.1, 1.2))
    scattered = Cameras.from_focal(poses, 40.0, 32, 32).at_times(torch.linspace(0, 1, 40))
    assert not paths.filmed(scattered)
    assert paths.filmed(film_cameras(40))
    assert paths.filmed(film_cameras(40).select(torch.randperm(40, generator=generator)))
    assert paths.filmed(scattered[:1])
    standing = scattered.with_poses(poses[:1].expand(40, 3, 4))
    assert paths.filmed(standing)
    # Of a pair of cameras that see the same moments, each next view is of the other one.
    left, right = film_cameras(20), film_cameras(20, aside=0.7)
    pose = torch.stack([left.world_from_camera, right.world_from_camera], dim=1).flatten(0, 1)
    assert left.times is not None
    pair = Cameras.from_focal(pose, 40.0, 32, 32).at_times(left.times.repeat_interleave(2))
    assert not paths.filmed(pair)


def test_a_still_camera_stays_and_one_at_one_time_repeats(run: Run) -> None:
    cameras = still(3, 2).cameras(run)
    pose = run.cameras.world_from_camera[2]
    assert torch.equal(cameras.world_from_camera, pose.expand(3, 3, 4))
    same = run.render(cameras.at_times(4.0), progress=False)
    assert torch.equal(same.color[0], same.color[1])
    assert torch.equal(same.color[0], same.color[2])
    running = run.render(cameras, progress=False)
    assert float((running.color[0] - running.color[2]).abs().max()) > 0.1


def test_one_camera_has_any_number_of_times(balls: Dataset) -> None:
    camera = balls.train.cameras[4]
    assert len(camera.at_times(WHOLE)) == 5
    assert torch.equal(camera.at_times(WHOLE).times, WHOLE)
    assert len(camera.at_times(WHOLE[:0])) == 0
    with pytest.raises(InputError, match="5 times for 2 cameras"):
        balls.train.cameras[:2].at_times(WHOLE)
    with pytest.raises(InputError, match="2 times for 3 frames"):
        ur.turntable(3).at_times([1.0, 2.0])
    with pytest.raises(InputError, match="NaN"):
        ur.turntable(3).at_times(float("nan"))


def test_times_outside_the_film_and_missing_ones_are_refused(run: Run, ring: Cameras) -> None:
    for time in (FIRST - 0.1, LAST + 0.1):
        with pytest.raises(InputError, match=r"outside of the film: give 2 to 6"):
            run.render(ur.turntable(3).at_times(time))
    with pytest.raises(InputError, match=r"no times: give them some of its film, 2 to 6"):
        run.render(ring)
    assert len(run.render(ring.at_times(LAST), progress=False)) == 3


@pytest.fixture
def ring() -> Cameras:
    return Cameras.look_at([(4, 0, 1), (0, 4, 1), (-4, 0, 1)], size=(16, 16))


def test_a_scene_that_does_not_move_has_no_times(scene_run: Run, ring: Cameras) -> None:
    with pytest.raises(InputError, match="needs a scene that moves"):
        scene_run.render(ur.turntable(2).at_times(0.0))
    with pytest.raises(InputError, match="needs a scene that moves"):
        ur.render(ur.Mesh.torus(), ur.turntable(2).at_times(0.0))
    # Cameras of a moving scene's data, by which a static model is judged.
    still_life = scene_run.render(ring, progress=False)
    timed = scene_run.render(ring.at_times(torch.arange(3.0)), progress=False)
    assert torch.equal(still_life.color, timed.color)


def test_views_for_a_flow_are_of_random_moments(run: Run) -> None:
    times = run.make_views(20, size=8, supersample=1, progress=False).cameras.times
    assert times is not None
    assert bool(((times >= FIRST) & (times <= LAST)).all())
    assert float(times.std()) > 0.5


@pytest.mark.parametrize(
    ("options", "times", "stands"),
    [
        ((), WHOLE.tolist(), False),
        (("--time", 3), [3.0] * 5, False),
        (("--times", 5, 4), [5.0, 4.75, 4.5, 4.25, 4.0], False),
        (("--camera", 1), WHOLE.tolist(), True),
        (("--camera", 1, "--times", 2, 3), [2.0, 2.25, 2.5, 2.75, 3.0], True),
        (("--camera", 1, "--time", 3), [3.0], True),
        (("--cameras", "spiral"), WHOLE.tolist(), False),
        (("--cameras", "interpolate", "--time", 6), [6.0] * 5, False),
    ],
)
def test_the_command_stops_time_or_the_camera(
    command: Command,
    named: Path,
    tmp_path: Path,
    options: tuple[object, ...],
    times: list[float],
    stands: bool,
) -> None:
    out = tmp_path / "frames.npz"
    command("render", named, "--frames", 5, "--size", 12, *options, "--out", out)
    found = np.load(out)
    np.testing.assert_allclose(found["times"], times, rtol=1e-6)
    pose = found["world_from_camera"]
    assert bool((pose == pose[:1]).all()) == stands
    assert found["color"].shape == (len(times), 12, 12, 3)


def test_files_and_held_out_cameras_keep_their_times_or_get_others(
    command: Command, named: Path, run: Run, tmp_path: Path, ring: Cameras
) -> None:
    timed, untimed = tmp_path / "timed.json", tmp_path / "untimed.json"
    own = ring.at_times(torch.tensor([2.5, 2.0, 5.5]))
    names = ("a", "b", "c")
    write_cameras(timed, NamedCameras(own, names))
    write_cameras(untimed, NamedCameras(ring, names))
    for k, (options, times) in enumerate(
        [
            ((timed,), [2.5, 2.0, 5.5]),
            ((timed, "--time", 4), [4.0] * 3),
            ((untimed,), [FIRST, 4.0, LAST]),
            ((untimed, "--times", 3, 4), [3.0, 3.5, 4.0]),
            (("test",), run.data.test.cameras.times.tolist()),
        ]
    ):
        out = tmp_path / f"{k}.npz"
        command("render", named, "--size", 12, "--cameras", *options, "--out", out)
        np.testing.assert_allclose(np.load(out)["times"], times, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--time", 7), "time 7 is outside of the film: give 2 to 6"),
        (("--times", 0, 3), "time 0 is outside of the film: give 2 to 6"),
        (("--time", "nan"), "--time nan: give a finite number"),
        (("--time", 3, "--times", 3, 4), "--time to stop time or --times to let it run"),
        (("--camera", 16), "camera 16: give the number of a view, 0 to 15"),
        (("--camera", -1), "camera -1: give the number of a view, 0 to 15"),
        (("--camera", 1, "--cameras", "turntable"), "--camera to stop the camera or --cameras"),
    ],
)
def test_the_command_refuses_what_it_cannot_render(
    refused: Command, named: Path, tmp_path: Path, options: tuple[object, ...], words: str
) -> None:
    for name in ("clip.mp4", "folder", "frames.npz"):
        out = tmp_path / name
        assert words in refused("render", named, *options, "--out", out)
        assert not out.exists()


@pytest.mark.parametrize("option", [("--time", 1), ("--times", 0, 1), ("--camera", 0)])
def test_the_command_refuses_times_of_what_does_not_move(
    refused: Command, scene_run: Run, tmp_path: Path, option: tuple[object, ...]
) -> None:
    torus = tmp_path / "torus.obj"
    ur.Mesh.torus().save(torus)
    for source in (scene_run.path, torus):
        said = refused("render", source, *option, "--out", tmp_path / "x.mp4")
        assert f"{option[0]}: needs a run of a moving scene" in said


def test_a_run_folder_keeps_the_times_of_its_cameras(balls: Dataset, tmp_path: Path) -> None:
    fitted = ur.fit("box", balls, steps=1, bins=8, progress=False, out=tmp_path / "run")
    opened = ur.open(tmp_path / "run")
    assert torch.equal(opened.cameras.times, balls.train.cameras.times)
    assert torch.equal(fitted.cameras.times, balls.train.cameras.times)
    # A model without time is rendered along the film, and judged on it, as others are.
    assert len(fitted.render(ur.interpolate(2), size=8, progress=False)) == 2
    assert "psnr" in fitted.evaluate()


def test_inspect_tells_the_times_of_a_film(named: Path) -> None:
    facts, remarks = inspect_run(named)
    assert facts["film"] == "times 2 to 6"
    assert not remarks
