"""Render-and-compare with a smooth renderer of soft colored balls."""

import dataclasses
import math
import traceback

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import compose, se3_exp, so3_distance
from unrender.inverse.photometric_poses import (
    RenderAndCompare,
    _fitting,
    _searched,
    errors_of_twists,
    strided,
)
from unrender.inverse.pose_steps import Comparison
from unrender.rendering.renderer import (
    PoseEstimate,
    PoseModes,
    Renderer,
    Rendering,
    supersampled,
)

CENTERS = torch.tensor([[0.6, 0, 0], [0, 0.7, 0.1], [-0.3, -0.4, 0.5], [0.1, 0.2, -0.6]])
COLORS = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])


def balls(cameras: Cameras) -> Rendering:
    """A sum of Gaussian blobs: smooth in the pose, without occlusion."""
    grid = pixel_grid(cameras.width, cameras.height).expand(len(cameras), -1, -1, -1)
    index = torch.arange(len(cameras))[:, None, None].expand(grid.shape[:-1])
    rays = cameras.rays(index, grid)
    offset = CENTERS - rays.origins[..., None, :]
    along = (offset * rays.directions[..., None, :]).sum(-1)
    square = offset.square().sum(-1) - along.square()
    weight = torch.exp(-square / 0.15) / 4
    opacity = weight.sum(-1)
    return Rendering((weight[..., None] * COLORS).sum(-2), opacity, along.mean(-1))


def views(count: int, size: int = 48) -> Cameras:
    poses = spherical_shell(count, (3.5, 4.5), torch.Generator().manual_seed(0))
    return Cameras.from_focal(poses, 1.2 * size, size, size)


def moved(cameras: Cameras, degrees: float, length: float) -> Cameras:
    generator = torch.Generator().manual_seed(1)
    tangent = torch.nn.functional.normalize(
        torch.randn(len(cameras), 2, 3, generator=generator), dim=-1
    )
    tangent *= torch.tensor([math.radians(degrees), length])[:, None]
    return cameras.with_poses(compose(se3_exp(tangent.flatten(1)), cameras.world_from_camera))


def errors(found: Cameras, truth: Cameras) -> tuple[Tensor, Tensor]:
    turn = so3_distance(found.rotations, truth.rotations) * 180 / math.pi
    return turn, (found.centers - truth.centers).norm(dim=-1)


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("background", [None, torch.ones(3)])
def test_recovers_the_pose_that_made_the_image(
    background: Tensor | None, antialiased: bool
) -> None:
    truth = views(4)
    start = moved(truth, degrees=6, length=0.1)
    images = balls(truth).rgba
    if background is not None:
        color = balls(truth).over(background)
        images = torch.cat([color, torch.ones_like(color[..., :1])], dim=-1)
    estimate = RenderAndCompare().estimate(balls, images, start, background, antialiased)
    turn, shift = errors(estimate.cameras, truth)
    assert turn.max() < 0.2
    assert shift.max() < 0.02
    before, _ = errors(start, truth)
    assert before.min() > 5


def test_the_best_of_several_modes_is_kept() -> None:
    """The correct mode is the second for the first camera, and the first for the second one."""
    truth, wrong = views(2).world_from_camera, views(4).world_from_camera[2:]
    right = moved(views(2), degrees=5, length=0.1).world_from_camera
    poses = torch.stack([torch.stack([wrong[0], right[0]]), torch.stack([right[1], wrong[1]])])
    share = torch.tensor([[0.6, 0.4], [0.9, 0.1]])
    cameras = views(2).with_poses(poses[:, 0])
    zero = torch.zeros(2)
    found = PoseEstimate(cameras, torch.zeros(2, 3), zero, modes=PoseModes(poses, share))
    images = balls(views(2)).rgba
    estimate = RenderAndCompare().estimate_from_modes(balls, images, found)
    turn, _ = errors(estimate.cameras, views(2).with_poses(truth))
    assert turn.max() < 0.2
    assert estimate.misfit is not None
    assert estimate.misfit.max() < 1e-5


