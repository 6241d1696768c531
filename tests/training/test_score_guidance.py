"""What a flow of latents says of renderings goes through its autoencoder to their pixels."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from view_models import FakeFlow, Nothing, fitted
from zero123_checkpoints import tensors, write

from unrender.data.views import Views
from unrender.flows.anchoring import VARIANTS, Anchoring
from unrender.flows.distillation import AnnealedLevels
from unrender.flows.guidance import Denoiser
from unrender.flows.zero123.load import load_zero123
from unrender.geometry.cameras import Cameras
from unrender.methods.zero123 import Zero123Views
from unrender.rendering.renderer import Rendering
from unrender.training import score_guidance
from unrender.training.method import Fitted, Progress
from unrender.training.score_guidance import ScoreGuidance

SIZE, CELLS = 64, 8


@pytest.fixture(scope="module")
def latent_flow(tmp_path_factory: pytest.TempPathFactory) -> Fitted[torch.nn.Module]:
    path = write(tmp_path_factory.mktemp("flow") / "x.ckpt", tensors(average=False))
    return Fitted(Zero123Views(size=SIZE), load_zero123(path))


def views(*eyes: tuple[float, float, float]) -> Views:
    cameras = Cameras.look_at(list(eyes), size=(SIZE, SIZE))
    images = torch.rand(len(eyes), SIZE, SIZE, 4, generator=torch.Generator().manual_seed(0))
    images[..., :3] *= images[..., 3:]
    return Views(cameras, images, ball=torch.tensor([0.0, 0.0, 0.0, 1.0]))


def guidance(flow: Fitted[torch.nn.Module], anchoring: Anchoring) -> ScoreGuidance:
    anchors = views((0, 4, 1), (0, -4, 1))
    if not anchoring.azimuths:
        anchors = anchors[:0]
    return ScoreGuidance(
        flow, views((4, 0, 1)), anchors, torch.zeros(3), 1.0, anchoring, "sds",
        AnnealedLevels(), 3.0, 1,
    )  # fmt: skip


def rendered(depth: Tensor) -> tuple[Rendering, Tensor, Cameras]:
    """Renderings of two cameras, whose colors ask for gradients."""
    seen = views((3, 3, 1), (-3, 3, 1))
    color = seen.images[..., :3].clone().requires_grad_()
    return Rendering(color, seen.images[..., 3], depth), color, seen.cameras


def test_the_gradient_of_latents_reaches_the_pixels(
    latent_flow: Fitted[torch.nn.Module],
) -> None:
    rendering, color, cameras = rendered(torch.full((2, SIZE, SIZE), 4.0))
    guide = guidance(latent_flow, VARIANTS["off"])
    guide.loss(
        rendering, cameras, Progress(0, 0.0), torch.Generator().manual_seed(0)
    ).backward()
    assert color.grad is not None
    assert bool(color.grad.isfinite().all())
    assert float(color.grad.abs().sum()) > 0


@dataclass(frozen=True)
class Asked(FakeFlow):
    """A flow that notes where it is told that the object is."""

    balls: ClassVar[list[Tensor | None]] = []

    def denoiser(
        self, model: Nothing, inputs: Views, targets: Cameras, guidance: float
    ) -> Denoiser:
        self.balls.append(inputs.ball)
        return super().denoiser(model, inputs, targets, guidance)


def test_flows_are_told_where_the_object_is() -> None:
    """By anchors as by inputs: a single camera does not say it."""
    guide = guidance(fitted(Asked(side=SIZE)), VARIANTS["code"])
    bare = dataclasses.replace(guide.anchors, ball=None)
    guide = dataclasses.replace(guide, anchors=bare)
    rendering, _, cameras = rendered(torch.full((2, SIZE, SIZE), 4.0))
    Asked.balls.clear()
    guide.loss(rendering, cameras, Progress(0, 0.0), torch.Generator().manual_seed(0))
    assert Asked.balls
    for ball in Asked.balls:
        assert ball is not None
        assert ball.tolist() == [0, 0, 0, 1]


def test_renderings_have_the_size_of_the_flow() -> None:
    """Whatever that of the cameras around the scene is, and with their fields of view."""
    guide = guidance(fitted(FakeFlow(side=SIZE)), VARIANTS["off"])
    around = Cameras.look_at([(4, 0, 1), (0, 4, 1), (-4, 0, 1)], size=(200, 200))
    found = guide.cameras(around, 2, torch.Generator().manual_seed(0))
    assert len(found) == 2
    assert found.width == found.height == SIZE
    torch.testing.assert_close(found.focal, around.focal[:2] * SIZE / 200)


@pytest.mark.parametrize("near", [False, True])
def test_it_is_that_of_the_encoder(
    latent_flow: Fitted[torch.nn.Module], monkeypatch: pytest.MonkeyPatch, near: bool
) -> None:
    """Also where an anchor's gradient counts beyond a depth only: here on the right side."""
    given = torch.randn(2, 4, CELLS, CELLS, generator=torch.Generator().manual_seed(1))
    drawn = iter(given)
    monkeypatch.setattr(
        score_guidance,
        "distillation_gradient",
        lambda kind, denoiser, clean, *_: torch.stack([next(drawn) for _ in clean]),
    )
    depth = torch.full((2, SIZE, SIZE), 4.0)
    anchoring = VARIANTS["off"]
    if near:
        depth[:, :, : SIZE // 2] = 0.5
        anchoring = Anchoring((120.0, 240.0), False, 1.0, 1.0, 0.0, 1.0)
    rendering, color, cameras = rendered(depth)
    guide = guidance(latent_flow, anchoring)
    guide.loss(
        rendering, cameras, Progress(0, 0.0), torch.Generator().manual_seed(0)
    ).backward()
    found = color.grad
    assert found is not None
    expected = given.clone()
    if near:
        expected[..., : CELLS // 2] = 0
    again, color, _ = rendered(depth)
    space = latent_flow.method.view_space(latent_flow.model)
    (space.encode(again.rgba) * expected).sum().backward()
    assert color.grad is not None
    torch.testing.assert_close(found, color.grad / (2 * CELLS**2), rtol=1e-3, atol=1e-6)


def test_checkpoints_are_opened_as_view_models(tmp_path: Path) -> None:
    from unrender.methods.presets.view_models import open_view_model  # noqa: PLC0415

    path = write(tmp_path / "x.ckpt", tensors(average=False))
    fitted = open_view_model(path, "flow", "cpu")
    assert fitted.method == Zero123Views()
    assert fitted.image_size == 256
