"""Inputs recreated from public bug reports, each with what must and must not be printed for it.

    python benchmarks/robustness_cases.py [CASE ...] [--show]

The inputs stand in shared/cases/CASE with a script run.sh that runs the commands; what is right
for each is in robustness_cases.toml: patterns (regular expressions, matched in the whole output
with line breaks replaced by spaces) under `shows`, and under `never` those that must not match.
Some scripts call functions of an earlier version of the library. For these, Python code under
`check` is run instead of every Python program of the script, in the case's folder.
A traceback, or a line of more than 300 characters that begins with "unrender: ", is wrong in
every case. CASE is the beginning of a name, such as 04.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import record
from record import ROOT, Figures, figure

CASES = ROOT.parent / "shared/cases"
EXPECTED = Path(__file__).with_suffix(".toml")
NEVER = (r"Traceback \(most recent call last\)", r"unrender: [^\n]{300}")
SECONDS = 240


def names() -> list[str]:
    """Names of all cases, in order."""
    return sorted(folder.name for folder in CASES.iterdir() if (folder / "run.sh").is_file())


def output(name: str) -> str:
    """What a case's script prints, run in a copy of its folder."""
    check = _expected(name).get("check")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        shutil.copytree(CASES / name, folder, symlinks=True)
        (Path(scratch) / "out").mkdir()
        environment = os.environ | {
            "UNRENDER": f"{sys.executable} -m unrender",
            "PYTHON": ":" if check else sys.executable,
            "OUT": str(Path(scratch) / "out"),
        }
        printed = _run(["bash", "run.sh"], folder, environment)
        return printed + (
            _run([sys.executable, "-c", check], folder, environment) if check else ""
        )


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout.decode(errors="replace").replace("\r", "\n")


def _expected(name: str) -> dict[str, Any]:
    return tomllib.loads(EXPECTED.read_text()).get(name, {})


def faults(name: str, printed: str) -> list[str]:
    """What is wrong with the output of a case; empty if it is right."""
    expected = _expected(name)
    if not expected:
        return ["nothing is stated in robustness_cases.toml"]
    line = " ".join(printed.split())
    missing = [f"does not show: {p}" for p in expected["shows"] if not re.search(p, line)]
    never = [*expected.get("never", ())]
    wrong = [f"shows: {p}" for p in never if re.search(p, line)]
    return missing + wrong + [f"shows: {p}" for p in NEVER if re.search(p, printed)]


def measure(chosen: list[str] | None = None, show: bool = False) -> Figures:
    """Run cases, and count those that go wrong."""
    wrong = 0
    every = names()
    for name in [n for n in every if chosen is None or n.startswith(tuple(chosen))]:
        try:
            printed = output(name)
            found = faults(name, printed)
        except subprocess.TimeoutExpired:
            printed, found = "", [f"took more than {SECONDS} s"]
        wrong += bool(found)
        print(f"{name}: {'; '.join(found) or 'right'}", flush=True)
        if show:
            print(printed)
    return {
        "cases": figure(float(len(every)), ""),
        "cases_wrong": figure(float(wrong), "", at_most=0.0),
    }


def main() -> None:
    """Print what is wrong with each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--show", action="store_true", help="print what the commands print")
    arguments = parser.parse_args()
    record.show(measure(arguments.cases or None, arguments.show))


if __name__ == "__main__":
    main()