def test_errors_about_the_axes_follow_from_the_covariance() -> None:
    """A twist about a camera's optical axis is an error about its z axis alone."""
    pose = views(5).world_from_camera
    axis = pose[:, :, 2]
    # The axis passes through the center, so the twist's translation is its moment.
    twist = torch.cat([axis, torch.linalg.cross(pose[:, :, 3], axis)], dim=1)
    covariance = 0.1**2 * twist[:, :, None] * twist[:, None, :]
    about, center = errors_of_twists(covariance, pose)
    torch.testing.assert_close(about, torch.tensor([0, 0, 0.1]).expand(5, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(center, torch.zeros(5), atol=1e-3, rtol=0)


class HostAccess(TorchDispatchMode):
    """Counts what makes the host wait for a device, or copies numbers of the host to one."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        names = ("_local_scalar_dense", "lift_fresh", "nonzero", "_to_copy", "is_nonzero")
        if func.overloadpacket.__name__ in names:
            # Adam's own count of steps is on the CPU, wherever its parameters are, and so are
            # the sizes of images.
            callers = [frame.filename for frame in traceback.extract_stack()]
            on_host = ("torch/optim", "geometry/sizes.py")
            self.count += not any(name in caller for caller in callers for name in on_host)
        return func(*args, **(kwargs or {}))


def test_the_descent_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it needs of the host, it needs once and not at every step."""
    truth = views(2)
    start, images = moved(truth, 3, 0.05), balls(truth).rgba
    lists: list[int] = []
    tolist = Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda self: lists.append(1) or tolist(self))
    counts: list[tuple[int, int]] = []
    for steps in (3, 11):
        lists.clear()
        with HostAccess() as access:
            options = RenderAndCompare(coarse_steps=steps, fine_steps=steps, pixels=12)
            options.estimate(balls, images, start, torch.ones(3))
        counts.append((access.count, len(lists)))
    assert counts[0] == counts[1]
    # The lattices of the coarse and the fine steps, of the misfit and of the expected error.
    assert counts[0][1] == 4


def test_nothing_is_rendered_in_vain() -> None:
    """Every start descends, all results are compared once, and only the best of each image has
    its expected errors computed, from central differences.
    """
    truth, rendered = views(2), list[int]()

    def counting(cameras: Cameras) -> Rendering:
        rendered.append(len(cameras))
        return balls(cameras)

    poses = torch.stack([moved(truth, d, 0.05).world_from_camera for d in (3, 6)], dim=1)
    share = torch.tensor([[0.6, 0.4], [1.0, 0.0]])
    cameras = truth.with_poses(poses[:, 0])
    found = PoseEstimate(
        cameras, torch.zeros(2, 3), torch.zeros(2), modes=PoseModes(poses, share)
    )
    options = RenderAndCompare(coarse_steps=4, fine_steps=5, pixels=12)
    options.estimate_from_modes(counting, balls(truth).rgba, found)
    # Both levels begin with the depth, the second also with a comparison with the start.
    descents = (1 + 4 + 2 + 1 + 5) * (2 + 1)
    # The misfits of all modes and of the start; the depth, the residual, and both sides.
    assert sum(rendered) == descents + (2 + 1 + 2) + (1 + 1 + 12) * 2


class Wrong:
    """A model that is wrong: moved, recolored, and brighter on one side."""

    def __call__(self, cameras: Cameras) -> Rendering:
        image = balls(shifted(cameras, torch.tensor([0.2, -0.1, 0.1])))
        slope = torch.linspace(0.5, 1.0, cameras.width)[:, None]
        return dataclasses.replace(image, color=image.color.flip(-1) * slope)


def shifted(cameras: Cameras, offset: Tensor, scale: float = 1.0) -> Cameras:
    poses = cameras.world_from_camera.clone()
    poses[:, :, 3] = scale * poses[:, :, 3] + offset
    return cameras.with_poses(poses)


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("background", [None, torch.ones(3)])
def test_what_is_returned_fits_no_worse_than_the_start(
    antialiased: bool, background: Tensor | None
) -> None:
    """Also where the model is wrong, and from every start: on all pixels of the images."""
    truth, wrong = views(3), Wrong()
    images = balls(truth).rgba
    options = RenderAndCompare(coarse_steps=3, fine_steps=3, rate=0.1, newton_steps=3)
    for start in (truth, moved(truth, 2, 0.1), moved(truth, 20, 0.5)):
        found = options.estimate(wrong, images, start, background, antialiased)
        before, after = (
            misfit(wrong, images, cameras, background) for cameras in (start, found.cameras)
        )
        assert (after <= before).all()
        assert found.misfit is not None
        torch.testing.assert_close(found.misfit, after)


def misfit(
    renderer: Renderer, images: Tensor, cameras: Cameras, background: Tensor | None
) -> Tensor:
    rendering = renderer(cameras)
    if background is None:
        return (rendering.rgba - images).square().mean((1, 2, 3))
    return (rendering.over(background) - images[..., :3]).square().mean((1, 2, 3))


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 30.0), (0.01, 0.0), (100.0, -50.0)])
def test_neither_the_origin_nor_the_unit_of_the_world_matters(
    scale: float, offset: float, antialiased: bool
) -> None:
    """A world that is moved and scaled gives the same poses, moved and scaled, and errors."""
    truth, move = views(2), torch.full((3,), offset)
    start, images = moved(truth, 4, 0.1), balls(truth).rgba

    def elsewhere(cameras: Cameras) -> Rendering:
        image = balls(shifted(cameras, -move / scale, 1 / scale))
        return dataclasses.replace(image, depth=scale * image.depth)

    options = RenderAndCompare(coarse_steps=20, fine_steps=20, newton_steps=3)
    here = options.estimate(balls, images, start, antialiased=antialiased)
    begin = shifted(start, move, scale)
    there = options.estimate(elsewhere, images, begin, antialiased=antialiased)
    again = shifted(there.cameras, -move / scale, 1 / scale)
    assert errors(again, here.cameras)[0].max() < 0.02
    assert errors(again, here.cameras)[1].max() < 2e-3
    torch.testing.assert_close(
        there.translation_error / scale, here.translation_error, rtol=0.2, atol=1e-4
    )


