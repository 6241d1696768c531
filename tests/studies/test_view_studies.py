"""The studies of view models write their pages, and what they measure is what they say."""

import csv
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from view_models import FakeFlow, FakeViews, Oracle, OracleFlow, fitted

from unrender.errors import InputError
from unrender.evaluation.images import psnr
from unrender.flows.view_transformer import CameraConditions
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image
from unrender.methods import distilled
from unrender.studies import view_study, write_view_study
from unrender.studies.distillation import VARIANTS, Distillation
from unrender.studies.distilled_objects import procedural, read_object
from unrender.studies.novel_views import NovelViews
from unrender.studies.view_study import (
    ViewSubject,
    on_white,
    pairwise_distance,
    view_scores,
)

SIZE = 16
SMALL = NovelViews(
    only=("models", "inputs", "guidance", "steps"),
    inputs=(1, 3),
    objects=2,
    targets=2,
    guidance=(1.0, 2.0),
    steps=(1, 2),
    samples=2,
)
TINY = Distillation(seeds=2, fit_steps=4, around=4, targets=2, frames=4)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeViews(side=SIZE), FakeFlow(side=SIZE))


def use(monkeypatch: pytest.MonkeyPatch, regression: FakeViews, flow: FakeViews) -> None:
    def opened(path: Any, kind: str, device: str) -> Any:
        of_flow = kind == "flow" or "flow" in str(path or "")
        return fitted(flow if of_flow else regression)

    monkeypatch.setattr(view_study, "open_view_model", opened)
    monkeypatch.setattr(distilled, "open_view_model", opened)


def subject(tmp_path: Path, data: str | None = None) -> ViewSubject:
    return ViewSubject(data=data, work=tmp_path / "runs", say=lambda _: None)


def written(page: Path) -> list[dict[str, str]]:
    """The records beside a page, which has pictures and no missing numbers."""
    text = page.read_text().split("<body>")[1]
    assert not re.search(r">[^<]*\bnan\b", text)
    assert "<img" in text
    with page.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.fit
def test_novel_views_of_held_out_objects(tmp_path: Path) -> None:
    page = write_view_study(SMALL, subject(tmp_path), tmp_path / "page")
    rows = written(page)
    text = page.read_text()
    for title in ("Regression or flow", "N inputs, and their choice", "Guidance", "Sampling"):
        assert f"<h2>{title}" in text
    assert {row["part"] for row in rows} == set(SMALL.only)
    by_inputs = [row for row in rows if row["part"] == "inputs"]
    # Of one input, all choices are the same.
    one = {
        row["PSNR, dB"] for row in by_inputs if row["inputs"] == "1" and row["model"] != "flow"
    }
    assert len(one) == 1
    # The fake regression is the mean of what it is given.
    (mean,) = (
        r for r in by_inputs if r["model"] == "mean of the inputs" and r["inputs"] == "3"
    )
    (everything,) = (
        r
        for r in by_inputs
        if r["model"] == "regression" and r["choice"] == "all" and r["inputs"] == "3"
    )
    assert float(everything["PSNR, dB"]) == pytest.approx(float(mean["PSNR, dB"]), abs=1e-3)
    for row in rows:
        if row["part"] in ("guidance", "steps"):
            assert float(row["best of 2, dB"]) >= float(row["PSNR, dB"])
            assert float(row["diversity"]) > 0.01


@pytest.mark.fit
def test_novel_views_of_a_posed_scene_by_its_command(
    command: Callable[..., str],
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    scene_folder: Path,
    tmp_path: Path,
) -> None:
    """A model that knows the chair is nearest to the truth, and N is as large as the data."""
    use(monkeypatch, Oracle(side=SIZE), OracleFlow(side=SIZE))
    small = ("--data", scene_folder, "--models", "regression", "--targets", 2)
    out = command(
        *("study", "novel-views", "--out", tmp_path / "page", *small),
        *("--only", "inputs", "--inputs", 2, 1000, "--quiet"),
    )
    page = tmp_path / "page" / "novel-views.html"
    assert out.strip() == str(page)
    rows = written(page)
    assert {row["inputs"] for row in rows} == {"2"}
    known = [float(r["PSNR, dB"]) for r in rows if r["model"] == "regression"]
    others = [float(r["PSNR, dB"]) for r in rows if r["model"] != "regression"]
    assert min(known) > max(others) + 3
    for message, words in (
        ("chair has 27 views", ("--only", "inputs", "--inputs", 1000)),
        ("needs a flow", ("--only", "guidance")),
        ("--only 'size': choose among", ("--only", "size")),
        ("a scene as --data", ("--scene", "x")),
        ("at least 2", ("--samples", 1)),
    ):
        line = refused("study", "novel-views", "--out", tmp_path / "other", *small, *words)
        assert message in line


