"""Derivatives of pixels by several differentiable renderers, against finite differences.

The scenes and their parameters are in gradient_scenes.py, the techniques in
gradient_techniques.py. Errors are relative, ‖estimated − true‖ / ‖true‖ over pixels and
channels: 0 is exact, 1 is the error of an all-zero gradient. They are computed over all pixels,
over pixels at silhouettes and over the rest, and over means of blocks of pixels, which tolerate
a derivative that is spread over neighboring pixels but not one that is wrong.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, cosine_similarity

from unrender.errors import InputError
from unrender.report.findings import Findings, Part, Record, Table
from unrender.studies.gradient_pictures import derivative_images, width_and_cost
from unrender.studies.gradient_scenes import (
    PARAMETERS,
    GradientScene,
    gradient_scenes,
    setting_at,
)
from unrender.studies.gradient_techniques import (
    Draw,
    Truth,
    derivatives,
    rasterized,
    softened,
    truth,
    volumetric,
)
from unrender.studies.projective import AbsentError, projective
from unrender.studies.study import Experiment

Derivatives = Float[Tensor, "4 height width 3"]
BLOCK = 8
"""Side, in pixels, of the blocks whose means are compared as well."""
PROJECTIVE = "Mitsuba, projective"


@dataclass(frozen=True)
class TechniqueResult:
    """Derivatives of one scene by one technique."""

    technique: str
    kind: str
    """Family of the technique; techniques of a kind differ in one setting."""
    width: float | None
    """Width of an edge in pixels, which that setting determines."""
    derivatives: Derivatives
    """Averaged over the runs, if the technique is stochastic."""
    spread: Float[Tensor, "4"] | None
    """Standard deviation of one run, relative to the norm of the true derivatives."""
    forward: float
    """Time of one image, in seconds."""
    backward: float
    """Time of the gradient of a scalar loss of the image, in seconds."""


@dataclass(frozen=True)
class Gradients(Experiment):
    """Derivatives of pixels by six techniques: pictures, bias, variance and cost."""

    side: int = 64
    """Side of the images, in pixels."""
    blurs: tuple[float, ...] = (0.3, 1.0, 2.0)
    """√σ of soft rasterization, in pixels."""
    betas: tuple[float, ...] = (0.03, 0.01, 0.003)
    """β of the volume density, in scene units; objects have radius 1."""
    runs: int = 3
    """Runs of each stochastic technique."""
    rays: int = 12
    """Square root of the rays per pixel of the ground truth's images."""
    samples: int = 256
    """Samples per pixel of Mitsuba."""
    mitsuba: bool = True
    """Whether to include Mitsuba, if it is installed."""

    def run(self, seed: int, say: Callable[[str], None]) -> Findings:
        if self.side < 16 or self.runs < 2 or not self.blurs or not self.betas:
            raise InputError(
                f"gradients: {self.side} pixels, {self.runs} runs, {len(self.blurs)} blurs and "
                f"{len(self.betas)} betas: give at least 16 pixels, 2 runs, a blur and a beta"
            )
        records: list[Record] = []
        strips: list[Part] = []
        absent: str | None = None if self.mitsuba else "disabled by option"
        noises: list[str] = []
        for scene in gradient_scenes():
            say(f"Differentiating the {scene.name}")
            generator = torch.Generator().manual_seed(seed)
            true = truth(scene, self.side, generator, self.rays, passes=4)
            noises.append(f"{scene.name} {_listed(true.noise, '.1%')}")
            plain = _seconds(rasterized(scene, self.side, antialias=False))[0]
            found = self._found(scene, generator)
            if absent is None:
                try:
                    found.append(self._projective(scene, seed))
                except AbsentError as reason:
                    absent = str(reason)
                    say(f"{PROJECTIVE} is left out: {reason}")
            for each in found:
                records += _measured(scene.name, each, true, plain)
            rows = {each.technique: each.derivatives for each in found}
            strips.append(derivative_images(scene.name, true, rows))
        return Findings(
            "Gradients of pixels",
            [
                "Derivatives of pixel colors by an object's position, rotation, color and "
                "light, computed by autograd through several differentiable renderers. The "
                f"ground truth is finite differences of images with {self.rays}² rays per "
                "pixel. Errors are ‖estimated − true‖ / ‖true‖ over all pixels, averaged over "
                "the scenes: **0 is exact, and 1 is what an all-zero gradient scores**.",
                Table(_summary(records, "error")),
                "The cost is the time of an image and its gradient, relative to one plain "
                "image (rasterized without antialiasing); volumes use four random rays per "
                "pixel. The error by position, split into pixels at silhouettes and all "
                "others:",
                Table(_split(records)),
                f"Errors of the means over {BLOCK}×{BLOCK} pixels. An optimizer sums over "
                "pixels, so a derivative that is displaced by one pixel still helps it; "
                "errors that remain large here mislead it.",
                Table(_summary(records, "block error")),
                *self._advice(records),
                *strips,
                *width_and_cost(records),
                "The ground truth is noisy. Its standard error, relative to its norm, by "
                f"{', '.join(PARAMETERS)}: {'; '.join(noises)}. Errors below this are not "
                "significant." + (f" {PROJECTIVE}, is left out: {absent}." if absent else ""),
            ],
            records,
            {
                "seed": seed,
                "image side, pixels": self.side,
                "runs of stochastic techniques": self.runs,
            },
        )

    def _found(self, scene: GradientScene, generator: torch.Generator) -> list[TechniqueResult]:
        side, pixel = self.side, setting_at(torch.zeros(4), self.side).pixel
        certain: list[tuple[str, str, float | None, Draw]] = [
            ("no edges", "no edges", None, rasterized(scene, side, antialias=False)),
            ("edges antialiased", "edges antialiased", None, rasterized(scene, side)),
            ("antialiased, 2×2 rays", "edges antialiased", None, rasterized(scene, side, 2)),
        ]
        for blur in self.blurs:
            name = f"soft, blur {blur:g} px"
            certain.append((name, "soft", blur, softened(scene, side, blur)))
        found = [
            TechniqueResult(name, kind, width, derivatives(draw), None, *_seconds(draw))
            for name, kind, width, draw in certain
        ]
        for beta in self.betas:
            draw = volumetric(scene, side, beta, 2, generator)
            every = torch.stack([derivatives(draw) for _ in range(self.runs)])
            deviation = every.var(0).sum((1, 2, 3)).sqrt()
            name = f"volume, β {beta:g}"
            # The number of timed runs varies, and must not change later random samples.
            timed = volumetric(scene, side, beta, 2, torch.Generator())
            found.append(
                TechniqueResult(
                    name, "volume", beta / pixel, every.mean(0), deviation, *_seconds(timed)
                )
            )
        return found

    def _projective(self, scene: GradientScene, seed: int) -> TechniqueResult:
        runs = [projective(scene, self.side, self.samples, seed + k) for k in range(2)]
        every = torch.stack([rows for rows, _ in runs])
        seconds = min(each for _, each in runs) / len(PARAMETERS)
        deviation = every.var(0).sum((1, 2, 3)).sqrt()
        return TechniqueResult(
            PROJECTIVE, PROJECTIVE, None, every.mean(0), deviation, seconds, 0.0
        )

    def _advice(self, records: list[Record]) -> list[Part]:
        def mean(technique: str, key: str, *parameters: str) -> float:
            found = _mean(
                [
                    row[key]
                    for row in records
                    if row["technique"] == technique and row["parameter"] in parameters
                ]
            )
            assert found is not None, "some scene has an inside"
            return found

        moved = ("position", "rotation")
        costs = {name: mean(name, "cost", "position") for name in _techniques(records)}
        soft, volume = f"soft, blur {self.blurs[0]:g} px", f"volume, β {self.betas[-1]:g}"
        hard, twice = "edges antialiased", "antialiased, 2×2 rays"
        return [
            "**Conclusions**, on average over the scenes:",
            "- Derivatives by color and light do not depend on silhouettes: plain "
            "rasterization has an error of "
            f"{mean('no edges', 'inner error', 'color', 'light'):.1%} within surfaces. By "
            "position it misses the silhouettes, which carry nearly all of the gradient: its "
            f"error is {mean('no edges', 'error', 'position'):.2f}.\n"
            "- To move a mesh, use antialiased edges: error "
            f"{mean(hard, 'error', *moved):.2f} per pixel and "
            f"{mean(hard, 'block error', *moved):.2f} per block, at {costs[hard]:.1f} times "
            "the cost of a plain image; with 2×2 rays "
            f"{mean(twice, 'error', *moved):.2f} and "
            f"{mean(twice, 'block error', *moved):.2f} at {costs[twice]:.1f} times. A crease "
            "is not a silhouette: the derivative of a moving crease between differently lit "
            "faces is missed (see the ring and box, inside).\n"
            "- Soft rasterization has gradients beyond an edge's own pixel, which helps if the "
            "start is off by several pixels. It is biased: where two faces meet, each covers "
            "half of a pixel but both together three quarters, and such seams move with the "
            "mesh; faces smaller than the blur cover more than their area; and since its "
            "sigmoid is of the squared distance, the derivative is 0 on the edge itself and "
            f"largest on either side of it. With a {soft[6:]}: "
            f"{mean(soft, 'error', *moved):.2f} per pixel, "
            f"{mean(soft, 'block error', *moved):.2f} per block, {costs[soft]:.1f} times. "
            "Use it on meshes with few faces, and reduce the blur during the fit.\n"
            "- Volume rendering gets edges from its density alone, so it needs no mesh and "
            "the topology may change. Its edges lie a few β outside of the surface, parts "
            "thinner than β are transparent, and a ray hits an edge far narrower than a pixel "
            f"only by chance. With {volume[8:]}: {mean(volume, 'error', *moved):.2f} per "
            f"pixel, {mean(volume, 'block error', *moved):.2f} per block, "
            f"{costs[volume]:.0f} times. Begin with a large β and reduce it.\n"
            "- Finite differences need two images for each parameter, with hundreds of rays "
            "per pixel: suitable for tests or a few parameters, but not for the vertices of a "
            "mesh, which take one backward pass together.",
        ]


