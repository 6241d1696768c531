"""The controls of the pose flow: they learn, each one way, with the flow's own means."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.lookup import random_pose_estimator
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import project_to_so3, so3_distance
from unrender.methods.pose_regressor import PoseRegressor, RegressorModel, predict
from unrender.methods.presets import PRESETS
from unrender.methods.sit_gaussian import GaussianFlow, SiTGaussian
from unrender.rendering.renderer import PoseEstimate
from unrender.training.method import Progress
from unrender.training.transformer_method import TransformerMethod, TransformerModel

SIZE = 8
REGRESSOR = PoseRegressor(
    patch=4, width=48, depth=2, heads=3, batch=16, warm_up=10, average_decay=0.9
)
GAUSSIAN = SiTGaussian(
    patch=4, width=48, depth=2, heads=3, batch=16, warm_up=10, average_decay=0.9, image_steps=8
)


def toy_views(num: int) -> Views:
    """Cameras in a coloured sky: a pixel's colour is the direction of its ray."""
    poses = spherical_shell(num, (3.0, 3.5), torch.Generator().manual_seed(0), (0.1, 1.2))
    cameras = Cameras.from_focal(poses, 1.2 * SIZE, SIZE, SIZE)
    index = torch.arange(num)[:, None, None].expand(num, SIZE, SIZE)
    rays = cameras.rays(index, pixel_grid(SIZE, SIZE).expand(num, SIZE, SIZE, 2))
    color = (1 + rays.directions) / 2
    return Views(cameras, torch.cat([color, torch.ones_like(color[..., :1])], dim=-1))


VIEWS = toy_views(80)


def train(
    method: TransformerMethod[TransformerModel], views: Views, steps: int
) -> TransformerModel:
    generator = torch.Generator().manual_seed(0)
    model = method.build(views, generator)
    optimizer = method.optimizer(model)
    for step in range(steps):
        progress = Progress(step, step / steps)
        for group in optimizer.param_groups:
            group["lr"] = method.learning_rate * method.schedule(progress)
        optimizer.zero_grad(set_to_none=True)
        (loss,) = method.losses(model, views, progress, generator).values()
        loss.backward()
        optimizer.step()
        method.after_step(model, optimizer, progress)
    method.finish(model, views)
    return model


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Products as small as these only lose time where threads wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def regressor(one_thread: None) -> RegressorModel:
    return train(REGRESSOR, VIEWS, 120)


@pytest.fixture(scope="module")
def gaussian(one_thread: None) -> GaussianFlow:
    return train(GAUSSIAN, VIEWS, 200)


def rotation_errors(estimate: PoseEstimate, truth: Cameras) -> Tensor:
    return so3_distance(estimate.cameras.rotations, truth.rotations)


@pytest.mark.parametrize("method", [REGRESSOR, GAUSSIAN], ids=["regressor", "gaussian"])
def test_a_control_has_the_means_of_the_flow(
    method: TransformerMethod[TransformerModel],
) -> None:
    """The same options by default, and at one seed the same training views."""
    flow = PRESETS["sit"].method()
    assert isinstance(flow, TransformerMethod)
    for field in dataclasses.fields(TransformerMethod):
        assert getattr(type(method)(), field.name) == getattr(flow, field.name), field.name
    small = dataclasses.replace(flow, patch=4, width=48, depth=2, heads=3)
    ours, theirs = (m.build(VIEWS, torch.Generator().manual_seed(3)) for m in (method, small))
    assert torch.equal(ours.training_views, theirs.training_views)
    assert torch.equal(ours.radius, theirs.radius)
    sizes = [
        sum(p.numel() for p in model.network.blocks.parameters()) for model in (ours, theirs)
    ]
    assert sizes[0] == sizes[1]


