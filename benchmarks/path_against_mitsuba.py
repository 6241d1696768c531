"""The path tracer against Mitsuba 3's `scalar_rgb`: the same scenes, in one process, in turn.

    python benchmarks/path_against_mitsuba.py [--quick]

Scenes of this library are converted to Mitsuba with the same triangles, materials, lights and
camera. Distance functions are not converted: use meshes.
"""

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mitsuba as mi
import numpy as np
import record
import torch
from timing import in_turn
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.imaging.color import linear_from_display
from unrender.rendering.light.bsdf import Glass, Lambert, Material, Metal, Mirror
from unrender.rendering.light.lights import DirectionalLight, Environment, Light, PointLight
from unrender.rendering.light.path_tracer import PathOptions, path_radiance
from unrender.rendering.light.scene import Scene, SceneObject, build
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import cube, icosphere, torus
from unrender.shapes.textures import UVTexture

mi.set_variant("scalar_rgb")

MAX_DEPTH = 8
LENS = 1.6
"""Focal length, relative to the image's width."""


@dataclass(frozen=True)
class Setting:
    """A scene, and a camera position and target."""

    scene: Scene
    eye: tuple[float, float, float]
    target: tuple[float, float, float]

    def cameras(self, size: int) -> Cameras:
        eye, target = torch.tensor([self.eye]), torch.tensor([self.target])
        pose = look_at(eye, target, torch.tensor([0.0, 0.0, 1.0]))
        return Cameras.from_focal(pose, LENS * size, size, size)


def quad(*corners: tuple[float, float, float], texture: UVTexture | None = None) -> Mesh:
    """A quadrilateral, counterclockwise as seen from its lit side."""
    return Mesh(torch.tensor(corners), torch.tensor([[0, 1, 2], [0, 2, 3]]), texture)


def moved(
    mesh: Mesh, sizes: tuple[float, ...], offset: tuple[float, ...], turn: float = 0.0
) -> Mesh:
    """Scaled, turned about z, and moved."""
    c, s = float(np.cos(turn)), float(np.sin(turn))
    rotation = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    vertices = mesh.vertices * torch.tensor(sizes) @ rotation.T + torch.tensor(offset)
    return Mesh(vertices, mesh.faces)


def box_room() -> Setting:
    """After the Cornell box (Goral et al., 1984): matte walls, two boxes, a lamp."""
    white, red, green = (
        Lambert(torch.tensor(color))
        for color in ((0.73, 0.73, 0.73), (0.65, 0.05, 0.05), (0.12, 0.45, 0.15))
    )
    low, high = -1.0, 1.0
    corner = {
        key: tuple(high if bit == "1" else low for bit in key)
        for key in (f"{k:03b}" for k in range(8))
    }
    walls = (
        ("000 100 110 010", white), ("001 011 111 101", white), ("010 110 111 011", white),
        ("000 010 011 001", red), ("100 101 111 110", green),
    )  # fmt: skip
    objects = [
        SceneObject(quad(*(corner[key] for key in keys.split())), own) for keys, own in walls
    ]
    objects += [
        SceneObject(moved(cube(), (0.6, 0.6, 1.2), (-0.33, 0.35, -0.4), 0.3), white),
        SceneObject(moved(cube(), (0.6, 0.6, 0.6), (0.33, -0.3, -0.7), -0.3), white),
    ]
    r, z = 0.25, 0.99
    lamp = quad((-r, -r, z), (-r, r, z), (r, r, z), (r, -r, z))
    light = torch.tensor([17.0, 12.0, 4.0])
    objects.append(SceneObject(lamp, Lambert(torch.zeros(3)), light))
    return Setting(Scene(objects), (0.0, -3.9, 0.0), (0.0, 0.0, 0.0))


def sky_image(rows: int = 256) -> Tensor:
    """A smooth environment map, brighter toward one side and above."""
    theta = (torch.arange(rows) + 0.5) * (torch.pi / rows)
    phi = torch.pi - (torch.arange(2 * rows) + 0.5) * (torch.pi / rows)
    theta, phi = torch.meshgrid(theta, phi, indexing="ij")
    way = torch.stack([theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()], dim=2)
    sun = (4 * (way @ torch.tensor([0.6, -0.48, 0.64]) - 1)).exp()
    return 0.3 + 0.2 * way.abs() + 4 * sun[..., None] * torch.tensor([1.0, 0.9, 0.7])