def _seconds(draw: Draw, spent: float = 0.5) -> tuple[float, float]:
    """Minimum CPU seconds of an image, and of the gradient of the sum of its squares.

    CPU time of all threads, since wall time also depends on other processes. The minimum over
    at least two runs, and over as many as fit into `spent` seconds.
    """
    forward = backward = float("inf")
    start, rounds, threads = time.process_time(), 0, torch.get_num_threads()
    # Threads that wait for each other use CPU time, especially on a busy machine.
    torch.set_num_threads(1)
    try:
        while rounds < 2 or time.process_time() - start < spent:
            amounts = torch.zeros(4, requires_grad=True)
            began = time.process_time()
            image = draw(amounts)
            drawn = time.process_time()
            torch.autograd.grad(image.square().sum(), amounts)
            forward = min(forward, drawn - began)
            backward = min(backward, time.process_time() - drawn)
            rounds += 1
    finally:
        torch.set_num_threads(threads)
    return forward, backward


def relative_errors(
    found: Float[Tensor, "4 rows columns 3"], true: Float[Tensor, "4 rows columns 3"]
) -> Float[Tensor, "4"]:
    """‖found − true‖ / ‖true‖ for each parameter."""
    return (found - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)


def block_means(rows: Derivatives) -> Float[Tensor, "4 rows columns 3"]:
    """Means of blocks of pixels; incomplete blocks are left out."""
    return avg_pool2d(rows.permute(0, 3, 1, 2), BLOCK).permute(0, 2, 3, 1)


