"""Depth fusion of the renderings of a ball."""

import pytest
import torch

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.inverse.depth_fusion import fuse
from unrender.rendering.renderer import Rendering, pixel_grid
from unrender.shapes.textures import VertexColors

CENTER, RADIUS = torch.tensor([0.2, -0.1, 0.1]), 0.7


def ball(cameras: Cameras) -> Rendering:
    """A ball, red in its upper half and blue in its lower half."""
    num, height, width = len(cameras), cameras.height, cameras.width
    index = torch.arange(num)[:, None, None].expand(num, height, width)
    pixels = pixel_grid(width, height).expand(num, height, width, 2)
    rays = cameras.rays(index, pixels)
    to = CENTER - rays.origins
    along = (to * rays.directions).sum(-1)
    across = to.square().sum(-1) - along.square()
    hit = across < RADIUS**2
    depth = torch.where(hit, along - (RADIUS**2 - across).clamp_min(0).sqrt(), 0.0)
    above = (rays.origins + depth[..., None] * rays.directions)[..., 2] > CENTER[2]
    color = torch.stack([above, torch.zeros_like(above), ~above], dim=-1) & hit[..., None]
    return Rendering(color.float(), hit.float(), depth)


def cameras(count: int) -> Cameras:
    poses = spherical_shell(count, (3.0, 3.0), torch.Generator().manual_seed(0))
    return Cameras.from_focal(poses, 120.0, 96, 96)


def test_a_ball_is_reconstructed() -> None:
    mesh = fuse(ball, cameras(40), torch.zeros(3), 1.1, 48).mesh()
    distance = (mesh.vertices - CENTER).norm(dim=1)
    voxel = 2.2 / 47
    assert float((distance - RADIUS).abs().mean()) < 0.5 * voxel
    assert float((distance - RADIUS).abs().max()) < 2 * voxel
    # Watertight: V − E + F = 2; oriented outward: the signed volume is that of the ball.
    corners = mesh.vertices[mesh.faces] - CENTER
    volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert float(volume) == pytest.approx(4 / 3 * torch.pi * RADIUS**3, rel=0.05)
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].view(-1, 2).sort(dim=1).values
    assert len(mesh.vertices) - len(edges.unique(dim=0)) + len(mesh.faces) == 2
    above = mesh.vertices[:, 2] > CENTER[2] + 3 * voxel
    below = mesh.vertices[:, 2] < CENTER[2] - 3 * voxel
    assert isinstance(mesh.texture, VertexColors)
    assert float(mesh.texture.colors[above, 0].min()) > 0.9
    assert float(mesh.texture.colors[below, 2].min()) > 0.9


def test_empty_renderings_have_no_surface() -> None:
    def nothing(views: Cameras) -> Rendering:
        zeros = torch.zeros(len(views), views.height, views.width)
        return Rendering(zeros[..., None].expand(*zeros.shape, 3), zeros, zeros)

    with pytest.raises(InputError, match="no surface"):
        fuse(nothing, cameras(2), torch.zeros(3), 1.0, 16).mesh()
