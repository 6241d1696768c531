"""The comparison that keeps speed from being lost, and the benchmarks' cases."""

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import record
import speed
import torch
from inputs import ROOT
from kernel_cases import CASES, COMPARED, Work, make_case
from limits import Limits

COMMITTED = {
    "hash grid": {"reference": 20.0, "loop": 0.4},
    "mlp": {"reference": 1.5, "loop": 0.2},
}


def _times(ratios: speed.Ratios, reference: float, loop: float) -> speed.Ratios:
    return {"reference": reference * ratios["reference"], "loop": loop * ratios["loop"]}


@pytest.mark.parametrize("factors", [(0.71, 0.71), (1.0, 1.0), (3.0, 3.0), (0.5, 1), (1, 0.5)])
def test_ratios_that_hold_by_a_yardstick_pass(factors: tuple[float, float]) -> None:
    measured = {name: _times(ratios, *factors) for name, ratios in COMMITTED.items()}
    assert not speed.regressions(COMMITTED, measured)


@pytest.mark.parametrize("name", COMMITTED)
def test_a_loss_of_31_percent_is_found(name: str) -> None:
    measured = {**COMMITTED, name: _times(COMMITTED[name], 0.69, 0.69)}
    lost = speed.regressions(COMMITTED, measured)
    assert list(lost) == [name]
    assert "31%" in lost[name]
    assert "\n" not in lost[name]


def test_a_kernel_that_is_gone_is_found() -> None:
    assert list(speed.regressions(COMMITTED, {"mlp": COMMITTED["mlp"]})) == ["hash grid"]


def test_a_kernel_that_does_its_work_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case("march", "cpu", 0, quick=True)
    slow = replace(case, run=lambda name: [case.run(name) for _ in range(1 + (name == "auto"))])
    options = Namespace(device="cpu", seed=0, quick=True)
    # Three attempts, since others may disturb one of the two measurements.
    for _ in range(3):
        committed = {"march": speed.measure_ratio("march", options)}
        with monkeypatch.context() as patch:
            patch.setattr(speed, "make_case", lambda *_: slow)
            found = speed.regressions(
                committed, {"march": speed.measure_ratio("march", options)}
            )
        if found:
            return
    pytest.fail("a kernel of half the speed was not found")


def test_the_committed_ratios_are_of_all_cases() -> None:
    content = json.loads((ROOT / "benchmarks/results/speed_ratios.json").read_text())
    for ratios in content["ratios"].values():
        assert ratios.keys() == {"machine", *COMPARED}
        assert all(ratios[name].keys() <= {"reference", "loop"} for name in COMPARED)


def test_ratios_are_those_of_processors_alike() -> None:
    small, large = ({name: {"reference": value} for name in COMPARED} for value in (2.0, 3.0))
    committed = {"256 bits": small, "512 bits": large}
    assert speed.committed_ratios(committed, "512 bits") == large
    assert speed.committed_ratios(committed, "128 bits") == small


@pytest.mark.parametrize("name", CASES)
def test_cases_run(name: str) -> None:
    torch.manual_seed(0)
    *_, factory = CASES[name]
    case = factory(256, "cpu")
    assert case.count == 256
    for backend in ("auto", "reference"):
        case.run(backend)


def test_the_longest_of_the_limits_is_known() -> None:
    limits = Limits(flops=100.0, bytes=10.0, gathers={10: 4.0, 12: 1.0}, updates={10: 2.0})
    assert limits.rate(limits.gathers, 1 << 11) == pytest.approx(2.0)
    assert limits.rate(limits.gathers, 1 << 20) == pytest.approx(1.0)
    work = Work(flops=100.0, bytes=20.0, gathers={1 << 10: 4.0}, updates={1 << 10: 4.0})
    expected = {"products": 1.0, "bandwidth": 2.0, "gathers": 3.0}
    assert work.least_seconds(limits) == pytest.approx(expected)
    assert work.moved == 20 + 8 * 4 + 16 * 4


def test_of_two_looks_at_the_limits_the_higher_rates_count() -> None:
    first = Limits(flops=100.0, bytes=10.0, gathers={10: 4.0, 12: 1.0}, updates={10: 2.0})
    second = Limits(flops=90.0, bytes=20.0, gathers={10: 3.0, 12: 2.0}, updates={10: 1.0})
    expected = Limits(flops=100.0, bytes=20.0, gathers={10: 4.0, 12: 2.0}, updates={10: 2.0})
    assert first.best(second) == second.best(first) == expected


def test_a_page_is_filled_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n")
    for _ in range(2):
        record.fill(page, "x", ["one", "two"])
        assert page.read_text() == "a\n<!-- x: begin -->\none\ntwo\n<!-- x: end -->\nb\n"
