"""Derivatives of pixels, by every technique there is here, against finite differences.

The scenes and what is changed in them are in gradient_scenes.py, the techniques in
gradient_techniques.py. Errors are relative, ‖found − true‖ / ‖true‖ over pixels and channels: 0
is right, 1 is what a technique that finds nothing has. They are given for all pixels, for those
at silhouettes and for the rest, and once more for the means of blocks of pixels, which forgive
a derivative that is spread over its neighbours but not one that is wrong.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, cosine_similarity

from unrender.errors import InputError
from unrender.studies.findings import Findings, Part, Record, Table
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
"""Pixels a side of the blocks whose means are compared as well."""
PROJECTIVE = "Mitsuba, projective"


@dataclass(frozen=True)
class TechniqueResult:
    """Derivatives of one scene by one technique, and their cost."""

    technique: str
    kind: str
    """Of technique: those of a kind differ in one number."""
    width: float | None
    """That number, as pixels over which it spreads an edge."""
    derivatives: Derivatives
    """In the mean of the runs, if it is stochastic."""
    spread: Float[Tensor, "4"] | None
    """Standard deviation of one run, as a share of the true derivatives' norm."""
    forward: float
    """Seconds of one image."""
    backward: float
    """Seconds of the gradient of one number made of it."""


@dataclass(frozen=True)
class Gradients(Experiment):
    """Derivatives of pixels by six techniques: pictures, bias, variance and cost."""

    side: int = 64
    """Pixels a side of the images."""
    blurs: tuple[float, ...] = (0.3, 1.0, 2.0)
    """√σ of soft rasterization, in pixels."""
    betas: tuple[float, ...] = (0.03, 0.01, 0.003)
    """β of the density of signed distances, in scene units; objects have radius 1."""
    runs: int = 3
    """Of what is stochastic."""
    rays: int = 12
    """A side of each pixel, of the images whose finite differences are the truth."""
    samples: int = 256
    """A pixel, of Mitsuba."""
    mitsuba: bool = True
    """Whether Mitsuba is asked, if it is there."""

    def run(self, seed: int, say: Callable[[str], None]) -> Findings:
        if self.side < 16 or self.runs < 2 or not self.blurs or not self.betas:
            raise InputError(
                f"gradients: {self.side} pixels, {self.runs} runs, {len(self.blurs)} blurs and "
                f"{len(self.betas)} betas: it takes 16 pixels, 2 runs, a blur and a beta"
            )
        records: list[Record] = []
        strips: list[Part] = []
        absent: str | None = None if self.mitsuba else "it was not asked"
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
                "What a pixel's colour does when an object moves or turns, or its colour or "
                "its light changes, by autograd through several ways to draw it. The truth is "
                f"finite differences of images with {self.rays}² rays a pixel. Errors are "
                "‖found − true‖ / ‖true‖ over all pixels, in the mean of the scenes: **0 is "
                "right, and 1 is what finding nothing has**.",
                Table(_summary(records, "error")),
                "The cost is that of an image and its gradient, over that of an image without "
                "edges; volumes have four random rays a pixel. Where the errors by position "
                "come from: pixels at silhouettes, and the others.",
                Table(_split(records)),
                f"And the errors of means of {BLOCK}×{BLOCK} pixels. An optimiser sums over "
                "pixels, and is served by a derivative that lies a pixel beside its place; "
                "what is still large here leads it astray.",
                Table(_summary(records, "block error")),
                *self._advice(records),
                *strips,
                *width_and_cost(records),
                "The truth has noise of its own, its standard error as a share of its norm, by "
                f"{', '.join(PARAMETERS)}: {'; '.join(noises)}. No error below it means "
                "anything." + (f" {PROJECTIVE}, is left out: {absent}." if absent else ""),
            ],
            records,
            {
                "seed": seed,
                "pixels a side": self.side,
                "runs of what is stochastic": self.runs,
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
            # How often it is timed is chance, and must not change what is drawn after.
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
            "**What follows**, in the mean of the scenes:",
            "- Colour and light need no edges: plain rasterization is right to "
            f"{mean('no edges', 'inner error', 'colour', 'light'):.1%} within surfaces. By "
            "position it misses the silhouettes, nearly all there is: its error is "
            f"{mean('no edges', 'error', 'position'):.2f}.\n"
            "- To move a mesh, take antialiased edges: error "
            f"{mean(hard, 'error', *moved):.2f} a pixel and "
            f"{mean(hard, 'block error', *moved):.2f} a block, for {costs[hard]:.1f} times a "
            f"plain image; with 2×2 rays {mean(twice, 'error', *moved):.2f} and "
            f"{mean(twice, 'block error', *moved):.2f} for {costs[twice]:.1f} times. A crease "
            "is no silhouette: where light differs on its two sides, what its motion does is "
            "missed (see the ring and box, inside).\n"
            "- Soft rasterization reaches farther than an edge's own pixel, which helps where "
            "a start is off by several. It pays with bias: where two faces meet each covers "
            "half, both together three quarters, and such seams move along; faces that are "
            "smaller than the blur cover more than they do; and as its sigmoid is of the "
            "squared distance, the derivative is 0 on the edge itself and largest on either "
            f"side of it. With a {soft[6:]}: "
            f"{mean(soft, 'error', *moved):.2f} a pixel, "
            f"{mean(soft, 'block error', *moved):.2f} a block, {costs[soft]:.1f} times. "
            "Use it on meshes of few faces, and lower the blur as the fit goes on.\n"
            "- A volume makes edges out of its density alone, so that no mesh is needed and "
            "holes may open. Its edges lie a few β outside of the surface, what is thinner "
            "than β is transparent, and a ray meets an edge far narrower than a pixel by luck. "
            f"With {volume[8:]}: {mean(volume, 'error', *moved):.2f} a pixel, "
            f"{mean(volume, 'block error', *moved):.2f} a block, {costs[volume]:.0f} times. "
            "Begin with a large β and let it fall.\n"
            "- Finite differences need two images for each parameter, with hundreds of rays a "
            "pixel: right for a test or a few parameters, out of the question for the vertices "
            "of a mesh, for which one backward pass serves all.",
        ]


def _seconds(draw: Draw, spent: float = 0.5) -> tuple[float, float]:
    """Least seconds of an image, and of the gradient of the sum of its squares.

    Of the processor, over all threads: the clock also tells what else the machine does. The
    least of at least two times, and of as many as fit into `spent` seconds.
    """
    forward = backward = float("inf")
    start, rounds, threads = time.process_time(), 0, torch.get_num_threads()
    # Threads that wait for each other count as work, the more so on a busy machine.
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
    """‖found − true‖ / ‖true‖ of each parameter."""
    return (found - true).flatten(1).norm(dim=1) / true.flatten(1).norm(dim=1)


def block_means(rows: Derivatives) -> Float[Tensor, "4 rows columns 3"]:
    """Means of blocks of pixels; what does not fill one is left out."""
    return avg_pool2d(rows.permute(0, 3, 1, 2), BLOCK).permute(0, 2, 3, 1)


def _measured(scene: str, found: TechniqueResult, true: Truth, plain: float) -> list[Record]:
    """One row for each parameter."""
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
    """None for a share of nothing: a small triangle has no pixel that no edge is near."""
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
    """A row for each technique: the mean over the scenes by each parameter, and the cost."""
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
    """Errors by position at silhouettes and elsewhere, of each scene."""
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
