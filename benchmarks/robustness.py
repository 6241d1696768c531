"""How inputs that go wrong, kills and full disks end: every figure of robustness.

    python benchmarks/robustness.py [--only cases fuzz kills disk] [--out FILE]

cases (inputs recreated from public bug reports), fuzz (mutated files given to every loader),
kills (of fit, render, export, demo and process, each started again afterwards) and disk (films
written to a disk that is full).
"""

import argparse
from pathlib import Path

import record
import robustness_cases
import robustness_disk
import robustness_fuzz
import robustness_kills
from record import ROOT, Figures

OUT = ROOT / "benchmarks/results/robustness.json"


def cases(arguments: argparse.Namespace) -> Figures:
    """Inputs recreated from public bug reports."""
    return robustness_cases.measure()


def fuzz(arguments: argparse.Namespace) -> Figures:
    """Mutated files given to every loader."""
    return robustness_fuzz.measure()


def disk(arguments: argparse.Namespace) -> Figures:
    """Videos written to a disk that is nearly full."""
    return robustness_disk.measure()


def kills(arguments: argparse.Namespace) -> Figures:
    """Commands killed at random moments, and started again."""
    return robustness_kills.measure(arguments.seed)


PARTS = {"cases": cases, "fuzz": fuzz, "kills": kills, "disk": disk}


def main() -> None:
    """Measure the parts that were asked for and write them into the results file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    record.merge(PARTS, parser.parse_args())


if __name__ == "__main__":
    main()
