"""A mesh from a file, its texture, and the same under four kinds of shading.

    python examples/03_textured_cow.py [MESH]

Writes textured_cow.png and cow.gif. By default the mesh is Spot, by Keenan Crane, if it is in
../shared/data, and otherwise a striped ring from the tests' samples.
"""

import sys
from pathlib import Path
from typing import get_args

import torch

from unrender.imaging.files import write_image, write_video
from unrender.rendering.mesh.shading import MeshRenderOptions, Shading, mesh_renderer
from unrender.rendering.renderer import supersampled
from unrender.rendering.shapes import cameras_around
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.mesh_checks import mesh_problems

root = Path(__file__).resolve().parents[1]
cow, ring = (
    root.parent / "shared/data/meshes/spot_textured/cow.obj",
    "tests/samples/meshes/ring.obj",
)
path = Path(sys.argv[1]) if len(sys.argv) > 1 else cow if cow.exists() else root / ring

cow = read_mesh(path)
problems = mesh_problems(cow) or ["nothing wrong with it"]
print(f"{len(cow.vertices)} vertices, {len(cow.faces)} faces, {', '.join(problems)}")
turntable = cameras_around(cow, 36, 200)
side = turntable.select(slice(5, 6))
white = torch.ones(3)

pictures: list[torch.Tensor] = []
for shading in get_args(Shading):
    # A texture seen from afar has detail below the pixel: nine samples for each.
    renderer = supersampled(mesh_renderer(cow, MeshRenderOptions(shading=shading)), 3)
    pictures.append(renderer(side).over(white)[0])
write_image(Path("textured_cow.png"), torch.cat(pictures, dim=1).clamp(0, 1))
print("textured_cow.png:", ", ".join(get_args(Shading)))

film = mesh_renderer(cow)(turntable).over(white).clamp(0, 1)
write_video(Path("cow.gif"), film, fps=18)
print("cow.gif")
