"""Other sides of objects in photographs, as one picture: a part of `novel_views.py`.

    python benchmarks/novel_views_photographs.py --out FILE.png [--run RUN …] [PHOTO …]

A row for each photograph and model: the photograph as it is framed, and the object from seven
azimuths around it. By default the photographs are the taxi, the extinguisher and the duck that
zero123's authors published, if they are here.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from novel_views_nearest import DATA, shipped_models
from torch import Tensor

import unrender as ur
from unrender.api.view_models import view_model
from unrender.api.view_targets import offsets
from unrender.data.object_photograph import object_views, read_object
from unrender.imaging.panels import panels
from unrender.imaging.resize import area_average
from unrender.imaging.save import save_images
from unrender.training.method import Fitted

NAMES = ("taxi", "extinguisher", "yellowduck")
WILD = {
    name: DATA / f"single_image_3d/zero123_nerf_wild/{name}/train/r_0.png" for name in NAMES
}
AZIMUTHS = (45, 90, 135, 180, 225, 270, 315)
SHOWN = 128
"""Pixels per side of each panel; those of the models are enlarged."""


def wild_photographs() -> dict[str, Path]:
    """The photographs that are here, by their names."""
    return {name: path for name, path in WILD.items() if path.exists()}


def sheet(
    photographs: Mapping[str, Path],
    models: Mapping[str, Fitted[Any]],
    seed: int = 0,
    azimuths: Sequence[int] = AZIMUTHS,
) -> Float[Tensor, "height width 3"]:
    """The picture: a row of panels for each photograph and model. InputError."""
    images: dict[str, Tensor] = {}
    for name, path in photographs.items():
        framed = object_views([read_object(path)]).over("white")[0]
        for kind, fitted in models.items():
            images[f"{name}, {kind}"] = area_average(framed, SHOWN, SHOWN)
            made = ur.novel_views(
                path, offsets(azimuths, (0,)), run=fitted, seed=seed, progress=False
            )
            for azimuth, view in zip(azimuths, made.frames(), strict=True):
                # Spaces tell labels apart, and are not seen.
                label = f"{azimuth}°" + " " * len(images)
                images[label] = area_average(view, SHOWN, SHOWN)
    return panels(images, columns=1 + len(azimuths), trim=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--run", nargs="*", type=Path, default=[])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    models = {run.name: view_model(run) for run in arguments.run} or shipped_models()
    photographs = {path.stem: path for path in arguments.photos} or wild_photographs()
    with torch.no_grad():
        save_images(arguments.out, sheet(photographs, models)[None])
    print(arguments.out)


if __name__ == "__main__":
    main()
