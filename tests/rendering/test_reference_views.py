"""Reference views, what they show along rays, and patches of rays."""

import pytest
import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.epipolar import epipolar_lines
from unrender.geometry.sizes import ImageSizes
from unrender.rendering.patches import (
    as_rendering,
    inner_pixels,
    patch_rays,
    render_in_patches,
)
from unrender.rendering.reference_networks import DepthSearch
from unrender.rendering.reference_views import ReferenceViews
from unrender.rendering.renderer import Rendering

WIDTH, HEIGHT, DEPTH = 40, 30, 4.0


def row_of_cameras(count: int = 5, step: float = 0.2) -> Cameras:
    """Parallel cameras that look along z."""
    poses = torch.eye(3, 4).repeat(count, 1, 1)
    poses[:, 0, 3] = step * torch.arange(count)
    return Cameras.from_focal(poses, 40.0, WIDTH, HEIGHT)


def wall(cameras: Cameras) -> torch.Tensor:
    """Images of a wall at DEPTH whose colors are smooth, [cameras, height, width, 3]."""
    number = torch.arange(len(cameras))[:, None, None].expand(-1, HEIGHT, WIDTH)
    x, y = torch.arange(WIDTH) + 0.5, torch.arange(HEIGHT) + 0.5
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    rays = cameras.rays(number, pixels.expand(len(cameras), -1, -1, -1))
    points = rays.origins + DEPTH / rays.directions[..., 2:] * rays.directions
    waves = points[..., :1] * torch.tensor([3.0, 5.0, 8.0]) + 4 * points[..., 1:2]
    return 0.5 + 0.45 * waves.sin()


def references(nearest: int = 3) -> ReferenceViews:
    cameras = row_of_cameras()
    made = ReferenceViews((len(cameras), 3, HEIGHT, WIDTH), nearest)
    made.put_cameras(cameras)
    for k, image in enumerate(wall(cameras)):
        made.put_image(k, (255 * image).round().to(torch.uint8))
    return made


def test_neighbors_are_the_nearest_others() -> None:
    found = references(2).neighbors.tolist()
    assert [set(each) for each in found[1:4]] == [{0, 2}, {1, 3}, {2, 4}]
    assert found[0] == [1, 2]
    assert found[4] == [3, 2]
    assert references().spacing == pytest.approx(0.2)


def test_views_from_one_place_are_neighbors_of_each_other() -> None:
    poses = torch.eye(3, 4).repeat(4, 1, 1)
    poses[3, 0, 3] = 1.0
    cameras = Cameras.from_focal(poses, 8.0, 8, 8)
    made = ReferenceViews((4, 3, 8, 8), 2)
    made.put_cameras(cameras)
    for k, others in enumerate(made.neighbors.tolist()):
        assert k not in others
    assert bool((made.neighbors[:3] < 3).all())


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_colors_at_the_centers_of_pixels_are_those_of_the_image(mode: str) -> None:
    made = references()
    pixels = torch.tensor([[0.5, 0.5], [17.5, 3.5], [39.5, 29.5]]).expand(1, 2, 3, 2)
    found = made.look_up(torch.tensor([[1, 4]]), pixels, mode)  # pyright: ignore[reportArgumentType]
    for k, view in enumerate((1, 4)):
        for j, (x, y) in enumerate(((0, 0), (17, 3), (39, 29))):
            wanted = made.pixels[view, :, y, x].float() / 255
            torch.testing.assert_close(found[0, k, :, j], wanted, atol=1e-4, rtol=0)


def test_what_is_read_does_not_depend_on_what_else_is() -> None:
    """Only a part of each image is converted; colors are those of the whole image."""
    made = references()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 2, 30, 2, generator=generator) * torch.tensor([60.0, 40.0]) - 5
    chosen = torch.tensor([[0, 3]])
    whole = made.look_up(chosen, pixels, "bicubic")
    alone = [made.look_up(chosen, pixels[:, :, k : k + 1], "bicubic") for k in range(30)]
    torch.testing.assert_close(torch.cat(alone, dim=3), whole, atol=1e-5, rtol=0)


