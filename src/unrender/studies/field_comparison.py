"""Comparison of all kinds of 2D fields, fitted to one image with the same budget."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.fit import check_free, fit_to
from unrender.data.picture import Picture, over_white, pixel_centers
from unrender.evaluation.images import psnr
from unrender.fields.derivatives import (
    gradient,
    pixel_gradient,
    pixel_laplacian,
    second_derivatives,
)
from unrender.fields.field import IMAGE_KINDS, SMOOTH_KINDS, FieldKind
from unrender.files import make_folder, write_json
from unrender.imaging.panels import panels
from unrender.imaging.video import write_video
from unrender.methods.image_field import PIXELS_AT_ONCE, ImageField, ImageFieldModel
from unrender.report.fields import (
    Appearance,
    FittedField,
    Tile,
    write_field_comparison,
)
from unrender.training.fit import FitOptions
from unrender.training.record import provenance

SHOTS = 24
"""Number of frames that are recorded during a fit."""
TILE = 160
"""Maximum of a recorded frame's longer side, in pixels; larger images are subsampled."""


class _Record:
    """Records PSNR and images during a fit, at SHOTS moments that become sparser."""

    def __init__(self, picture: Picture, options: FitOptions):
        self.every = -(-max(picture.width, picture.height) // TILE)
        self.truth = picture.pixels[:: self.every, :: self.every]
        self.options, self.step = options, 0
        self.curve: list[tuple[int, float, float]] = []
        self.frames: list[Tile] = []

    def watch(self, model: ImageFieldModel, seconds: float) -> None:
        self.step += self.options.log_every
        steps, minutes = self.options.steps, self.options.minutes
        by_steps = 0.0 if steps is None else self.step / steps
        by_time = 0.0 if minutes is None else seconds / (60 * minutes)
        # The image changes most at the beginning, so frames are denser there.
        if max(by_steps, by_time) < (len(self.frames) / SHOTS) ** 2:
            return
        seen = model.picture(self.every).cpu()
        self.curve.append((self.step, seconds, float(psnr(seen, self.truth))))
        self.frames.append(over_white(seen))


def compare_fields(
    picture: Picture,
    out: Path,
    options: FitOptions,
    pixels: int = 512,
    kinds: Sequence[FieldKind] = IMAGE_KINDS,
    show: bool = True,
) -> Path:
    """Fit each kind of field with the same budget, and write the page that compares them.

    `out` receives a run folder for each kind, progress.gif and index.html, whose path is
    returned. Recording does not count as fitting time. Raises InputError if `out` is not free
    or cannot be written, and KeyboardInterrupt if a fit was interrupted by Ctrl-C.
    """
    check_free(out)
    make_folder(out)
    # Without a budget, the default of the training loop.
    if options.steps is None and options.minutes is None:
        options = replace(options, minutes=5.0)
    often = 20 if options.steps is None else max(1, options.steps // 200)
    options = replace(options, log_every=often)
    records: dict[FieldKind, _Record] = {kind: _Record(picture, options) for kind in kinds}
    fields = [
        _fitted(picture, ImageField(field=kind, pixels=pixels), out / kind, record, show)
        for kind, record in records.items()
    ]
    clip = out / "progress.gif"
    _write_video(clip, records)
    budget = [f"{options.steps:,} steps"] if options.steps is not None else []
    budget += [f"{options.minutes:g} minutes"] if options.minutes is not None else []
    page = out / "index.html"
    write_field_comparison(
        page,
        f"{Path(picture.name).stem}: {len(fields)} fields",
        f"{picture.width}×{picture.height} pixels; {' or '.join(budget)} of {pixels:,} random "
        f"pixels per step for each field, seed {options.seed}. There is no held-out set: the "
        "fields are evaluated on the pixels that they were fitted to.",
        image_appearance(picture.pixels),
        fields,
        clip,
    )
    return page


def _fitted(
    picture: Picture, method: ImageField, out: Path, record: _Record, show: bool
) -> FittedField:
    opened = fit_to(method, picture, record.options, out=out, progress=show, watch=record.watch)
    if not opened.finished:
        raise KeyboardInterrupt
    figures = opened.evaluate()
    write_json(out / "evaluation.json", {**figures, **provenance()})
    assert isinstance(opened.model, ImageFieldModel), "fitted just now"
    return FittedField(
        method.field,
        figures["parameters"],
        opened.steps,
        opened.seconds,
        figures["mse"],
        math.inf if figures["psnr"] is None else figures["psnr"],
        record.curve,
        opened.metrics,
        appearance(opened.model),
        method.field in SMOOTH_KINDS,
    )


def _write_video(path: Path, records: dict[FieldKind, _Record]) -> None:
    """Video of all fits beside the target; fits with fewer frames repeat their last one."""
    taken = {kind: record.frames for kind, record in records.items() if record.frames}
    truth = over_white(next(iter(records.values())).truth)
    frames = [
        panels(
            {"target": truth}
            | {kind: own[min(shot, len(own) - 1)] for kind, own in taken.items()},
            columns=4,
            trim=False,
        )
        for shot in range(max((len(own) for own in taken.values()), default=1))
    ]
    write_video(path, torch.stack(frames), fps=5)


def appearance(model: ImageFieldModel) -> Appearance:
    """Image and derivatives of a fitted field.

    Gradients are computed by automatic differentiation, and so are Laplacians of smooth fields;
    Laplacians of the other fields are finite differences of pixels.
    """
    seen = image_appearance(model.picture().cpu())
    height, width, _ = model.size.tolist()
    scale = torch.tensor([1 / width, 1 / height], device=model.size.device)

    def grey(points: Float[Tensor, "points 2"]) -> Float[Tensor, "points"]:
        return over_white(model(points)).mean(-1)

    slope: list[Tensor] = []
    laplacian: list[Tensor] = []
    index = torch.arange(height * width, device=model.size.device)
    for part in index.split(PIXELS_AT_ONCE):
        points = pixel_centers(part, height, width)
        slope.append((gradient(grey, points) * scale).norm(dim=1))
        if model.field.kind in SMOOTH_KINDS:
            laplacian.append((second_derivatives(grey, points) * scale.square()).sum(1))
    found = replace(seen, slope=torch.cat(slope).view(height, width).cpu())
    if laplacian:
        found = replace(found, laplacian=torch.cat(laplacian).view(height, width).cpu())
    return found


def image_appearance(pixels: Float[Tensor, "height width channels"]) -> Appearance:
    """Appearance of an image, with derivatives by finite differences."""
    color = over_white(pixels)
    grey = color.mean(-1)
    return Appearance(color, pixel_gradient(grey).norm(dim=0), pixel_laplacian(grey))
