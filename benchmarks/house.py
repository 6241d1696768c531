"""How easy the library is to enter and to read: start-up, examples, tree, words, twins.

    python benchmarks/house.py [--only PART ...] [--out FILE]

Parts: start (import and help), examples, tree, loss (from disk to the first loss), words, twins
(what stands twice), steps (of NeRFs, against an earlier commit), golden and tests (`make test`
in a fresh clone, which takes minutes).
"""

import argparse
import ast
import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import record
from record import Figures, figure

SOURCE = record.ROOT / "src/unrender"
OUT = record.ROOT / "benchmarks/results/house.json"
REPEATS = 7
ROUNDS = 4
RUN = 6
"""Lines that make a pair of places."""
BEFORE = "550efb9"
"""The last commit before compositing returned its weights."""
STEPS = """
import sys, time, torch
import unrender as ur
from unrender.kernels.runtime.process import prepare_process
from unrender.methods.presets import PRESETS
from unrender.training.method import Progress
prepare_process()
data, method = ur.load("bricks").train, PRESETS[sys.argv[1]].method()
generator = torch.Generator().manual_seed(int(sys.argv[2]))
model = method.build(data, generator)
optimizer = method.optimizer(model)
times = []
for step in range(45):
    began = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    losses = method.losses(model, data, Progress(step, 0.3), generator)
    sum(value for name, value in losses.items() if "metric/" not in name).backward()
    optimizer.step()
    times.append(time.perf_counter() - began)
print(sorted(times[5:])[10])
"""
"""Prints the lower quartile of 40 steps."""
FREE = {"__init__", "__main__", "errors", "files"}
"""Modules that may stand at the top."""
PICTURE = """
import unrender as ur
run = ur.fit("instant-ngp-fast", "bricks", steps=30, progress=False)
run.render(ur.turntable(1), size=64).save("picture.png")
"""
"""From nothing to the image of a fitted scene."""


def start(_arguments: argparse.Namespace) -> Figures:
    """Seconds of `import unrender`, `unrender --help` and `unrender fit --help`, warm."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, unrender; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    within = (
        "import time; b = time.perf_counter(); import unrender; print(time.perf_counter()-b)"
    )
    imports = [
        float(subprocess.check_output([sys.executable, "-c", within], text=True))
        for _ in range(REPEATS)
    ]
    figures = {
        "import_seconds": figure(min(imports), "s", at_most=0.2),
        "import_loads_torch": figure(float(loaded == "True"), "", at_most=0),
    }
    for name, words, bound in (
        ("help_seconds", ("--help",), 0.6),
        ("fit_help_seconds", ("fit", "--help"), 1.5),
    ):
        times: list[float] = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "unrender", *words], capture_output=True, check=True
            )
            times.append(time.perf_counter() - began)
        figures[name] = figure(min(times), "s", at_most=bound)
    return figures


def examples(_arguments: argparse.Namespace) -> Figures:
    """Lines that import from the library in all examples, and lines to a first picture."""
    count = 0
    for path in (record.ROOT / "examples").glob("*.py"):
        lines = path.read_text().splitlines()
        count += sum(bool(re.match(r"(from|import) unrender\b", line)) for line in lines)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", PICTURE], cwd=folder, check=True)
        assert (Path(folder) / "picture.png").exists(), "the snippet draws a picture"
    lines = len(PICTURE.strip().splitlines())
    return {
        "example_import_lines": figure(count, "lines", at_most=45),
        "lines_to_a_picture": figure(lines, "lines", at_most=3),
    }


def tree(_arguments: argparse.Namespace) -> Figures:
    """Modules at the top of the package, and checks of a method's class."""
    modules = {path.stem for path in SOURCE.glob("*.py")} - FREE
    checks = 0
    pattern = re.compile(r"isinstance\(\s*[\w.]*method, (?!str|dict)")
    for path in SOURCE.rglob("*.py"):
        checks += len(pattern.findall(path.read_text()))
    return {
        "top_level_modules": figure(len(modules), "modules", at_most=0),
        "isinstance_on_methods": figure(checks, "", at_most=3),
    }


def loss(_arguments: argparse.Namespace) -> Figures:
    """Files, and their lines, in which a function runs from disk to the first loss.

    instant-ngp-fast is fitted to a Blender folder. A profiler counts the files of the library
    in which a Python function is called between `ur.fit` and the first loss; code that runs at
    import, tests and third parties are left out. Lines are those of these files that are not
    blank.
    """
    import unrender as ur  # noqa: PLC0415 - imported here, so that other parts do without torch
    from unrender.training import fit  # noqa: PLC0415

    class FirstLossError(Exception):
        """Ends the fit."""

    def stop(*_: Any) -> Any:
        raise FirstLossError

    files: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        in_function = code.co_flags & 2 and code.co_name != "<module>"
        if event == "call" and in_function and code.co_filename.startswith(str(SOURCE)):
            files.add(code.co_filename)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bricks"
        ur.load("bricks", downscale=8).train[:10].save(path)
        # The first fit compiles kernels, which a second one on the same machine does not.
        ur.fit("instant-ngp-fast", path, steps=1, progress=False)
        before, fit._total = fit._total, stop  # pyright: ignore[reportPrivateUsage]
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            ur.fit("instant-ngp-fast", path, steps=1, progress=False)
        except FirstLossError:
            pass
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            fit._total = before  # pyright: ignore[reportPrivateUsage]
    kernels = {file for file in files if file.startswith(str(SOURCE / "kernels"))}
    return {
        "files_to_first_loss": figure(len(files), "files", at_most=22),
        "lines_to_first_loss": figure(_count_lines(files), "lines", at_most=2800),
        "kernel_files_to_first_loss": figure(len(kernels), "files"),
        "kernel_lines_to_first_loss": figure(_count_lines(kernels), "lines"),
    }


