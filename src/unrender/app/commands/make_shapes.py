"""`unrender make-shapes`: procedural shapes and images of them."""

from pathlib import Path
from typing import Annotated, Literal

from unrender.app.options import Words
from unrender.errors import InputError
from unrender.files import check_new, check_target


def make_shapes(
    out: Annotated[Path, Words(metavar="FILE.npz")],
    family: Literal["chair", "table", "lamp", "car"] = "chair",
    count: int = 4000,
    views: int = 8,
    size: int = 64,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Make a dataset of procedural shapes and their images, for the methods image-to-….

    Args:
        out: The .npz to write.
        family: What the shapes are.
        count: Number of shapes; every tenth is held out.
        views: Images of each shape, from random directions.
        size: Pixels per side of the images.
        seed: Seed of the shapes and cameras.
        quiet: Print the file only.

    Examples:
        unrender make-shapes --out chairs.npz --count 1000
    """
    from unrender.data.image_shape import make_shapes as making  # noqa: PLC0415 - imports torch
    from unrender.data.image_shape.pairs import save_shapes  # noqa: PLC0415
    from unrender.training.progress import told_progress  # noqa: PLC0415

    check_target(out, (".npz",))
    check_new(out)
    for name, value in (("count", count), ("views", views), ("size", size)):
        if value < 1:
            raise InputError(f"--{name} {value}: give at least 1")
    with told_progress("make shapes", "shape", not quiet) as tell:
        shapes, held_out = making.make_shapes(family, count, views, size, seed, tell)
    save_shapes(out, shapes, held_out)
    print(out)
    if not quiet:
        print(f"Next: unrender fit image-to-mesh-fast --data {out}")
