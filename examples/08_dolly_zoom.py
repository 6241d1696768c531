"""A dolly zoom: the camera goes back while its lens grows longer, and the cow keeps its size.

    python examples/08_dolly_zoom.py [MESH]

Writes dolly_zoom.gif, and dolly_zoom.png with three of its frames. What stands behind comes
closer, as in Hitchcock's "Vertigo".
"""

import math
import sys
from pathlib import Path

import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.imaging.files import write_image, write_video
from unrender.rendering.mesh.shading import mesh_renderer
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.mesh import Mesh, join_meshes
from unrender.shapes.primitives import cube, icosphere
from unrender.shapes.textures import VertexColors

SHARED = Path(__file__).resolve().parents[2] / "shared/data/meshes"
SIZE, FRAMES = 200, 24
path = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "spot_textured/cow.obj"


def painted(mesh: Mesh, color: tuple[float, float, float]) -> Mesh:
    return Mesh(
        mesh.vertices,
        mesh.faces,
        VertexColors(torch.tensor(color).expand(len(mesh.vertices), 3)),
    )


# A ball where there is no mesh.
hero = read_mesh(path).unit_cube() if path.exists() else icosphere(3).unit_cube()
# It faces +y, as what stands up in OBJ files does here; the camera is on the other side.
hero = hero.with_vertices(hero.vertices * torch.tensor([-1.0, -1.0, 1.0]))
columns = [
    painted(cube(), (0.35 + 0.1 * k, 0.45, 0.75 - 0.1 * k)).with_vertices(
        cube().vertices * torch.tensor([0.4, 0.4, 2.0])
        + torch.tensor([side, 1.5 + 1.5 * k, 0.4])
    )
    for k in range(4)
    for side in (-1.3, 1.3)
]
world = join_meshes([painted(hero, (0.9, 0.85, 0.8)), *columns])

distance = torch.linspace(1.6, 8.0, FRAMES)
eyes = torch.stack([0.25 * distance, -distance, 0.2 * distance], dim=1)
poses = look_at(eyes, torch.zeros(FRAMES, 3), torch.tensor([0.0, 0.0, 1.0]))
# What is as far away as the cow's middle is as large in every frame: focal / distance stays.
focal = 0.75 * SIZE * eyes.norm(dim=1)
cameras = Cameras.from_focal(poses, focal, SIZE, SIZE)
frames = mesh_renderer(world)(cameras).over(torch.tensor([0.95, 0.97, 1.0])).clamp(0, 1)
write_video(Path("dolly_zoom.gif"), torch.cat([frames, frames.flip(0)]), fps=12)
write_image(Path("dolly_zoom.png"), torch.cat(list(frames[[0, 8, 23]]), dim=1))
wide, narrow = (math.degrees(2 * math.atan(SIZE / 2 / float(f))) for f in focal[[0, -1]])
print(
    f"dolly_zoom.gif: {wide:.0f}° at {distance[0]:.1f} to {narrow:.0f}° at {distance[-1]:.1f}"
)
