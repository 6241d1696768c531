"""Study: what each part of Nerfies is worth, and how detailed its motions may be.

Park et al., "Nerfies: Deformable Neural Radiance Fields", ICCV 2021,
https://arxiv.org/abs/2011.12948, whose table of ablations this repeats on a film of one's own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.run import Run
from unrender.data.builtin import LAMP
from unrender.data.builtin.lamp import lamp_moving
from unrender.data.capture import is_cut_out
from unrender.evaluation.renders import ImageEvaluation, evaluate_images
from unrender.fields.deformation import windowed_encoding
from unrender.geometry.paths import evenly
from unrender.methods.presets import find_preset
from unrender.ranges import Range, check_ranges
from unrender.report.findings import Findings, Part, Plot, Record, Strip, Table
from unrender.report.plots import draw_curves
from unrender.studies.film_study import FilmStudy, FilmSubject
from unrender.studies.tangent_kernel import TangentNetwork, full_width, limit_kernel
from unrender.studies.view_study import chosen

WHOLE = "nerfies"
STATIC_FIELD = "static field"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    STATIC_FIELD: {},
    "time as an input": {"deformation": "none", "conditioned": True},
    "translations alone": {"deformation": "translation", "elastic": 0.0, "window_until": 0.0},
    "no elastic loss": {"elastic": 0.0},
    "no window": {"window_until": 0.0},
    "translations": {"deformation": "translation"},
    "no background loss": {"background": 0.0},
    "codes begin at random": {"smooth_codes": False},
    WHOLE: {},
}
"""Options of nerfies without one of its parts, in the order of the paper's table.

"translations alone" is a deformation as others had before: neither rotations, nor an elastic
loss, nor a window. The static field is the same canonical field without a deformation.
"""
PLACES = 401
"""Points of the line on which the kernel is computed, over the width of the scene."""
DEPTH, UNITS = 4, 64
"""Layers and units of the deformation's network, in the fast presets."""
SHOWN = 6


@dataclass(frozen=True)
class MovingScenes(FilmStudy):
    """Fits of one film: without each part of Nerfies, and by octaves of its deformation."""

    only: tuple[str, ...] = ()
    """Names of the variants, such as 'no window' or 'static field'; by default all."""
    octaves: tuple[int, ...] = (2, 4, 8)
    """Values of m, octaves of the encoding of the deformation's points."""
    minutes: float = 3.0
    """Minutes of each fit."""
    fit_steps: Annotated[int | None, Range(1, 10**9)] = None
    """Steps of each fit, instead of minutes."""

    def __post_init__(self) -> None:
        check_ranges(self)
        for value in self.octaves:
            find_preset("nerfies-fast").method(deformation_frequencies=value)

    def run(self, subject: FilmSubject) -> Findings:
        names = chosen(self.only, list(VARIANTS))
        film = subject.film
        objects = is_cut_out(film.train)
        moving, still = (
            ("nerfies-fast", "instant-ngp-fast")
            if objects
            else ("nerfies-capture", "instant-ngp-capture")
        )
        shown = torch.tensor(evenly(min(SHOWN, len(film.test)), len(film.test)))
        rows: list[tuple[str, list[Tensor]]] = [
            ("truth", list(film.test.select(shown).over("white")))
        ]
        parts: list[Record] = []
        for name in names:
            preset = still if name == STATIC_FIELD else moving
            run = self._fitted(subject, name, preset, VARIANTS[name])
            found = evaluate_images(run.renderer, film.test)
            parts.append({"variant": name, **_scores(film.name, run, found)})
            rows.append((name, [found.rendered[k].clamp(0, 1) for k in shown.tolist()]))
        by_octave: list[Record] = []
        pictures: list[tuple[str, list[Tensor]]] = [rows[0]]
        for octaves in self.octaves:
            name = f"m = {octaves}"
            options = {"deformation_frequencies": octaves}
            run = self._fitted(subject, name, moving, options)
            found = evaluate_images(run.renderer, film.test)
            kernel = {"kernel width, radii": kernel_width(octaves, float(octaves))}
            by_octave.append({"m": octaves, **_scores(film.name, run, found), **kernel})
            pictures.append((name, [found.rendered[k].clamp(0, 1) for k in shown.tolist()]))
        content: list[Part] = []
        if parts:
            content += [PARTS_TEXT, Table(parts), Strip("parts", rows, "Held-out views.")]
        if by_octave:
            content += self._octaves(by_octave, pictures)
        return Findings(
            "Moving scenes: Nerfies without its parts, and by detail",
            content,
            [*parts, *({"variant": f"m = {row['m']}", **row} for row in by_octave)],
            {
                "data": film.name,
                "training views": len(film.train),
                "held-out views": len(film.test),
                "preset": moving,
                "static field": still,
                **_budget(self.minutes, self.fit_steps),
                "seed": subject.seed,
            },
        )

    def _fitted(
        self, subject: FilmSubject, name: str, preset: str, options: Mapping[str, Any]
    ) -> Run:
        label = "".join(c if c.isalnum() else "-" for c in name).strip("-").replace("---", "-")
        method = find_preset(preset).method(**options)
        return subject.fitted(label, method, self.minutes, self.fit_steps)

    def _octaves(self, rows: Sequence[Record], pictures: Any) -> list[Part]:
        most = max(self.octaves)
        alphas = [k / 4 for k in range(4 * most + 1)]
        widths = [kernel_width(most, alpha) for alpha in alphas]
        curve = draw_curves(
            {f"m = {most}": (alphas, widths)}, "α", "full width, radii", log_y=True
        )
        return [
            OCTAVES_TEXT,
            Table(rows),
            Strip("octaves", pictures, "Held-out views, by octaves of the deformation."),
            Plot(
                "kernel",
                curve,
                "Width of the tangent kernel of the deformation's network while the window "
                "opens, in radii of the scene.",
            ),
        ]


