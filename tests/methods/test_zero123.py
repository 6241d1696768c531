"""Views by zero123 and ZeroNVS: what the sampler, the denoiser and the cameras do.

The networks are miniatures with random weights: their views show nothing.
"""

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from zero123_checkpoints import Sizes, tensors, write

from unrender.data.object_ball import object_ball
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.zero123.load import load_zero123
from unrender.flows.zero123.networks import Condition, ScaledLatents, Zero123
from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.imaging.color import premultiply
from unrender.methods.zero123 import Zero123Views, alpha_bars
from unrender.training.method import Fitted

METHOD = Zero123Views(size=64, image_steps=4, batch=2)
LEVELS = alpha_bars()


def on_circle(*azimuths: float, radius: float = 4.0, elevation: float = 0.3) -> Cameras:
    """Cameras around the origin, by angles in radians."""
    low, high = radius * math.cos(elevation), radius * math.sin(elevation)
    eyes = [(low * math.cos(a), low * math.sin(a), high) for a in azimuths]
    return Cameras.look_at(eyes, size=(64, 64))


def inputs(*azimuths: float, size: int = 64) -> Views:
    cameras = on_circle(*azimuths).resized(size, size)
    generator = torch.Generator().manual_seed(0)
    images = premultiply(torch.rand(len(cameras), size, size, 4, generator=generator))
    return Views(cameras, images, ball=torch.tensor([0.0, 0.0, 0.0, 1.0]))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def zero123(tmp_path_factory: pytest.TempPathFactory) -> Zero123:
    return load_zero123(write(tmp_path_factory.mktemp("a") / "x.ckpt", tensors(average=False)))


@pytest.fixture(scope="module")
def zeronvs(tmp_path_factory: pytest.TempPathFactory) -> Zero123:
    content = tensors(Sizes(camera=19), average=False)
    return load_zero123(write(tmp_path_factory.mktemp("b") / "x.ckpt", content))


def opaque(views: Views) -> Views:
    """The same images on white."""
    return Views(views.cameras, views.over("white"), torch.ones(3), ball=views.ball)


def test_views_are_opaque_squares_that_follow_the_seed(zero123: Zero123) -> None:
    fitted = Fitted(METHOD, zero123)
    assert METHOD.generates_views
    assert fitted.image_size == 64
    targets = on_circle(0.5, 1.0, 2.0)
    given = opaque(inputs(0.0, size=48))
    views = fitted.novel_views(given, targets, seeded())
    assert views.shape == (3, 64, 64, 4)
    assert bool((views[..., 3] == 1).all())
    assert bool(((views >= 0) & (views <= 1)).all())
    assert float(views[..., :3].std()) > 0.01
    assert torch.equal(views, fitted.novel_views(given, targets, seeded()))
    other = fitted.novel_views(given, targets, seeded(1))
    assert float((views - other).abs().max()) > 0.01


def test_half_precision_makes_nearly_the_same_views(
    zero123: Zero123, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("h") / "x.ckpt", tensors(average=False))
    method = dataclasses.replace(METHOD, eta=0.0)
    given, targets = opaque(inputs(0.0)), on_circle(0.5, 1.0)
    half = method.novel_views(load_zero123(path, half=True), given, targets, seeded())
    whole = method.novel_views(zero123, given, targets, seeded())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0, atol=0.03)


def test_zeronvs_makes_views_of_scenes(zeronvs: Zero123) -> None:
    views = Fitted(METHOD, zeronvs).novel_views(inputs(0.0), on_circle(0.5), seeded())
    assert views.shape == (1, 64, 64, 4)