def test_light_that_the_model_does_not_know_does_not_move_the_pose() -> None:
    """Differences of neighbors are compared: a slow change of exposure is harmless."""
    truth = views(3)
    images = balls(truth).rgba
    images[..., :3] += torch.linspace(0, 0.15, truth.width)[:, None] * images[..., 3:]
    start = moved(truth, 2, 0.05)
    by_detail, by_color = (
        RenderAndCompare().estimate(balls, images, start, antialiased=antialiased)
        for antialiased in (True, False)
    )
    assert (
        errors(by_detail.cameras, truth)[0].mean() < errors(by_color.cameras, truth)[0].mean()
    )


@pytest.mark.parametrize("antialiased", [False, True])
def test_unknown_pixels_are_left_out(antialiased: bool) -> None:
    truth = views(2)
    images = balls(truth).rgba
    images[:, :12] = torch.nan
    start = moved(truth, 4, 0.1)
    estimate = RenderAndCompare().estimate(balls, images, start, antialiased=antialiased)
    assert errors(estimate.cameras, truth)[0].max() < 0.3
    assert estimate.misfit is not None
    assert estimate.misfit.isfinite().all()


def test_a_far_start_finds_its_place() -> None:
    """Small images are searched for more starts, of which the best is refined."""
    truth = views(4)
    start = moved(truth, 20, 0.3)
    found = RenderAndCompare().estimate(balls, balls(truth).rgba, start, antialiased=True)
    assert errors(found.cameras, truth)[0].max() < 0.05
    whole = Comparison(balls, balls(truth).rgba, start, torch.zeros(3))
    level = dataclasses.replace(whole, detail=True)
    best = level.at(_fitting(level, [start.world_from_camera, *_searched(whole)], 1)[0])
    assert (best.misfit() <= level.misfit()).all()


def test_a_start_that_fits_best_is_kept() -> None:
    """Where the descent is led astray, by steps that are far too long."""
    truth = views(3)
    exact = PoseEstimate.isotropic(truth, torch.zeros(3), torch.zeros(3))
    options = RenderAndCompare(coarse_steps=3, fine_steps=3, rate=1.0)
    estimate = options.estimate_from_modes(balls, balls(truth).rgba, exact)
    assert torch.equal(estimate.cameras.world_from_camera, truth.world_from_camera)
    assert estimate.misfit is not None
    assert estimate.misfit.max() < 1e-10


def test_without_steps_the_start_is_returned() -> None:
    truth = views(2)
    options = RenderAndCompare(coarse_steps=0, fine_steps=0)
    estimate = options.estimate(balls, balls(truth).rgba, truth)
    torch.testing.assert_close(estimate.cameras.world_from_camera, truth.world_from_camera)


def test_the_same_seed_gives_the_same_poses() -> None:
    truth = views(2)
    start, images = moved(truth, 3, 0.05), balls(truth).rgba
    options = RenderAndCompare(coarse_steps=5, fine_steps=5)
    a, b = (options.estimate(balls, images, start).cameras for _ in range(2))
    assert torch.equal(a.world_from_camera, b.world_from_camera)


def test_expected_error_grows_with_the_residual() -> None:
    truth = views(3)
    clean = balls(truth).rgba
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    options = RenderAndCompare()
    a = options.estimate(balls, clean, moved(truth, 2, 0.02))
    b = options.estimate(balls, noisy, moved(truth, 2, 0.02))
    assert (b.rotation_error > 3 * a.rotation_error).all()
    assert (b.translation_error > 3 * a.translation_error).all()
    turn, _ = errors(b.cameras, truth)
    ratio = turn.mean() * math.pi / 180 / b.rotation_error.mean()
    assert 0.1 < ratio < 5


@pytest.mark.parametrize(("stride", "x", "y"), [(1, 0, 0), (4, 0, 0), (4, 3, 1), (5, 4, 4)])
def test_strided_cameras_render_every_kth_pixel(stride: int, x: int, y: int) -> None:
    cameras = views(2, size=22)
    whole = balls(cameras).rgba[:, y::stride, x::stride]
    part = balls(strided(cameras, stride, x, y)).rgba
    torch.testing.assert_close(part, whole, atol=1e-5, rtol=0)


def test_supersampling_averages_blocks() -> None:
    cameras = views(2, size=12)
    fine = balls(cameras.resized(36, 36)).rgba
    blocks = fine.unflatten(2, (12, 3)).unflatten(1, (12, 3)).mean((2, 4))
    torch.testing.assert_close(supersampled(balls, 3)(cameras).rgba, blocks)