def kernel_width(octaves: int, alpha: float) -> float:
    """Full width at half maximum of the tangent kernel of a deformation's network, in radii.

    It is that of infinitely many units on a line across the scene, for the encoding with this
    many octaves at the progress `alpha` of the window.
    """

    def encoding(points: Float[Tensor, "points dimensions"]) -> Tensor:
        found = windowed_encoding(2 * points - 1, octaves, alpha)
        return math.sqrt(2 / (2 * octaves + 1)) * found

    generator = torch.Generator().manual_seed(0)
    network = TangentNetwork(encoding, 1, UNITS, DEPTH, generator)
    places = torch.linspace(0, 1, PLACES, dtype=torch.float64)[:, None]
    middle = places[PLACES // 2 : PLACES // 2 + 1]
    kernel = limit_kernel(network, middle, places)[0]
    return 2 * full_width(places[:, 0], kernel)


def _scores(name: str, run: Run, found: ImageEvaluation) -> Record:
    """PSNR of held-out views, also where the built-in film shows what moves."""
    scores: dict[str, Any] = {}
    if name == LAMP:
        moving = lamp_moving(found.views.cameras)
        scores["moving pixels, dB"] = found.psnr_of_pixels(moving)
    scores |= {"PSNR, dB": found.scores.mean_psnr, "SSIM": found.scores.mean_ssim}
    return {**scores, "steps": run.steps}


def _budget(minutes: float, steps: int | None) -> dict[str, float | int]:
    return {"minutes of each fit": minutes} if steps is None else {"steps of each fit": steps}


PARTS_TEXT = (
    "One film, fitted for the same time with one part of Nerfies left out at a time, in the "
    "order of the paper's table, and judged by held-out views. The static field is the same "
    "canonical field, without a deformation; 'time as an input' gives its density the "
    "moment's code, and nothing moves; 'translations alone' has neither rotations, nor the "
    "elastic loss, nor the window."
)
OCTAVES_TEXT = (
    "## How detailed motions may be\n\n"
    "The deformation's points are encoded with m octaves. Few of them make smooth motions, "
    "which cannot follow parts that move apart; many make detailed ones, which may also "
    "tear what is rigid. The network's tangent kernel says how far a change at one point "
    "reaches: the more octaves are open, the narrower it is. Motions that vary within its "
    "width are learned slowly."
)
