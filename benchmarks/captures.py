"""Radiance fields on three real captures, several methods each.

    python benchmarks/captures.py [--only SCENE ...] [--minutes 4] [--work FOLDER] [--quick]

All methods are fitted for the same time and evaluated on every eighth photograph, which is
held out. The best one also renders a video along a spiral, and a mesh if the object is cut out.
Images and videos are written to docs/captures/, tables to docs/captures.md.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import record
import tables
import torch
import trimesh
from jaxtyping import Float
from record import ROOT
from runs import fitted_in
from torch import Tensor

from unrender.api.cameras import spiral
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions, load_dataset
from unrender.evaluation.renders import WHITE, evaluate_images
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import evenly
from unrender.kernels.splat import splat
from unrender.methods.presets import PRESETS
from unrender.report.pictures import write_picture
from unrender.training.fit import FitOptions

RESULTS = ROOT / "benchmarks/results/captures.json"
DATA = ROOT.parent / "shared/data"
HOLD_OUT = 8
FRAMES = 72
VOXELS = 224
WIDER = 0.75
"""Share of the focal length in images of a mesh: the photographs cut it off."""


@dataclasses.dataclass(frozen=True)
class Capture:
    """A capture, and the methods that are fitted to it."""

    folder: str
    methods: tuple[str, ...]
    downscale: int = 1
    cut_out: bool = False
    """Whether masks cut out an object, which then has a closed surface."""


CAPTURES = {
    "fern": Capture(
        "real_scenes/fern_llff",
        ("nerfacto-fast", "instant-ngp-capture", "gaussian-splatting-fast"),
    ),
    "mouse": Capture(
        "real_scenes/mouse_colmap",
        ("nerfacto-fast", "instant-ngp-capture", "gaussian-splatting-fast"),
        downscale=2,
    ),
    "scan65": Capture(
        "dtu/scan65_400x300",
        ("instant-ngp-fast", "dvgo-fast", "gaussian-splatting-fast"),
        cut_out=True,
    ),
}


def main() -> None:
    """Fit and evaluate the selected captures, and merge the results into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(CAPTURES), default=list(CAPTURES))
    parser.add_argument("--minutes", type=float, default=4.0, help="of each fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs/captures")
    parser.add_argument("--quick", action="store_true", help="fit for seconds only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    began = time.perf_counter()
    earlier = record.read(arguments.out)
    figures = dict(earlier.get("figures", {}))
    measured = dict(earlier.get("measured", {}))
    committed = not arguments.quick and arguments.out == RESULTS
    pictures = ROOT / "docs/captures" if committed else arguments.work
    pictures.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        found = measure(name, arguments, pictures)
        figures.update(found)
        record.show(found)
        measured[name] = {"commit": record.COMMIT}
        seconds = time.perf_counter() - began
        record.write(
            arguments.out, arguments.seed, seconds, figures,
            measured=measured, minutes=arguments.minutes,
        )  # fmt: skip
    if committed:
        tables.rewrite("captures")


def measure(name: str, arguments: argparse.Namespace, pictures: Path) -> record.Figures:
    """Metrics of all methods on one capture; also writes images of their renders."""
    capture = CAPTURES[name]
    reading = LoadOptions(downscale=capture.downscale, hold_out=HOLD_OUT)
    scene = load_dataset(str(DATA / capture.folder), reading)
    minutes = 0.1 if arguments.quick else arguments.minutes
    options = FitOptions(minutes=minutes, seed=arguments.seed, device="cpu")
    figures: record.Figures = {}
    behind = WHITE if scene.test.background is None else scene.test.background
    rows = [("photograph", [view.over(behind)[0] for view in scene.test])]
    runs: dict[str, Run] = {}
    for method in capture.methods:
        out = arguments.work / f"{name}-{method}"
        opened = fitted_in(out, PRESETS[method].method(), scene, options)
        found = evaluate_images(opened.renderer, scene.test)
        key = f"{name}_{method}"
        figures[f"{key}_psnr"] = record.figure(found.scores.mean_psnr, "dB")
        figures[f"{key}_ssim"] = record.figure(found.scores.mean_ssim, "")
        figures[f"{key}_steps"] = record.figure(opened.steps, "steps")
        seconds = found.seconds / len(scene.test)
        figures[f"{key}_image_seconds"] = record.figure(seconds, "s")
        rows.append((method, found.rendered))
        runs[method] = opened
    chosen = evenly(3, len(scene.test))
    shown = [(label, [images[k] for k in chosen]) for label, images in rows]
    write_picture(pictures / f"{name}.jpg", shown, 250)
    best = max(runs, key=lambda m: float(figures[f"{name}_{m}_psnr"]["value"]))
    draw(name, runs[best], capture, scene, pictures)
    return figures


def draw(name: str, opened: Run, capture: Capture, scene: Dataset, pictures: Path) -> None:
    """Write a video of color and depth, and an image of the mesh if the object is cut out."""
    longer = int(scene.train.cameras.sizes.rows.max())
    film = opened.render(spiral(FRAMES), size=min(320, longer))
    film.save(pictures / f"{name}.mp4", what="color,depth")
    if capture.cut_out:
        assert opened.path is not None, "fitted into a folder"
        file = opened.path / "mesh.ply"
        # In the frame of the cameras, and dense: its vertices are drawn as spots.
        mesh = opened.mesh(voxels=VOXELS, faces=1_000_000, upright=False)
        mesh.save(file)
        print(f"{file}: {mesh}")
        cameras = opened.cameras
        chosen = torch.linspace(0, len(cameras) - 1, 3).round().long()
        intrinsics = cameras.intrinsics.clone()
        intrinsics[:, :2, :2] *= WIDER
        wide = dataclasses.replace(cameras, intrinsics=intrinsics)
        both = torch.stack([picture(file, wide.select(k[None])) for k in chosen], dim=1)
        rows = list(zip(("vertex colors", "shaded"), both, strict=True))
        write_picture(pictures / f"{name}-mesh.png", rows, 250)


def picture(file: Path, camera: Cameras) -> Float[Tensor, "2 height width 3"]:
    """A mesh's vertices as small splats, in color and shaded gray."""
    mesh = trimesh.load_mesh(file)
    vertices, normals = (
        torch.from_numpy(array.copy()).float() for array in (mesh.vertices, mesh.vertex_normals)
    )
    colors = torch.from_numpy(mesh.visual.vertex_colors[:, :3].copy()).float() / 255
    camera = camera.resized(2 * camera.width, 2 * camera.height)
    pixels, depth = camera.project(torch.zeros(len(vertices), dtype=torch.long), vertices)
    towards = torch.nn.functional.normalize(camera.centers - vertices, dim=1)
    facing = (normals * towards).sum(1)
    # Splats are as wide as the mesh's edges in the image.
    edge = float(mesh.edges_unique_length.mean()) * float(camera.focal.mean()) / depth
    conics = torch.stack([1 / edge.square(), torch.zeros_like(edge), 1 / edge.square()], dim=1)
    opacity = 0.95 * (facing > 0)
    halves = [
        splat(pixels, conics, shown, opacity, depth, camera.width, camera.height)
        for shown in (colors, facing.clamp(0, 1)[:, None].expand(-1, 3))
    ]
    images = [half.color + (1 - half.opacity)[..., None] for half in halves]
    return torch.stack(images)[:, ::2, ::2].clamp(0, 1)


if __name__ == "__main__":
    main()
