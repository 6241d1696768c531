"""Images of docs/light.

    python benchmarks/light_pictures.py [--only NAME ...] [--mesh FILE] [--out FOLDER]

Each takes seconds to a minute; --mesh is used in the first.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from record import ROOT
from torch import Tensor

from unrender.data.builtin import NAMES, render_scene
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.geometry.poses import look_at
from unrender.imaging.color import display_from_linear
from unrender.imaging.panels import save_panels
from unrender.rendering.light.bsdf import Glass, Lambert, Metal
from unrender.rendering.light.lights import Environment
from unrender.rendering.light.path_tracer import PathOptions, path_radiance
from unrender.rendering.light.scene import Scene, SceneObject, build
from unrender.report.pictures import write_picture
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.implicit.sdf import box, smooth_union, sphere, torus, translated
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere
from unrender.studies.spectrum import spectrum, spectrum_scene

STRATEGIES = {"light": "light sampling", "surface": "BSDF sampling", "both": "both (MIS)"}
COW = ROOT.parent / "shared/data/meshes/spot_textured/cow.obj"


def draw_spectrum(out: Path, mesh: Path) -> None:
    """Seven kinds of lighting of the room; prints the time of each."""
    scene, camera = spectrum_scene(read_mesh(mesh))
    tiles: dict[str, Tensor] = {}
    for stage in spectrum(scene, camera(200), 256):
        print(f"{stage.name:15} {stage.seconds:.2f} s")
        tiles[stage.name] = stage.image
    save_panels(out / "spectrum.png", tiles, columns=4)


def draw_strategies(out: Path, mesh: Path) -> None:
    """Veach's plates: four roughnesses, four lamps of equal power, 16 paths per pixel."""
    objects = [
        SceneObject(_plate(6.0, 6.0, 0.0, (0.0, 0.0, -0.6)), Lambert(torch.full((3,), 0.35)))
    ]
    eye, lamps = torch.tensor([0.0, -6.0, 2.2]), torch.tensor([0.0, 2.3, 1.9])
    for k, roughness in enumerate((0.004, 0.03, 0.1, 0.3)):
        middle = (0.0, 1.2 - 0.85 * k, 0.55 - 0.28 * k)
        # Oriented so that its center reflects the lamps to the camera.
        half = sum(
            (end - torch.tensor(middle)) / (end - torch.tensor(middle)).norm()
            for end in (eye, lamps)
        )
        tilt = math.atan2(-float(half[1]), float(half[2]))
        plate = _plate(2.1, 0.36, tilt, middle)
        objects.append(SceneObject(plate, Metal(torch.full((3,), 0.8), roughness)))
    for k, radius in enumerate((0.03, 0.1, 0.25, 0.5)):
        lamp = icosphere(3)
        place = lamps + torch.tensor([1.2 * k - 1.8, 0.0, 0.0])
        lamp = replace(lamp, vertices=radius * lamp.vertices + place)
        light = torch.full((3,), 0.3) / radius**2
        objects.append(SceneObject(lamp, Lambert(torch.zeros(3)), emission=light))
    cameras = _camera(eye[None], torch.tensor([[0.0, 0.6, 0.75]]), 480, 1.6)
    room = build(Scene(objects))
    tiles: dict[str, Tensor] = {}
    for strategy, name in STRATEGIES.items():
        options = PathOptions(samples=16, max_depth=2, strategy=strategy)
        image = _shown(path_radiance(room, cameras, options).color[0])
        tiles[name] = image[20:460]
    save_panels(out / "strategies.png", tiles)


def draw_functions(out: Path, mesh: Path) -> None:
    """Signed distance functions of glass, rough metal and matte, under a sky."""
    shape = smooth_union(
        sphere(0.42), translated(box([0.32, 0.32, 0.32]), [0.0, 0.0, 0.35]), 0.2
    )
    white = torch.ones(3)
    places = ((-1.15, 0.0, 0.42), (0.0, 0.3, 0.42), (1.15, 0.0, 0.42))
    materials = (Glass(white), Metal(torch.tensor([0.95, 0.7, 0.4]), 0.2),
                 Lambert(torch.tensor([0.2, 0.45, 0.7])))  # fmt: skip
    objects = [
        SceneObject(translated(shape, place), material)
        for place, material in zip(places, materials, strict=True)
    ]
    ring = translated(torus(0.5, 0.08), [0.45, -0.9, 0.08])
    objects.append(SceneObject(ring, Metal(torch.full((3,), 0.9), 0.1)))
    objects.append(
        SceneObject(_plate(8.0, 8.0, 0.0, (0.0, 0.0, 0.0)), Lambert(torch.full((3,), 0.45)))
    )
    rows = 64
    up = ((torch.arange(rows) + 0.5) * (torch.pi / rows)).cos()
    sky = 0.35 + 0.5 * up.clamp_min(0)[:, None, None] * torch.tensor([0.7, 0.9, 1.2])
    sky = sky.expand(rows, 2 * rows, 3).clone()
    sky[8:20, 62:84] = torch.tensor([9.0, 7.5, 5.7])
    eye = torch.tensor([[0.6, -4.6, 1.7]])
    cameras = _camera(eye, torch.tensor([[0.05, 0.0, 0.4]]), 600, 1.3)
    scene = Scene(objects, [Environment(sky)], reach=12.0)
    options = PathOptions(samples=96, max_depth=8, show_environment=True)
    image = _shown(path_radiance(scene, cameras, options).color[0])
    save_panels(
        out / "functions.png",
        {"glass, rough metal, matte; in front, polished metal": image[136:496]},
    )


def draw_built_in(out: Path, mesh: Path) -> None:
    """The built-in scenes with direct light, and path traced."""
    pose = turntable(8, 4.0, 0.6)[1:2]
    cameras = Cameras.from_focal(pose, 1.35 * 200, 200, 200)
    rows = [
        (
            "direct light" if light == "direct" else "path traced",
            torch.cat([
                render_scene(name, cameras, 3, light, 12).over(torch.ones(3)) for name in NAMES
            ]),
        )
        for light in ("direct", "path")
    ]  # fmt: skip
    write_picture(out / "built_in.png", rows, 150)


def _shown(radiance: Tensor) -> Tensor:
    return display_from_linear(radiance.clamp(0, 1))


def _camera(eye: Tensor, target: Tensor, size: int, lens: float) -> Cameras:
    pose = look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))
    return Cameras.from_focal(pose, lens * size, size, size)


def _plate(
    across: float, along: float, tilt: float, middle: tuple[float, float, float]
) -> Mesh:
    """A rectangle with these half sizes along x and y, with its far side raised by `tilt`."""
    c, s = math.cos(tilt), math.sin(tilt)
    sides = [(-across, -along), (across, -along), (across, along), (-across, along)]
    corners = torch.tensor([(x, y * c, y * s) for x, y in sides]) + torch.tensor(middle)
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))


PICTURES: dict[str, Callable[[Path, Path], None]] = {
    "spectrum": draw_spectrum,
    "strategies": draw_strategies,
    "functions": draw_functions,
    "built_in": draw_built_in,
}


def main() -> None:
    """Draw the selected images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(PICTURES), default=list(PICTURES))
    parser.add_argument("--mesh", type=Path, default=COW)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/light")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        PICTURES[name](arguments.out, arguments.mesh)
        print(arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()
