"""What the commands do with a picture as a field: fit it, and judge the fit."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from unrender.api.opened_run import (
    OpenRun,
    begin_run,
    check_free,
    describe_cameras,
    fingerprint,
    fit_into,
)
from unrender.data.picture import Picture, read_picture, straight
from unrender.errors import InputError
from unrender.evaluation.images import psnr
from unrender.files import write_json
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.imaging.files import write_image
from unrender.methods.image_field import ImageField, ImageFieldModel
from unrender.training.fit import FitOptions, FitResult, pick_device
from unrender.training.run import provenance

FITTED = "fitted.png"
"""The picture as the field has it, in its run's folder."""


def fit_picture(
    picture: Picture,
    method: ImageField,
    out: Path,
    options: FitOptions,
    resume: bool = False,
    show: bool = True,
    watch: Callable[[ImageFieldModel, float], None] | None = None,
) -> tuple[OpenRun, FitResult]:
    """Fit a field to a picture, into the run folder `out`, which also gets fitted.png.

    `watch`: as for `fit`. InputError.
    """
    device = pick_device(options.device)
    check_free(out, resume)
    # Runs of every kind say from where their images are seen: this one from straight ahead.
    ahead = Cameras.from_focal(
        turntable(1, 1.0, 0.0), float(picture.width), picture.width, picture.height
    )
    views = describe_cameras(ahead, fingerprint((picture.pixels,)))
    run = begin_run(method, out, options, {"source": picture.name}, views, resume)
    given = picture.to(device)
    opened, result = fit_into(run, method, given, None, options, resume, show, watch)
    write_image(run.path / FITTED, straight(fitted_picture(opened)))
    return opened, result


def fitted_picture(opened: OpenRun) -> Float[Tensor, "height width channels"]:
    """All pixels, premultiplied, of the picture that a run holds. InputError if it has none."""
    if not isinstance(opened.model, ImageFieldModel):
        raise InputError(
            f"{opened.run.path}: is no picture: name a run of `unrender fit image-field`"
        )
    return opened.model.picture().cpu()


def target_picture(opened: OpenRun, data: str | None) -> Picture:
    """What a run was fitted to, or the file `data`. InputError."""
    return read_picture(Path(data or str(opened.run.config["data"]["source"])))


def evaluate_picture(opened: OpenRun, picture: Picture) -> dict[str, Any]:
    """Mean squared error and PSNR over all pixels, which go into evaluation.json. InputError.

    Over all channels, of premultiplied colours and alpha where there is alpha. Without any
    error the PSNR is None.
    """
    fitted = fitted_picture(opened)
    if fitted.shape != picture.pixels.shape:
        found, wanted = ("×".join(map(str, s)) for s in (picture.pixels.shape, fitted.shape))
        raise InputError(
            f"{picture.name}: has {found} numbers and the run's picture {wanted}: give the "
            "picture that it was fitted to"
        )
    quality = float(psnr(fitted, picture.pixels))
    figures: dict[str, Any] = {
        "picture": picture.name,
        "pixels": picture.height * picture.width,
        "mse": float((fitted - picture.pixels).double().square().mean()),
        "psnr": quality if math.isfinite(quality) else None,
        "parameters": num_parameters(opened),
    }
    write_json(opened.run.path / "evaluation.json", {**figures, **provenance()})
    return figures


def num_parameters(opened: OpenRun) -> int:
    """Numbers that training changed."""
    return sum(parameter.numel() for parameter in opened.model.parameters())
