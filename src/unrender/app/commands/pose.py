"""`unrender pose`: camera poses of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from unrender.app.choices import Background
from unrender.app.options import Words
from unrender.app.output import note
from unrender.errors import InputError
from unrender.files import check_target
from unrender.training.options import Device

if TYPE_CHECKING:
    from unrender.api.run import Run
    from unrender.rendering.renderer import Images, PoseEstimate

SHOWN = 6
"""Images in the overlay, at most."""
SIDE = 256
"""Pixels of the longer side of each of them, at most."""


def pose(
    run: Annotated[Path, Words(positional=True, metavar="RUN")],
    images: Annotated[tuple[Path, ...], Words(positional=True, metavar="IMAGE")],
    out: Annotated[Path, Words(metavar="FILE.json")] = Path("cameras.json"),
    overlay: bool = True,
    background: Background = "auto",
    start: Annotated[Path | None, Words(metavar="FILE.json", box="refinement")] = None,
    flow: Annotated[Path | None, Words(metavar="RUN", box="refinement")] = None,
    coarse_steps: Annotated[int, Words(box="refinement")] = 60,
    fine_steps: Annotated[int, Words(box="refinement")] = 120,
    pixels: Annotated[int, Words(box="refinement")] = 24,
    rate: Annotated[float, Words(box="refinement")] = 0.02,
    final_rate: Annotated[float, Words(box="refinement")] = 0.02,
    seed: Annotated[int, Words(box="refinement")] = 0,
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Estimate the camera poses of images: by a pose flow, or by render-and-compare.

    A pose flow (`unrender fit sit`) finds poses from the images alone. A radiance field or
    surface refines poses that it is given by --start or --flow, by comparing its renders with
    the images (iNeRF). Both work best for objects that are cut out, or on a constant
    background.

    Args:
        run: The run folder of a pose flow, or of a radiance field with --start or --flow.
        images: Image files of one size: RGBA, or RGB on a constant background.
        out: The JSON to write: cameras in the layout of transforms.json, with expected errors.
        overlay: Also write a .png beside --out: the images, and renders at the poses found.
        background: Color behind images without alpha; auto takes that of the training images,
            or white. opaque: the background belongs to the scene.
        start: Cameras to refine, in the order of the images.
        flow: Run folder of the pose flow whose estimate is refined.
        coarse_steps: Steps on images of a quarter of the size.
        fine_steps: Steps on the images themselves.
        pixels: Pixels per side of the lattice that a step compares.
        rate: First step of the descent, in radians and scene units.
        final_rate: Share of the rate that is left at the end.
        seed: Seed of the lattices.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the file only.

    Examples:
        unrender pose runs/flow photo.png
        unrender pose runs/bricks photo.png --flow runs/flow --out refined.json
    """
    from unrender.api.run import Run  # noqa: PLC0415 - imports torch
    from unrender.data.formats.camera_files import NamedCameras, write_cameras  # noqa: PLC0415
    from unrender.inverse.photometric_poses import RenderAndCompare  # noqa: PLC0415
    from unrender.training.progress import working  # noqa: PLC0415

    check_target(out, (".json",))
    options = RenderAndCompare(coarse_steps, fine_steps, pixels, rate, final_rate, seed)
    opened = Run.open(run, device)
    pictures, color = _read(opened, images, background, quiet)
    begin: Run | Path | None = start
    if opened.method.finds_poses and (start or flow):
        raise InputError(f"{run}: finds poses by itself: leave --start and --flow out")
    if not opened.method.finds_poses and opened.method.any_size:
        if (start is None) == (flow is None):
            raise InputError(
                f"{run}: refines poses that it is given: name either --start FILE or --flow RUN"
            )
        begin = start if flow is None else Run.open(flow, device)
    with working("Estimating poses", not quiet):
        estimate = opened.pose(pictures, start=begin, background=color, options=options)
    names = tuple(str(path) for path in images)
    write_cameras(out, NamedCameras(estimate.cameras, names), estimate)
    if not quiet:
        for index, name in enumerate(names):
            print(f"{name}: {_in_words(estimate, index)}")
    if overlay and opened.method.makes_images:
        picture = out.with_suffix(".png")
        _write_overlay(picture, opened, pictures, estimate, names)
        if not quiet:
            print(f"Overlay: {picture}")
    print(out)


def _read(
    run: "Run", paths: tuple[Path, ...], background: Background, quiet: bool
) -> "tuple[Images, str | None]":
    """The images, and the color behind them to be cut out."""
    from unrender.api.pose import read_images  # noqa: PLC0415 - imports torch

    if not paths:
        raise InputError("no image was given: name one or more image files")
    images = read_images([str(path) for path in paths])
    _, height, width, _ = images.shape
    if not run.method.any_size and height != width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, top : top + side, left : left + side]
        note(f"note: cropped to the central {side}×{side} pixels: a pose flow is square", quiet)
    if background != "auto":
        return images, background
    opaque = not bool((images[..., 3] < 1).any())
    if opaque and run.view_ranges.get("background") is None:
        note(
            f"note: {paths[0]} has no alpha: white is taken for the background; --background "
            "black or opaque says otherwise",
            quiet,
        )
    return images, None


def _in_words(estimate: "PoseEstimate", index: int) -> str:
    """Position, direction of view, and expected errors."""
    from unrender.api.pose import expected_error  # noqa: PLC0415 - imports torch

    camera = estimate.cameras[index]
    position, direction = (
        ", ".join(f"{value:.3g}" for value in vector.tolist())
        for vector in (camera.centers[0], camera.rotations[0, :, 2])
    )
    words = f"camera at ({position}), looking along ({direction})"
    if not bool(estimate.rotation_error[index].isfinite()):
        return words
    return f"{words}; {expected_error(estimate, index)}"


def _write_overlay(
    path: Path,
    run: "Run",
    images: "Images",
    estimate: "PoseEstimate",
    names: tuple[str, ...],
) -> None:
    """Each image above the render at its pose."""
    import torch  # noqa: PLC0415

    from unrender.geometry.paths import evenly  # noqa: PLC0415
    from unrender.imaging.color import over  # noqa: PLC0415
    from unrender.report.pictures import write_picture  # noqa: PLC0415 - matplotlib

    chosen = torch.tensor(evenly(SHOWN, len(images)))
    cameras = estimate.cameras.select(chosen)
    size = None if run.image_size else min(SIDE, max(cameras.width, cameras.height))
    rendered = run.render(cameras, size=size, progress=False).over().clamp(0, 1)
    shown = over(images[chosen], torch.ones(3))
    heads = [Path(names[k]).name for k in chosen.tolist()]
    rows = [("image", shown), ("render at\nthe pose", rendered)]
    write_picture(path, rows, 150, heads if len(heads) < 4 else ())
