"""Fields, light and surfaces: fits, renderers, surfaces from images, and derivatives.

    python benchmarks/fields_surfaces.py [--only PART ...] [--minutes 20] [--quick]

Parts: images and best-image fit photographs; sdf fits a signed distance to the bunny; shapes
other targets and other fields; sphere-trace and path take seconds; neus and volsdf fit for
--minutes each, synthetic three times for a quarter of that; gradients is both studies of
derivatives. Measured parts are merged into the results, and the tables of the docs rewritten.
"""

import argparse
import os
from pathlib import Path

# As the command does (see unrender/__main__.py), before anything imports torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import field_images
import field_shapes
import record
import surfaces_from_images
import tables
from path_against_mitsuba import path_figures
from pixel_gradients import gradient_figures
from record import ROOT
from sphere_trace_scene import sphere_trace_figures

RESULTS = ROOT / "benchmarks/results/fields_surfaces.json"


def main() -> None:
    """Measure the selected parts, and merge the results into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=20.0, help="fitting time of one scan")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/fields_surfaces")
    parser.add_argument("--quick", action="store_true", help="fit for seconds only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    committed = not arguments.quick and arguments.out == RESULTS
    arguments.pictures = ROOT / "docs" if committed else arguments.work
    arguments.work.mkdir(parents=True, exist_ok=True)
    record.merge(PARTS, arguments)
    if committed:
        tables.rewrite("fields", "light", "surfaces", "gradients")


def images(arguments: argparse.Namespace) -> record.Figures:
    """All kinds of fields after the same number of steps, and the images of docs/fields."""
    steps = 20 if arguments.quick else field_images.STEPS
    work = arguments.work / "images"
    figures = field_images.image_losses(work, arguments.seed, steps)
    field_images.draw(work, arguments.pictures / "fields")
    return figures


def best_image(arguments: argparse.Namespace) -> record.Figures:
    """The best image field in a minute."""
    return field_images.best_image(
        arguments.seed, 2.0 if arguments.quick else field_images.SECONDS
    )


def bunny(arguments: argparse.Namespace) -> record.Figures:
    """The bunny as a signed distance and as an occupancy, three minutes each."""
    return _shapes(arguments, "bunny", 3.0)


def shapes(arguments: argparse.Namespace) -> record.Figures:
    """Other targets and kinds of fields, half a minute each, and memory of extraction."""
    figures: record.Figures = {}
    for part in ("cow", "clouds", "kinds", "memory"):
        figures |= _shapes(arguments, part, 0.5)
    return figures


def _shapes(arguments: argparse.Namespace, part: str, minutes: float) -> record.Figures:
    own = argparse.Namespace(**vars(arguments))
    own.pictures, own.work = arguments.pictures / "fields", arguments.work / "shapes"
    own.minutes = own.kind_minutes = 0.05 if arguments.quick else minutes
    for folder in (own.pictures, own.work):
        folder.mkdir(parents=True, exist_ok=True)
    return field_shapes.PARTS[part](own)


def sphere_trace(arguments: argparse.Namespace) -> record.Figures:
    """A scene of 24 primitives at 256²."""
    return sphere_trace_figures(1.0 if arguments.quick else 10.0)


def path(arguments: argparse.Namespace) -> record.Figures:
    """Three scenes, compared with Mitsuba 3."""
    return path_figures(arguments.quick, arguments.seed)


def gradients(arguments: argparse.Namespace) -> record.Figures:
    """Derivatives of pixels by all techniques, and inverse problems."""
    return gradient_figures(arguments.seed, arguments.quick, arguments.pictures / "gradients")


PARTS = {
    "images": images,
    "best-image": best_image,
    "sdf": bunny,
    "shapes": shapes,
    "sphere-trace": sphere_trace,
    "path": path,
    **surfaces_from_images.PARTS,
    "gradients": gradients,
}


if __name__ == "__main__":
    main()
