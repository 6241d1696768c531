"""Ablations: the flow retrained with one design choice removed or replaced at a time."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.images import score_images
from unrender.evaluation.poses import score_poses
from unrender.evaluation.renders import WHITE, render_in_parts
from unrender.imaging.resize import area_average
from unrender.report.findings import Findings, Plot, Record, Table
from unrender.report.plots import PALETTE, log_axis, panels
from unrender.studies.study import Study, Subject, over_white
from unrender.training.fit import FitOptions

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as studied": {},
    "lifting: Plücker rays": {"lifting": "plucker"},
    "noise: fixed at 1": {"source_noise": 1.0, "noise_scale": "fixed"},
    "noise: fixed at 0.5": {"source_noise": 0.5, "noise_scale": "fixed"},
    "noise: fixed at 0.25": {"noise_scale": "fixed"},
    "noise: fixed at 0.1": {"source_noise": 0.1, "noise_scale": "fixed"},
    "noise: random up to 1": {"source_noise": 1.0},
    "share at t = 1: 0": {"end_share": 0.0},
    "share at t = 1: 0.1": {"end_share": 0.1},
    "share at t = 0: 0": {"start_share": 0.0},
    "patch: 4": {"patch": 4},
    "patch: 16": {"patch": 16},
    "AdamW, without Muon": {"muon": False, "learning_rate": 1.5e-3},
    "AdamW with QK-norm": {"muon": False, "learning_rate": 1.5e-3, "qk_norm": True},
}
DATA = (300, 1000)
"""Numbers of training views of the variants with fewer training views."""


@dataclass(frozen=True)
class Ablations(Study):
    """The flow retrained with one option changed at a time, all for the same time."""

    minutes: float = 2.0
    """Training time of each variant, in minutes."""
    views: int = 4000
    """Number of training views."""
    only: tuple[str, ...] = ()
    """Names of the variants to train; by default all."""
    autoencoder: str = ""
    """Folder of an AutoencoderKL for a latent-space variant, which is left out by default."""

    def run(self, subject: Subject) -> Findings:
        variants = self._variants()
        cameras = subject.shell(self.views, subject.seed + 1)
        rendered: dict[int, Views] = {}
        records: list[Record] = []
        for name, (options, count) in variants.items():
            method = dataclasses.replace(subject.method, **options)
            # The latent variant has as many latents as the other variants have pixels.
            size = subject.size * method.space().scale
            if size not in rendered:
                rendered[size] = subject.render(cameras.resized(size, size))
            label = "ablation-" + "".join(c if c.isalnum() else "-" for c in name).strip("-")
            fit = FitOptions(minutes=self.minutes, seed=subject.seed)
            views = rendered[size].select(torch.arange(count))
            flow = subject.trained(label, method, views, fit)
            large = render_in_parts(flow.renderer, subject.test.cameras.resized(size, size))
            small = area_average(large.over(WHITE), subject.size, subject.size)
            made = small.clamp(0, 1)
            images = subject.views.test.rgba
            read = subject.with_options(flow, refine_steps=0).fitted.estimate_poses(images)
            mode = flow.fitted.estimate_poses(images)
            truth = subject.test.cameras
            records.append(
                {
                    "variant": name,
                    "PSNR, dB": score_images(made, over_white(subject.test)).mean_psnr,
                    "one step, degrees": score_poses(read.cameras, truth).rotation_deg_median,
                    "mode, degrees": score_poses(mode.cameras, truth).rotation_deg_median,
                    "mode, under 5°": score_poses(mode.cameras, truth).under_5deg,
                    "steps": flow.steps,
                }
            )
        return Findings(
            f"Ablations: {subject.name}",
            [
                f"Each flow was trained for {self.minutes:g} minutes, so variants with slower "
                f"steps take fewer of them, and evaluated on {len(subject.test)} held-out "
                "images: PSNR of the images generated from poses (mean start, one step), and "
                "the median rotation error of the poses estimated from images, by one backward "
                "step and by the energy's mode.",
                Table(records),
                Plot(
                    "variants",
                    draw_variants(records),
                    "Dashed lines mark the flow as studied.",
                ),
            ],
            records,
            {"minutes": self.minutes, "training views": self.views},
        )

    def _variants(self) -> dict[str, tuple[Mapping[str, Any], int]]:
        """Options and number of training views of each variant, by name."""
        everything = {name: (options, self.views) for name, options in VARIANTS.items()}
        everything |= {f"training views: {n}": ({}, n) for n in DATA if n < self.views}
        if self.autoencoder:
            everything["latents"] = ({"autoencoder": self.autoencoder}, self.views)
        for name in self.only:
            if name not in everything:
                known = ", ".join(map(repr, everything))
                raise InputError(f"--only {name!r}: is not a variant: choose among {known}")
        return {name: everything[name] for name in self.only or everything}


def draw_variants(records: list[Record]) -> Figure:
    """Dot plot of all variants, with one panel for each metric."""
    columns = {
        "PSNR, dB": "PSNR (dB)",
        "one step, degrees": "rotation error (degrees),\none backward step",
        "mode, degrees": "rotation error (degrees),\nenergy's mode",
    }
    names = [str(record["variant"]) for record in records]
    height = 0.6 + 0.26 * len(names)
    with panels(9.0, height, 1, len(columns), sharey=True) as (figure, (grid,)):
        for axes, column, color in zip(grid, columns, PALETTE, strict=False):
            values = [float(str(record[column])) for record in records]
            axes.axvline(values[0], color=color, linestyle="--", linewidth=1)
            axes.scatter(values, range(len(names)), color=color, s=30, zorder=3)
            axes.set_xlabel(columns[column])
            if "degrees" in column:
                log_axis(axes, "x")
        grid[0].set_yticks(range(len(names)), names)
        grid[0].invert_yaxis()
        return figure
