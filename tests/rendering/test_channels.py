"""Images of the channels of renderings."""

import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import look_at
from unrender.rendering.channels import as_images, surface_normals
from unrender.rendering.renderer import Rendering


def wall() -> tuple[Rendering, Cameras]:
    """The plane z = 0 at an angle; the left quarter is empty."""
    pose = look_at(torch.tensor([[1.0, -2, 3]]), torch.zeros(1, 3), torch.tensor([0.0, 0, 1]))
    cameras = Cameras.from_focal(pose, 40.0, 32, 24)
    rays = cameras.rays(torch.zeros(1, 24, 32, dtype=torch.long), pixel_grid(32, 24)[None])
    depth = -rays.origins[..., 2] / rays.directions[..., 2]
    opacity = torch.ones(1, 24, 32)
    opacity[..., :8] = 0
    color = 0.25 * opacity[..., None].expand(1, 24, 32, 3)
    return Rendering(color, opacity, depth, cameras=cameras), cameras


def test_normals_of_a_plane() -> None:
    rendering, cameras = wall()
    found = surface_normals(rendering, cameras)[:, 1:-1, 1:-1]
    expected = torch.tensor([0.0, 0, 1]).expand_as(found)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_channels_over_a_background() -> None:
    rendering, _ = wall()
    behind = torch.tensor([0.0, 1.0, 0.0])
    for channel in ("color", "depth", "normals"):
        image = as_images(rendering, channel, behind)
        assert image.shape == (1, 24, 32, 3)
        assert torch.equal(image[0, :, :8], behind.expand(24, 8, 3))
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1
    opacity = as_images(rendering, "opacity", behind)
    assert torch.equal(opacity[..., 0], rendering.opacity)
    depth = as_images(rendering, "depth", behind)
    # Near is dark blue, far is red.
    assert depth[0, -1, 20, 2] > depth[0, -1, 20, 0] - 0.1
    assert depth[0, 0, 20, 0] > depth[0, 0, 20, 2]


def test_empty_renderings_have_no_depth() -> None:
    rendering, _ = wall()
    nothing = Rendering(rendering.color * 0, rendering.opacity * 0, rendering.depth)
    image = as_images(nothing, "depth", torch.ones(3))
    assert torch.equal(image, torch.ones_like(image))