def test_smaller_images_end_at_their_own_borders() -> None:
    cameras = row_of_cameras(2).with_sizes(ImageSizes.of([(8, 6), (4, 5)]))
    made = ReferenceViews((2, 3, 6, 8), 1)
    made.put_cameras(cameras)
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(256, (5, 4, 3), generator=generator).to(torch.uint8)
    made.put_image(1, small)
    outside = torch.tensor([[7.0, 2.5], [3.5, 5.9], [3.5, 2.5]]).expand(1, 1, 3, 2)
    found = made.look_up(torch.tensor([[1]]), outside, "bilinear")[0, 0].mT * 255
    wanted = torch.stack([small[2, 3], small[4, 3], small[2, 3]]).float()
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    patches = made.sample_patches(20, 32, torch.Generator().manual_seed(0))
    assert patches.side == 4
    assert bool((patches.corners + 4 <= made.sizes[patches.views]).all())


def test_a_point_of_the_wall_has_one_color_in_all_views() -> None:
    made, target = references(), row_of_cameras(1)
    corners = torch.tensor([[16, 10]])
    rays = patch_rays(target, corners, (8, 6))
    chosen = torch.tensor([[1, 2, 3]])
    depth = DEPTH / rays.directions[..., 2]
    shown, seen = made.along(
        made.lines(rays, chosen), chosen, (1 / depth)[:, None, :, None], "bicubic"
    )
    assert bool(seen.all())
    truth = wall(target)[0, 10:16, 16:24].flatten(0, 1).T
    torch.testing.assert_close(shown[0, :, :, :, 0], truth.expand(3, -1, -1), atol=0.02, rtol=0)
    # At another depth they differ.
    off, _ = made.along(made.lines(rays, chosen), chosen, torch.tensor([0.5]), "bicubic")
    assert float((off[0, :, :, :, 0] - truth).abs().mean()) > 0.1


def test_a_search_finds_the_wall() -> None:
    """Before it is trained, by the agreement of the references alone."""
    made, target = references(4), row_of_cameras(5)[2]
    rays = patch_rays(target, torch.tensor([[10, 8]]), (16, 12))
    chosen = torch.tensor([[1, 3, 0, 4]])
    search = DepthSearch(24, 2, 8, torch.Generator().manual_seed(0))
    limits = torch.tensor([0.05, 0.5])
    search.requires_grad_(False)
    found = search(made, chosen, epipolar_lines(rays, made.cameras, chosen), limits, 16)
    depth = rays.directions[:, inner_pixels(16, 12, 2, torch.device("cpu")), 2] / found.inverse
    assert found.certainty.shape == (1, 12 * 8)
    assert float((depth - DEPTH).abs().median()) < 0.2
    assert bool((found.certainty > 0).all())
    assert bool((found.certainty < 1.001).all())


def test_inner_pixels_are_those_of_a_loop() -> None:
    inner = inner_pixels(5, 4, 1, torch.device("cpu")).tolist()
    assert inner == [6, 7, 8, 11, 12, 13]


def test_images_are_made_of_patches() -> None:
    """Whatever the patches' side, and at the borders too."""
    camera = row_of_cameras(2)

    def render(target: Cameras, corner: torch.Tensor, size: tuple[int, int]) -> Rendering:
        rays = patch_rays(target, corner, size)
        return as_rendering(rays.directions[0] / 2 + 0.5, rays.origins[0, :, 0])

    whole = render_in_patches(camera, 64, render)
    for side in (7, 16):
        parts = render_in_patches(camera, side, render)
        assert parts.color.shape == (2, HEIGHT, WIDTH, 3)
        assert torch.equal(parts.color, whole.color)
        assert torch.equal(parts.depth, whole.depth)
    assert bool((whole.opacity == 1).all())