def _measured(scene: str, found: TechniqueResult, true: Truth, plain: float) -> list[Record]:
    """One record for each parameter."""
    ours, real = found.derivatives, true.derivatives
    edges = true.edges[..., None]
    columns: dict[str, Tensor] = {
        "error": relative_errors(ours, real),
        "edge error": relative_errors(ours * edges, real * edges),
        "inner error": relative_errors(ours * ~edges, real * ~edges),
        "block error": relative_errors(block_means(ours), block_means(real)),
        "cosine": cosine_similarity(ours.flatten(1), real.flatten(1), dim=1),
    }
    if found.spread is not None:
        columns["spread"] = found.spread / real.flatten(1).norm(dim=1)
    cost: Mapping[str, float | None] = {
        "forward seconds": found.forward,
        "backward seconds": found.backward,
        "cost": (found.forward + found.backward) / plain,
    }
    return [
        {"scene": scene, "technique": found.technique, "parameter": name, "kind": found.kind,
         "width": found.width, **{key: _finite(values[k]) for key, values in columns.items()},
         **cost}
        for k, name in enumerate(PARAMETERS)
    ]  # fmt: skip


def _finite(value: Tensor) -> float | None:
    """None for 0/0: every pixel of a small triangle is near an edge."""
    return float(value) if bool(value.isfinite()) else None


def _techniques(records: list[Record]) -> list[str]:
    return list(dict.fromkeys(str(row["technique"]) for row in records))


def _value(
    records: list[Record], technique: str, scene: str, parameter: str, key: str
) -> float | None:
    key_fields = {"technique": technique, "scene": scene, "parameter": parameter}
    for row in records:
        if key_fields.items() <= row.items():
            value = row.get(key)
            return None if value is None else float(value)
    return None


def _scenes(records: list[Record]) -> list[str]:
    return list(dict.fromkeys(str(row["scene"]) for row in records))


def _summary(records: list[Record], key: str) -> list[Record]:
    """A row for each technique: mean over the scenes for each parameter, and the cost."""
    rows: list[Record] = []
    for technique in _techniques(records):
        own = [row for row in records if row["technique"] == technique]
        row: dict[str, str | float | None] = {"technique": technique}
        for name in PARAMETERS:
            row[name] = _mean([each[key] for each in own if each["parameter"] == name])
        if key == "error":
            row["cosine, position"] = _mean(
                [each["cosine"] for each in own if each["parameter"] == "position"]
            )
            row["spread, position"] = _mean(
                [each.get("spread") for each in own if each["parameter"] == "position"]
            )
            row["cost"] = _mean([each["cost"] for each in own])
        rows.append(row)
    return rows


def _split(records: list[Record]) -> list[Record]:
    """Errors by position at silhouettes and elsewhere, for each scene."""
    return [
        {
            "technique": technique,
            **{
                f"{scene}, {where}": _value(records, technique, scene, "position", key)
                for scene in _scenes(records)
                for where, key in (("edges", "edge error"), ("inside", "inner error"))
            },
        }
        for technique in _techniques(records)
    ]


def _mean(values: list[str | float | int | None]) -> float | None:
    numbers = [float(value) for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _listed(values: Tensor, form: str) -> str:
    return ", ".join(format(value, form) for value in values.tolist())
