"""`unrender make-views`: a dataset of random views of a run."""

from pathlib import Path
from typing import Annotated

from unrender.app.options import Words
from unrender.errors import InputError
from unrender.files import check_new, check_target
from unrender.training.options import Device

Range = Annotated[tuple[float, float] | None, Words(metavar="MIN MAX", box="cameras")]


def make_views(
    run: Annotated[Path, Words(positional=True, metavar="RUN")],
    out: Annotated[Path, Words(metavar="FILE.npz")],
    count: int = 2000,
    size: int = 32,
    supersample: int = 3,
    radius: Range = None,
    elevation: Range = None,
    roll: Annotated[float, Words(metavar="DEGREES", box="cameras")] = 0.0,
    look_at_jitter: Annotated[float, Words(metavar="RADIUS", box="cameras")] = 0.0,
    seed: int = 0,
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Render a dataset of random views with a fitted model, for a pose flow to learn from.

    Args:
        run: The run folder of a radiance field or surface.
        out: The .npz to write: images, poses and intrinsics.
        count: Number of views.
        size: Pixels per side.
        supersample: Rays per side of each pixel; 1 aliases.
        radius: Range of distances; by default that of the training cameras.
        elevation: Range of elevations in degrees; by default that of the training cameras.
        roll: Largest rotation about the optical axis, either way, in degrees.
        look_at_jitter: Radius of the ball that holds the look-at points.
        seed: Seed of the cameras.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the file only.

    Examples:
        unrender make-views runs/bricks --out views.npz --count 4000
    """
    from unrender.api.run import Run  # noqa: PLC0415 - imports torch
    from unrender.data.formats.npz import save_npz  # noqa: PLC0415

    for name, value in (("count", count), ("size", size), ("supersample", supersample)):
        if value < 1:
            raise InputError(f"--{name} {value}: give at least 1")
    check_target(out, (".npz",))
    check_new(out)
    opened = Run.open(run, device)
    views = opened.make_views(
        count,
        size=size,
        radius=radius,
        elevation=elevation,
        roll=roll,
        look_at_jitter=look_at_jitter,
        supersample=supersample,
        seed=seed,
        progress=not quiet,
    )
    save_npz(out, views)
    print(out)
    if not quiet:
        print(f"Next: unrender fit sit --data {out}")
