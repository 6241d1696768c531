"""A hologram turned under a lamp: diffraction gratings in the path tracer.

    python examples/24_hologram.py

Writes hologram.png: a disc of twelve sectors, each a grating of another direction, turned under
two long lamps in a dim room. The color of a sector follows from the grating equation
d (sin θᵢ + sin θₒ) = m λ. Where no order sends light of a lamp to the camera, it is dark.
"""

import math

import torch

import unrender as ur
from unrender.geometry.poses import so3_exp
from unrender.rendering.light.bsdf import Lambert
from unrender.rendering.light.grating import Grating
from unrender.rendering.light.lights import AmbientLight
from unrender.rendering.light.path_tracer import PathOptions, path_renderer
from unrender.rendering.light.scene import Scene, SceneObject

SECTORS, TURNS = 12, (-24, -16, -8, 0, 8, 16, 24)


def sector(number: int, turn: torch.Tensor) -> SceneObject:
    """A sector of the disc, whose lines are along its rim."""
    angles = 2 * math.pi * (number + torch.linspace(0, 1, 5)) / SECTORS
    rim = torch.stack([angles.cos(), torch.zeros(5), angles.sin()], dim=1)
    corners = torch.cat([torch.zeros(1, 3), rim]) @ turn.T
    faces = torch.tensor([[0, k + 2, k + 1] for k in range(4)])
    middle = 2 * math.pi * (number + 0.5) / SECTORS
    across = turn @ torch.tensor([math.cos(middle), 0.0, math.sin(middle)])
    grating = Grating(
        0.95 * torch.ones(3), 1100.0, (float(across[0]), float(across[1]), float(across[2]))
    )
    return SceneObject(ur.Mesh(corners, faces), grating)


def tube(middle: tuple[float, float, float], along: tuple[float, float, float]) -> SceneObject:
    """A long lamp, half a unit wide, its light toward the disc."""
    center, axis = torch.tensor(middle), torch.tensor(along)
    aside = 0.5 * torch.nn.functional.normalize(torch.linalg.cross(axis, center), dim=0)
    ends = [center - axis, center + axis]
    corners = torch.stack([end + side for end in ends for side in (-aside, aside)])
    mesh = ur.Mesh(corners, torch.tensor([[0, 2, 1], [1, 2, 3]]))
    return SceneObject(mesh, Lambert(torch.zeros(3)), 5 * torch.ones(3))


lamps = [tube((0.0, -9.0, 4.5), (6.0, 0.0, 0.0)), tube((-4.5, -9.0, 0.0), (0.0, 0.0, 6.0))]
camera = ur.Cameras.look_at((0, -5, 0), (0, 0, 0), fov=26, size=(96, 96))
panels: dict[str, torch.Tensor] = {}
for degrees in TURNS:
    turn = so3_exp(torch.tensor([[0.0, 0.0, math.radians(degrees)]]))[0]
    disc = [sector(number, turn) for number in range(SECTORS)]
    scene = Scene([*disc, *lamps], [AmbientLight(0.05 * torch.ones(3))])
    rendering = path_renderer(scene, PathOptions(samples=400))(camera)
    panels[f"{degrees:+}°"] = rendering.color[0]
    print(f"turned by {degrees:+3}°: mean color {rendering.color.mean((0, 1, 2)).tolist()}")
ur.save_panels("hologram.png", panels)
