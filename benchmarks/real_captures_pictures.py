"""Pictures of each step from a phone's photographs, drawn from the runs of real_captures.py.

    python benchmarks/real_captures_pictures.py [--work FOLDER]

Written to docs/captures/: the steps of the mouse (steps.jpg), held-out photographs whose poses
were refined from 2° away (pose.png), and the loop of each demo (demo-*.jpg).
"""

import argparse
import shutil
from pathlib import Path

import torch
from PIL import Image
from real_captures import DEMOS, ROOT, SCENES, read, run
from real_captures_poses import distances, wrong_by

import unrender as ur
from unrender.api.cameras import film
from unrender.data.formats.camera_files import NamedCameras, write_cameras
from unrender.geometry.paths import evenly
from unrender.imaging.files import read_rgba, write_image
from unrender.report.pictures import write_picture

OUT = ROOT / "docs/captures"
ACROSS, SIDE = 4, 320
"""Pictures of each step, and pixels of their longer side."""


def main() -> None:
    """Draw the steps, poses and loops of the runs in a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "runs/real_captures")
    arguments = parser.parse_args()
    draw_steps(arguments.work)
    draw_poses(arguments.work)
    for name in DEMOS:
        with Image.open(arguments.work / f"demo-{name}/loop.png") as loop:
            loop.convert("RGB").save(OUT / f"demo-{name}.jpg", quality=85)


def draw_steps(work: Path) -> None:
    """Photographs, frames of the film, and the mesh."""
    photographs = sorted((work / "film/scene/images").iterdir())
    fitted = ur.open(work / "film/run")
    frames = fitted.render(film(ACROSS), size=SIDE).over("white")
    mesh = ur.Mesh.load(work / "mouse-gaussian-splatting-fast/mesh.glb")
    turned = ur.render(mesh, ur.turntable(ACROSS), size=SIDE, shading="none").over("white")
    shown = [photographs[k] for k in evenly(ACROSS, len(photographs))]
    rows = [
        ("photographs", [read_rgba(path)[..., :3] for path in shown]),
        ("unrender render", list(frames.clamp(0, 1))),
        ("unrender export", list(turned.clamp(0, 1))),
    ]
    write_picture(OUT / "steps.jpg", rows, 250)


def draw_poses(work: Path) -> None:
    """What `unrender pose` draws of three held-out photographs."""
    fitted = work / "mouse-gaussian-splatting-fast"
    test = read(*SCENES["mouse"]).test
    test = test.select(torch.tensor(evenly(3, len(test))))
    folder = work / "pose"
    folder.mkdir(exist_ok=True)
    files = tuple(folder / f"photo_{k}.png" for k in range(len(test)))
    for file, view in zip(files, test, strict=True):
        write_image(file, view.opaque[0][..., :3])
    start = wrong_by(test.cameras, distances(ur.open(fitted), test), 2.0, 0.02)
    write_cameras(folder / "start.json", NamedCameras(start, tuple(map(str, files))))
    run(
        "pose", fitted, *files, "--start", folder / "start.json", "--out", folder / "found.json"
    )
    shutil.copy(folder / "found.png", OUT / "pose.png")


if __name__ == "__main__":
    main()