def _count_lines(files: set[str]) -> int:
    """Lines of files that are not blank."""
    return sum(
        bool(line.strip()) for file in files for line in Path(file).read_text().splitlines()
    )


def words(_arguments: argparse.Namespace) -> Figures:
    """Docstrings, also of attributes, that begin with "Of "."""
    count = 0
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                count += text.value.startswith("Of ")
    return {"docstrings_beginning_with_of": figure(count, "docstrings", at_most=5)}


def twins(_arguments: argparse.Namespace) -> Figures:
    """Lines of the library, pairs of places that share lines, and the lines of NeuS."""
    files = {path: path.read_text().splitlines() for path in SOURCE.rglob("*.py")}
    neus = _count_lines(
        {str(SOURCE / "methods/neus.py"), str(SOURCE / "training/surface_method.py")}
    )
    outside = {path: lines for path, lines in files.items() if "kernels" not in path.parts}
    return {
        "source_lines": figure(sum(map(len, files.values())), "lines", at_most=40_000),
        "duplicate_pairs": figure(_count_pairs(outside), "pairs", at_most=40),
        "neus_lines": figure(neus, "lines in 2 files", at_most=500),
    }


def _count_pairs(files: dict[Path, list[str]]) -> int:
    """Pairs of places that share a run of six or more lines.

    Lines are compared without white space; blank lines, comments, imports and lines of
    punctuation alone are left out.
    """
    places: dict[tuple[str, ...], list[tuple[Path, int]]] = {}
    for path, lines in files.items():
        plain = ["".join(line.split()) for line in lines]
        kept = [
            line
            for line in plain
            if re.search(r"\w", line) and not re.match(r"#|import|from\w.*import", line)
        ]
        for k in range(len(kept) - RUN + 1):
            places.setdefault(tuple(kept[k : k + RUN]), []).append((path, k))
    shared = {
        (a, b)
        for found in places.values()
        for a, b in itertools.combinations(sorted(found), 2)
        if a[0] != b[0] or b[1] - a[1] >= RUN
    }
    # A longer run is one pair: those whose predecessors are shared too belong to it.
    return sum(((a[0], a[1] - 1), (b[0], b[1] - 1)) not in shared for a, b in shared)


def steps(arguments: argparse.Namespace) -> Figures:
    """Seconds per training step now against an earlier commit, alternating in one run."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", str(record.ROOT), "archive", arguments.before, "src"],
            capture_output=True,
            check=True,
        ).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        sources = {"before": Path(folder) / "src", "now": SOURCE.parent}
        for name in ("nerf", "mip-nerf", "mip-nerf-360"):
            times: dict[str, list[float]] = {"before": [], "now": []}
            for _ in range(ROUNDS):
                for version, source in sources.items():
                    command = [sys.executable, "-c", STEPS, f"{name}-fast", str(arguments.seed)]
                    environment = {**os.environ, "PYTHONPATH": str(source)}
                    out = subprocess.check_output(command, env=environment, text=True)
                    times[version].append(float(out))
            ratio = min(times["before"]) / min(times["now"])
            figures[f"{name}_step_speedup"] = figure(ratio, "×", at_least=1.1)
    return figures


def golden(_arguments: argparse.Namespace) -> Figures:
    """Presets whose losses differ from the committed ones."""
    command = [sys.executable, str(record.ROOT / "benchmarks/golden.py")]
    outcome = subprocess.run(command, check=False)
    changed = 0 if outcome.returncode == 0 else 1
    return {"golden_losses_changed": figure(changed, "", at_most=0)}


def tests(_arguments: argparse.Namespace) -> Figures:
    """Minutes of `make test` in a fresh, installed clone, with no scene rendered yet."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "unrender"
        subprocess.run(["git", "clone", "--quiet", str(record.ROOT), str(clone)], check=True)
        python = [sys.executable, "-m", "venv", str(clone / ".venv")]
        subprocess.run(python, check=True)
        environment = {**os.environ, "PIP_QUIET": "1"}
        subprocess.run(["make", "install"], cwd=clone, check=True, env=environment)
        subprocess.run(["make", ".venv/.installed-dev"], cwd=clone, check=True, env=environment)
        began = time.perf_counter()
        cold = {**environment, "UNRENDER_CACHE": str(Path(folder) / "cache")}
        subprocess.run(["make", "test"], cwd=clone, check=True, env=cold)
        minutes = (time.perf_counter() - began) / 60
    return {"make_test_minutes": figure(minutes, "min", at_most=5)}


PARTS = {
    "start": start,
    "examples": examples,
    "tree": tree,
    "loss": loss,
    "words": words,
    "twins": twins,
    "steps": steps,
    "golden": golden,
    "tests": tests,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--before", default=BEFORE, help="the commit that steps compares with")
    record.merge(PARTS, parser.parse_args())


if __name__ == "__main__":
    main()