def test_a_regressor_finds_the_poses_of_views_it_has_not_seen(
    regressor: RegressorModel,
) -> None:
    held_out = VIEWS.select(regressor.held_out_views)
    found = REGRESSOR.estimate_poses(regressor, held_out.images)
    guess = random_pose_estimator(VIEWS.cameras, torch.Generator().manual_seed(0))
    error = rotation_errors(found, held_out.cameras)
    assert error.mean() < 0.2 * rotation_errors(guess(held_out.images), held_out.cameras).mean()
    rotations = found.cameras.rotations
    torch.testing.assert_close(project_to_so3(rotations), rotations)
    distance = (found.cameras.centers - held_out.cameras.centers).norm(dim=1)
    # Lines that were fitted to these very errors.
    assert found.rotation_error.mean() <= 2 * error.mean()
    assert found.translation_error.mean() <= 2 * distance.mean()
    assert (found.rotation_error > 0).all()
    assert (found.translation_error > 0).all()


def test_spreads_are_distances_from_rotations(regressor: RegressorModel) -> None:
    reading = regressor.read(VIEWS.images)
    numbers = predict(regressor.average, VIEWS.images)
    matrix, rotation = numbers[:, :9], reading.world_from_camera[:, :, :3].flatten(1)
    expected = ((matrix - rotation).square().sum(1) / 2).sqrt()
    torch.testing.assert_close(reading.rotation_spread, expected.detach())
    torch.testing.assert_close(reading.translation_spread, regressor.radius * expected.detach())


def test_a_regressor_reads_images_of_other_sizes_and_makes_none(
    regressor: RegressorModel,
) -> None:
    large = VIEWS.images[:3].repeat_interleave(3, 1).repeat_interleave(3, 2)
    a, b = (REGRESSOR.estimate_poses(regressor, images) for images in (VIEWS.images[:3], large))
    assert b.cameras.width == b.cameras.height == 3 * SIZE
    torch.testing.assert_close(
        b.cameras.world_from_camera, a.cameras.world_from_camera, rtol=0, atol=1e-4
    )
    with pytest.raises(InputError, match="makes no images"):
        REGRESSOR.render(regressor, VIEWS.cameras)
    with pytest.raises(InputError, match="square"):
        REGRESSOR.estimate_poses(regressor, VIEWS.images[:, :4])


def test_a_flow_from_noise_makes_the_image_of_its_pose(gaussian: GaussianFlow) -> None:
    made = GAUSSIAN.render(gaussian, VIEWS.cameras).rgba
    own = (made - VIEWS.images).square().mean()
    other = (made - VIEWS.images.roll(7, 0)).square().mean()
    assert own < 0.5 * other


def test_images_from_noise_depend_on_pose_and_seed_alone(gaussian: GaussianFlow) -> None:
    cameras = VIEWS.cameras.select(slice(4))
    before = torch.get_rng_state()
    whole = GAUSSIAN.render(gaussian, cameras)
    assert torch.equal(GAUSSIAN.render(gaussian, cameras).rgba, whole.rgba)
    part = GAUSSIAN.render(gaussian, cameras.select(slice(2, 4)))
    torch.testing.assert_close(part.rgba, whole.rgba[2:], rtol=0, atol=1e-5)
    assert torch.equal(before, torch.get_rng_state())
    other = dataclasses.replace(GAUSSIAN, noise_seed=1).render(gaussian, cameras)
    assert not torch.equal(other.rgba, whole.rgba)
    with pytest.raises(InputError, match=r"16x16.*8x8"):
        GAUSSIAN.render(gaussian, cameras.resized(16, 16))


def test_controls_are_restored(regressor: RegressorModel, gaussian: GaussianFlow) -> None:
    again = REGRESSOR.restore(regressor.state_dict())
    a, b = (REGRESSOR.estimate_poses(model, VIEWS.images) for model in (regressor, again))
    assert torch.equal(a.cameras.world_from_camera, b.cameras.world_from_camera)
    assert torch.equal(a.rotation_error, b.rotation_error)
    assert torch.equal(a.translation_error, b.translation_error)
    flow = GAUSSIAN.restore(gaussian.state_dict())
    c, d = (GAUSSIAN.render(model, VIEWS.cameras).rgba for model in (gaussian, flow))
    assert torch.equal(c, d)