@pytest.mark.fit
def test_conditions_are_compared_and_used_again(tmp_path: Path) -> None:
    """A model is trained for each way to tell cameras, once."""
    study = NovelViews(
        only=("cameras",), models=("regression",), inputs=(1, 3), objects=1, targets=2,
        train_steps=1, train_objects=4,
    )  # fmt: skip
    output: list[str] = []
    first = dataclasses.replace(subject(tmp_path), say=output.append)
    rows = written(write_view_study(study, first, tmp_path / "page"))
    names = CameraConditions.__args__
    assert [row["cameras"] for row in rows] == [name for name in names for _ in (1, 3)]
    assert len(list((tmp_path / "runs").iterdir())) == len(names)
    assert sum("Training" in line for line in output) == len(names)
    output.clear()
    again = written(write_view_study(study, first, tmp_path / "again"))
    assert not any("Training" in line for line in output)
    assert [r["PSNR, dB"] for r in again] == [r["PSNR, dB"] for r in rows]


@pytest.mark.fit
@pytest.mark.parametrize(
    "only",
    [
        ("views of the flow", "SDS, anchors of the paper"),
        pytest.param((), marks=pytest.mark.study),
    ],
    ids=["short", "whole"],
)
def test_distillation_of_a_procedural_object(only: tuple[str, ...], tmp_path: Path) -> None:
    study = dataclasses.replace(TINY, only=only)
    page = write_view_study(study, subject(tmp_path), tmp_path / "page")
    rows = written(page)
    assert [row["way"] for row in rows] == [n for n in only or VARIANTS for _ in range(2)]
    assert "The Janus problem" in page.read_text()
    for row in rows:
        assert float(row["PSNR, dB"]) > 0
        assert float(row["seconds"]) > 0
        assert float(row["front at the back"]) == pytest.approx(
            float(row["likeness of the back"]) - truth_likeness(), abs=1e-4
        )


def truth_likeness() -> float:
    known = procedural("chair", 0, 1, 1, SIZE)
    assert known.truth is not None
    front, _, back, _ = on_white(known.truth(known.around(4)))
    return view_study.ssim(back, front).item()


@pytest.mark.fit
def test_distillation_by_its_command(
    command: Callable[..., str],
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    scene_folder: Path,
    tmp_path: Path,
) -> None:
    """Generated views help where the model knows the object."""
    use(monkeypatch, Oracle(side=SIZE), OracleFlow(side=SIZE))
    small = ("--data", scene_folder, "--seeds", 1, "--targets", 3, "--frames", 4)
    ways = ("--only", "inputs alone", "views of the regression", "--fit-steps", 60)
    out = command("study", "distillation", "--out", tmp_path, *small, *ways)
    rows = written(tmp_path / "distillation.html")
    assert out.strip().endswith("distillation.html")
    alone, helped = (float(row["PSNR, dB"]) for row in rows)
    assert helped > alone + 1
    assert "choose among 'inputs alone'" in refused(
        "study", "distillation", "--out", tmp_path / "no", "--only", "Janus"
    )


def test_the_circle_begins_at_the_input(tmp_path: Path) -> None:
    for known in (procedural("lamp", 3, 2, 3, SIZE), read_object("bricks", 1, 3, SIZE)):
        assert len(known.data.test) == 3
        assert known.truth is not None
        circle = known.truth(known.around(4))
        assert float(psnr(circle[0], known.data.train.rgba[0])) > 28
        centers = known.around(4).centers
        # Opposite cameras stand opposite the axis, at one height.
        middle = (centers[0] + centers[2]) / 2
        torch.testing.assert_close(middle, (centers[1] + centers[3]) / 2, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(centers[:, 2], centers[:1, 2].expand(4), atol=1e-4, rtol=0)


def test_distances_and_scores_by_hand() -> None:
    images = torch.stack([torch.full((2, 12, 12, 3), value) for value in (0.0, 0.5, 1.0)])
    assert pairwise_distance(images) == pytest.approx((0.5 + 1.0 + 0.5) / 3)
    checks = (torch.arange(12)[:, None] + torch.arange(12)) % 2
    truth = checks[..., None].expand(1, 12, 12, 3).float()
    scores = view_scores([0.5 + (truth - 0.5) / 2], [truth])
    assert scores["sharpness"] == pytest.approx(0.25)
    assert scores["PSNR, dB"] == pytest.approx(12.04, abs=0.01)


def test_the_two_models_cannot_be_exchanged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, FakeFlow(side=SIZE), FakeViews(side=SIZE))
    with pytest.raises(InputError, match="is a flow: give it as --flow"):
        subject(tmp_path).model("regression")
    with pytest.raises(InputError, match="is no flow"):
        subject(tmp_path).model("flow")


def test_models_of_two_sizes_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, FakeViews(side=16), FakeFlow(side=32))
    with pytest.raises(InputError, match=r"16 \(regression\) and 32 \(flow\) pixels"):
        SMALL.run(subject(tmp_path))


@pytest.mark.fit
def test_distillation_of_a_photograph_has_no_truth(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    known = procedural("car", 1, 1, 1, 32)
    write_image(photo, unpremultiply(known.data.train.images[0]))
    study = dataclasses.replace(TINY, only=("views of the flow",), seeds=1)
    page = write_view_study(study, subject(tmp_path, str(photo)), tmp_path / "page")
    (row,) = written(page)
    assert row["PSNR, dB"] == ""
    assert row["front at the back"] == ""
    assert float(row["likeness of the back"]) < 1
    assert "There are no held-out views" in page.read_text()
