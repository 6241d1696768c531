"""Each study writes a page, its pictures and its table, and what they say adds up."""

import csv
import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import torch

from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.errors import InputError
from unrender.geometry.poses import so3_distance
from unrender.report.findings import Findings, Table, write_findings
from unrender.studies import STUDIES, write_study
from unrender.studies.ablations import VARIANTS, Ablations
from unrender.studies.interpolation import Interpolation, geodesic
from unrender.studies.inversion import Inversion
from unrender.studies.loop import Loop
from unrender.studies.reconstruction import Reconstruction
from unrender.studies.robustness import Robustness
from unrender.studies.study import Study, Subject, open_subject
from unrender.studies.turntable import Turntable
from unrender.training.run_folder import RunFolder

pytestmark = pytest.mark.fit

# A second or so of training each, and few images: what is tested is that all of it is there.
SHORT: dict[str, Study] = {
    "reconstruction": Reconstruction(steps=(1, 2), views=(20,), minutes=0.01),
    "robustness": Robustness(views=30, minutes=0.01, count=1),
    "inversion": Inversion(steps=(1, 2), other_steps=(1,), refine=False),
    "interpolation": Interpolation(frames=5, pairs=2, shown=3),
    "turntable": Turntable(frames=6, refine=False),
    "loop": Loop(rounds=2, shown=(0, 2)),
    "ablations": Ablations(minutes=0.01, views=30, only=("as studied", "patch: 16")),
}


@pytest.fixture
def subject(small_scene: Dataset, scene_run: Run, flow_run: Run, tmp_path: Path) -> Subject:
    return Subject(flow_run, scene_run, small_scene, tmp_path / "runs", say=lambda _: None)


def test_every_study_is_tested() -> None:
    assert set(SHORT) == set(STUDIES)


@pytest.mark.parametrize("name", SHORT)
def test_a_study_writes_all_that_its_page_shows(
    name: str, subject: Subject, tmp_path: Path
) -> None:
    page = write_study(SHORT[name], subject, tmp_path / "page")
    assert page.name == f"{name}.html"
    text = page.read_text().split("<body>")[1]
    assert not re.search(r">[^<]*\bnan\b", text)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert drawings or "<img" in text
    assert all("<path" in drawing for drawing in drawings)
    with (page.parent / f"{name}.csv").open() as file:
        records = list(csv.DictReader(file))
    assert len(records) >= 2
    assert {p.suffix for p in page.parent.iterdir()} == {".html", ".csv"}


def test_what_was_trained_is_used_again(subject: Subject, tmp_path: Path) -> None:
    study = dataclasses.replace(SHORT["ablations"], only=("patch: 16",))
    write_study(study, subject, tmp_path / "a")
    output: list[str] = []
    write_study(study, dataclasses.replace(subject, say=output.append), tmp_path / "b")
    assert not output
    a, b = ((tmp_path / folder / "ablations.csv").read_bytes() for folder in "ab")
    assert a == b


def test_a_fit_killed_before_its_first_checkpoint_begins_again(
    subject: Subject, tmp_path: Path
) -> None:
    study = dataclasses.replace(SHORT["ablations"], only=("patch: 16",))
    write_study(study, subject, tmp_path / "a")
    (run,) = subject.work.iterdir()
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    assert not RunFolder.open(run).finished
    write_study(study, subject, tmp_path / "b")
    assert RunFolder.open(run).finished


def test_latents_are_as_many_as_the_pixels(
    subject: Subject, tiny_autoencoder: Path, tmp_path: Path
) -> None:
    study = Ablations(
        minutes=0.001, views=4, only=("latents",), autoencoder=str(tiny_autoencoder)
    )
    page = write_study(study, subject, tmp_path / "page")
    assert "<td>latents</td>" in page.read_text()


def test_the_ends_of_the_geodesic_are_the_poses(small_scene: Dataset) -> None:
    a, b, *_ = small_scene.test.cameras.world_from_camera
    path = geodesic(a, b, 9)
    torch.testing.assert_close(path[0], a, atol=1e-5, rtol=0)
    torch.testing.assert_close(path[-1], b, atol=1e-4, rtol=0)
    turns = so3_distance(path[1:, :, :3], path[:-1, :, :3])
    torch.testing.assert_close(turns, turns.mean().expand(8), atol=1e-4, rtol=0)


def test_every_ablation_is_an_option_of_the_flow(flow_run: Run) -> None:
    assert dataclasses.is_dataclass(flow_run.method)
    known = {field.name for field in dataclasses.fields(flow_run.method)}
    for options in VARIANTS.values():
        assert set(options) <= known


def test_an_unknown_ablation_is_named(subject: Subject) -> None:
    with pytest.raises(InputError, match=r"'sigma'.*'as studied'"):
        Ablations(only=("sigma",)).run(subject)


def test_the_two_runs_cannot_be_exchanged(
    small_scene: Dataset, scene_run: Run, flow_run: Run
) -> None:
    flow, scene = flow_run.path, scene_run.path
    assert flow is not None
    assert scene is not None
    with pytest.raises(InputError, match="is not a pose flow"):
        open_subject(scene, scene)
    with pytest.raises(InputError, match="is not a fitted scene"):
        open_subject(flow, flow)


def test_tables_align_numbers_and_leave_out_what_is_unknown(tmp_path: Path) -> None:
    rows = [{"name": "a", "value": 1.23456}, {"name": "b", "value": float("nan")}]
    parts = ["A **bold** word.", Table(rows), "## More\n\n- one\n- <two>"]
    findings = Findings("Title", parts, rows, {"seed": 0})
    page = write_findings(findings, tmp_path / "new", "study").read_text()
    assert '<td class="number">1.235</td>' in page
    assert '<td>b</td><td class="number">–</td>' in page
    assert "<p>A <strong>bold</strong> word.</p>" in page
    assert "<h2>More</h2><ul><li>one</li><li>&lt;two&gt;</li></ul>" in page
    assert "<td>seed</td><td>0</td>" in page
