"""Fits of the benchmarks: in folders that a later call continues."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from record import Figures
from torch import Tensor

from unrender.api.fit import AnyMethod, fit_to
from unrender.api.run import Run
from unrender.evaluation.renders import WHITE
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Renderer
from unrender.shapes.mesh import Mesh
from unrender.training.options import FitOptions
from unrender.training.run_folder import RunFolder


def fitted_in(
    out: Path,
    method: AnyMethod,
    source: Any,
    options: FitOptions,
    progress: bool = True,
    watch: Callable[[Any, float], None] | None = None,
) -> Run:
    """A fit in the folder `out`; one that is there continues, to a larger budget too."""
    if not out.exists():
        return fit_to(method, source, options, out=out, progress=progress, watch=watch)
    record = RunFolder.open(out)
    return fit_to(method, source, options, record=record, progress=progress, watch=watch)


def in_own_process(
    script: str, part: str, arguments: argparse.Namespace, options: Sequence[str]
) -> Figures:
    """The figures that `script --one PART` prints as JSON, as its last line.

    The process is its own, so that its peak memory is that of the part. `options` are those
    of the arguments that it is given too.
    """
    print(f"== {part}", flush=True)
    command = [sys.executable, script, "--one", part]
    for option in options:
        command += [f"--{option}", f"{getattr(arguments, option)}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def mesh_of(run: Run) -> Mesh:
    """The mesh that a run is."""
    mesh = run.shape()
    assert isinstance(mesh, Mesh), "a run whose shape is a mesh"
    return mesh


def images(renderer: Renderer, cameras: Cameras) -> Float[Tensor, "cameras height width 3"]:
    """Over white."""
    with torch.no_grad():
        return renderer(cameras).to("cpu").over(WHITE).clamp(0, 1)
