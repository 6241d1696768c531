import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import TypeCheckError

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.lifting import LIFTINGS, Liftings, PoseReading
from unrender.flows.paths import LinearPath, PathSample
from unrender.flows.pose_flow import ONE_SIDED, PoseFlow
from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import look_at, so3_distance
from unrender.methods import sit
from unrender.methods.presets import PRESETS
from unrender.methods.sit import SiTFlow
from unrender.rendering.renderer import PoseEstimate
from unrender.training.method import Progress
from unrender.training.transformer_method import ADDED_BUFFERS

SIZE = 8
TINY = SiTFlow(
    patch=4,
    width=48,
    depth=2,
    heads=3,
    batch=16,
    learning_rate=5e-3,
    warm_up=10,
    average_decay=0.98,
    source_noise=0.3,
    end_share=0.2,
    start_share=0.3,
    precision="float32",
)


BALLS = (
    ([0.6, 0.0, 0.0], [1.0, 0.2, 0.1]),
    ([0.0, 0.7, 0.1], [0.1, 0.9, 0.2]),
    ([-0.2, -0.2, 0.7], [0.2, 0.3, 1.0]),
)
"""Places and colours."""
Balls = tuple[tuple[list[float], list[float]], ...]


def toy_views(num: int, size: int = SIZE, balls: Balls = BALLS, azimuth: float = 1.5) -> Views:
    """Coloured balls of soft outline, seen from a quarter of a sphere."""
    generator = torch.Generator().manual_seed(0)
    angle, height = torch.rand(2, num, generator=generator)
    angle, height = azimuth * angle, 0.2 + 0.6 * height
    flat = (1 - height.square()).sqrt()
    eye = 3 * torch.stack([angle.cos() * flat, angle.sin() * flat, height], dim=-1)
    poses = look_at(eye, torch.zeros(num, 3), torch.tensor([0.0, 0.0, 1.0]))
    cameras = Cameras.from_focal(poses, 1.2 * size, size, size)
    image = torch.zeros(num, size, size, 4)
    for place, color in balls:
        pixel, _ = cameras.project(torch.arange(num), torch.tensor(place).expand(num, 3))
        distance = (pixel_grid(size, size) - pixel[:, None, None]).square().sum(-1)
        alpha = (-distance / (size / 8) ** 2).exp()[..., None]
        image = image * (1 - alpha) + alpha * torch.tensor([*color, 1.0])
    return Views(cameras, image)


VIEWS = toy_views(60)


def train(method: SiTFlow, views: Views, steps: int) -> tuple[PoseFlow, list[float]]:
    generator = torch.Generator().manual_seed(0)
    model = method.build(views, generator)
    return model, resume(method, model, views, generator, 0, steps)


def resume(
    method: SiTFlow,
    model: PoseFlow,
    views: Views,
    generator: torch.Generator,
    first: int,
    last: int,
    optimizer: torch.optim.Optimizer | None = None,
) -> list[float]:
    optimizer = optimizer or method.optimizer(model)
    losses: list[float] = []
    for step in range(first, last):
        progress = Progress(step, step / 400)
        for group in optimizer.param_groups:
            group["lr"] = method.learning_rate * method.schedule(progress)
        optimizer.zero_grad(set_to_none=True)
        loss = method.losses(model, views, progress, generator)["velocity"]
        loss.backward()
        optimizer.step()
        method.after_step(model, optimizer, progress)
        losses.append(float(loss.detach()))
    return losses


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Products as small as these only lose time where threads wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(one_thread: None) -> tuple[PoseFlow, list[float]]:
    model, losses = train(TINY, VIEWS, 400)
    TINY.finish(model, VIEWS)
    return model, losses


def test_a_tiny_flow_learns_a_toy_scene(trained: tuple[PoseFlow, list[float]]) -> None:
    model, losses = trained
    assert sum(losses[-20:]) < 0.2 * sum(losses[:20])
    error = (TINY.render(model, VIEWS.cameras).rgba - VIEWS.images).square().mean()
    spread = (VIEWS.images - VIEWS.images.mean(0)).square().mean()
    assert error < 0.2 * spread