def balls() -> Setting:
    """Rough metal, a mirror and glass on a matte floor, under a sky."""
    ball = icosphere(4)
    h = 3.0
    floor = quad((-h, -h, 0.0), (h, -h, 0.0), (h, h, 0.0), (-h, h, 0.0))
    gold = torch.tensor([0.9, 0.75, 0.4])
    objects = [
        SceneObject(floor, Lambert(torch.tensor([0.5, 0.5, 0.55]))),
        SceneObject(moved(ball, (0.5,) * 3, (-1.05, 0.0, 0.5)), Metal(gold, 0.3)),
        SceneObject(moved(ball, (0.5,) * 3, (0.0, 0.3, 0.5)), Mirror(0.9 * torch.ones(3))),
        SceneObject(moved(ball, (0.5,) * 3, (1.05, 0.0, 0.5)), Glass(torch.ones(3), 1.5)),
    ]
    return Setting(
        Scene(objects, [Environment(sky_image())]), (0.5, -4.5, 1.8), (0.0, 0.0, 0.45)
    )


def textured() -> Setting:
    """A textured floor and a ring above it, under point and directional light."""
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(8, 8, 3, generator=generator)
    image = torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], size=(64, 64))[0]
    uv = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    picture = UVTexture(
        image.permute(1, 2, 0).contiguous(), uv, torch.tensor([[0, 1, 2], [0, 2, 3]])
    )
    h = 1.5
    floor = quad((-h, -h, 0.0), (h, -h, 0.0), (h, h, 0.0), (-h, h, 0.0), texture=picture)
    ring = moved(torus(0.6, 0.2, 24, 48), (1.0,) * 3, (0.0, 0.0, 0.4))
    lights: list[Light] = [
        PointLight(torch.tensor([1.0, -1.0, 2.5]), torch.tensor([6.0, 5.0, 4.0]) / math.pi),
        DirectionalLight(
            torch.tensor([1.0, 0.5, -1.0]), torch.tensor([1.0, 1.2, 1.5]) / math.pi
        ),
    ]
    objects = [
        SceneObject(floor, Lambert()),
        SceneObject(ring, Lambert(torch.tensor([0.8, 0.7, 0.2]))),
    ]
    return Setting(Scene(objects, lights), (1.5, -3.5, 2.5), (0.0, 0.0, 0.2))


SETTINGS = {"box": box_room, "balls": balls, "textured": textured}


# --- the same in Mitsuba -------------------------------------------------------------------


def rgb(color: Tensor) -> dict[str, Any]:
    return {"type": "rgb", "value": color.tolist()}


def mitsuba_material(material: Material, mesh: Mesh) -> dict[str, Any]:
    color = material.color
    if isinstance(material, Lambert):
        if color is None:
            assert isinstance(mesh.texture, UVTexture)
            linear = linear_from_display(mesh.texture.image).numpy()
            reflectance: dict[str, Any] = {
                "type": "bitmap",
                "bitmap": mi.Bitmap(linear),
                "raw": True,
                "wrap_mode": "clamp",
            }
        else:
            reflectance = rgb(color)
        own: dict[str, Any] = {"type": "diffuse", "reflectance": reflectance}
        return {"type": "twosided", "side": own}
    assert color is not None
    if isinstance(material, Metal):
        # Disney's metal has the same Schlick Fresnel term, with α = r².
        own = {
            "type": "principled", "base_color": rgb(color), "metallic": 1.0,
            "roughness": material.roughness**0.5,
        }  # fmt: skip
        return {"type": "twosided", "side": own}
    if isinstance(material, Mirror):
        own = {"type": "conductor", "material": "none", "specular_reflectance": rgb(color)}
        return {"type": "twosided", "side": own}
    return {"type": "dielectric", "int_ior": material.index, "ext_ior": 1.0}


def mitsuba_light(light: Light) -> dict[str, Any]:
    if isinstance(light, PointLight):
        return {
            "type": "point",
            "position": light.position.tolist(),
            "intensity": rgb(math.pi * light.color),
        }
    if isinstance(light, DirectionalLight):
        return {
            "type": "directional", "direction": light.direction.tolist(),
            "irradiance": rgb(math.pi * light.color),
        }  # fmt: skip
    assert isinstance(light, Environment), "the settings have no other light"
    # Mitsuba's environment has y up, and starts at another longitude.
    turn = mi.ScalarTransform4f().rotate([1, 0, 0], 90).rotate([0, 1, 0], TURN)
    bitmap = mi.Bitmap(light.radiance.numpy())
    return {"type": "envmap", "bitmap": bitmap, "to_world": turn}


