"""Pictures of docs/light_fields.md that show built-in scenes.

    python benchmarks/light_field_pictures.py

A grid of images is rendered, written with the names of light fields, and read again by the
commands that the page names. The shiny scene is loaded, and fitted for two minutes.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import unrender
from unrender.app.commands.inspect import inspect
from unrender.app.commands.render import render
from unrender.data.builtin import render_scene
from unrender.data.builtin.shiny import shiny_materials
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.imaging.files import read_rgba, write_image
from unrender.report.pictures import write_picture

FOLDER = Path(__file__).parents[1] / "docs/light_fields"
SIDE, STEP, SIZE = 9, 0.06, (300, 200)
LENS, SENSOR = 40.0, 36.0
EYE, TARGET = (0.7, -2.5, 1.1), (0.0, 0.0, 0.1)
FOCUS = (2.0, 2.5, 3.2)
SHOWN, HELD_OUT = (20, 24, 29, 54), 7
"""Views of the shiny scene: from left to right, and one from above."""
COLORS = ((0.55, 0.55, 0.55), (0.85, 0.65, 0.1), (0.2, 0.6, 0.9), (0.85, 0.2, 0.6), (1, 1, 1))
"""Of the materials: diffuse, metal, glass, hologram, lamp."""


def write_grid(folder: Path) -> None:
    """The built-in bricks from 9 rows and 9 columns of parallel cameras."""
    pose = look_at(torch.tensor([EYE]), torch.tensor([TARGET]), torch.tensor([0.0, 0.0, 1.0]))[
        0
    ]
    offsets = [STEP * (k - (SIDE - 1) / 2) for k in range(SIDE)]
    for row, down in enumerate(offsets):
        for column, right in enumerate(offsets):
            moved = pose.clone()
            moved[:, 3] += right * pose[:, 0] + down * pose[:, 1]
            camera = Cameras.from_focal(moved[None], LENS / SENSOR * SIZE[0], *SIZE)
            image = render_scene("bricks", camera).over("white")[0]
            name = f"bricks_{row:02d}_{column:02d}_{down:.6f}_{right:.6f}_{LENS:g}_{SENSOR:g}"
            write_image(folder / f"{name}.png", image)


def write_shiny() -> None:
    """Views of the shiny scene, and what a radiance field makes of a held-out one."""
    data = unrender.load("shiny")
    held_out = data.test[HELD_OUT]
    run = unrender.fit("instant-ngp-capture", data, steps=600, progress=False)
    found = run.render(held_out.cameras, progress=False).over()[0].clamp(0, 1)
    truth = held_out.over("white")[0]
    error = (3 * (found - truth).abs().mean(-1, keepdim=True)).clamp(0, 1).expand(-1, -1, 3)
    materials = torch.tensor(COLORS)[shiny_materials(held_out.cameras)[0]]
    views = [data.train[k].over("white")[0] for k in SHOWN]
    rows = [("training", views), ("held out", [truth, materials, found, error])]
    write_picture(FOLDER / "shiny.jpg", rows, 200)


def main() -> None:
    """Write the grid, and what the commands make of it."""
    FOLDER.mkdir(exist_ok=True)
    write_shiny()
    with TemporaryDirectory() as temporary:
        grid, out = Path(temporary) / "grid", Path(temporary)
        grid.mkdir()
        write_grid(grid)
        inspect(grid, out / "look", quiet=True)
        picture = read_rgba(out / "look/light_field.png")[..., :3]
        write_image(FOLDER / "epipolar_planes.jpg", picture)
        images = []
        for aperture in (None, 0.12, 0.48):
            row = []
            for focus in FOCUS:
                file = out / f"{aperture}_{focus}.png"
                render(grid, file, focus=(focus,), aperture=aperture, quiet=True)
                row.append(read_rgba(file)[..., :3])
            images.append(("pinhole" if aperture is None else f"aperture {aperture:g}", row))
        heads = [f"focus {focus:g}" for focus in FOCUS]
        write_picture(FOLDER / "refocused.jpg", images, 160, heads)
        render(
            grid, FOLDER / "sweep.mp4", focus=(FOCUS[0], FOCUS[-1]), aperture=0.4, frames=48,
            quiet=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
