"""Derivatives of pixels by Mitsuba's projective integrator, in a separate process.

Zhang et al., "Projective Sampling for Differentiable Rendering of Geometry" (2023),
https://doi.org/10.1145/3618385: the boundary integral over silhouettes, which occurs in
derivatives of images only, is sampled separately. Mitsuba is an extra (`pip install
"unrender[mitsuba]"`). Its differentiable variants need the system's libLLVM and crash the
process if that does not support the CPU: hence the separate process.

The surface's shaded colors are given to Mitsuba as emission, so that both renderers draw the
same image. The dependence of vertices and colors on the amounts is given by their derivatives.
"""

import math
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.files.arrays import Array, array_names, read_arrays, write_arrays
from unrender.shapes.mesh import Mesh
from unrender.studies.gradient_scenes import (
    VIEW,
    GradientScene,
    setting_at,
    shaded,
    world_from_object,
)
from unrender.studies.gradient_techniques import Amounts, derivatives

LONGEST_EDGE = 0.2
"""Maximum edge length in scene units, since colors are interpolated linearly between vertices;
longer edges are halved."""
SECONDS = 60.0
"""Time limit of the process."""


class AbsentError(Exception):
    """Mitsuba's derivatives are not available on this machine; the message says why."""


def projective(
    scene: GradientScene, side: int, samples: int, seed: int
) -> tuple[Float[Tensor, "4 height width 3"], float]:
    """Derivatives by the four amounts, and total seconds without compilation.

    `samples` per pixel are used for the image and for silhouettes. Raises AbsentError with the
    reason if Mitsuba cannot run.
    """
    with TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "asked.npz", Path(folder) / "answer.npz"
        settings = {"samples": np.array(samples), "seed": np.array(seed)}
        write_arrays(asked, {**request(scene, side), **settings})
        command = [sys.executable, "-m", "unrender.studies.projective", str(asked), str(answer)]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            raise AbsentError(f"Mitsuba took more than {SECONDS:g} seconds") from None
        if ended.returncode < 0:
            raise AbsentError(
                f"Mitsuba's llvm_ad_rgb ended its process (signal {-ended.returncode})"
            )
        if ended.returncode or not answer.exists():
            last = (ended.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
            raise AbsentError(f"Mitsuba's llvm_ad_rgb cannot run: {last}")
        found = read_arrays(answer, ("derivatives", "seconds"))
        return torch.from_numpy(found["derivatives"]).float(), float(found["seconds"])


def request(scene: GradientScene, side: int) -> dict[str, Array]:
    """The surface at rest and its derivatives by the amounts, as arrays."""
    mesh = _halved(scene.mesh)
    assert mesh.normals is not None, "the scenes' meshes have normals"
    points, normals = mesh.vertices, mesh.normals

    def surface(amounts: Amounts) -> Float[Tensor, "2 vertices 3"]:
        pose = world_from_object(amounts)
        moved = points @ pose[:, :3].mT + pose[:, 3]
        return torch.stack([moved, shaded(points, normals, setting_at(amounts, side))])

    rest = torch.zeros(4)
    return {
        "faces": mesh.faces.numpy(),
        "surface": surface(rest).numpy(),
        "changes": derivatives(surface).numpy(),
        "camera": setting_at(rest, side).cameras.world_from_camera[0].numpy(),
        "side": np.array(side),
    }


def _halved(mesh: Mesh) -> Mesh:
    """Subdivide faces with long edges until there are none; the result may have T-junctions."""
    assert mesh.normals is not None, "the scenes' meshes have normals"
    values = torch.cat([mesh.vertices, mesh.normals], dim=1)[mesh.faces]
    done: list[Tensor] = []
    while len(values):
        corners = values[..., :3]
        long = ((corners - corners.roll(1, 1)).norm(dim=2) > LONGEST_EDGE).any(1)
        done.append(values[~long])
        a, b, c = values[long].unbind(1)
        d, e, f = (b + c) / 2, (a + c) / 2, (a + b) / 2
        values = torch.stack([a, f, e, b, d, f, c, e, d, d, e, f], dim=1).view(-1, 3, 6)
    rows = torch.cat(done).flatten(0, 1)
    normals = torch.nn.functional.normalize(rows[:, 3:], dim=1)
    return Mesh(rows[:, :3], torch.arange(len(rows)).view(-1, 3), None, normals)


def load_dataset(mi: Any, given: Mapping[str, Any], folder: Path, samples: int) -> Any:
    """The Mitsuba scene, in the current variant."""
    surface, faces = given["surface"].astype(np.float32), given["faces"]
    mesh = mi.Mesh("object", len(surface[0]), len(faces))
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = surface[0].ravel()
    parameters["faces"] = faces.astype(np.uint32).ravel()
    parameters.update()
    mesh.add_attribute("vertex_color", 3, surface[1].ravel())
    file = str(folder / "surface.ply")
    mesh.write_ply(file)
    pose = np.eye(4)
    # Mitsuba's cameras have x to the left and y up.
    pose[:3] = given["camera"] * np.array([-1.0, -1.0, 1.0, 1.0])
    side = int(given["side"])
    film = {"type": "hdrfilm", "width": side, "height": side, "rfilter": {"type": "box"}}
    black = {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}}
    light = {"type": "area", "radiance": {"type": "mesh_attribute", "name": "vertex_color"}}
    white = {"type": "constant", "radiance": {"type": "rgb", "value": 1.0}}
    shape = {"type": "ply", "filename": file, "emitter": light, "bsdf": black}
    return mi.load_dict(
        {
            "type": "scene",
            "object": shape,
            "white": white,
            "sensor": {
                "type": "perspective",
                "fov": math.degrees(VIEW),
                "to_world": mi.ScalarTransform4f(pose),
                # Derivatives at the image's border need samples beyond it.
                "film": film | {"pixel_format": "rgb", "sample_border": True},
                "sampler": {"type": "independent", "sample_count": samples},
            },
        }
    )


def _answer(asked: Path, answer: Path) -> None:
    """Entry point of the separate process: read the request and write the derivatives."""
    import drjit as dr  # noqa: PLC0415 - an extra
    import mitsuba as mi  # noqa: PLC0415 - an extra

    mi.set_variant("llvm_ad_rgb")
    given = read_arrays(asked, tuple(array_names(asked)))
    samples, seed = int(given["samples"]), mi.UInt32(int(given["seed"]))
    scene = load_dataset(mi, given, asked.parent, samples)
    integrator = mi.load_dict(
        {"type": "direct_projective", "sppc": samples, "sppp": samples, "sppi": 0}
    )
    parameters = mi.traverse(scene)
    names = ["object.vertex_positions", "object.vertex_color"]
    rows: list[Any] = []
    seconds: list[float] = []
    # The first one is run twice: the first time includes compilation.
    for changes in [given["changes"][0], *given["changes"]]:
        began = time.perf_counter()
        amount = mi.Float(0.0)
        dr.enable_grad(amount)
        for name, base, change in zip(names, given["surface"], changes, strict=True):
            parameters[name] = mi.Float(base.ravel()) + amount * mi.Float(change.ravel())
        parameters.update()
        image = mi.render(scene, parameters, integrator=integrator, seed=seed)
        dr.forward(amount)
        rows.append(np.array(dr.grad(image))[..., :3])
        seconds.append(time.perf_counter() - began)
    found = {"derivatives": np.stack(rows[1:]), "seconds": np.array(sum(seconds[1:]))}
    write_arrays(answer, found)


if __name__ == "__main__":
    _answer(Path(sys.argv[1]), Path(sys.argv[2]))
