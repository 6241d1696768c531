"""Gradients of rasterized images against finite differences.

The loss is the sum of squared differences of mask and colors between the mesh at two poses. It
is differentiated along directions: translation, rotation and scale of the mesh, motion of the
camera, and random displacements of all vertices. `of_same` compares with central differences
of the same antialiased rendering, `of_truth` with those of a non-differentiable rendering with
many rays per pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import compose, se3_exp, so3_exp
from unrender.rendering.mesh.antialias import EdgeTopology, antialiased
from unrender.rendering.mesh.raster import rasterize_mesh
from unrender.shapes.mesh import Mesh, vertex_normals

Draw = Callable[[Mesh, Cameras], Float[Tensor, "images height width 4"]]
NAMES = ["move x", "move y", "move z", "turn x", "turn y", "turn z", "grow"]
CAMERA_NAMES = [f"camera {name}" for name in NAMES[3:6] + NAMES[:3]]


@dataclass(frozen=True)
class GradientErrors:
    """Relative errors, ‖gradient − difference‖ / ‖difference‖ over all directions."""

    of_same: float
    of_truth: float
    gradient: dict[str, float]
    same: dict[str, float]
    truth: dict[str, float]


def changed(
    mesh: Mesh, cameras: Cameras, amounts: Float[Tensor, "directions"], bumps: Tensor
) -> tuple[Mesh, Cameras]:
    """The mesh and camera, transformed and displaced by the given amounts."""
    turned = mesh.vertices @ so3_exp(amounts[3:6]).mT * (1 + amounts[6]) + amounts[:3]
    vertices = turned + (bumps * amounts[13:, None, None]).sum(0)
    twist = amounts[7:13].expand(len(cameras), -1)
    pose = compose(cameras.world_from_camera, se3_exp(twist))
    return mesh.with_vertices(vertices), cameras.with_poses(pose)


def draw(
    topology: EdgeTopology | None, mesh: Mesh, cameras: Cameras, times: int = 1
) -> Float[Tensor, "images height width 4"]:
    """RGBA with positions as colors (smooth, and fixed to the surface), and the mask."""
    fine = cameras.resized(cameras.width * times, cameras.height * times)
    fragments = rasterize_mesh(mesh, fine)
    assert mesh.texture is not None
    rgb = mesh.texture.sample(mesh.faces, fragments.hit_face, fragments.bary)
    rgba = fragments.spread(torch.cat([rgb, torch.ones_like(rgb[:, :1])], dim=1))[..., 0, :]
    if topology is not None:
        rgba = antialiased(rgba, fragments, topology)
    return rgba.unflatten(2, (-1, times)).unflatten(1, (-1, times)).mean((2, 4))


def gradient_errors(
    mesh: Mesh,
    cameras: Cameras,
    step: float = 0.1,
    times: int = 8,
    bumps: int = 3,
    antialias: int = 1,
) -> GradientErrors:
    """Gradient errors of a textured mesh, rendered by cameras.

    `step` of the differences is roughly in pixels. The ground truth has `times`² rays per
    pixel; the differentiated rendering has `antialias`² with antialiased edges, or none if 0.
    """
    generator = torch.Generator().manual_seed(0)
    size = float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max())
    # Smooth displacement fields along the normals, with wavelengths of a tenth of the mesh.
    waves = 10 / size * torch.randn(bumps, 3, 1, generator=generator)
    phases = torch.sin((mesh.vertices @ waves)[..., 0] + torch.arange(bumps)[:, None])
    fields = phases[..., None] * vertex_normals(mesh.vertices, mesh.faces)
    names = NAMES + CAMERA_NAMES + [f"bumps {k}" for k in range(bumps)]
    topology = EdgeTopology.of(mesh) if antialias else None
    start = torch.zeros(len(names))
    away = start.clone()
    away[:7] = torch.tensor([0.03, -0.02, 0.02, 0.1, -0.15, 0.1, 0.05]) * size
    with torch.no_grad():
        target = draw(None, *changed(mesh, cameras, away, fields), times)

    def loss(amounts: Tensor, topology: EdgeTopology | None, times: int) -> Tensor:
        image = draw(topology, *changed(mesh, cameras, amounts, fields), times)
        return (image - target).square().sum()

    amounts = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(amounts, topology, max(antialias, 1)), amounts)
    distance = float((cameras.centers[0] - mesh.vertices.mean(0)).norm())
    move = step * distance / float(cameras.focal[0])
    steps = torch.full_like(start, move)
    steps[3:7] = 2 * move / size
    steps[7:10] = move / distance
    found: list[Tensor] = []
    for own, fine in ((topology, max(antialias, 1)), (None, times)):
        rows: list[Tensor] = []
        for k, direction in enumerate(torch.diag(steps)):
            with torch.no_grad():
                ahead = loss(start + direction, own, fine)
                behind = loss(start - direction, own, fine)
            rows.append((ahead - behind) / (2 * steps[k]))
        found.append(torch.stack(rows))

    def error(difference: Tensor) -> float:
        return float((gradient - difference).norm() / difference.norm())

    tables = [dict(zip(names, row.tolist(), strict=True)) for row in (gradient, *found)]
    return GradientErrors(error(found[0]), error(found[1]), *tables)
