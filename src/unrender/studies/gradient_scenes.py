"""Three small test scenes for image derivatives: a triangle, a sphere, and a ring with a box.

Each is a mesh and a signed distance function of the same solid, so that rasterizers and volume
renderers draw the same object. Four parameters, the *amounts*, change the image; all are 0 at
rest: position (translation to the image's right, in scene units), rotation (about an oblique
axis, in radians), color (relative change of the albedo) and light (rotation of its direction
about z, in radians).

Moving the object is the same as moving camera and light the opposite way: everything is
computed in the object's frame, where mesh and signed distance are constant.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, invert, look_at, so3_exp
from unrender.shapes.implicit import sdf
from unrender.shapes.mesh import Mesh, face_normals, join_meshes
from unrender.shapes.primitives import cube, icosphere, torus, triangle

PARAMETERS = ("position", "rotation", "color", "light")
AXIS = (0.6, 0.0, 0.8)
"""Rotation axis, in the world frame."""
EYE = (0.0, -4.6, 2.0)
VIEW = math.radians(30)
"""Field of view of the camera in radians; the camera looks at the origin."""
TO_LIGHT = (-0.5, -0.7, 0.5)
AMBIENT, DIFFUSE = 0.3, 0.65
"""Intensities of the light; their sum is below 1, so that no color is clipped."""
REACH = 1.25
"""Radius around the origin that contains every scene."""
SLAB = 0.02
"""Half the thickness of the triangle as a solid, in scene units."""


@dataclass(frozen=True)
class GradientScene:
    """One object in its own frame, as a mesh and as a signed distance function."""

    name: str
    mesh: Mesh
    """Mesh with vertex normals."""
    distance: sdf.SDF
    turn: float = 0.2
    """Finite-difference step of the rotation, in pixels at distance 1 from the center."""


@dataclass(frozen=True)
class Setting:
    """Camera and light in the object's frame, and the brightness of its albedo."""

    cameras: Cameras
    """A single camera."""
    to_light: Float[Tensor, "3"]
    brightness: Float[Tensor, ""]

    @property
    def pixel(self) -> float:
        """A pixel's width at the object's center, in scene units."""
        return math.hypot(*EYE) / float(self.cameras.focal[0])


def world_from_object(amounts: Float[Tensor, "4"]) -> Float[Tensor, "3 4"]:
    """The object's pose at the given amounts."""
    right = amounts.new_tensor([1.0, 0.0, 0.0])
    turned = so3_exp(amounts[1] * amounts.new_tensor(AXIS))
    return torch.cat([turned, (amounts[0] * right)[:, None]], dim=1)


def setting_at(amounts: Float[Tensor, "4"], side: int) -> Setting:
    """Camera and light at the given amounts, differentiably; images have `side`² pixels."""
    pose = world_from_object(amounts)
    eye = amounts.new_tensor(EYE)
    world_from_camera = look_at(eye, torch.zeros_like(eye), amounts.new_tensor([0.0, 0, 1]))
    object_from_camera = compose(invert(pose), world_from_camera)
    turned = so3_exp(amounts[3] * amounts.new_tensor([0.0, 0.0, 1.0]))
    to_light = turned @ normalize(amounts.new_tensor(TO_LIGHT), dim=0)
    focal = side / 2 / math.tan(VIEW / 2)
    return Setting(
        Cameras.from_focal(object_from_camera[None], focal, side, side),
        pose[:, :3].mT @ to_light,
        1 + amounts[2],
    )


def shaded(
    points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"], setting: Setting
) -> Float[Tensor, "points 3"]:
    """Lambertian shading of a surface with a smooth albedo pattern; colors in [0, 1]."""
    waves = points.new_tensor([[3.0, 1.0, 2.0], [2.5, -1.5, 2.0], [2.0, 1.0, -3.0]])
    albedo = points.new_tensor([0.65, 0.5, 0.4]) + 0.25 * (points @ waves.mT).sin()
    facing = (normals @ setting.to_light).clamp_min(0)[:, None]
    return albedo * setting.brightness * (AMBIENT + DIFFUSE * facing)


def gradient_scenes() -> tuple[GradientScene, ...]:
    """The triangle, the sphere, and a box within a ring, which occlude each other."""
    # The silhouette of a rotating sphere is constant, but that of its triangles flickers: a
    # larger step reduces this flicker relative to the pattern's motion.
    ball = icosphere(3)
    return (
        GradientScene("triangle", _facing(triangle()), _upright(_slab())),
        GradientScene("sphere", _with(ball, ball.vertices), sdf.sphere(1.0), 3.0),
        _ring_and_box(),
    )


def _ring_and_box() -> GradientScene:
    major, minor, half = 0.85, 0.22, 0.36
    ring = torus(major, minor, 16, 48)
    flat = normalize(ring.vertices * ring.vertices.new_tensor([1.0, 1.0, 0.0]), dim=1)
    # Each side of the box has its own vertices, with the side's normal.
    box = cube()
    corners = 2 * half * box.vertices[box.faces]
    sides = normalize(face_normals(box.vertices, box.faces), dim=1)
    box = Mesh(corners.flatten(0, 1), torch.arange(36).view(12, 3))
    tilt = so3_exp(torch.tensor([0.5, -0.3, 0.4]))
    turned = _with(
        join_meshes([ring, box]),
        torch.cat([ring.vertices - major * flat, sides.repeat_interleave(3, 0)]),
    )
    assert turned.normals is not None
    mesh = Mesh(turned.vertices @ tilt.mT, turned.faces, None, turned.normals @ tilt.mT)
    solid = sdf.union(sdf.torus(major, minor), sdf.box([half] * 3))
    return GradientScene("ring and box", mesh, sdf.rotated(solid, tilt))


def _with(mesh: Mesh, normals: Float[Tensor, "vertices 3"]) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces, None, normalize(normals, dim=1))


def _facing(mesh: Mesh) -> Mesh:
    """A flat mesh in the xy plane, rotated to face −y and lean back a little."""
    turn = _standing()
    vertices = mesh.vertices @ turn.mT
    return _with(Mesh(vertices, mesh.faces), face_normals(vertices, mesh.faces).expand(3, 3))


def _upright(flat: sdf.SDF) -> sdf.SDF:
    return sdf.rotated(flat, _standing())


def _standing() -> Float[Tensor, "3 3"]:
    return so3_exp(torch.tensor([1.1, 0.0, 0.0])) @ so3_exp(torch.tensor([0.0, 0.0, 0.25]))


def _slab() -> sdf.SDF:
    """The unit triangle as a thin solid; its incircle has radius ½."""
    sides = [
        sdf.plane((-math.cos(a), -math.sin(a), 0.0), 0.5)
        for a in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)
    ]
    return sdf.intersection(
        *sides, sdf.plane((0.0, 0.0, 1.0), 0.0), sdf.plane((0.0, 0.0, -1.0), 2 * SLAB)
    )
