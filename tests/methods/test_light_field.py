"""Light-field neural rendering: it makes views of others, never of themselves."""

from dataclasses import replace

import pytest
import torch

from unrender.data.dataset import Dataset
from unrender.data.images import ImageStore
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.methods.light_field import LightField
from unrender.methods.presets import find_preset
from unrender.training.method import Progress
from unrender.training.references import describe_scene

SMALL = LightField(
    views=3, samples=2, width=8, hidden=8, epipolar_layers=1, view_layers=1, neighborhood=1,
    frequencies=1, search_layers=1, search_width=8, planes=8, residual=True, rays=128, patch=8,
    warm_up=1,
)  # fmt: skip


def test_a_training_view_is_made_of_others(small_scene: Dataset) -> None:
    """Its own image has no part in its losses: another image changes the truth alone."""
    views = small_scene.train
    model = SMALL.build(views, torch.Generator().manual_seed(0))
    targets, corners = views.cameras.select(torch.tensor([4])), torch.tensor([[8, 8]])
    chosen = model.references.neighbors[[4]]
    assert 4 not in chosen.tolist()[0]
    before = model(targets, chosen, corners, (8, 8)).color
    model.references.pixels[4] = 255 - model.references.pixels[4]
    assert torch.equal(model(targets, chosen, corners, (8, 8)).color, before)
    model.references.pixels[chosen] = 255 - model.references.pixels[chosen]
    assert not torch.allclose(model(targets, chosen, corners, (8, 8)).color, before, atol=0.1)


def test_a_patch_is_a_part_of_the_image(small_scene: Dataset) -> None:
    """Convolutions read around it: what is around does not depend on where patches end."""
    model = SMALL.build(small_scene.train, torch.Generator().manual_seed(0))
    model.requires_grad_(False)
    targets = small_scene.test.cameras.select(torch.tensor([0]))
    chosen = model.references.nearest(targets, 3)
    whole = model(targets, chosen, torch.tensor([[0, 0]]), (32, 32)).color.view(32, 32, 4)
    part = model(targets, chosen, torch.tensor([[9, 5]]), (12, 10)).color.view(10, 12, 4)
    torch.testing.assert_close(part, whole[5:15, 9:21], atol=1e-4, rtol=0)


def test_blended_colors_are_between_those_of_the_references(small_scene: Dataset) -> None:
    """Where all references have one color, so has the blend, wherever weights are."""
    model = SMALL.build(small_scene.train, torch.Generator().manual_seed(0))
    model.references.pixels.copy_(torch.tensor([51, 102, 153, 255])[:, None, None])
    targets = small_scene.test.cameras.select(torch.tensor([0]))
    chosen = model.references.nearest(targets, 3)
    found = model(targets, chosen, torch.tensor([[4, 4]]), (8, 8))
    wanted = torch.tensor([0.2, 0.4, 0.6, 1.0]).expand(64, 4)
    for color in (found.blended, found.searched):
        assert color is not None
        torch.testing.assert_close(color, wanted, atol=1e-4, rtol=0)


def test_one_image_is_too_few_and_few_have_fewer_references(
    small_scene: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    views = small_scene.train
    for count in (0, 1):
        with pytest.raises(InputError, match=f"training images: {count}; light-field"):
            SMALL.build(views[:count], torch.Generator())
    model = SMALL.build(views[:3], torch.Generator().manual_seed(0))
    assert model.references.neighbors.shape == (3, 2)
    assert "each ray has 2 reference views" in caplog.text
    losses = SMALL.losses(model, views[:3], Progress(0, 0.0), torch.Generator().manual_seed(0))
    assert bool(torch.stack(list(losses.values())).isfinite().all())
    assert SMALL.render(model, views.cameras[:1].resized(9, 7)).color.shape == (1, 7, 9, 3)


@pytest.mark.parametrize("name", ["light-field", "light-field-fast"])
def test_options_of_the_presets_stay_in_their_ranges(name: str) -> None:
    method = find_preset(name).method()
    assert isinstance(method, LightField)
    for option in ("views", "samples", "width", "planes", "patch", "rays"):
        with pytest.raises(InputError, match=option):
            replace(method, **{option: 0})


def wall(depth: float) -> Views:
    """Parallel cameras before a wall with stripes."""
    poses = torch.eye(3, 4).repeat(9, 1, 1)
    x = torch.tensor([-0.3, 0.0, 0.3])
    poses[:, :2, 3] = torch.cartesian_prod(x, x)
    cameras = Cameras.from_focal(poses, 40.0, 48, 36)
    number = torch.arange(9)[:, None, None].expand(9, 36, 48)
    across, down = torch.arange(48) + 0.5, torch.arange(36) + 0.5
    pixels = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
    rays = cameras.rays(number, pixels.expand(9, -1, -1, -1))
    points = rays.origins + depth / rays.directions[..., 2:] * rays.directions
    waves = points[..., :1] * torch.tensor([3.0, 5.0, 8.0]) + 4 * points[..., 1:2]
    return Views(cameras, 0.5 + 0.45 * waves.sin(), torch.zeros(3))


def test_the_depths_of_a_forward_facing_scene_are_those_seen(small_scene: Dataset) -> None:
    views = wall(4.0)
    model = SMALL.build(views, torch.Generator())
    farthest, nearest = model.inverse_range.tolist()
    assert farthest < 1 / 4.2
    assert nearest > 1 / 3.9
    assert nearest < 1 / 2
    assert model.coordinates.depths[1] == pytest.approx(4.0, rel=0.1)
    # Around an object, they are those of its ball, and rays have Plücker coordinates.
    model = SMALL.build(small_scene.train, torch.Generator())
    farthest, nearest = model.inverse_range.tolist()
    assert farthest < 1 / 5
    assert nearest > 1 / 3.5
    assert model.coordinates.depths[1] == 0
    # With a background, which is behind the ball, they have no end.
    views = small_scene.train
    room = replace(views, store=ImageStore.of(views.over("gray")), background=None)
    assert describe_scene(room, model.coordinates) == pytest.approx((0.0, nearest))