TURN = 90.0


def mitsuba_scene(setting: Setting, size: int, folder: Path) -> Any:
    """The scene in Mitsuba; its meshes are written to `folder`."""
    content: dict[str, Any] = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": MAX_DEPTH, "hide_emitters": False},
        "sensor": {
            "type": "perspective",
            "fov": float(np.degrees(2 * np.arctan(0.5 / LENS))),
            "fov_axis": "x",
            "to_world": mi.ScalarTransform4f().look_at(
                list(setting.eye), list(setting.target), [0, 0, 1]
            ),
            "film": {
                "type": "hdrfilm", "width": size, "height": size, "pixel_format": "rgb",
                "rfilter": {"type": "box"},
            },
            "sampler": {"type": "independent"},
        },
    }  # fmt: skip
    for row, obj in enumerate(setting.scene.objects):
        assert isinstance(obj.shape, Mesh)
        path = folder / f"{row}.obj"
        path.write_text(obj_text(obj.shape))
        shape: dict[str, Any] = {
            "type": "obj", "filename": str(path), "face_normals": not obj.smooth,
            "bsdf": mitsuba_material(obj.material, obj.shape),
        }  # fmt: skip
        if obj.emission is not None:
            shape["emitter"] = {"type": "area", "radiance": rgb(obj.emission)}
        content[f"object{row}"] = shape
    for row, light in enumerate(setting.scene.lights):
        content[f"light{row}"] = mitsuba_light(light)
    return mi.load_dict(content)


def obj_text(mesh: Mesh) -> str:
    """Write the mesh without converting z up to y up."""
    lines = ["v {:.9g} {:.9g} {:.9g}".format(*v) for v in mesh.vertices.tolist()]
    faces = (mesh.faces + 1).tolist()
    if isinstance(mesh.texture, UVTexture):
        lines += ["vt {:.9g} {:.9g}".format(*uv) for uv in mesh.texture.uv.tolist()]
        places = (mesh.texture.faces_uv + 1).tolist()
        lines += [
            "f " + " ".join(f"{v}/{t}" for v, t in zip(face, place, strict=True))
            for face, place in zip(faces, places, strict=True)
        ]
    else:
        lines += ["f {} {} {}".format(*face) for face in faces]
    return "\n".join(lines) + "\n"


def mitsuba_image(scene: Any, samples: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.array(mi.render(scene, spp=samples, seed=seed)))


# --- figures -------------------------------------------------------------------------------


def path_figures(quick: bool = False, seed: int = 0) -> record.Figures:
    """Time at equal samples, and error at equal time, relative to Mitsuba's.

    256×256 pixels with 16 paths per pixel; errors are against a mean of both renderers.
    """
    figures: record.Figures = {}
    size, samples = (96, 4) if quick else (256, 16)
    for name, setting in SETTINGS.items():
        made, cameras = setting(), setting().cameras(size)
        built = build(made.scene)
        options = PathOptions(
            samples=samples, max_depth=MAX_DEPTH, seed=seed, show_environment=True
        )
        with tempfile.TemporaryDirectory() as folder:
            theirs = mitsuba_scene(made, size, Path(folder))
        draw = partial(path_radiance, built, cameras, options)
        slow, fast = in_turn(
            [partial(mitsuba_image, theirs, samples, seed), draw], "cpu", 2.0 if quick else 12.0
        )
        ratios = sorted(f / s for f, s in zip(fast, slow, strict=True))
        ratio = ratios[len(ratios) // 2]
        ours = draw().error.square().mean()
        pair = [mitsuba_image(theirs, samples, 100 + k) for k in range(2)]
        other = (pair[0] - pair[1]).square().mean() / 2
        key = "path_time_over_mitsuba" + ("" if name == "box" else f"_{name}")
        figures[key] = record.figure(ratio, "×", **({"at_most": 3.0} if name == "box" else {}))
        # Errors decrease with the square root of the time.
        figures[f"path_error_at_equal_time_{name}"] = record.figure(
            float((ours / other * ratio).sqrt()), "×"
        )
        figures[f"path_seconds_{name}"] = record.figure(sorted(fast)[len(fast) // 2], "s")
    return figures


def main() -> None:
    """Print the metrics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    began = time.perf_counter()
    record.show(path_figures(parser.parse_args().quick))
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
