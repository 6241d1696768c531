"""One image, which a neural field is fitted to."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.picture import Picture, read_picture, straight
from unrender.errors import InputError
from unrender.evaluation.images import psnr
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.scores import Scores
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.imaging.files import write_image
from unrender.training.method import (
    DataKind,
    Description,
    Evaluation,
    Fitted,
    Method,
    Watcher,
)

FITTED = "fitted.png"
"""The image as the field has it, in its run folder."""


@dataclass(frozen=True)
class NoOptions:
    """An image is read in one way only."""


class _FittedImage(Watcher):
    """Writes fitted.png at the end."""

    def watch(self, model: Any, seconds: float) -> None:
        pass

    def write(self, fitted: Fitted[Any], folder: Path) -> None:
        write_image(folder / FITTED, straight(fitted_image(fitted)))


class OneImage(DataKind[Picture, Picture]):
    """One image, of which every pixel is trained on: there is no held-out part."""

    name: ClassVar[str] = "one image"
    options: ClassVar[type[Any]] = NoOptions

    def read(self, source: object, options: NoOptions) -> Picture:
        if isinstance(source, Picture):
            return source
        if isinstance(source, Tensor):
            return Picture("image", source)
        if isinstance(source, str | Path):
            return read_picture(Path(source))
        raise InputError(f"{type(source).__name__}: is not an image: give a path or a tensor")

    def training(self, data: Picture) -> Picture:
        return data

    def describe(self, data: Picture) -> Description:
        # A run of any kind says from where its images are seen: this one from straight ahead.
        ahead = Cameras.from_focal(
            turntable(1, 1.0, 0.0), float(data.width), data.width, data.height
        )
        source = {"source": data.name}
        return Description(source, ahead, ("image",), (data.pixels,), keep_cameras=False)

    def evaluate(
        self, fitted: Fitted[Any], data: Picture, lpips: LPIPS | None = None
    ) -> Evaluation:
        """Mean squared error and PSNR over all pixels and channels.

        Images with alpha are compared as premultiplied RGBA. The PSNR is None for identical
        images. Raises InputError if the images differ in size.
        """
        image = fitted_image(fitted)
        if image.shape != data.pixels.shape:
            found, wanted = ("×".join(map(str, s)) for s in (data.pixels.shape, image.shape))
            raise InputError(
                f"{data.name}: has shape {found} and the run's image {wanted}: give the image "
                "that it was fitted to"
            )
        quality = float(psnr(image, data.pixels))
        scores: dict[str, Any] = {
            "picture": data.name,
            "pixels": data.height * data.width,
            "mse": float((image - data.pixels).double().square().mean()),
            "psnr": quality if math.isfinite(quality) else None,
            "parameters": fitted.num_parameters,
        }
        return Evaluation(Scores(scores))

    def watcher(
        self, method: Method[Any, Any], data: Picture, device: torch.device
    ) -> Watcher | None:
        return _FittedImage()


def fitted_image(fitted: Fitted[Any]) -> Float[Tensor, "height width channels"]:
    """All pixels of the image that a field was fitted to, premultiplied."""
    return fitted.model.picture().cpu()


ONE_IMAGE = OneImage()
