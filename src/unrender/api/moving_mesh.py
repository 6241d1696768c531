"""A moving scene as one mesh that moves: its canonical scene at the times of a film."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.api.cameras import check_times
from unrender.api.extract import ball_of, mesh_of
from unrender.api.mesh_options import MAX_FRAMES, TEXTURED_FACES, MeshOptions
from unrender.errors import InputError
from unrender.fields.ball import Ball
from unrender.fields.inverse_deformation import Deform, invert
from unrender.geometry.coverage import upright_axes
from unrender.kernels.nearest import nearest
from unrender.notes import note
from unrender.shapes.mesh_sequence import MeshSequence
from unrender.training.progress import told_progress

if TYPE_CHECKING:
    from unrender.api.run_shapes import RunShapes
else:
    RunShapes = Any

SEEDS = 32
"""Points along each side of the lattice from which solutions are sought where the frame before
gave none."""


def sequence_of(
    run: RunShapes,
    times: int | Sequence[float] | Float[Tensor, "frames"],
    options: MeshOptions,
    progress: bool = True,
) -> MeshSequence:
    """See `Run.mesh_sequence`. InputError."""
    if not run.method.moves:
        raise InputError(f"{run.label}: does not move: use its mesh")
    if options.time is not None:
        raise InputError("a sequence is of many times: give these, and leave out the one")
    chosen = film_times(run, times)
    options = dataclasses.replace(options, faces=options.faces or TEXTURED_FACES)
    mesh = mesh_of(run, options, progress)
    axes = upright_axes(run.cameras) if options.upright else torch.eye(3)
    with told_progress("move the mesh", "frame", progress) as tell:
        frames: list[Tensor] = []
        lost = torch.zeros(len(chosen))
        world, order = mesh.vertices @ axes.mT, chosen.argsort(stable=True)
        mover = _Mover(run, world)
        for k in order.tolist():
            points, found = mover.at(float(chosen[k]))
            lost[k] = 1 - found.float().mean()
            frames.append(points @ axes)
            tell(len(frames), len(chosen))
    worst = int(lost.argmax())
    if float(lost[worst]) > 0:
        share, time = max(float(100 * lost[worst]), 0.1), float(chosen[worst])
        note(
            f"{run.label}: up to {share:.1f}% of the vertices (at time {time:g}) are where the "
            "deformation has no inverse, and move as those beside them"
        )
    return MeshSequence(mesh, torch.stack(frames)[order.argsort()], chosen)


def film_times(
    run: RunShapes, times: int | Sequence[float] | Float[Tensor, "frames"]
) -> Float[Tensor, "frames"]:
    """Times of the film, or so many of them, evenly spaced. InputError for those outside."""
    if isinstance(times, int):
        if not 1 <= times <= MAX_FRAMES:
            raise InputError(f"{times} frames: give 1 to {MAX_FRAMES}")
        first, last = run.method.time_range(run.model)
        times = torch.linspace(first, last, times)
    found = torch.as_tensor(times, dtype=torch.float32)
    if found.ndim != 1 or not 1 <= len(found) <= MAX_FRAMES:
        raise InputError(f"times: give a list of 1 to {MAX_FRAMES} numbers")
    check_times(run.cameras[0].at_times(found), run)
    return found


class _Mover:
    """Points of the canonical scene, followed from one time to the next."""

    def __init__(self, run: RunShapes, points: Float[Tensor, "points 3"]):
        self.fitted, self.points, self.before = run.fitted, points, points
        ball: Ball = ball_of(run, run.cameras)
        self.center, self.radius = ball.center.cpu(), float(ball.radius)

    def at(self, time: float) -> tuple[Float[Tensor, "points 3"], Bool[Tensor, "points"]]:
        """Where the points are at a time, and for which of them this was found.

        Each is sought from where it was at the time before, then from the lattice's point that
        comes nearest to it in the canonical scene. InputError if no point is found.
        """
        deform = self._deform(time)
        first = invert(deform, self.points, self.before, self.radius)
        now, found = first.points, first.found.clone()
        rows = (~found).nonzero()[:, 0]
        if len(rows):
            again = invert(deform, self.points[rows], self._seeds(deform, rows), self.radius)
            now[rows[again.found]] = again.points[again.found]
            found[rows[again.found]] = True
        if not bool(found.any()):
            raise InputError(
                f"time {time:g}: no vertex can be followed to it from the canonical scene: fit "
                "longer"
            )
        rows = (~found).nonzero()[:, 0]
        if len(rows):
            near = nearest(self.points[rows][None], self.points[found][None]).index[0]
            beside = found.nonzero()[near, 0]
            now[rows] = self.points[rows] + now[beside] - self.points[beside]
        self.before = now
        return now, found

    def _deform(self, time: float) -> Deform:
        method, model, device = self.fitted.method, self.fitted.model, self.fitted.device

        def deform(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
            return method.deform(model, points.to(device), time).cpu()

        return deform

    def _seeds(self, deform: Deform, rows: Tensor) -> Float[Tensor, "rows 3"]:
        """Points of the scene that come near to these in the canonical scene."""
        side = torch.linspace(-self.radius, self.radius, SEEDS)
        lattice = self.center + torch.cartesian_prod(side, side, side)
        with torch.no_grad():
            there = deform(lattice)
        index = nearest(self.points[rows][None], there[None]).index[0]
        return lattice[index]