def test_the_flow_finds_the_poses_of_its_images(
    trained: tuple[PoseFlow, list[float]],
) -> None:
    model, _ = trained
    held_out = VIEWS.select(model.held_out_views)
    estimate = TINY.estimate_poses(model, held_out.images)
    error = so3_distance(estimate.cameras.rotations, held_out.cameras.rotations)
    some = VIEWS.cameras.rotations
    apart = so3_distance(some, some.roll(1, 0)).median()
    assert error.median() < 0.2 * apart
    assert (estimate.rotation_error > 0).all()
    assert (estimate.translation_error > 0).all()
    # The expected errors were fitted on these very views, so their means agree.
    assert float(estimate.rotation_error.mean()) == pytest.approx(float(error.mean()), rel=0.3)


def test_no_estimate_is_computed_in_vain(
    trained: tuple[PoseFlow, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the reading is refined or not, its expected errors are computed once."""
    model, _ = trained
    calls: list[int] = []
    expect = PoseFlow.expect

    def counting(flow: PoseFlow, reading: PoseReading) -> PoseEstimate:
        calls.append(1)
        return expect(flow, reading)

    monkeypatch.setattr(PoseFlow, "expect", counting)
    for method in (TINY, dataclasses.replace(TINY, refine_steps=0)):
        calls.clear()
        method.estimate_poses(model, VIEWS.images[:2])
        assert len(calls) == 1


@pytest.mark.parametrize("azimuth", [0.4, 1.5])
def test_cameras_on_one_side_are_read_as_well_as_on_a_sphere(azimuth: float) -> None:
    """Poses that hardly differ are spread, and poses about any point are about the origin."""
    views = toy_views(80, azimuth=azimuth)
    model, _ = train(TINY, views, 150)
    assert 0 < float(model.source_scale) < ONE_SIDED
    lifted = model.lift(views.cameras.select(model.training_views))
    plain = model.lifting.lift(views.cameras, model.radius).square().mean().sqrt()
    torch.testing.assert_close(lifted.square().mean().sqrt(), plain, rtol=0.02, atol=0)
    torch.testing.assert_close(lifted.mean(0), torch.zeros_like(lifted[0]), atol=1e-4, rtol=0)
    pose = views.cameras.world_from_camera
    reading = model.unlift(model.lift(views.cameras)).world_from_camera
    torch.testing.assert_close(reading, pose, atol=1e-4, rtol=1e-4)


def test_a_flow_learns_the_same_wherever_the_world_has_its_origin() -> None:
    """Cameras about a point far from the origin: the same flow, with poses moved along."""
    shift = torch.tensor([20.0, -7.0, 3.0])
    views = toy_views(60)
    pose = views.cameras.world_from_camera.clone()
    pose[:, :, 3] += shift
    moved = dataclasses.replace(views, cameras=views.cameras.with_poses(pose))
    # The focus point is drawn a little to the cameras' mean, and the origin is kept.
    near, far = (TINY.build(data, torch.Generator().manual_seed(0)) for data in (views, moved))
    assert torch.equal(near.center, torch.zeros(3))
    torch.testing.assert_close(far.center, shift, atol=5e-3, rtol=0)
    for model, data in ((near, views), (far, moved)):
        generator = torch.Generator().manual_seed(0)
        resume(TINY, model, TINY.prepare(model, data), generator, 0, 60)
        TINY.finish(model, TINY.prepare(model, data))
    found, other = (
        TINY.estimate_poses(model, views.images[:8]).cameras.world_from_camera
        for model in (near, far)
    )
    torch.testing.assert_close(other[:, :, :3], found[:, :, :3], atol=0.05, rtol=0)
    torch.testing.assert_close(other[:, :, 3] - shift, found[:, :, 3], atol=0.2, rtol=0)
    images = [
        TINY.render(model, data.cameras.select(torch.arange(4))).rgba
        for model, data in ((near, views), (far, moved))
    ]
    torch.testing.assert_close(images[1], images[0], atol=0.1, rtol=0)
    older = {k: v for k, v in near.state_dict().items() if k not in ADDED_BUFFERS}
    assert torch.equal(TINY.restore(older).center, torch.zeros(3))


def test_poses_whose_image_fits_are_nearer() -> None:
    """The energy's modes beat what the flow reads, and say how far they are off."""
    views = toy_views(60, azimuth=3.0)
    model, _ = train(TINY, views, 200)
    TINY.finish(model, views)
    held_out = views.select(model.held_out_views)
    reader = dataclasses.replace(TINY, refine_steps=0)
    read, refined = (m.estimate_poses(model, held_out.images) for m in (reader, TINY))
    error, less = (
        so3_distance(found.cameras.rotations, held_out.cameras.rotations).mean()
        for found in (read, refined)
    )
    assert less < error
    assert model.temperature != 1


def test_an_object_that_looks_alike_from_two_sides_has_two_poses(one_thread: None) -> None:
    """Half a turn about the vertical axis changes no image: half of the posterior is there."""
    alike: Balls = (
        ([0.6, 0.0, 0.0], [1.0, 0.2, 0.1]),
        ([-0.6, 0.0, 0.0], [1.0, 0.2, 0.1]),
        ([0.0, 0.5, 0.4], [0.1, 0.9, 0.2]),
        ([0.0, -0.5, 0.4], [0.1, 0.9, 0.2]),
    )
    views = toy_views(300, balls=alike, azimuth=2 * math.pi)
    model, _ = train(TINY, views, 250)
    TINY.finish(model, views)
    some = views.select(model.held_out_views)
    modes = TINY.estimate_poses(model, some.images).modes
    assert modes is not None
    torch.testing.assert_close(modes.share.sum(1), torch.ones(len(some)))
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    for pose in (some.cameras.rotations, half_turn @ some.cameras.rotations):
        distance = so3_distance(modes.world_from_camera[..., :3], pose[:, None])
        found = torch.where(modes.share > 0, distance, torch.inf).amin(1)
        assert found.median() < 0.35


@pytest.mark.parametrize("lifting", LIFTINGS)
def test_every_lifting_learns(lifting: Liftings) -> None:
    method = dataclasses.replace(TINY, lifting=lifting)
    model, losses = train(method, VIEWS, 60)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    channels = LIFTINGS[lifting].channels
    assert model.lift(VIEWS.cameras).shape[1] == channels
    assert model.flow_from_images(VIEWS.images)[:, 4:].abs().sum() == 0
    method.finish(model, VIEWS)
    restored = method.restore(model.state_dict())
    cameras = VIEWS.cameras.select(slice(3))
    assert torch.equal(
        method.render(restored, cameras).rgba, method.render(model, cameras).rgba
    )
    found = method.estimate_poses(restored, VIEWS.images[:3])
    assert found.cameras.world_from_camera.isfinite().all()


def test_the_plain_flow_has_noise_of_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example's source is lift(P) + ε, at times spread over all of [0, 1]."""
    plain = PRESETS["sit-plain"].method()
    assert isinstance(plain, SiTFlow)
    method = dataclasses.replace(plain, patch=4, width=48, depth=1, heads=3, batch=512)
    model = method.build(VIEWS, torch.Generator().manual_seed(0))
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    class Path(LinearPath):
        def sample(self, x0: torch.Tensor, x1: torch.Tensor, t: torch.Tensor) -> PathSample:
            seen.append((x0, x1, t))
            return super().sample(x0, x1, t)

    monkeypatch.setattr(sit, "PATH", Path())
    method.losses(model, VIEWS, Progress(0, 0.0), torch.Generator().manual_seed(1))
    ((x0, x1, t),) = seen
    lifted, images = model.lift(VIEWS.cameras), model.flow_from_images(VIEWS.images)
    which = torch.cdist(x1.flatten(1), images.flatten(1)).argmin(1)
    noise = (x0 - lifted[which]).flatten(1)
    torch.testing.assert_close(noise.std(1), torch.ones(512), rtol=0, atol=0.2)
    assert t.min() < 0.02
    assert t.max() > 0.98
    assert float(t.mean()) == pytest.approx(0.5, abs=0.05)


def test_images_of_another_size_are_averaged(trained: tuple[PoseFlow, list[float]]) -> None:
    model, _ = trained
    large = VIEWS.images[:3].repeat_interleave(3, 1).repeat_interleave(3, 2)
    a, b = TINY.estimate_poses(model, VIEWS.images[:3]), TINY.estimate_poses(model, large)
    assert b.cameras.width == b.cameras.height == 3 * SIZE
    torch.testing.assert_close(
        b.cameras.world_from_camera, a.cameras.world_from_camera, rtol=0, atol=1e-4
    )
    torch.testing.assert_close(b.cameras.intrinsics[:, 0, 0], 3 * VIEWS.cameras.focal[:3])


def test_rendering_is_deterministic_and_restored(
    trained: tuple[PoseFlow, list[float]],
) -> None:
    model, _ = trained
    cameras = VIEWS.cameras.select(slice(5))
    before = torch.get_rng_state()
    rendering = TINY.render(model, cameras)
    restored = TINY.restore(model.state_dict())
    assert torch.equal(TINY.render(restored, cameras).rgba, rendering.rgba)
    assert torch.equal(before, torch.get_rng_state())
    assert rendering.color.min() >= 0
    assert rendering.color.max() <= 1
    assert not rendering.depth.any()
    a, b = (
        TINY.estimate_poses(flow, VIEWS.images[:5]).rotation_error for flow in (model, restored)
    )
    assert torch.equal(a, b)


def test_a_sampled_start_depends_on_its_generator_alone(
    trained: tuple[PoseFlow, list[float]],
) -> None:
    model, _ = trained
    cameras = VIEWS.cameras.select(slice(2))
    a, b, c = (
        TINY.render_sampled(model, cameras, torch.Generator().manual_seed(seed)).rgba
        for seed in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    quiet = dataclasses.replace(TINY, source_noise=0.0)
    d = quiet.render_sampled(model, cameras, torch.Generator().manual_seed(0)).rgba
    assert torch.equal(d, TINY.render(model, cameras).rgba)


def test_rendering_follows_poses_that_require_gradients(
    trained: tuple[PoseFlow, list[float]],
) -> None:
    model, _ = trained
    cameras = VIEWS.cameras.select(slice(1))
    assert not TINY.render(model, cameras).color.requires_grad
    pose = cameras.world_from_camera.clone().requires_grad_()
    TINY.render(model, cameras.with_poses(pose)).color.sum().backward()
    assert pose.grad is not None
    assert pose.grad.abs().sum() > 0


def test_resuming_continues_bit_by_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    model = TINY.build(VIEWS, generator)
    optimizer = TINY.optimizer(model)
    first = resume(TINY, model, VIEWS, generator, 0, 4, optimizer)
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moments, state = optimizer.state_dict(), generator.get_state()

    restored = TINY.restore(tensors)
    other = TINY.optimizer(restored)
    other.load_state_dict(moments)
    generator = torch.Generator()
    generator.set_state(state)
    torch.manual_seed(7)
    second = resume(TINY, restored, VIEWS, generator, 4, 8, other)

    whole_model, whole = train(TINY, VIEWS, 8)
    assert first + second == whole
    for name, tensor in whole_model.state_dict().items():
        assert torch.equal(tensor, restored.state_dict()[name]), name


def test_the_average_follows_the_network() -> None:
    model = TINY.build(VIEWS, torch.Generator().manual_seed(0))
    old = {name: tensor.clone() for name, tensor in model.average.named_parameters()}
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(1.0)
    TINY.after_step(model, TINY.optimizer(model), Progress(10**6, 0.5))
    for name, tensor in model.average.named_parameters():
        torch.testing.assert_close(tensor, old[name] + 1 - TINY.average_decay)
        assert not tensor.requires_grad


def test_held_out_views_never_enter_training() -> None:
    """Training does not change when the views that it holds out do."""
    model = TINY.build(VIEWS, torch.Generator().manual_seed(0))
    chosen = torch.cat([model.training_views, model.held_out_views])
    assert torch.equal(chosen.sort().values, torch.arange(60))
    assert len(model.held_out_views) == 3
    images = VIEWS.images.clone()
    images[model.held_out_views] = torch.nan
    _, spoiled = train(TINY, dataclasses.replace(VIEWS, images=images), 5)
    assert spoiled == train(TINY, VIEWS, 5)[1]
    assert len(TINY.build(toy_views(3000, 4), torch.Generator()).held_out_views) == 128


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [TINY.schedule(Progress(step, step / 1000)) for step in range(1000)]
    top = rates.index(max(rates))
    assert top == TINY.warm_up - 1
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_a_smaller_batch_is_half() -> None:
    smaller = TINY.smaller()
    assert isinstance(smaller, SiTFlow)
    assert smaller == dataclasses.replace(TINY, batch=8)


@pytest.mark.parametrize("patch", [2, 4, 8])
@pytest.mark.parametrize("name", ["s", "b", "l", "xl"])
def test_presets_have_the_sizes_of_the_paper(name: str, patch: int) -> None:
    """Their numbers of parameters are those of table 1, to within the class embedding."""
    millions = {"s": 33, "b": 130, "l": 458, "xl": 675}[name]
    method = PRESETS[f"sit-{name}-{patch}"].method()
    assert method.patch == patch
    blocks = 18 * method.depth * method.width**2
    assert blocks / 1e6 == pytest.approx(millions, rel=0.04)


def test_larger_images_take_larger_patches() -> None:
    """Images of 64 pixels by patches of 16, there and back."""
    views = toy_views(24, 64)
    method = dataclasses.replace(TINY, patch=16)
    model, losses = train(method, views, 40)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    method.finish(model, views)
    restored = method.restore(model.state_dict())
    cameras = views.cameras.select(slice(3))
    rendering = method.render(restored, cameras)
    assert rendering.rgba.shape == (3, 64, 64, 4)
    assert torch.equal(rendering.rgba, method.render(model, cameras).rgba)
    found = method.estimate_poses(restored, views.images[:3])
    assert found.cameras.world_from_camera.isfinite().all()
    assert found.cameras.width == 64


def rgb(views: Views) -> Views:
    return dataclasses.replace(views, images=views.images[..., :3])


def wide(views: Views) -> Views:
    cameras = dataclasses.replace(views.cameras, width=2 * SIZE)
    return Views(cameras, torch.cat([views.images, views.images], dim=2))


def mixed(views: Views) -> Views:
    scale = torch.linspace(1, 2, len(views))[:, None, None]
    cameras = dataclasses.replace(views.cameras, intrinsics=views.cameras.intrinsics * scale)
    return dataclasses.replace(views, cameras=cameras)


@pytest.mark.parametrize(
    ("method", "views", "message"),
    [
        (TINY, rgb(VIEWS), "RGBA.*make-views"),
        (TINY, wide(VIEWS), "16×8.*square.*--size"),
        (dataclasses.replace(TINY, patch=3), VIEWS, "8×8.*multiple.*--patch"),
        (TINY, toy_views(1), "1 views.*at least 2"),
        (TINY, mixed(VIEWS), "fields of view differ.*make-views"),
    ],
)
def test_unsuitable_views_are_refused(method: SiTFlow, views: Views, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        method.build(views, torch.Generator())
    assert "\n" not in str(caught.value)


def test_unsuitable_requests_are_refused() -> None:
    model = TINY.build(VIEWS, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"16x16.*8x8"):
        TINY.render(model, VIEWS.cameras.resized(16, 16))
    with pytest.raises(InputError, match="field of view"):
        TINY.render(model, mixed(VIEWS).cameras)
    with pytest.raises(InputError, match="square"):
        TINY.estimate_poses(model, VIEWS.images[:, :4])


def test_shapes_are_checked() -> None:
    model = TINY.build(VIEWS, torch.Generator().manual_seed(0))
    with pytest.raises(TypeCheckError):
        TINY.estimate_poses(model, VIEWS.images[..., :3])