def test_views_of_what_is_cut_out_are_cut_out(
    zero123: Zero123, zeronvs: Zero123, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = torch.full((1, 64, 64, 4), 0.97)
    shown[:, 16:48, 16:48] = torch.tensor([0.2, 0.4, 0.6, 1.0])
    shown[:, 30:34, 30:34] = 0.98  # A white part of the object, which stays.
    shown[..., 3] = 1
    monkeypatch.setattr(ScaledLatents, "decode", lambda *_: shown.clone())
    method = dataclasses.replace(METHOD, image_steps=1)
    given, targets = inputs(0.0), on_circle(0.5)
    views = method.novel_views(zero123, given, targets, seeded())
    assert float(views[..., 3].sum()) == 32 * 32
    assert not views[:, :16].any()
    assert torch.equal(views[:, 16:48, 16:48], shown[:, 16:48, 16:48])
    for model, each in ((zero123, opaque(given)), (zeronvs, given)):
        assert torch.equal(method.novel_views(model, each, targets, seeded()), shown)


CLEAN = torch.randn(2, 4, 8, 8, generator=seeded(3))


class Perfect:
    """In place of the network: it knows the clean latents, and so the noise."""

    def __init__(self, patch: pytest.MonkeyPatch):
        self.asked: list[float] = []
        patch.setattr(Zero123, "noise", self.noise)

    def noise(
        self, x: Tensor, timesteps: Tensor, condition: Condition, guidance: float
    ) -> Tensor:
        self.asked.append(float(timesteps[0]))
        # Between timesteps, ᾱ is that of the interpolated logarithm of σ.
        sigmas = ((1 - LEVELS) / LEVELS).sqrt().log()
        low = timesteps.double().floor().long().clamp(0, 998)
        log = torch.lerp(sigmas[low], sigmas[low + 1], timesteps.double() - low)
        level = (1 / (1 + (2 * log).exp()))[:, None, None, None]
        return ((x - level.sqrt() * CLEAN[: len(x)]) / (1 - level).sqrt()).float()


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_ends_at_what_a_perfect_network_knows(
    zero123: Zero123, monkeypatch: pytest.MonkeyPatch, eta: float
) -> None:
    perfect = Perfect(monkeypatch)
    ends: list[Tensor] = []
    monkeypatch.setattr(
        "unrender.flows.zero123.networks.ScaledLatents.decode",
        lambda _, codes: (ends.append(codes), torch.zeros(len(codes), 64, 64, 4))[1],
    )
    method = dataclasses.replace(METHOD, image_steps=50, eta=eta)
    method.novel_views(zero123, inputs(0.0), on_circle(0.5, 1.0), seeded())
    # ldm's: 981, 961, … 21, 1. The last step leaves the noise of the first timestep.
    assert perfect.asked == [float(t) for t in range(981, 0, -20)]
    left = (ends[0] - LEVELS[0].sqrt() * CLEAN) / (1 - LEVELS[0]).sqrt()
    assert float(left.abs().max()) < 6
    if not eta:
        # Without new noise, the noise that is left is that of the start.
        start = torch.stack([left.flatten(), _start(zero123).flatten()])
        assert float(torch.corrcoef(start)[0, 1]) > 0.99


def _start(model: Zero123) -> Tensor:
    from unrender.flows.noise import normal_like  # noqa: PLC0415

    return normal_like(torch.zeros(2, 4, 8, 8), seeded())


def test_the_denoiser_is_the_network_in_the_flows_form(
    zero123: Zero123, monkeypatch: pytest.MonkeyPatch
) -> None:
    perfect = Perfect(monkeypatch)
    denoise = METHOD.denoiser(zero123, inputs(0.0), on_circle(0.5, 1.0), 3.0)
    noise = torch.randn(2, 4, 8, 8, generator=seeded(5))
    for timestep in (0, 1, 500, 998, 999):
        sigma = float(((1 - LEVELS[timestep]) / LEVELS[timestep]).sqrt())
        time = 1 / (1 + sigma)
        t = torch.full((2,), time)
        found = denoise(time * CLEAN + (1 - time) * noise, t)
        torch.testing.assert_close(found, CLEAN, rtol=1e-3, atol=1e-3)
        assert abs(perfect.asked[-1] - timestep) < 0.05
    between = torch.tensor([0.3, 0.61])
    x = between[:, None, None, None]
    found = denoise(x * CLEAN + (1 - x) * noise, between)
    torch.testing.assert_close(found, CLEAN, rtol=1e-3, atol=1e-3)
    for end in (0.0, 0.999):  # Beyond the schedule: finite, and asked within it.
        assert bool(denoise(noise, torch.full((2,), end)).isfinite().all())
        assert 0 <= perfect.asked[-1] <= 999


def numbers(model: Zero123, views: Views, targets: Cameras, method: Any = METHOD) -> Tensor:
    which = torch.zeros(len(targets), dtype=torch.long)
    return method.camera_numbers(model, views, targets, which, object_ball(views)[:3])


def moved(cameras: Cameras, scale: float, by: Tensor) -> Cameras:
    poses = cameras.world_from_camera.clone()
    poses[:, :, 3] = scale * poses[:, :, 3] + by
    return cameras.with_poses(poses)


def test_zero123_is_told_angles_and_relative_distances(zero123: Zero123) -> None:
    targets = on_circle(0.7, -0.4, radius=6.0, elevation=0.5)
    found = numbers(zero123, inputs(0.2), targets)
    expected = [
        [-0.2, math.sin(turn), math.cos(turn), METHOD.distance / 2] for turn in (0.5, -0.6)
    ]
    torch.testing.assert_close(found.float(), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_zeronvs_is_told_the_relative_pose_in_units_of_depth(zeronvs: Zero123) -> None:
    views = inputs(0.0)
    found = numbers(zeronvs, views, views.cameras)
    fov = math.radians(40)
    expected = [*torch.eye(4).flatten().tolist(), fov, math.sin(fov), math.cos(fov)]
    torch.testing.assert_close(found[0].float(), torch.tensor(expected), rtol=0, atol=1e-5)
    # A camera 4 units behind, where the object is 4 units away: 5 tanh(1 / 10) in OpenGL.
    pose = views.cameras.world_from_camera.clone()
    pose[:, :, 3] *= 2
    away = numbers(zeronvs, views, views.cameras.with_poses(pose))[0, 11]
    assert float(away) == pytest.approx(5 * math.tanh(0.1), abs=1e-5)
    # A wall across the optical axis, 2 units away; depths of views are along the rays.
    rays = views.cameras.rays(torch.zeros(64, 64, dtype=torch.long), pixel_grid(64, 64))
    depths = 2 / (rays.directions @ views.cameras.rotations[0, :, 2])
    near = dataclasses.replace(views, depths=depths[None])
    away = numbers(zeronvs, near, views.cameras.with_poses(pose))[0, 11]
    assert float(away) == pytest.approx(5 * math.tanh(0.2), abs=1e-5)


@pytest.mark.parametrize("kind", ["zero123", "zeronvs"])
def test_neither_the_unit_nor_the_origin_of_the_world_counts(
    kind: str, request: pytest.FixtureRequest
) -> None:
    model, by = request.getfixturevalue(kind), torch.tensor([5.0, -3.0, 2.0])
    views, targets = inputs(0.2), on_circle(1.0, 3.0, radius=5.0)
    elsewhere = dataclasses.replace(
        views, cameras=moved(views.cameras, 7.0, by), ball=torch.tensor([*by.tolist(), 7.0])
    )
    found = numbers(model, elsewhere, moved(targets, 7.0, by))
    torch.testing.assert_close(found, numbers(model, views, targets), rtol=0, atol=1e-4)
    # Without a ball, the center of one camera is what is nearest to the origin on its axis.
    bare = dataclasses.replace(views, ball=None)
    found = numbers(model, bare, targets)
    torch.testing.assert_close(found, numbers(model, views, targets), rtol=0, atol=1e-4)


def test_each_target_is_conditioned_on_the_nearest_input(zero123: Zero123) -> None:
    views = inputs(0.0, 2.0)
    found = METHOD._condition(zero123, views, on_circle(1.8, 0.3))  # pyright: ignore
    modes = zero123.mode(views.images)
    torch.testing.assert_close(found.latents, modes[[1, 0]], rtol=1e-4, atol=1e-4)


def test_inputs_and_sizes_that_do_not_suit_are_refused(zero123: Zero123) -> None:
    wide = Views(on_circle(0.0).resized(64, 48), torch.zeros(1, 48, 64, 4))
    with pytest.raises(InputError, match=r"64×48.*square"):
        METHOD.novel_views(zero123, wide, on_circle(1.0), seeded())
    odd = dataclasses.replace(METHOD, size=72)
    with pytest.raises(InputError, match="size 72: give a multiple of 64"):
        odd.novel_views(zero123, inputs(0.0), on_circle(1.0), seeded())
    with pytest.raises(InputError, match="steps"):
        Zero123Views(image_steps=501)


def test_nothing_is_trained(zero123: Zero123) -> None:
    with pytest.raises(InputError, match="not trained here"):
        METHOD.build(inputs(0.0), seeded())
    with pytest.raises(InputError, match="not trained here"):
        METHOD.restore({})
    with pytest.raises(InputError, match="not trained here"):
        METHOD.optimizer(zero123)
